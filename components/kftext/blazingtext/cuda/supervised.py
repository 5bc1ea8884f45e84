"""The classifier on a GPU: the twin of `kftext.blazingtext.supervised`, with the same result.

    training = CudaSupervisedTraining(examples, len(vocabulary.words), vocabulary.label_counts, hyperparameters, devices=find_devices())
    while not training.over:
        training.run_epoch()
    matrices = training.finish()

One GPU trains it, as in the reference: a text changes every label's row, or most of them, so that replicas on several GPUs would have to
be averaged more often than it pays. Validation is the CPU's, on matrices copied back at the end of an epoch. As on the CPU, what is trained
side by side lies evenly over the whole of the texts, which may be sorted.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kftext.blazingtext.cuda.chunks import Column, cut_chunks
from kftext.blazingtext.cuda.device import Device, require_numba_cuda, why_not
from kftext.blazingtext.cuda.kernels.shape import LANES
from kftext.blazingtext.cuda.kernels.state import Features, Labels, Schedule, Texts
from kftext.blazingtext.cuda.launch import (
    KERNELS,
    expects_to_be_faster,
    most_text_streams,
    plan_streams,
    text_shape_for,
)
from kftext.blazingtext.cuda.replica import Program
from kftext.blazingtext.cuda.run import CudaRun, RunPlan
from kftext.blazingtext.encoded import EncodedExamples, Int64Array
from kftext.blazingtext.huffman import build_paths
from kftext.blazingtext.hyperparameters import SupervisedHyperparameters
from kftext.blazingtext.kernels.sampling import build_alias_table
from kftext.blazingtext.kernels.state import Weights
from kftext.blazingtext.matrices import Matrices, view
from kftext.blazingtext.subwords import Subwords
from kftext.blazingtext.supervised import (
    NEGATIVE_POWER,
    BestEpoch,
    Validate,
    ValidatedTraining,
    check_examples,
)
from kftext.blazingtext.supervised_job import features_of, used_rows
from kftext.errors import UsageError

__all__ = ["CudaSupervisedTraining", "is_faster_than_the_cpu"]

_MOST_ROWS = 1 << 31
_TEXTS_AT_A_TIME = 1 << 16
_BLOCKS_A_CHUNK = 16


class CudaSupervisedTraining(ValidatedTraining, CudaRun):
    """A run that can be looked at between epochs, and put away and taken up again, as `supervised.SupervisedTraining`.

    Args:
        examples, words, label_counts, hyperparameters, subwords, seed, validate, initial, work_dir: as there.
        devices: GPUs; the first one trains.
        chunk_tokens: most words and labels that the GPU is handed at once, see `cut_chunks`.
        lanes: threads of a warp; fewer in numba's simulator.

    Raises:
        UsageError: arguments that don't fit one another, or that a GPU can't train.
        ResourceError: not enough memory, on the host or on the GPU.
    """

    def __init__(
        self,
        examples: EncodedExamples,
        words: int,
        label_counts: Int64Array,
        hyperparameters: SupervisedHyperparameters,
        subwords: Subwords | None = None,
        *,
        devices: Sequence[Device],
        seed: int = 0,
        validate: Validate | None = None,
        initial: Matrices | None = None,
        work_dir: Path | None = None,
        chunk_tokens: int | None = None,
        lanes: int = LANES,
    ):
        require_numba_cuda()
        check_examples(examples, words, label_counts)
        if reason := why_not(hyperparameters):
            raise UsageError(f"device=cuda: {reason}")
        if not devices:
            raise UsageError("training on a GPU needs at least one device")
        if hyperparameters.subwords != (subwords is not None):
            raise UsageError("subwords=True needs each word's character n-grams, False has none")
        rows = words + hyperparameters.ngram_rows
        if rows > _MOST_ROWS:
            raise UsageError(
                f"{words} words and buckets={hyperparameters.buckets}: expected {_MOST_ROWS} rows at most on a GPU"
            )
        ValidatedTraining.__init__(
            self, hyperparameters, validate, BestEpoch(self._used_rows, work_dir)
        )
        self._examples, self._features = (
            examples,
            features_of(examples, words, hyperparameters, subwords),
        )
        columns = [
            Column(examples.ids, examples.line_offsets),
            Column(examples.labels, examples.label_offsets),
        ]
        chunks = cut_chunks(columns, 1, chunk_tokens, _BLOCKS_A_CHUNK)
        shape = text_shape_for(hyperparameters, len(label_counts), lanes)
        tokens = hyperparameters.epochs * int(chunks.tokens[-1])
        tables = (
            _features(examples, words, hyperparameters, subwords),
            _labels(label_counts, hyperparameters),
            Schedule(hyperparameters.learning_rate, float(max(tokens, 1))),
        )
        bears = most_text_streams(label_counts, hyperparameters)
        plan = RunPlan(
            program=Program(KERNELS["supervised"](shape), shape, Texts, chunks, tables),
            rows=(rows, len(label_counts)),
            limits=[plan_streams(devices[0], shape, bears, chunks.most_tokens)],
            epochs=hyperparameters.epochs,
            learning_rate=hyperparameters.learning_rate,
            bound=1.0 / hyperparameters.vector_dim,
            initial=initial,
        )
        CudaRun.__init__(self, plan, devices[:1], seed)

    @property
    def _weights(self) -> Weights:
        """The padded matrices on the host, as the CPU's code takes them."""
        return Weights(*self._flat, self._stride)

    def _used_rows(self) -> Int64Array:
        """Return int64[n], the rows of the input matrix that the examples have, in ascending order."""
        parts = np.append(
            np.arange(0, self._examples.example_count, _TEXTS_AT_A_TIME),
            self._examples.example_count,
        )
        return used_rows(self._examples, parts, self._features(), self._weights)

    def _validate_epoch(self) -> float | None:
        if not self._is_validated(self.position.epoch):
            return None
        self._copy_matrices()
        inputs, outputs = (
            view(flat, rows, self._dim, self._stride)
            for flat, rows in zip(self._flat, self._plan.rows, strict=True)
        )
        return self._judge(self._weights, inputs, outputs)

    def finish(self) -> Matrices:
        """Return the matrices, with early stopping the best epoch's. The run is over: they take the place of `input` and `output`.

        Raises:
            KftextError: a vector is no longer a number.
        """
        self._fetch_matrices()
        best_epoch = self.best.epoch or self.position.epoch
        self.best.restore(self._weights, self.position.epoch)
        matrices = super().finish()
        return Matrices(matrices.input, matrices.output, self.curve, best_epoch)


