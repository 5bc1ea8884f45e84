"""The classifier: labelled texts as numbers in, two matrices out.

    data = SupervisedData(examples, len(vocabulary.words), vocabulary.label_counts)
    matrices = train_supervised(data, hyperparameters, threads=4, seed=1)

With early stopping `validate` is asked at the end of each epoch, and the matrices are those of the epoch that it liked best.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kftext.blazingtext.best_epoch import BestEpoch
from kftext.blazingtext.encoded import Int64Array
from kftext.blazingtext.hogwild import EpochRecord, Hooks, Position, run_epoch
from kftext.blazingtext.hyperparameters import SupervisedHyperparameters
from kftext.blazingtext.kernels.state import Weights
from kftext.blazingtext.kernels.supervised import SOFTMAX_TILE
from kftext.blazingtext.matrices import (
    Matrices,
    allocate_rows,
    compact,
    fill_uniform,
    stride_for,
    view,
)
from kftext.blazingtext.supervised_data import SupervisedData, check_data, used_rows
from kftext.blazingtext.supervised_job import COPIED_WORDS, SupervisedJob
from kftext.blazingtext.word2vec import thread_seeds
from kftext.errors import UsageError

__all__ = ["SupervisedTraining", "Validate", "ValidatedTraining", "train_supervised"]

Float32Array = npt.NDArray[np.float32]
Validate = Callable[[Float32Array, Float32Array], float]
"""Takes the input and output matrices, float32[rows, dim], read-only and not contiguous; returns the accuracy."""


def train_supervised(
    data: SupervisedData,
    hyperparameters: SupervisedHyperparameters,
    *,
    threads: int = 1,
    seed: int = 0,
    validate: Validate | None = None,
    hooks: Hooks | None = None,
    on_epoch: Callable[[EpochRecord], None] | None = None,
) -> Matrices:
    """Train a classifier.

    Args:
        data: the texts, and what is known of their vocabulary.
        hyperparameters: see there.
        threads: one repeats bit for bit; more share the matrices without locks.
        seed: of all that is random.
        validate: asked for the accuracy at the end of each epoch, with early stopping of each from `min_epochs` on.
        hooks: called on the way.
        on_epoch: called at the end of each epoch.

    Raises:
        UsageError: arguments that don't fit one another: ids outside the vocabulary, matrices of another shape, early stopping with
            no `validate`.
        ResourceError: not enough memory for the matrices.
    """
    training = SupervisedTraining(
        data, hyperparameters, threads=threads, seed=seed, validate=validate
    )
    while not training.over:
        record = training.run_epoch(hooks or Hooks())
        if on_epoch:
            on_epoch(record)
    return training.finish()


class ValidatedTraining:
    """What a classifier's training has on the CPU and on a GPU alike: checks, validation and early stopping.

    Args:
        data: what is trained.
        hyperparameters: see there.
        validate: asked for the accuracy at the end of epochs, see `train_supervised`.
        work_dir: where the best epoch's weights are kept.

    Attributes:
        hyperparameters: see there.
        best: keeps the best epoch's weights.
        position: where the run stands.
        curve: one record an epoch.

    Raises:
        UsageError: arguments that don't fit one another, or early stopping with nothing to validate on.
    """

    position: Position
    _weights: Weights
    """The padded matrices, on the host."""

    def __init__(
        self,
        data: SupervisedData,
        hyperparameters: SupervisedHyperparameters,
        validate: Validate | None,
        work_dir: Path | None,
    ):
        check_data(data, hyperparameters)
        if hyperparameters.early_stopping and validate is None:
            raise UsageError("early_stopping=True needs a validation set")
        self._data, self.hyperparameters, self._validate = data, hyperparameters, validate
        self.best = BestEpoch(self._used_rows, work_dir)
        self.curve: list[EpochRecord] = []

    def _used_rows(self) -> Int64Array:
        return used_rows(self._data, self.hyperparameters, self._weights)

    @property
    def over(self) -> bool:
        """Whether all epochs are done, or early stopping has seen enough."""
        epochs = self.position.epoch
        if epochs >= self.hyperparameters.epochs:
            return True
        return (
            self.hyperparameters.early_stopping
            and self.best.epoch > 0
            and epochs - self.best.epoch >= self.hyperparameters.patience
        )

    def _is_validated(self, epoch: int) -> bool:
        """Return whether the end of an epoch is one at which `validate` is asked."""
        # Fewer epochs than min_epochs: the last one is watched all the same.
        first = min(self.hyperparameters.min_epochs, self.hyperparameters.epochs)
        early_stopping = self.hyperparameters.early_stopping
        return self._validate is not None and not (early_stopping and epoch < first)

    def _judge(self, input: Float32Array, output: Float32Array) -> float | None:
        """Return the accuracy after the epoch that has ended, and keep its weights if it is the best one.

        Args:
            input: float32[rows, dim], a view of the padded matrix.
            output: float32[labels, dim], likewise.
        """
        epoch = self.position.epoch
        if self._validate is None or not self._is_validated(epoch):
            return None
        accuracy = self._validate(input, output)
        if self.hyperparameters.early_stopping:
            self.best.offer(epoch, accuracy, self._weights)
        return accuracy

    def _restore_best(self) -> int:
        """Put the best epoch's weights back, with early stopping; return the epoch that the weights are from."""
        self.best.restore(self._weights, self.position.epoch)
        return self.best.epoch or self.position.epoch


