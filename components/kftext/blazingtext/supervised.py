"""The classifier: labelled texts as numbers in, two matrices out.

    matrices = train_supervised(examples, len(vocabulary.words), vocabulary.label_counts, hyperparameters, threads=4, seed=1)

With early stopping `validate` is asked at the end of each epoch, and the matrices are those of the epoch that it liked best.
"""

from __future__ import annotations

import functools
import itertools
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from kftext.blazingtext.encoded import EncodedExamples, Int64Array, line_lengths
from kftext.blazingtext.hogwild import EpochRecord, Hooks, Position, cut_slices, run_epoch
from kftext.blazingtext.huffman import build_paths
from kftext.blazingtext.hyperparameters import SupervisedHyperparameters
from kftext.blazingtext.kernels.features import Features, allocate_features, mark_rows
from kftext.blazingtext.kernels.logistic import GROUP
from kftext.blazingtext.kernels.replica import Replica
from kftext.blazingtext.kernels.sampling import build_alias_table
from kftext.blazingtext.kernels.state import Sampling, Weights, allocate_worker, no_paths
from kftext.blazingtext.kernels.supervised import (
    OVA,
    SAMPLED,
    SOFTMAX,
    SOFTMAX_TILE,
    Examples,
    allocate_labels,
    supervised,
)
from kftext.blazingtext.matrices import (
    Matrices,
    allocate_rows,
    compact,
    fill_uniform,
    set_initial,
    stride_for,
    view,
)
from kftext.blazingtext.memory import release_pages
from kftext.blazingtext.word2vec import check_ids, check_offsets, thread_seeds
from kftext.errors import UsageError

__all__ = [
    "NEGATIVE_POWER",
    "BestEpoch",
    "SupervisedTraining",
    "Validate",
    "ValidatedTraining",
    "check_examples",
    "train_supervised",
    "used_rows",
]

NEGATIVE_POWER = 0.5
"""Labels are drawn as negatives by count to this power, as in fastText."""

Float32Array = npt.NDArray[np.float32]
Validate = Callable[[Float32Array, Float32Array], float]
"""Takes the input and output matrices, float32[rows, dim], read-only and not contiguous; returns the accuracy."""

_COPIED_FLOATS = 1 << 21

_LABELS_FOR_EACH_WRITTEN = 8
"""Threads train copies of the output matrix where an example writes at least one label in so many."""

_LOSSES = {"softmax": SOFTMAX, "ova": OVA, "ns": SAMPLED, "hs": SAMPLED}


def train_supervised(
    examples: EncodedExamples,
    words: int,
    label_counts: Int64Array,
    hyperparameters: SupervisedHyperparameters,
    *,
    threads: int = 1,
    seed: int = 0,
    validate: Validate | None = None,
    initial: Matrices | None = None,
    hooks: Hooks | None = None,
    on_epoch: Callable[[EpochRecord], None] | None = None,
) -> Matrices:
    """Train a classifier.

    Args:
        examples: the labelled texts.
        words: words in the vocabulary.
        label_counts: int64[labels], how often each label occurs, in descending order.
        hyperparameters: see there.
        threads: one repeats bit for bit; more share the matrices without locks.
        seed: of all that is random.
        validate: asked for the accuracy at the end of each epoch, with early stopping of each from `min_epochs` on.
        initial: matrices to go on from, in place of random ones and zeros.
        hooks: called on the way.
        on_epoch: called at the end of each epoch.

    Raises:
        UsageError: arguments that don't fit one another: ids outside the vocabulary, matrices of another shape, early stopping with
            no `validate`.
        ResourceError: not enough memory for the matrices.
    """
    training = SupervisedTraining(
        examples,
        words,
        label_counts,
        hyperparameters,
        threads=threads,
        seed=seed,
        validate=validate,
        initial=initial,
    )
    while not training.over:
        record = training.run_epoch(hooks or Hooks())
        if on_epoch:
            on_epoch(record)
    return training.finish()


