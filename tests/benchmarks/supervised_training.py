"""The classifier against fastText in one run: speed and, beside it, precision at one.

    KFTEXT_DATA=... python tests/benchmarks/supervised_training.py                       # speed, about 10 minutes
    KFTEXT_DATA=... python tests/benchmarks/supervised_training.py --quality --seeds 5   # and quality

Speed: the AG News pieces, word bigrams, 2 million buckets, softmax, dimensions 10 and 100. Rounds alternate; a ratio is that of one
round. One thread is counted in CPU seconds, many in wall seconds. fastText is its command, built by `make oracle` with the flags of its
Makefile; what a run of 0 epochs costs (reading, vocabulary, matrices, writing) is taken off; of kftext the epochs are measured.
Quality: each loss on AG News (its test set) and on the cooking questions (their validation set), which fastText judges for both:
our models are written as its binaries.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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

BUCKETS, NGRAMS, NEGATIVES = 2_000_000, 2, 5
ROWS = [(10, 8, 5), (100, 4, 4)]  # dimension, ratio to reach with one thread, with many
LOSSES = ("softmax", "hs", "ns", "ova")
NAMES = {"World": 1, "Sports": 2, "Business": 3, "Sci/Tech": 4}


def ag_news(folder: Path) -> Iterator[tuple[int, str]]:
    """Yield (label 1 to 4, text) of the pieces of the training set, each in a layout of its own."""
    for line in (folder / "train_part_alps_dev10k.tsv").read_text().splitlines():
        text, _, label = line.rpartition("\t")
        if label in NAMES:
            yield NAMES[label], text
    layouts = [
        # file, has a header, label's column, text's columns, number of the first label
        ("train_part_jointmatch_dev8k.csv", True, 0, (1,), 1),
        ("train_part_lst_5k.csv", False, 1, (0,), 0),
        ("train_part_metarep_5k.csv", True, 1, (0,), 0),
        ("train_part_ptq_valid5k.csv", False, 0, (1, 2), 1),
    ]
    for file, header, label, text, first in layouts:
        yield from read_csv(folder / file, header, label, text, first)


def read_csv(
    file: Path, header: bool, label: int, text: tuple[int, ...], first: int
) -> Iterator[tuple[int, str]]:
    with file.open(newline="") as stream:
        rows = csv.reader(stream)
        if header:
            next(rows)
        for row in rows:
            yield int(float(row[label])) - first + 1, " ".join(row[column] for column in text)


def write(rows: Iterator[tuple[int, str]], target: Path, limit: int | None = None) -> None:
    """Write fastText's format, cleaned as its classification examples do: lower case, punctuation apart."""
    with target.open("w") as out:
        for count, (label, text) in enumerate(rows):
            if count == limit:
                break
            words = re.sub(r"([.!?,'/()])", r" \1 ", text.lower().replace("\\", " ")).split()
            out.write(f"__label__{label} {' '.join(words)}\n")


class Kftext:
    def __init__(self) -> None:
        self._examples: dict[str, Any] = {}

    def train(
        self, file: str, threads: int, seed: int = 0, model: str | None = None, **changes: Any
    ) -> dict:
        from kftext.blazingtext.corpus import read_examples
        from kftext.blazingtext.hyperparameters import SupervisedHyperparameters
        from kftext.blazingtext.model_files import classifier_model
        from kftext.blazingtext.supervised import SupervisedTraining
        from kftext.blazingtext.supervised_data import SupervisedData
        from kftext.blazingtext.vocabulary import VocabularyRules
        from kftext.data.formats import Format
        from kftext.models import write_model

        if file not in self._examples:
            self._examples[file] = read_examples([file], Format.LABELED_TEXT, VocabularyRules(1))
        vocabulary, examples = self._examples[file]
        settings = SupervisedHyperparameters(
            mode="supervised",
            word_ngrams=NGRAMS,
            buckets=BUCKETS,
            min_count=1,
            negative_samples=NEGATIVES,
            **changes,
        )
        data = SupervisedData(examples, len(vocabulary.words), vocabulary.label_counts)
        training = SupervisedTraining(data, settings, threads=threads, seed=seed)
        with Stopwatch() as watch:
            while not training.over:
                training.run_epoch()
        if model:
            write_model(
                classifier_model(
                    vocabulary, training.finish(), settings, examples.token_count, b"__label__"
                ),
                model,
            )
        return {**watch.seconds, "tokens": examples.token_count}