class SupervisedTraining(ValidatedTraining):
    """A run that can be looked at between epochs, and put away and taken up again.

    Args:
        data, hyperparameters, threads, seed, validate: see `train_supervised`.
        work_dir: where the best epoch's weights are kept; the system's folder for temporary files by default.

    Attributes:
        input: float32[words + buckets, dim], the matrix in training; a view of padded rows. To go on from other matrices, write them
            here.
        output: float32[labels, dim], likewise; inner nodes of the tree in place of labels where the loss is hs.
    """

    def __init__(
        self,
        data: SupervisedData,
        hyperparameters: SupervisedHyperparameters,
        *,
        threads: int = 1,
        seed: int = 0,
        validate: Validate | None = None,
        work_dir: Path | None = None,
    ):
        if threads < 1:
            raise UsageError(f"threads={threads}: expected an integer > 0")
        super().__init__(data, hyperparameters, validate, work_dir)
        dim, labels = hyperparameters.vector_dim, data.label_count
        self._rows, self._labels = data.word_count + hyperparameters.ngram_rows, labels
        self._dim, self._stride = dim, stride_for(dim)
        output_rows = -(-labels // SOFTMAX_TILE) * SOFTMAX_TILE
        output = allocate_rows(output_rows + threads, self._stride)
        copies = threads * COPIED_WORDS if threads > 1 else 0
        self._weights = Weights(
            allocate_rows(max(self._rows, 1) + copies, self._stride),
            output[: output_rows * self._stride],
            self._stride,
        )
        # Each thread has a spare row of its own: all would write to one, and wait for one another.
        spare_rows = range(output_rows, output_rows + threads)
        weights = [
            self._weights._replace(output=output[: (row + 1) * self._stride]) for row in spare_rows
        ]
        self.input = view(self._weights.input, self._rows, dim, self._stride)
        self.output = view(self._weights.output, labels, dim, self._stride)
        seeds = thread_seeds(seed, threads + 1)
        fill_uniform(self.input, 1.0 / dim, np.random.default_rng(seeds[-1]))
        self._job = SupervisedJob(data, hyperparameters, weights, seeds[:-1])
        self.position = Position(
            0,
            np.zeros(len(self._job.tokens) - 1, np.bool_),
            seeds[:-1].copy(),
            np.zeros((threads, 2)),
        )

    def run_epoch(self, hooks: Hooks | None = None) -> EpochRecord:
        """Train what is left of the epoch at hand, and validate."""
        start = time.monotonic()
        epochs, rate = self.hyperparameters.epochs, self.hyperparameters.learning_rate
        loss = run_epoch(self._job, self.position, epochs, rate, hooks or Hooks())
        seconds = time.monotonic() - start
        epoch = self.position.epoch
        record = EpochRecord(
            epoch=epoch,
            loss=loss,
            learning_rate=rate * (1 - epoch / epochs),
            seconds=seconds,
            validation_accuracy=self._judge(self.input, self.output),
        )
        self.curve.append(record)
        return record

    def finish(self) -> Matrices:
        """Return the matrices, with early stopping the best epoch's. The run is over: they take the place of `input` and `output`."""
        best_epoch = self._restore_best()
        return Matrices(
            compact(self._weights.input, self._rows, self._dim, self._stride),
            compact(self._weights.output, self._labels, self._dim, self._stride),
            self.curve,
            best_epoch,
        )