class ValidatedTraining:
    """What a classifier's training has of validation and early stopping, on the CPU and on a GPU.

    Args:
        hyperparameters: see there.
        validate: asked for the accuracy at the end of epochs, see `train_supervised`.
        best: keeps the best epoch's weights.

    Attributes:
        hyperparameters, best: as above.
        position: where the run stands.
        curve: one record an epoch.

    Raises:
        UsageError: early stopping with nothing to validate on.
    """

    position: Position

    def __init__(
        self,
        hyperparameters: SupervisedHyperparameters,
        validate: Validate | None,
        best: BestEpoch,
    ):
        if hyperparameters.early_stopping and validate is None:
            raise UsageError("early_stopping=True needs a validation set")
        self.hyperparameters, self._validate, self.best = hyperparameters, validate, best
        self.curve: list[EpochRecord] = []

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

    def _judge(self, weights: Weights, input: Float32Array, output: Float32Array) -> float | None:
        """Return the accuracy after the epoch that has ended, and keep its weights if it is the best one.

        Args:
            weights: the padded matrices.
            input: float32[rows, dim], a view of them.
            output: float32[labels, dim], likewise.
        """
        epoch = self.position.epoch
        if self._validate is None or not self._is_validated(epoch):
            return None
        accuracy = self._validate(input, output)
        if self.hyperparameters.early_stopping:
            self.best.offer(epoch, accuracy, weights)
        return accuracy


