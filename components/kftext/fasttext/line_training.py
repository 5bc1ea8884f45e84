"""Training a classifier from raw lines, for what the training step of `kftext.blazingtext` has no kernel for.

That is leaving out rare labels, and going on with a pruned model so that the rows that are left make up for those that are gone.
Each line is turned into rows as in prediction; the update is that of Joulin et al., "Bag of Tricks for Efficient Text
Classification", 2016, with threads that share the matrices without locks.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kftext.errors import DataError, UsageError
from kftext.fasttext.lines import read_lines
from kftext.fasttext.output_updates import tree_paths, update_output
from kftext.models import DenseMatrix, FastTextModel, Loss
from kftext.models.compiled.compilation import entry
from kftext.models.compiled.memory import data_pointer
from kftext.models.compiled.predict import CompiledClassifier
from kftext.models.compiled.rows import line_labels, line_rows, most_rows
from kftext.models.compiled.scores import hidden_vector
from kftext.models.compiled.tokens import most_tokens, token_scratch
from kftext.models.hierarchical_softmax import HuffmanTree

__all__ = ["Block", "BlockRun", "LineTraining", "train_on_lines"]

_LINES_AT_A_TIME = 256


@dataclass(frozen=True)
class LineTraining:
    """How to train.

    Attributes:
        rate: learning rate at the start; it falls linearly to 0.
        epochs: passes over the file.
        threads: one repeats bit for bit.
        seed: of all that is random.
        should_stop: asked after each block of lines; True ends the training there.
        on_progress: called after each block with the share that is done, 0 to 1, and the mean loss so far.
    """

    rate: float
    epochs: int
    threads: int = 1
    seed: int = 0
    should_stop: Callable[[], bool] | None = None
    on_progress: Callable[[float, float], None] | None = None


@entry
def _train_lines(state, text, starts, ends, lines, matrices, loss, rate, tree, negatives, random):
    """Train on the lines `lines[0]` to `lines[1] - 1` of a text; return the sum of losses and their number."""
    input, output = matrices  # the input is the matrix that `state` points to, too
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
        hidden_vector(state, rows, (0, count, count), hidden)
        gradient[:] = np.float32(0)
        total += update_output(
            output, loss, labels, wanted, hidden, gradient, rate, scores, tree, negatives, random
        )
        trained += 1
        share = np.float32(1.0 / count)
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
    run = BlockRun(how, len(starts))
    draws = (negatives, np.cumsum(np.sqrt(np.maximum(counts, 1).astype(np.float64))))
    paths = tree_paths(tree)

    def train(block: Block, random: npt.NDArray[np.uint64]) -> tuple[float, int]:
        result: tuple[float, int] = _train_lines(
            arrays.state,
            text,
            starts,
            ends,
            np.array([block.first, block.last]),
            (input, output),
            int(loss),
            block.rate,
            paths,
            draws,
            random,
        )
        return result

    # A run that was stopped before its first block says nothing about the file.
    stopped = how.should_stop or (lambda: False)
    if not run.train(train) and not stopped():
        raise DataError("no line has both a known label and a known word", file=str(path))
    return trained


class Block(NamedTuple):
    """Some lines in a row: the first, the one behind the last, and the learning rate."""

    first: int
    last: int
    rate: float


class BlockRun:
    """All epochs over a number of lines, block by block on threads that share the matrices without locks.

    Args:
        how: see there.
        lines: how many there are.
    """

    def __init__(self, how: LineTraining, lines: int):
        self._how, self._lines = how, lines
        self._size = min(_LINES_AT_A_TIME, max(1, lines // (4 * how.threads)))
        self._blocks = max(1, math.ceil(lines / self._size))
        self._given = self._done = self._trained = 0
        self._loss = 0.0
        self._lock = threading.Lock()

    def train(self, train: Callable[[Block, npt.NDArray[np.uint64]], tuple[float, int]]) -> int:
        """Call `train` with each block and a thread's generator, uint64[1].

        Args:
            train: returns the sum of the losses and the number of examples.

        Returns:
            The number of examples of all blocks.
        """

        def work(thread: int) -> None:
            seeds = np.random.SeedSequence([self._how.seed, thread])
            random = seeds.generate_state(1, np.uint64) | np.uint64(1)
            while (block := self._take()) is not None:
                self._finish(*train(block, random))

        with ThreadPoolExecutor(self._how.threads) as pool:
            list(pool.map(work, range(self._how.threads)))
        return self._trained

    def _take(self) -> Block | None:
        with self._lock:
            total = self._blocks * self._how.epochs
            if self._given >= total or (self._how.should_stop and self._how.should_stop()):
                return None
            block, rate = self._given % self._blocks, self._how.rate * (1 - self._given / total)
            self._given += 1
        first = block * self._size
        return Block(first, min(self._lines, first + self._size), rate)

    def _finish(self, loss: float, trained: int) -> None:
        with self._lock:
            self._loss += loss
            self._trained += trained
            self._done += 1
            if self._how.on_progress:
                share = self._done / (self._blocks * self._how.epochs)
                self._how.on_progress(share, self._loss / max(1, self._trained))
