"""How many streams of a GPU a classifier bears, simulated on the CPU: streams in lock step, the worst case.

    KFTEXT_DATA=data python tests/benchmarks/cuda_staleness.py                     # a quarter of an hour on one core
    KFTEXT_DATA=data python tests/benchmarks/cuda_staleness.py --texts ag-5000 --losses softmax

At each step every stream computes the changes of a text from the same matrices, and then all changes are added. A GPU's streams are
spread over their texts and see most of one another's changes. The table prints precision at one by the number of streams; one stream
is plain stochastic gradient descent. What `kftext.blazingtext.cuda.launch` bounds is the sum of the learning rates under way at one
row of the output matrix, which is printed beside it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np
from contest import machine, need_data
from supervised_training import ag_news, read_csv, write

from kftext.blazingtext.accuracy import Accuracy
from kftext.blazingtext.corpus import read_examples
from kftext.blazingtext.huffman import build_paths
from kftext.blazingtext.hyperparameters import SupervisedHyperparameters
from kftext.blazingtext.kernels.features import allocate_features, collect_rows
from kftext.blazingtext.kernels.state import no_paths
from kftext.blazingtext.supervised_data import SupervisedData
from kftext.blazingtext.supervised_job import NEGATIVE_POWER
from kftext.blazingtext.vocabulary import VocabularyRules
from kftext.data.formats import Format
from kftext.errors import KftextError

STREAMS = (1, 16, 64, 128, 256, 512, 1024)
# Texts: learning rates, epochs, dimension.
CASES = {
    "ag-5000": ((0.05, 0.25, 1.0), 5, 10),
    "ag": ((0.05, 0.25, 1.0), 5, 10),
    "cooking": ((0.25, 1.0), 25, 50),
}
LOSSES = ("softmax", "hs", "ns", "ova")


@dataclass(frozen=True)
class Texts:
    """Training and held-out texts, with the rows of each as a GPU's warp finds them."""

    vocabulary: Any
    train: Any
    held_out: Any
    rows: np.ndarray
    offsets: np.ndarray


@numba.njit
def rows_of(ids, offsets, features, rows, row_offsets):
    matrix, n = np.zeros(16, np.float32), 0
    for i in range(offsets.size - 1):
        count = collect_rows(ids, offsets[i], offsets[i + 1], features, matrix, 1, features.rows)
        for k in range(count):
            if rows.size > 0:
                rows[n] = features.rows[k]
            n += 1
        row_offsets[i + 1] = n


@numba.njit(fastmath=True, error_model="numpy")
def sigmoid(score):
    return 1 / (1 + np.exp(-min(max(score, -30.0), 30.0)))


@numba.njit(fastmath=True, error_model="numpy")
def score(hidden, row):
    total = np.float32(0)
    for d in range(hidden.size):
        total += hidden[d] * row[d]
    return total


@numba.njit(fastmath=True, error_model="numpy")
def gradients_of(loss, hidden, labels, output, draws, g):
    """Set g[label or inner node] to target - probability; `draws` are (generator, probabilities, negatives, paths)."""
    g[:] = 0
    generator, chance, negatives, paths = draws
    target = labels[generator.integers(0, labels.size)]
    if loss == "softmax":
        for row in range(len(output)):
            g[row] = score(hidden, output[row])
        g[:] = -np.exp(g - g.max())
        g[:] /= -g.sum()
        g[target] += 1
    elif loss == "ova":
        for row in range(len(output)):
            g[row] = -sigmoid(score(hidden, output[row]))
        for label in labels:
            g[label] += 1
    elif loss == "ns":
        g[target] = 1 - sigmoid(score(hidden, output[target]))
        drawn = 0
        while drawn < negatives:
            label = np.searchsorted(chance, generator.random())
            if label != target:
                g[label] -= sigmoid(score(hidden, output[label]))
                drawn += 1
    else:
        for k in range(paths.offsets[target], paths.offsets[target + 1]):
            node = paths.nodes[k]
            g[node] = paths.turns[k] - sigmoid(score(hidden, output[node]))