def fasttext(
    file: Path,
    output: Path,
    threads: int,
    dim: int,
    epochs: int,
    loss: str,
    rate: float,
    seed: int = 0,
) -> Cost:
    return run_command(
        FASTTEXT, "supervised", "-input", file, "-output", output, "-dim", str(dim), "-epoch", str(epochs), "-loss", loss,
        "-lr", str(rate), "-wordNgrams", str(NGRAMS), "-bucket", str(BUCKETS), "-minCount", "1", "-thread", str(threads),
        "-neg", str(NEGATIVES), "-seed", str(seed),
    )  # fmt: skip


def precision(model: Path, file: Path) -> float:
    """P@1 as fastText's `test` command has it."""
    out = subprocess.run(
        [FASTTEXT, "test", model, file], capture_output=True, text=True, check=True
    ).stdout
    return float(re.search(r"P@1\s+([\d.]+)", out)[1])


def measure_speed(options: argparse.Namespace, folder: Path, data: Path) -> None:
    write(ag_news(data / "ag_news"), folder / "ag.txt")
    ours = Contestant(__file__, "kftext")
    print("\n## Speed\n", TABLE_HEAD, sep="\n", flush=True)
    for dim, one, many in ROWS:
        for threads, target in thread_rows(options.threads, one, many):
            task = {
                "do": "train", "file": str(folder / "ag.txt"), "threads": threads, "vector_dim": dim, "learning_rate": 0.25,
                "epochs": options.epochs,
            }  # fmt: skip
            tokens = ours.ask(**task)["tokens"]
            name = f"softmax, dim {dim}, {threads} thread{'s' * (threads > 1)}, fastText"
            row = Row(name, "cpu" if threads == 1 else "wall", tokens * options.epochs, target)
            for _ in range(options.rounds):
                arguments = folder / "ag.txt", folder / "model", threads, dim
                nothing = fasttext(*arguments, 0, "softmax", 0.25)
                row.rival.append(fasttext(*arguments, options.epochs, "softmax", 0.25) - nothing)
                row.ours.append(ours.cost(**task))
            print(row.line(), flush=True)
    ours.close()


def measure_quality(options: argparse.Namespace, folder: Path, data: Path) -> None:
    print(f"\n## Quality: P@1, {options.seeds} seeds, {options.threads} threads\n", flush=True)
    print("| | fastText | kftext |\n|---|---|---|", flush=True)
    write(ag_news(data / "ag_news"), folder / "ag.txt")
    write(read_csv(data / "ag_news" / "test.csv", False, 0, (1, 2), 1), folder / "ag.test.txt")
    cooking = data / "cooking"
    ours = Contestant(__file__, "kftext")
    for name, train, test, epochs, rates in (
        ("AG News, dim 10, 5 epochs", folder / "ag.txt", folder / "ag.test.txt", 5, {"ova": 0.25, "softmax": 0.25, "hs": 0.25, "ns": 0.25}),
        ("cooking, dim 100, 25 epochs", cooking / "cooking.train.txt", cooking / "cooking.valid.txt", 25, {"ova": 0.5, "softmax": 1.0, "hs": 1.0, "ns": 1.0}),
    ):  # fmt: skip
        dim = 10 if "dim 10," in name else 100
        for loss in LOSSES:
            scores: dict[str, list[float]] = {"fastText": [], "kftext": []}
            for seed in range(1, options.seeds + 1):
                fasttext(
                    train, folder / "model", options.threads, dim, epochs, loss, rates[loss], seed
                )
                scores["fastText"].append(precision(folder / "model.bin", test))
                ours.ask(
                    do="train", file=str(train), threads=options.threads, vector_dim=dim, epochs=epochs, loss=loss,
                    learning_rate=rates[loss], seed=seed, model=str(folder / "ours.bin"),
                )  # fmt: skip
                scores["kftext"].append(precision(folder / "ours.bin", test))
            print(
                f"| {name}, {loss} | {spread(scores['fastText'])} | {spread(scores['kftext'])} |",
                flush=True,
            )
    ours.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--threads",
        type=int,
        default=4,
        help="of the rows with many (1: no such rows), and of quality",
    )
    parser.add_argument(
        "--epochs",
        type=int,
        default=20,
        help="for speed: many, so that what is taken off of fastText is a small part",
    )
    parser.add_argument("--no-speed", action="store_true")
    parser.add_argument("--quality", action="store_true")
    parser.add_argument("--seeds", type=int, default=3, help="for quality")
    parser.add_argument("--contestant", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contestant:
        answer_tasks({"train": Kftext().train})
        return
    need_fasttext()
    data = need_data()
    print(json.dumps({"machine": machine(), "options": vars(options)}), flush=True)
    with tempfile.TemporaryDirectory(prefix="kftext-benchmark-") as name:
        if not options.no_speed:
            measure_speed(options, Path(name), data)
        if options.quality:
            measure_quality(options, Path(name), data)


if __name__ == "__main__":
    main()
