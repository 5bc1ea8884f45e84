"""Test accuracy of classifiers that start from our own word vectors, beside fastText's bigram classifier on the same rows.

    KFTEXT_DATA=... python tests/benchmarks/text_classification_accuracy.py                        # about 25 minutes on 3 cores
    KFTEXT_DATA=... python tests/benchmarks/text_classification_accuracy.py --vectors DIR --only sst2
    KFTEXT_DATA=... KFTEXT_BERT=... python tests/benchmarks/text_classification_accuracy.py --only bert  # about 6 minutes a seed on 4 cores

The vectors: skip-gram, 200 dimensions, 3 epochs over the Wikipedia corpus, trained here, or found in --vectors. SST-2: its sentence-level
split; the epoch is chosen on the development set, for fastText its number of epochs (5, 10, 20 or 40) likewise. AG News: the pieces of the
training set, without texts of the test set; a tenth is held out to choose the epoch, fastText has all rows. BERT: a real checkpoint, in the
folder that KFTEXT_BERT names (docs/text_classification.md says where to have one), on SST-2. Each figure is the mean over the seeds (least
to greatest). What fastText is not told is its default; both read the words in lower case, punctuation apart.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import importlib
import json
import lzma
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from contest import FASTTEXT, machine, need_data, need_fasttext, run_command, spread

from kftext.text_classification import backend

supervised = importlib.import_module("supervised_training")

Rows = list[tuple[int, str]]

_TOKEN = re.compile(r"'?[a-z]+|[0-9]+|[.,!?;:()\-]")
_FASTTEXT_EPOCHS = (5, 10, 20, 40)


@dataclass(frozen=True)
class Split:
    """A data set: rows to train on, to choose the epoch by (None: a tenth of the former), and to test with."""

    name: str
    train: Rows
    validation: Rows | None
    test: Rows


def sst2(folder: Path) -> Split:
    def read(part: str) -> Rows:
        lines = (folder / f"sentences_{part}.tsv").read_text().splitlines()
        rows = [line.rsplit("\t", 1) for line in lines]
        return [(int(label), text) for text, label in rows]

    return Split("SST-2", read("train"), read("dev"), read("test"))


def ag_news(folder: Path) -> Split:
    """Texts are equal that have the same letters and digits: of each the first is kept, of the test set's none."""

    def key(text: str) -> str:
        return re.sub(r"[^a-z0-9]", "", text.lower())

    seen = set()
    with (folder / "test.csv").open(newline="") as stream:
        columns = list(csv.reader(stream))
    test = [(int(label) - 1, f"{title} {text}") for label, title, text in columns]
    for _, title, text in columns:
        seen |= {key(text), key(f"{title} {text}")}
    noisy = folder / "train_part_noisyag_val10k.csv"
    train = []
    for label, text in (
        *supervised.ag_news(folder),
        *supervised.read_csv(noisy, True, 1, (2,), 0),
    ):
        if text.strip() and key(text) not in seen:
            seen.add(key(text))
            train.append((label - 1, " ".join(text.split())))
    return Split("AG News", train, None, test)


def tokenized(text: str) -> str:
    return " ".join(_TOKEN.findall(text.lower()))


def write_corpus(corpus: Path, target: Path) -> None:
    """Write the Wikipedia articles' lines, a line each, as tokens."""
    with target.open("w") as out:
        for part in sorted(corpus.glob("*.txt.xz")):
            with lzma.open(part, "rt", encoding="utf-8") as lines:
                for line in lines:
                    if not line.startswith(("<doc ", "</doc>")) and " " in (
                        text := tokenized(line)
                    ):
                        out.write(text + "\n")