def is_faster_than_the_cpu(
    examples: EncodedExamples,
    label_counts: Int64Array,
    hyperparameters: SupervisedHyperparameters,
    device: Device,
    threads: int,
) -> bool:
    """Return whether a GPU is expected to end before so many threads of the CPU: not with few texts, nor with few streams."""
    tokens = len(examples.ids) + len(examples.labels)
    shape = text_shape_for(hyperparameters, len(label_counts), LANES)
    bears = most_text_streams(label_counts, hyperparameters)
    streams = plan_streams(device, shape, bears, tokens).streams
    return expects_to_be_faster(shape, streams, tokens * hyperparameters.epochs, threads)


def _features(
    examples: EncodedExamples,
    words: int,
    hyperparameters: SupervisedHyperparameters,
    subwords: Subwords | None,
) -> Features:
    """Return what tells the rows of a text, on the host; arrays that nobody reads have one element."""
    buckets = hyperparameters.buckets if hyperparameters.word_ngrams > 1 else 1
    return Features(
        np.ascontiguousarray(examples.word_hashes),
        np.int64(words),
        np.uint64(buckets),
        np.uint64((2**64 - 1) // buckets),
        np.int64(hyperparameters.word_ngrams),
        subwords.offsets if subwords else np.zeros(1, np.int64),
        subwords.rows if subwords else np.zeros(1, np.int32),
    )


def _labels(label_counts: Int64Array, hyperparameters: SupervisedHyperparameters) -> Labels:
    """Return what labels are trained against, on the host; arrays that the loss has no use for have one element."""
    loss, offsets = hyperparameters.loss, np.zeros(1, np.int64)
    nodes, turns = np.zeros(1, np.int32), np.zeros(1, np.float32)
    if loss == "hs":
        paths = build_paths(label_counts)
        offsets, nodes, turns = paths.offsets, np.append(paths.nodes, 0), np.append(paths.turns, 0)
    table = build_alias_table(np.maximum(label_counts, 1) ** NEGATIVE_POWER)
    return Labels(
        np.int64(len(label_counts)),
        np.int64(hyperparameters.negative_samples if loss == "ns" else 0),
        table.entries,
        offsets,
        nodes.astype(np.int32),
        turns.astype(np.float32),
    )
