"""Word2Vec against fastText and gensim in one run: speed and, beside it, quality.

    KFTEXT_DATA=... python tests/benchmarks/word2vec_training.py                        # speed, about 15 minutes
    KFTEXT_DATA=... python tests/benchmarks/word2vec_training.py --quality --seeds 3    # and quality, an hour more
    KFTEXT_DATA=... python tests/benchmarks/word2vec_training.py --rounds 1 --words 300000

The corpus is a slice of the 2015 English Wikipedia, cleaned as word2vec's demo does it: markup lines dropped, lower case, runs of
a to z are the words, a paragraph a line (`clean` below). All train at dimension 100, window 5, 5 negatives, threshold 1e-4, minimum
count 5. Rounds alternate between the rivals; a ratio is that of one round. One thread is counted in CPU seconds, many in wall seconds.
fastText is its command, built by `make oracle` with the flags of its Makefile; what a run of 0 epochs costs (reading, vocabulary,
matrices, writing) is taken off; of gensim and kftext the epochs are measured. The whole command has a row of its own.
"""

from __future__ import annotations

import argparse
import json
import lzma
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from contest import (
    FASTTEXT,
    TABLE_HEAD,
    Contestant,
    Cost,
    Row,
    Stopwatch,
    answer_tasks,
    machine,
    need_data,
    need_fasttext,
    run_command,
    spread,
    thread_rows,
)

DIM, WINDOW, NEGATIVES, THRESHOLD, MIN_COUNT, RATE = 100, 5, 5, 1e-4, 5, 0.05
CORPUS = "corpus/enwiki2015_AA.txt.xz"
FASTTEXT_MODES = {"skipgram": "skipgram", "batch_skipgram": "skipgram", "cbow": "cbow"}
ROWS = [
    # mode, subwords, ratio to reach with one thread, with many
    ("skipgram", False, 30, 15),
    ("batch_skipgram", False, 30, 15),
    ("cbow", False, 10, 5),
    ("skipgram", True, 10, 8),
    ("cbow", True, None, None),
]  # fmt: skip


def row_name(mode: str, subwords: bool) -> str:
    return f"{mode}{'+subwords' if subwords else ''}"


KINDS = [*(row_name(mode, subwords) for mode, subwords, *_ in ROWS), "vocabulary"]
PEERS = ["fastText", "gensim", "kftext"]


def clean(source: Path, target: Path, limit: int | None = None) -> int:
    """Write the words of the corpus, a paragraph a line; return how many."""
    word = re.compile(rb"[a-z]+")
    count = 0
    with lzma.open(source) as lines, target.open("wb") as out:
        for line in lines:
            if line.startswith((b"<doc ", b"</doc")):
                continue
            if words := word.findall(line.lower()):
                out.write(b" ".join(words) + b"\n")
                count += len(words)
                if limit and count >= limit:
                    break
    return count


# Contestants: processes that have read the corpus and train it again and again.


class Kftext:
    def __init__(self) -> None:
        self._corpora: dict[str, Any] = {}

    def _corpus(self, file: str) -> Any:
        from kftext.blazingtext.corpus import Reading, read_corpus
        from kftext.blazingtext.vocabulary import VocabularyRules

        if file not in self._corpora:
            self._corpora[file] = read_corpus([file], VocabularyRules(MIN_COUNT), Reading())
        return self._corpora[file]

    def train(
        self, file: str, threads: int, seed: int = 0, vectors: str | None = None, **changes: Any
    ) -> dict:
        from kftext.blazingtext.hyperparameters import Word2VecHyperparameters
        from kftext.blazingtext.model_files import compose_vectors
        from kftext.blazingtext.subwords import compute_subwords
        from kftext.blazingtext.word2vec import Word2VecTraining

        vocabulary, corpus = self._corpus(file)
        settings = Word2VecHyperparameters(
            vector_dim=DIM, window_size=WINDOW, negative_samples=NEGATIVES, sampling_threshold=THRESHOLD,
            min_count=MIN_COUNT, learning_rate=RATE, **changes,
        )  # fmt: skip
        subwords = None
        if settings.subwords:
            subwords = compute_subwords(
                vocabulary.words, settings.min_char, settings.max_char, settings.buckets
            )
        training = Word2VecTraining(
            corpus, vocabulary.counts, settings, subwords, threads=threads, seed=seed
        )
        with Stopwatch() as watch:
            while training.position.epoch < settings.epochs:
                training.run_epoch()
        matrices = training.finish()
        if vectors:
            save(vectors, vocabulary.words, compose_vectors(matrices.input, subwords))
        return watch.seconds

    def read(self, file: str, threads: int) -> dict:
        from kftext.blazingtext.corpus import Reading, read_corpus
        from kftext.blazingtext.vocabulary import VocabularyRules

        with Stopwatch() as watch:
            read_corpus([file], VocabularyRules(MIN_COUNT), Reading(threads=threads))
        return watch.seconds


