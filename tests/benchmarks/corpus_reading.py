"""Reading a corpus: vocabulary and token ids here, the vocabulary alone in fastText, in one run.

    KFTEXT_DATA=... python tests/benchmarks/corpus_reading.py                     # about 2 minutes
    KFTEXT_DATA=... python tests/benchmarks/corpus_reading.py --rounds 9 --threads 1 2 4 8
    python tests/benchmarks/corpus_reading.py --corpus text.txt

The corpus is a slice of the 2015 English Wikipedia, cleaned as for word2vec_training.py. fastText is its command, built by
`make oracle` with the flags of its Makefile, with 0 epochs and dimension 1; what the same costs on a text of the vocabulary's words,
each five times (start, tables, writing), is taken off. It reads with one thread whatever it is told. kftext is measured in a process
that has compiled its kernels, from the file's name to the arrays. Rounds alternate; a ratio is that of one round. One thread is
counted in CPU seconds, several in wall seconds.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

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
)
from word2vec_training import CORPUS, clean

MIN_COUNT = 5
TO_REACH = {1: 2.5, 4: 4.0}


def contestant() -> None:
    from kftext.blazingtext.corpus import Reading, read_corpus
    from kftext.blazingtext.vocabulary import VocabularyRules

    def read(file: str, threads: int) -> dict[str, float]:
        with Stopwatch() as watch:
            vocabulary, corpus = read_corpus([file], VocabularyRules(MIN_COUNT), Reading(threads))
        return {**watch.seconds, "words": len(vocabulary.words), "tokens": corpus.token_count}

    def write_words(file: str, target: str) -> dict[str, float]:
        vocabulary, _ = read_corpus([file], VocabularyRules(MIN_COUNT))
        Path(target).write_bytes(b" ".join(vocabulary.words * MIN_COUNT))
        return {}

    answer_tasks({"read": read, "write_words": write_words})


def run_fasttext(file: Path, output: Path) -> Cost:
    flags = f"-epoch 0 -dim 1 -minn 0 -maxn 0 -bucket 1 -thread 1 -verbose 0 -minCount {MIN_COUNT}"
    return run_command(FASTTEXT, "skipgram", "-input", file, "-output", output, *flags.split())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, help="a text file in place of the Wikipedia slice")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--contestant", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contestant:
        contestant()
        return
    need_fasttext()
    with tempfile.TemporaryDirectory(prefix="kftext-bench-") as name:
        folder = Path(name)
        file = options.corpus or folder / "corpus.txt"
        if not options.corpus:
            clean(need_data() / CORPUS, file)
        ours = Contestant(__file__, "kftext")
        found = ours.ask(do="read", file=str(file), threads=1)
        ours.ask(do="write_words", file=str(file), target=str(folder / "words.txt"))
        print(
            f"{machine()}\n{file.stat().st_size / 1e6:.0f} MB, {found['tokens'] / 1e6:.1f}M tokens, "
            f"{found['words']} words seen {MIN_COUNT} times or more\n",
            flush=True,
        )
        rows = [
            Row(
                f"vocabulary and ids, {count} thread{'s' if count > 1 else ''}",
                "wall" if count > 1 else "cpu",
                found["tokens"],
                TO_REACH.get(count),
            )
            for count in options.threads
        ]
        for _ in range(options.rounds):
            rest = run_fasttext(folder / "words.txt", folder / "rest")
            rival = run_fasttext(file, folder / "vectors") - rest
            for row, count in zip(rows, options.threads, strict=True):
                row.ours.append(ours.cost(do="read", file=str(file), threads=count))
                row.rival.append(rival)
        ours.close()
    print(TABLE_HEAD)
    for row in rows:
        print(row.line())


if __name__ == "__main__":
    sys.exit(main())