def make_vectors(data: Path, folder: Path, threads: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        write_corpus(data / "corpus", Path(name, "corpus.txt"))
        cost = run_command(
            sys.executable, "-m", "kftext.blazingtext.train", "--train", Path(name, "corpus.txt"), "--model-dir", folder,
            "--mode", "skipgram", "--vector-dim", "200", "--epochs", "3", "--threads", str(threads), "--seed", "1",
        )  # fmt: skip
    print(f"Vectors trained in {cost.wall:.0f} s", flush=True)


def write_csv(folder: Path, rows: Rows) -> str:
    folder.mkdir(parents=True)
    with (folder / "data.csv").open("w", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows(rows)
    return str(folder)


def fasttext_accuracy(split: Split, root: Path, seeds: Iterable[int], threads: int) -> list[float]:
    """Return the test accuracy of each seed; the number of epochs is the best of those for the first seed."""

    def write(name: str, rows: Rows) -> Path:
        path = root / name
        path.write_text("".join(f"__label__{label} {tokenized(text)}\n" for label, text in rows))
        return path

    train, test = write("train.txt", split.train), write("test.txt", split.test)

    def trained(seed: int, epochs: int) -> Path:
        supervised.fasttext(train, root / "model", threads, 100, epochs, "softmax", 0.25, seed)
        return root / "model.bin"

    epochs = _FASTTEXT_EPOCHS[0]
    if split.validation is not None:
        development = write("dev.txt", split.validation)
        epochs = max(
            _FASTTEXT_EPOCHS,
            key=lambda number: supervised.precision(trained(0, number), development),
        )
    return [supervised.precision(trained(seed, epochs), test) for seed in seeds]


def our_accuracy(
    split: Split,
    root: Path,
    model: Path,
    seeds: Iterable[int],
    pooling: str,
    chosen: dict[str, Any],
) -> tuple[list[float], list[float]]:
    """Return the test accuracy of each seed, and its seconds an epoch."""
    from tensorflow import keras

    from kftext.text_classification.examples import Source
    from kftext.text_classification.predictor import SavedModelClassifier
    from kftext.text_classification.training import TrainingRequest, train

    folder = root / "ours"
    if not folder.exists():
        for name, rows in (("train", split.train), ("validation", split.validation)):
            if rows is not None:
                write_csv(folder / name, rows)
    labels = np.array([label for label, _ in split.test])
    found, seconds = [], []
    for seed in seeds:
        keras.backend.clear_session()
        request = TrainingRequest(
            train=Source(str(folder / "train")),
            validation=None if split.validation is None else Source(str(folder / "validation")),
            model_dir=str(root / "model"),
            model=str(model),
            pooling=pooling,
            hyperparameters=({"validation_split_ratio": 0.1}, chosen),
            seed=seed,
            embedding_cache=str(root / "cache"),
        )
        # The lines of the epochs are not the table's.
        with contextlib.redirect_stdout(sys.stderr):
            train(request)
        curve = json.loads((root / "model" / "learning_curve.json").read_bytes())
        seconds += [record["seconds"] for record in curve]
        trained = SavedModelClassifier(root / "model")
        arrays = trained.predict_arrays([text for _, text in split.test])
        names = np.array([int(label) for label in trained.labels])
        found.append(float((names[arrays.labels[:, 0]] == labels).mean()))
        shutil.rmtree(root / "model")
    return found, seconds


FINE_TUNED: dict[str, Any] = {}
FROZEN = {"train_only_top_layer": True}
CONTESTS: dict[str, list[tuple[str, str, dict[str, Any], float | None]]] = {
    # name, pooling, what differs from the defaults, accuracy to reach (None: fastText's)
    "sst2": [
        ("fine-tuned, mean", "mean", FINE_TUNED, 0.81),
        ("fine-tuned, sif", "sif", FINE_TUNED, 0.81),
        ("frozen, mean", "mean", FROZEN, 0.72),
        ("frozen, sif", "sif", FROZEN, 0.72),
    ],
    "ag_news": [
        ("fine-tuned, mean", "mean", {"epochs": 8}, None),
        ("fine-tuned, sif", "sif", {"epochs": 8}, None),
    ],
    "bert": [
        ("BERT, frozen", "", FROZEN, None),
        ("BERT, fine-tuned", "", FINE_TUNED, None),
    ],
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--vectors", type=Path, help="folder of the vectors: kept and used again")
    parser.add_argument("--only", choices=CONTESTS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=3)
    options = parser.parse_args()
    need_fasttext()
    data = need_data()
    if options.only == "bert" and not os.environ.get("KFTEXT_BERT"):
        sys.exit(
            "error: KFTEXT_BERT names the folder of a BERT checkpoint (docs/text_classification.md)"
        )
    print(f"{machine()}; {FASTTEXT.name} and kftext, seeds 0 to {options.seeds - 1}", flush=True)
    with tempfile.TemporaryDirectory(prefix="kftext-benchmark-") as name:
        bert = os.environ.get("KFTEXT_BERT")
        contests = [options.only] if options.only else [*CONTESTS][: None if bert else -1]
        vectors = options.vectors or Path(name, "vectors")
        if not vectors.exists() and contests != ["bert"]:
            make_vectors(data, vectors, options.threads)
        backend.prepare(options.threads)
        print("\n| | test accuracy | seconds an epoch | to reach |\n|---|---|---|---|", flush=True)
        for contest in contests:
            split = ag_news(data / contest) if contest == "ag_news" else sst2(data / "sst2")
            encoder = Path(bert or "") if contest == "bert" else vectors
            measure(split, contest, Path(name, contest), encoder, options)


def measure(
    split: Split, contest: str, root: Path, encoder: Path, options: argparse.Namespace
) -> None:
    root.mkdir()
    seeds = range(options.seeds)
    rival = fasttext_accuracy(split, root, seeds, options.threads)
    what = f"{split.name} ({len(split.train)} rows)"
    line(f"{what}, fastText's bigrams", rival, [], "")
    for name, pooling, chosen, target in CONTESTS[contest]:
        found, seconds = our_accuracy(split, root, encoder, seeds, pooling, chosen)
        line(f"{what}, {name}", found, seconds, f"{target or float(np.mean(rival)):.4g}")


def line(name: str, values: list[float], seconds: list[float], target: str) -> None:
    figures = [round(value, 4) for value in values]
    mean = f"{np.mean(values):.4f} ({min(figures):.4f} to {max(figures):.4f})"
    print(f"| {name} | {mean} | {spread(seconds) if seconds else ''} | {target} |", flush=True)


if __name__ == "__main__":
    main()