class Gensim:
    def train(
        self, file: str, threads: int, mode: str, epochs: int, subwords: bool = False, seed: int = 0,
        vectors: str | None = None,
    ) -> dict:  # fmt: skip
        from gensim.models import FastText, Word2Vec

        settings: dict[str, Any] = {
            "vector_size": DIM, "window": WINDOW, "negative": NEGATIVES, "sample": THRESHOLD,
            "min_count": MIN_COUNT, "alpha": RATE, "sg": int(mode != "cbow"), "workers": threads, "seed": seed,
        }  # fmt: skip
        model = FastText(**settings, min_n=3, max_n=6) if subwords else Word2Vec(**settings)
        model.build_vocab(corpus_file=file)
        with Stopwatch() as watch:
            model.train(
                corpus_file=file,
                total_words=model.corpus_total_words,
                total_examples=model.corpus_count,
                epochs=epochs,
            )
        if vectors:
            save(vectors, [word.encode() for word in model.wv.index_to_key], model.wv.vectors)
        return watch.seconds


def save(file: str, words: list[bytes], vectors: np.ndarray) -> None:
    np.savez(file, vectors=vectors, words=np.array(words))


def fasttext(
    file: Path, output: Path, threads: int, epochs: int, mode: str, subwords: bool, seed: int = 0
) -> Cost:
    return run_command(
        FASTTEXT, FASTTEXT_MODES[mode], "-input", file, "-output", output, "-dim", str(DIM), "-ws", str(WINDOW),
        "-neg", str(NEGATIVES), "-t", str(THRESHOLD), "-minCount", str(MIN_COUNT), "-lr", str(RATE), "-epoch", str(epochs),
        "-thread", str(threads), "-seed", str(seed), "-maxn", "6" if subwords else "0", "-minn", "3",
    )  # fmt: skip


# Quality


def judge(data: Path, words: list[str], vectors: np.ndarray) -> dict[str, float]:
    """WS-353 and SimLex-999 (Spearman's rho), and the share of Google's analogies that 3CosAdd answers, among the 30,000 most frequent words."""
    from scipy.stats import spearmanr

    index = {word: i for i, word in enumerate(words)}
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    result = {}
    for name, file in (("WS-353", "EN-WS-353-ALL.txt"), ("SimLex-999", "EN-SIMLEX-999.txt")):
        rows = [line.split("\t") for line in (data / "wordsim" / file).read_text().splitlines()]
        known = [
            (index[a.lower()], index[b.lower()], float(score))
            for a, b, score in rows
            if a.lower() in index and b.lower() in index
        ]
        a, b, scores = zip(*known, strict=True)
        result[name] = float(spearmanr((unit[list(a)] * unit[list(b)]).sum(axis=1), scores)[0])
    questions = [
        [index[word] for word in line.lower().split()]
        for line in (data / "wordsim" / "questions-words.txt").read_text().splitlines()
        if not line.startswith(":")
        and all(index.get(word, 30_000) < 30_000 for word in line.lower().split())
    ]
    right = 0
    for first in range(0, len(questions), 1000):
        a, b, c, d = np.array(questions[first : first + 1000]).T
        cosine = (unit[b] - unit[a] + unit[c]) @ unit[:30_000].T
        for known in (a, b, c):
            cosine[np.arange(len(a)), known] = -np.inf
        right += int((cosine.argmax(axis=1) == d).sum())
    result["analogies"] = right / len(questions)
    return result