class SupervisedTraining(ValidatedTraining):
    """A run that can be looked at between epochs, and put away and taken up again.

    Attributes:
        input: float32[words + buckets, dim], the matrix in training; a view of padded rows.
        output: float32[labels, dim], likewise; inner nodes of the tree in place of labels where the loss is hs.
    """

    def __init__(
        self,
        examples: EncodedExamples,
        words: int,
        label_counts: Int64Array,
        hyperparameters: SupervisedHyperparameters,
        *,
        threads: int = 1,
        seed: int = 0,
        validate: Validate | None = None,
        initial: Matrices | None = None,
        work_dir: Path | None = None,
    ):
        check_examples(examples, words, label_counts, threads)
        super().__init__(
            hyperparameters, validate, BestEpoch(lambda: self._job.used_rows(), work_dir)
        )
        dim, labels = hyperparameters.vector_dim, len(label_counts)
        buckets = hyperparameters.buckets if hyperparameters.word_ngrams > 1 else 0
        self._rows, self._labels = words + buckets, labels
        self._dim, self._stride = dim, stride_for(dim)
        output_rows = -(-labels // SOFTMAX_TILE) * SOFTMAX_TILE + 1
        self._weights = Weights(
            allocate_rows(max(self._rows, 1), self._stride),
            allocate_rows(output_rows, self._stride),
            self._stride,
        )
        self.input = view(self._weights.input, self._rows, dim, self._stride)
        self.output = view(self._weights.output, labels, dim, self._stride)
        seeds = thread_seeds(seed, threads + 1)
        if initial is None:
            fill_uniform(self.input, 1.0 / dim, np.random.default_rng(seeds[-1]))
        else:
            set_initial(initial, self.input, self.output)
        self._job = _SupervisedJob(
            examples, words, label_counts, hyperparameters, self._weights, seeds[:-1]
        )
        self.position = Position(
            0,
            np.zeros(len(self._job.slices) - 1, np.bool_),
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
            validation_accuracy=self._judge(self._weights, self.input, self.output),
        )
        self.curve.append(record)
        return record

    def finish(self) -> Matrices:
        """Return the matrices, with early stopping the best epoch's. The run is over: they take the place of `input` and `output`."""
        best_epoch = self.position.epoch
        if self.best.epoch:
            best_epoch = self.best.epoch
            self.best.restore(self._weights, self.position.epoch)
        return Matrices(
            compact(self._weights.input, self._rows, self._dim, self._stride),
            compact(self._weights.output, self._labels, self._dim, self._stride),
            self.curve,
            best_epoch,
        )


class BestEpoch:
    """Keeps the weights of the best epoch so far, in a file: a second copy in memory could double what training needs.

    Only the rows that training changes are kept: of two million buckets, a small text uses few.

    Args:
        used_rows: returns int64[n], the rows of the input matrix that training changes.
        folder: where the file is; it has no name.

    Attributes:
        epoch: the best one, 0 for none yet.
        accuracy: what it reached.
    """

    def __init__(self, used_rows: Callable[[], Int64Array], folder: Path | None = None):
        self.epoch, self.accuracy = 0, float("-inf")
        self._used_rows, self._folder = functools.cache(used_rows), folder
        self._file: IO[bytes] | None = None

    def offer(self, epoch: int, accuracy: float, weights: Weights) -> None:
        """Keep the weights if the epoch is better than those before."""
        if accuracy <= self.accuracy:
            return
        self.epoch, self.accuracy = epoch, accuracy
        file = self._rewound()
        matrix = weights.input.reshape(-1, weights.stride)
        for rows in self._parts(weights.stride):
            file.write(matrix[rows].data)
        file.write(weights.output.data)

    def _parts(self, stride: int) -> Iterator[Int64Array]:
        """Yield the used rows, so many at a time that a copy of them needs little memory."""
        used, step = self._used_rows(), max(_COPIED_FLOATS // stride, 1)
        for first in range(0, len(used), step):
            yield used[first : first + step]

    def _rewound(self) -> IO[bytes]:
        if self._file is None:
            # Open for as long as this object lives: no context manager fits.
            self._file = tempfile.TemporaryFile(  # noqa: SIM115
                dir=self._folder, prefix="kftext-best-epoch-"
            )
        self._file.seek(0)
        return self._file

    def restore(self, weights: Weights, epoch: int) -> None:
        """Put the best epoch's weights back, unless they are there: `epoch` says which epoch's are. The file is gone then."""
        if self._file is None:
            return
        with self._file as file:
            if epoch != self.epoch:
                file.seek(0)
                matrix = weights.input.reshape(-1, weights.stride)
                for rows in self._parts(weights.stride):
                    content = file.read(4 * len(rows) * weights.stride)
                    matrix[rows] = np.frombuffer(content, np.float32).reshape(len(rows), -1)
                weights.output[:] = np.frombuffer(file.read(weights.output.nbytes), np.float32)
        self._file = None

    def copy_to(self, target: IO[bytes]) -> None:
        """Write the best epoch's weights to a stream, for a checkpoint."""
        if self._file is not None:
            self._file.seek(0)
            shutil.copyfileobj(self._file, target, 1 << 20)

    def load(self, source: IO[bytes], *, epoch: int, accuracy: float) -> None:
        """Take up what `copy_to` wrote."""
        self.epoch, self.accuracy = epoch, accuracy
        shutil.copyfileobj(source, self._rewound(), 1 << 20)


def check_examples(
    examples: EncodedExamples, words: int, label_counts: Int64Array, threads: int = 1
) -> None:
    """Check what the kernels trust: they have no bounds checks."""
    if len(examples.line_offsets) < 2 or len(label_counts) == 0:
        raise UsageError("training needs at least one example with a label")
    if threads < 1:
        raise UsageError(f"threads={threads}: expected an integer > 0")
    if words < 0:
        raise UsageError(f"words={words}: expected an integer >= 0")
    check_offsets("line_offsets", examples.line_offsets, len(examples.ids))
    check_offsets("label_offsets", examples.label_offsets, len(examples.labels))
    if len(examples.line_offsets) != len(examples.label_offsets):
        raise UsageError("line_offsets and label_offsets are of different lengths")
    check_ids("ids", examples.ids, len(examples.word_hashes))
    check_ids("labels", examples.labels, len(label_counts))


def used_rows(
    examples: EncodedExamples, slices: Int64Array, features: Features, weights: Weights
) -> Int64Array:
    """Return int64[n], the rows of the input matrix that the examples have, in ascending order; looks at a slice at a time."""
    matrix, stride = weights.input, weights.stride
    used = np.zeros(matrix.size // stride, np.bool_)
    for first, stop in itertools.pairwise(slices):
        offsets = examples.line_offsets[first : stop + 1]
        ids = examples.ids[offsets[0] : offsets[-1]]
        mark_rows(np.array(ids), offsets - offsets[0], features, matrix, stride, used)
        release_pages(ids)
    return np.flatnonzero(used)


class _SupervisedJob:
    """The slices of the examples and how one is trained (`hogwild.Job`)."""

    def __init__(
        self,
        examples: EncodedExamples,
        words: int,
        label_counts: Int64Array,
        hyperparameters: SupervisedHyperparameters,
        weights: Weights,
        seeds: npt.NDArray[np.uint64],
    ):
        self._examples, self._weights = examples, weights
        # A label counts as a token, so that a slice of examples without words has a length too.
        tokens = examples.line_offsets + examples.label_offsets
        self.slices = cut_slices(tokens, hyperparameters.epochs)
        self.tokens = tokens[self.slices]
        loss, labels = hyperparameters.loss, len(label_counts)
        negatives = hyperparameters.negative_samples if loss == "ns" else 0
        paths = build_paths(label_counts) if loss == "hs" else no_paths()
        path = max(int(np.diff(paths.offsets).max(initial=1)), 1)
        outputs = {"softmax": 1, "ova": labels, "ns": (1 + negatives) * GROUP, "hs": path}
        table = build_alias_table(np.maximum(label_counts, 1) ** NEGATIVE_POWER)
        self._sampling = Sampling(np.zeros(0, np.uint32), table, paths, 0, False)
        longest = line_lengths(examples.line_offsets)[1]
        buckets, ngrams = hyperparameters.buckets, hyperparameters.word_ngrams
        self._features = [
            allocate_features(examples.word_hashes, words, buckets, ngrams, longest) for _ in seeds
        ]
        self._labels = [allocate_labels(_LOSSES[loss], labels) for _ in seeds]
        # One thread has nobody to share with. ns and hs write a few rows only; but among a few labels those are most of them, and
        # threads would lose one another's changes.
        written = {"ns": 1 + negatives, "hs": path}.get(loss, labels)
        crowded = labels <= _LABELS_FOR_EACH_WRITTEN * written
        copied = weights.output.size if len(seeds) > 1 and crowded else 0
        self._replicas = [
            Replica(allocate_rows(copied, 1), allocate_rows(copied, 1)) for _ in seeds
        ]
        self.workers = [
            allocate_worker(
                int(seed),
                longest_line=0,
                negatives=negatives,
                inputs=1,
                outputs=outputs[loss],
                stride=weights.stride,
            )
            for seed in seeds
        ]

    def used_rows(self) -> Int64Array:
        """Return int64[n], the rows of the input matrix that the examples have, in ascending order."""
        return used_rows(self._examples, self.slices, self._features[0], self._weights)

    def train_slice(self, index: int, rate: np.float32, thread: int) -> None:
        first, stop = self.slices[index], self.slices[index + 1]
        all_examples = self._examples
        offsets = all_examples.line_offsets[first : stop + 1]
        label_offsets = all_examples.label_offsets[first : stop + 1]
        ids = all_examples.ids[offsets[0] : offsets[-1]]
        # Copies, since the kernel is compiled for arrays in memory; it also reads a mapped file outside of it.
        examples = Examples(
            np.array(ids),
            offsets - offsets[0],
            np.array(all_examples.labels[label_offsets[0] : label_offsets[-1]]),
            label_offsets - label_offsets[0],
        )
        release_pages(ids)
        supervised(
            examples,
            self._weights,
            self._features[thread],
            self._labels[thread],
            self._sampling,
            rate,
            self.workers[thread],
            self._replicas[thread],
        )