@numba.njit(fastmath=True, error_model="numpy")
def train_epoch(texts, loss, streams, rates, matrix, output, draws):
    """One epoch of all streams in lock step; `texts` are (rows, offsets, labels, label offsets)."""
    rows, offsets, labels, label_offsets = texts
    bounds = (np.arange(streams + 1) * (offsets.size - 1) / streams).astype(np.int64)
    dim, longest = matrix.shape[1], np.diff(bounds).max()
    hidden, g = np.zeros((streams, dim), np.float32), np.zeros((streams, len(output)), np.float32)
    changes = np.zeros((streams, dim), np.float32)
    for step in range(longest):
        rate = rates[0] + (rates[1] - rates[0]) * step / longest
        for s in range(streams):
            hidden[s], changes[s], g[s] = 0, 0, 0
            i = bounds[s] + step
            if i >= bounds[s + 1] or offsets[i + 1] == offsets[i]:
                continue
            n = offsets[i + 1] - offsets[i]
            for k in range(offsets[i], offsets[i + 1]):
                for d in range(dim):
                    hidden[s, d] += matrix[rows[k], d] / n
            own = labels[label_offsets[i] : label_offsets[i + 1]]
            gradients_of(loss, hidden[s], own, output, draws, g[s])
            for row in range(len(output)):
                if g[s, row] != 0:
                    for d in range(dim):
                        changes[s, d] += g[s, row] * output[row, d] / n
        for s in range(streams):
            i = bounds[s] + step
            if i >= bounds[s + 1]:
                continue
            for row in range(len(output)):
                if g[s, row] != 0:
                    for d in range(dim):
                        output[row, d] += rate * g[s, row] * hidden[s, d]
            for k in range(offsets[i], offsets[i + 1]):
                for d in range(dim):
                    matrix[rows[k], d] += rate * changes[s, d]


def read(name: str, data: Path, folder: Path, settings: SupervisedHyperparameters) -> Texts:
    train, held_out = folder / f"{name}.train.txt", folder / f"{name}.test.txt"
    if name == "cooking":
        train, held_out = (data / "cooking" / f"cooking.{part}.txt" for part in ("train", "valid"))
    else:
        limit = 5000 if name == "ag-5000" else None
        rows = list(ag_news(data / "ag_news"))
        order = np.random.default_rng(1).permutation(len(rows)).tolist()
        write((rows[i] for i in order), train, limit)
        write(read_csv(data / "ag_news" / "test.csv", False, 0, (1, 2), 1), held_out)
    rules = VocabularyRules(1)
    vocabulary, examples = read_examples([str(train)], Format.LABELED_TEXT, rules)
    fixed = VocabularyRules(1, known=vocabulary, fixed=True)
    _, others = read_examples([str(held_out)], Format.LABELED_TEXT, fixed)
    longest = int(np.diff(examples.line_offsets).max())
    features = allocate_features(
        examples.word_hashes, len(vocabulary.words), settings.buckets, settings.word_ngrams, longest
    )
    offsets, none = np.zeros(examples.example_count + 1, np.int64), np.zeros(0, np.int32)
    rows_of(examples.ids, examples.line_offsets, features, none, offsets)
    rows = np.zeros(offsets[-1], np.int32)
    rows_of(examples.ids, examples.line_offsets, features, rows, offsets)
    return Texts(vocabulary, examples, others, rows, offsets)


def precision(texts: Texts, settings: SupervisedHyperparameters, streams: int) -> float:
    """Return precision at one on the held-out texts, NaN where training diverged."""
    generator, counts = np.random.default_rng(1), texts.vocabulary.label_counts
    words, dim = len(texts.vocabulary.words), settings.vector_dim
    shape = (words + settings.buckets, dim)
    matrix = (2 * generator.random(shape, np.float32) - 1) / np.float32(dim)
    output = np.zeros((len(counts), dim), np.float32)
    chance = np.cumsum(counts**NEGATIVE_POWER / (counts**NEGATIVE_POWER).sum())
    paths = build_paths(counts) if settings.loss == "hs" else no_paths()
    arrays = texts.rows, texts.offsets, texts.train.labels, texts.train.label_offsets
    for epoch in range(settings.epochs):
        left = 1 - np.array([epoch, epoch + 1]) / settings.epochs
        train_epoch(
            arrays, settings.loss, streams, settings.learning_rate * left, matrix, output,
            (generator, chance, settings.negative_samples, paths),
        )  # fmt: skip
    if not np.isfinite(matrix).all():
        return float("nan")
    judge = Accuracy(SupervisedData(texts.held_out, words, counts), settings, 1)
    return judge(matrix, output)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--texts", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--losses", nargs="+", choices=LOSSES, default=list(LOSSES))
    parser.add_argument("--streams", type=int, nargs="+", default=list(STREAMS), metavar="N")
    options = parser.parse_args()
    data = need_data()
    print(json.dumps({"machine": machine(), "options": vars(options)}), flush=True)
    print("\n| texts | loss | rate |" + "".join(f" {n} |" for n in options.streams))
    print("|---|---|---|" + "---|" * len(options.streams), flush=True)
    with tempfile.TemporaryDirectory(prefix="kftext-staleness-") as folder:
        for name in options.texts:
            rates, epochs, dim = CASES[name]
            base = SupervisedHyperparameters(
                mode="supervised", epochs=epochs, vector_dim=dim, buckets=200_000, min_count=1
            )
            texts = read(name, data, Path(folder), base)
            for loss in options.losses:
                for rate in rates:
                    settings = base.model_copy(update={"loss": loss, "learning_rate": rate})
                    scores = [precision(texts, settings, streams) for streams in options.streams]
                    cells = "".join(f" {value:.3f} |" for value in scores)
                    print(f"| {name} | {loss} | {rate} |{cells}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except KftextError as error:
        sys.exit(f"error: {error}")