def read_vec(file: Path) -> tuple[list[str], np.ndarray]:
    with file.open(encoding="utf-8", errors="replace") as lines:
        count, dim = map(int, lines.readline().split())
        words, vectors = [], np.empty((count, dim), np.float32)
        for i, line in enumerate(lines):
            word, *numbers = line.rstrip().split(" ")
            words.append(word)
            vectors[i] = numbers
    return words, vectors


def read_saved(file: Path) -> tuple[list[str], np.ndarray]:
    content = np.load(file)
    return [word.decode() for word in content["words"]], content["vectors"]


# The two parts


def measure_speed(options: argparse.Namespace, folder: Path, corpus: Path, words: int) -> None:
    ours, gensim = Contestant(__file__, "kftext"), Contestant(__file__, "gensim")
    print("\n## Speed\n", TABLE_HEAD, sep="\n", flush=True)
    for mode, subwords, one, many in ROWS:
        if row_name(mode, subwords) not in options.only:
            continue
        for threads, target in thread_rows(options.threads, one, many):
            unit = "cpu" if threads == 1 else "wall"
            name = f"{mode}{' with subwords' if subwords else ''}, {threads} thread{'s' * (threads > 1)}"
            against_fasttext = Row(f"{name}, fastText", unit, words, target)
            against_gensim = Row(f"{name}, gensim", unit, words)
            task = {
                "do": "train",
                "file": str(corpus),
                "threads": threads,
                "mode": mode,
                "epochs": 1,
                "subwords": subwords,
            }
            ours.ask(**task)
            for _ in range(options.rounds):
                nothing = fasttext(corpus, folder / "fasttext", threads, 0, mode, subwords)
                cost = fasttext(corpus, folder / "fasttext", threads, 1, mode, subwords) - nothing
                against_fasttext.rival.append(cost)
                against_gensim.rival.append(gensim.cost(**task))
                mine = ours.cost(**task)
                against_fasttext.ours.append(mine)
                against_gensim.ours.append(mine)
            print(against_fasttext.line(), against_gensim.line(), sep="\n", flush=True)
    if "vocabulary" in options.only:
        for threads, target in thread_rows(options.threads, 2.5, 4):
            row = Row(
                f"vocabulary and ids, {threads} threads, fastText (vocabulary only)",
                "cpu" if threads == 1 else "wall",
                words,
                target,
            )
            ours.ask(do="read", file=str(corpus), threads=threads)
            for _ in range(options.rounds):
                row.rival.append(
                    run_command(FASTTEXT, "skipgram", "-input", corpus, "-output", folder / "fasttext", "-epoch", "0", "-dim", "1", "-maxn", "0", "-bucket", "0")
                )  # fmt: skip
                row.ours.append(ours.cost(do="read", file=str(corpus), threads=threads))
            print(row.line(), flush=True)
    ours.close()
    gensim.close()


def measure_command(options: argparse.Namespace, folder: Path, corpus: Path, words: int) -> None:
    """Read, vocabulary, 5 epochs of skip-gram, write."""
    row = Row(
        f"whole command, 5 epochs of skip-gram, {options.threads} threads, fastText",
        "wall",
        5 * words,
        10,
    )
    for _ in range(options.command_rounds):
        row.rival.append(
            fasttext(corpus, folder / "fasttext", options.threads, 5, "skipgram", False)
        )
        row.ours.append(
            run_command(
                sys.executable, "-m", "kftext.blazingtext.train", "--train", corpus, "--model-dir", folder / f"model{time.time_ns()}",
                "--mode", "skipgram", "--epochs", "5", "--evaluation", "False", "--threads", str(options.threads),
            )
        )  # fmt: skip
    print(row.line(), flush=True)


