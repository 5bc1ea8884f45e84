"""Training a classifier from raw lines, for what the training step of `kftext.blazingtext` has no kernel for.

That is character n-grams in a classifier, and going on with a pruned model so that the rows that are left make up for those
that are gone. Each line is turned into rows as in prediction; the update is that of Joulin et al., "Bag of Tricks for Efficient
Text Classification", 2016, with threads that share the matrices without locks.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from numba import njit

from kftext.errors import DataError, UsageError
from kftext.fasttext.lines import read_lines
from kftext.models import DenseMatrix, FastTextModel, Loss
from kftext.models.compiled.compilation import compiled, entry
from kftext.models.compiled.memory import data_pointer
from kftext.models.compiled.predict import CompiledClassifier
from kftext.models.compiled.rows import line_labels, line_rows, most_rows
from kftext.models.compiled.tokens import most_tokens, token_scratch
from kftext.models.hierarchical_softmax import HuffmanTree

__all__ = ["LineTraining", "train_on_lines"]

_LINES_AT_A_TIME = 256
_SOFTMAX, _OVA, _HS = int(Loss.SOFTMAX), int(Loss.OVA), int(Loss.HS)


@dataclass(frozen=True)
class LineTraining:
    """How to train.

    Attributes:
        rate: learning rate at the start; it falls linearly to 0.
        epochs: passes over the file.
        threads: one repeats bit for bit.
        seed: of all that is random.
        should_stop: asked after each block of lines; True ends the training there.
    """

    rate: float
    epochs: int
    threads: int = 1
    seed: int = 0
    should_stop: Callable[[], bool] | None = None


@compiled
def _random(state):
    """The next number of a xorshift generator (Marsaglia, 2003), uint64[1]."""
    x = state[0]
    x ^= x << np.uint64(13)
    x ^= x >> np.uint64(7)
    x ^= x << np.uint64(17)
    state[0] = x
    return x


@compiled
def _update_row(output, row, hidden, gradient, rate, positive):
    """One binary decision: move an output row, collect what the hidden vector should move by; return the loss."""
    dot = np.float32(0)
    for j in range(hidden.size):
        dot += output[row, j] * hidden[j]
    score = 1.0 / (1.0 + math.exp(-dot))
    alpha = np.float32(rate * ((1.0 if positive else 0.0) - score))
    for j in range(hidden.size):
        gradient[j] += alpha * output[row, j]
        output[row, j] += alpha * hidden[j]
    return -math.log(max(score if positive else 1.0 - score, 1e-9))


@njit(nogil=True, error_model="numpy", fastmath={"contract", "reassoc"})
def _update_softmax(output, target, hidden, gradient, rate, scores):
    """One decision among all labels; return the loss."""
    labels, dim = output.shape
    largest = np.float32(-np.inf)
    for row in range(labels):
        dot = np.float32(0)
        for j in range(dim):
            dot += output[row, j] * hidden[j]
        scores[row] = dot
        largest = max(largest, dot)
    total = np.float32(0)
    for row in range(labels):
        scores[row] = math.exp(scores[row] - largest)
        total += scores[row]
    for row in range(labels):
        probability = scores[row] / total
        alpha = np.float32(rate * ((1.0 if row == target else 0.0) - probability))
        for j in range(dim):
            gradient[j] += alpha * output[row, j]
            output[row, j] += alpha * hidden[j]
    return -math.log(max(scores[target] / total, 1e-9))


@compiled
def _contains(values, count, value):
    i = 0
    while i < count and values[i] != value:
        i += 1
    return i < count


@compiled
def _update_output(
    output, loss, labels, count, hidden, gradient, rate, scores, tree, negatives, random
):
    """Train the output matrix on one line's labels; return the loss."""
    total = 0.0
    if loss == _OVA:
        for row in range(output.shape[0]):
            positive = _contains(labels, count, row)
            total += _update_row(output, row, hidden, gradient, rate, positive)
        return total
    target = labels[_random(random) % np.uint64(count)]
    if loss == _SOFTMAX:
        return _update_softmax(output, target, hidden, gradient, rate, scores)
    offsets, nodes, turns = tree
    if loss == _HS:
        for i in range(offsets[target], offsets[target + 1]):
            total += _update_row(output, nodes[i], hidden, gradient, rate, turns[i])
        return total
    total = _update_row(output, target, hidden, gradient, rate, True)
    wanted, cumulative = negatives
    if output.shape[0] < 2:
        return total
    for _ in range(wanted):
        other = target
        while other == target:
            share = np.float64(_random(random) >> np.uint64(11)) / 9007199254740992.0
            other = np.searchsorted(cumulative, share * cumulative[-1], side="right")
        total += _update_row(output, other, hidden, gradient, rate, False)
    return total


