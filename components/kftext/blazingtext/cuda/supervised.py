"""The classifier on a GPU: the twin of `kftext.blazingtext.supervised`, with the same result.

    data = SupervisedData(examples, len(vocabulary.words), vocabulary.label_counts)
    training = CudaSupervisedTraining(data, hyperparameters, devices=find_devices())
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
import numpy.typing as npt

from kftext.blazingtext.cuda.chunks import Column, cut_chunks
from kftext.blazingtext.cuda.device import Device, require_numba_cuda, why_not
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
from kftext.blazingtext.huffman import build_paths
from kftext.blazingtext.hyperparameters import SupervisedHyperparameters
from kftext.blazingtext.kernels.sampling import build_alias_table
from kftext.blazingtext.kernels.state import Weights
from kftext.blazingtext.matrices import Matrices, view
from kftext.blazingtext.supervised import Validate, ValidatedTraining
from kftext.blazingtext.supervised_data import SupervisedData
from kftext.blazingtext.supervised_job import NEGATIVE_POWER
from kftext.errors import UsageError

__all__ = ["CudaSupervisedTraining", "is_faster_than_the_cpu"]

_MOST_ROWS = 1 << 31
_BLOCKS_A_CHUNK = 16


class CudaSupervisedTraining(ValidatedTraining, CudaRun):
    """A run that can be looked at between epochs, and put away and taken up again, as `supervised.SupervisedTraining`.

    Args:
        data, hyperparameters, seed, validate, work_dir: as there.
        devices: GPUs; the first one trains.

    Raises:
        UsageError: arguments that don't fit one another, or that a GPU can't train.
        ResourceError: not enough memory, on the host or on the GPU.
    """

    def __init__(
        self,
        data: SupervisedData,
        hyperparameters: SupervisedHyperparameters,
        *,
        devices: Sequence[Device],
        seed: int = 0,
        validate: Validate | None = None,
        work_dir: Path | None = None,
    ):
        require_numba_cuda()
        if reason := why_not(hyperparameters):
            raise UsageError(f"device=cuda: {reason}")
        if not devices:
            raise UsageError("training on a GPU needs at least one device")
        rows = data.word_count + hyperparameters.ngram_rows
        if rows > _MOST_ROWS:
            raise UsageError(
                f"{data.word_count} words and buckets={hyperparameters.buckets}: expected {_MOST_ROWS} rows at most on a GPU"
            )
        ValidatedTraining.__init__(self, data, hyperparameters, validate, work_dir)
        examples = data.examples
        columns = [
            Column(examples.ids, examples.line_offsets),
            Column(examples.labels, examples.label_offsets),
        ]
        chunks = cut_chunks(columns, 1, blocks=_BLOCKS_A_CHUNK)
        shape = text_shape_for(hyperparameters, data.label_count)
        tokens = hyperparameters.epochs * int(chunks.tokens[-1])
        tables = (
            _features(data, hyperparameters),
            _labels(data.label_counts, hyperparameters),
            Schedule(hyperparameters.learning_rate, float(max(tokens, 1))),
        )
        bears = most_text_streams(data.label_counts, hyperparameters)
        plan = RunPlan(
            program=Program(KERNELS["supervised"](shape), shape, Texts, chunks, tables),
            rows=(rows, data.label_count),
            limits=[plan_streams(devices[0], shape, bears, chunks.most_tokens)],
            epochs=hyperparameters.epochs,
            learning_rate=hyperparameters.learning_rate,
            bound=1.0 / hyperparameters.vector_dim,
        )
        CudaRun.__init__(self, plan, devices[:1], seed)
        self._weights = Weights(*self._flat, self._stride)

    def _validate_epoch(self) -> float | None:
        if not self._is_validated(self.position.epoch):
            return None
        self._copy_matrices()
        inputs, outputs = (
            view(flat, rows, self._dim, self._stride)
            for flat, rows in zip(self._flat, self._plan.rows, strict=True)
        )
        return self._judge(inputs, outputs)

    def finish(self) -> Matrices:
        """Return the matrices, with early stopping the best epoch's. The run is over: they take the place of `input` and `output`.

        Raises:
            KftextError: a vector is no longer a number.
        """
        self._fetch_matrices()
        best_epoch = self._restore_best()
        matrices = super().finish()
        return Matrices(matrices.input, matrices.output, self.curve, best_epoch)


def is_faster_than_the_cpu(
    data: SupervisedData,
    hyperparameters: SupervisedHyperparameters,
    device: Device,
    threads: int,
) -> bool:
    """Return whether a GPU is expected to end before so many threads of the CPU: not with few texts, nor with few streams."""
    tokens = len(data.examples.ids) + len(data.examples.labels)
    shape = text_shape_for(hyperparameters, data.label_count)
    bears = most_text_streams(data.label_counts, hyperparameters)
    streams = plan_streams(device, shape, bears, tokens).streams
    return expects_to_be_faster(shape, streams, tokens * hyperparameters.epochs, threads)


def _features(data: SupervisedData, hyperparameters: SupervisedHyperparameters) -> Features:
    """Return what tells the rows of a text, on the host; arrays that nobody reads have one element."""
    subwords = data.subwords
    buckets = hyperparameters.buckets if hyperparameters.word_ngrams > 1 else 1
    return Features(
        np.ascontiguousarray(data.examples.word_hashes),
        np.int64(data.word_count),
        np.uint64(buckets),
        np.uint64((2**64 - 1) // buckets),
        np.int64(hyperparameters.word_ngrams),
        subwords.offsets if subwords else np.zeros(1, np.int64),
        subwords.rows if subwords else np.zeros(1, np.int32),
    )


def _labels(
    label_counts: npt.NDArray[np.int64], hyperparameters: SupervisedHyperparameters
) -> Labels:
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