def measure_quality(options: argparse.Namespace, folder: Path, corpus: Path, data: Path) -> None:
    print(
        f"\n## Quality, {options.epochs} epochs, {options.threads} threads: mean (least to greatest) of {options.seeds} seeds from {options.first_seed}\n",
        flush=True,
    )
    print("| | WS-353 | SimLex-999 | analogies |\n|---|---|---|---|", flush=True)
    ours, gensim = Contestant(__file__, "kftext"), Contestant(__file__, "gensim")
    saved = folder / "vectors.npz"

    def of_fasttext(mode: str, subwords: bool, seed: int) -> tuple[list[str], np.ndarray]:
        fasttext(corpus, folder / "fasttext", options.threads, options.epochs, mode, subwords, seed)
        return read_vec(folder / "fasttext.vec")

    def of(
        contestant: Contestant, mode: str, subwords: bool, seed: int
    ) -> tuple[list[str], np.ndarray]:
        contestant.ask(
            do="train", file=str(corpus), threads=options.threads, mode=mode, epochs=options.epochs, subwords=subwords,
            seed=seed, vectors=str(saved),
        )  # fmt: skip
        return read_saved(saved)

    for mode, subwords, _, _ in ROWS:
        if row_name(mode, subwords) not in options.only:
            continue
        peers = {
            "fastText": of_fasttext,
            "gensim": lambda *of_what: of(gensim, *of_what),
            "kftext": lambda *of_what: of(ours, *of_what),
        }
        for name, train in peers.items():
            # The rivals have one skip-gram.
            if name not in options.judge or (mode == "batch_skipgram" and name != "kftext"):
                continue
            results = [
                judge(data, *train(mode, subwords, seed))
                for seed in range(options.first_seed, options.first_seed + options.seeds)
            ]
            scores = " | ".join(
                spread([result[key] for result in results], statistics.mean) for key in results[0]
            )
            print(
                f"| {name}, {mode}{' with subwords' if subwords else ''} | {scores} |", flush=True
            )
    ours.close()
    gensim.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--words", type=int, default=2_000_000, help="of the corpus that speed is measured on"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--threads", type=int, default=4, help="of the rows with many; 1: no such rows"
    )
    parser.add_argument("--only", nargs="+", choices=KINDS, default=KINDS, help="rows")
    parser.add_argument(
        "--judge", nargs="+", choices=PEERS, default=PEERS, help="whose quality is measured"
    )
    parser.add_argument("--no-speed", action="store_true")
    parser.add_argument(
        "--command-rounds",
        type=int,
        default=0,
        help="rounds of the whole command on the whole corpus",
    )
    parser.add_argument(
        "--quality", action="store_true", help="train the whole corpus and judge the vectors"
    )
    parser.add_argument("--epochs", type=int, default=5, help="for quality")
    parser.add_argument("--seeds", type=int, default=3, help="for quality: how many")
    parser.add_argument("--first-seed", type=int, default=1, help="for quality")
    parser.add_argument("--contestant", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contestant:
        contestant = {"kftext": Kftext, "gensim": Gensim}[options.contestant]()
        answer_tasks({"train": contestant.train, "read": getattr(contestant, "read", None)})
        return
    need_fasttext()
    data = need_data()
    print(json.dumps({"machine": machine(), "options": vars(options)}), flush=True)
    with tempfile.TemporaryDirectory(prefix="kftext-benchmark-") as name:
        folder = Path(name)
        if not options.no_speed:
            words = clean(data / CORPUS, folder / "slice.txt", options.words)
            measure_speed(options, folder, folder / "slice.txt", words)
        if options.command_rounds or options.quality:
            words = clean(data / CORPUS, folder / "corpus.txt")
            if options.command_rounds:
                print("", TABLE_HEAD, sep="\n")
                measure_command(options, folder, folder / "corpus.txt", words)
            if options.quality:
                measure_quality(options, folder, folder / "corpus.txt", data)


if __name__ == "__main__":
    main()