@entry
def _train_lines(state, text, starts, ends, lines, matrices, loss, rate, tree, negatives, random):
    """Train on the lines `lines[0]` to `lines[1] - 1` of a text; return the sum of losses and their number."""
    input, output = matrices
    data = data_pointer(text)
    longest = bound = 0
    for line in range(lines[0], lines[1]):
        longest = max(longest, ends[line] - starts[line])
        bound = max(bound, most_rows(state, data, starts[line], ends[line]))
    rows = np.empty(bound, np.int64)
    labels = np.empty(most_tokens(longest), np.int64)
    scratch, readable = token_scratch(longest), len(text)
    dim = input.shape[1]
    hidden, gradient = np.empty(dim, np.float32), np.empty(dim, np.float32)
    scores = np.empty(output.shape[0], np.float32)
    total, trained = 0.0, 0
    for line in range(lines[0], lines[1]):
        wanted = line_labels(state, data, starts[line], ends[line], readable, labels, scratch)
        count = line_rows(state, data, starts[line], ends[line], readable, rows, scratch)
        if wanted == 0 or count == 0:
            continue
        hidden[:], gradient[:] = np.float32(0), np.float32(0)
        for i in range(count):
            for j in range(dim):
                hidden[j] += input[rows[i], j]
        share = np.float32(1.0 / count)
        for j in range(dim):
            hidden[j] *= share
        total += _update_output(
            output, loss, labels, wanted, hidden, gradient, rate, scores, tree, negatives, random
        )
        trained += 1
        for i in range(count):
            for j in range(dim):
                input[rows[i], j] += gradient[j] * share
    return total, trained


def train_on_lines(
    model: FastTextModel, path: str | Path, how: LineTraining, *, negatives: int = 5
) -> FastTextModel:
    """Return a classifier whose matrices were trained on a file of labelled lines, starting from the model's own.

    Args:
        model: a classifier with dense matrices; it stays as it is.
        path: a local file in fastText's format.
        how: see there.
        negatives: labels drawn against each true one where the loss is negative sampling.

    Raises:
        StorageError: the file can't be read.
        DataError: no line of it has a known label and a known word.
        UsageError: the model is quantized.
    """
    if not (isinstance(model.input, DenseMatrix) and isinstance(model.output, DenseMatrix)):
        raise UsageError("a quantized model can't be trained")
    input, output = model.input.values.copy(), model.output.values.copy()
    trained = replace(model, input=DenseMatrix(input), output=DenseMatrix(output))
    loss, counts = model.arguments.loss, model.dictionary.label_counts
    tree = HuffmanTree(counts) if loss == Loss.HS else None
    arrays = CompiledClassifier(trained, tree)
    text, starts, ends = read_lines(path)
    run = _Run(how, len(starts))
    draws = (negatives, np.cumsum(np.sqrt(np.maximum(counts, 1).astype(np.float64))))
    paths = _paths(tree)

    def work(thread: int) -> None:
        seed = np.random.SeedSequence([how.seed, thread]).generate_state(1, np.uint64) | np.uint64(
            1
        )
        while (block := run.take()) is not None:
            first, last, rate = block
            lines = np.array([first, last])
            matrices = (input, output)
            result = _train_lines(
                arrays.state,
                text,
                starts,
                ends,
                lines,
                matrices,
                int(loss),
                rate,
                paths,
                draws,
                seed,
            )
            run.finish(*result)

    with ThreadPoolExecutor(how.threads) as pool:
        list(pool.map(work, range(how.threads)))
    if not run.trained:
        raise DataError("no line has both a known label and a known word", file=str(path))
    return trained


class _Run:
    """Blocks of lines, given out to threads, and the learning rate of each."""

    def __init__(self, how: LineTraining, lines: int):
        self._how, self._lines = how, lines
        self._blocks = max(1, math.ceil(lines / _LINES_AT_A_TIME))
        self._given = 0
        self._lock = threading.Lock()
        self.trained = 0
        self.loss = 0.0

    def take(self) -> tuple[int, int, float] | None:
        """Return first line, line behind the last, and learning rate of the next block."""
        with self._lock:
            total = self._blocks * self._how.epochs
            if self._given >= total or (self._how.should_stop and self._how.should_stop()):
                return None
            block, rate = self._given % self._blocks, self._how.rate * (1 - self._given / total)
            self._given += 1
        first = block * _LINES_AT_A_TIME
        return first, min(self._lines, first + _LINES_AT_A_TIME), rate

    def finish(self, loss: float, trained: int) -> None:
        with self._lock:
            self.loss += loss
            self.trained += trained


def _paths(
    tree: HuffmanTree | None,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return the path of each label from leaf to root: offsets int64[labels + 1], inner nodes, right turns."""
    if tree is None:
        return np.zeros(1, np.int64), np.zeros(0, np.int64), np.zeros(0, np.bool_)
    paths = tree.paths()
    offsets = np.zeros(len(paths) + 1, dtype=np.int64)
    np.cumsum([len(nodes) for nodes, _ in paths], out=offsets[1:])
    nodes = np.array([node for nodes, _ in paths for node in nodes], dtype=np.int64)
    turns = np.array([turn for _, turns in paths for turn in turns], dtype=np.bool_)
    return offsets, nodes, turns
