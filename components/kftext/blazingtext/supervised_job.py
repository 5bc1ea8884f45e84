"""How the examples are cut into slices, and how a thread trains one.

Files of labelled texts are often sorted: by label, by source, by date. Threads that each own a stretch of such a file train what
stands in it at the pace that the machine allows them, and the model leans towards what came last. So a slice is made of blocks of
examples that lie evenly over the whole file: whatever the order of the file and of the threads, all that is in it takes part all
the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from kftext.blazingtext.encoded import Int32Array, Int64Array
from kftext.blazingtext.hogwild import slice_size
from kftext.blazingtext.huffman import build_paths
from kftext.blazingtext.hyperparameters import SupervisedHyperparameters
from kftext.blazingtext.kernels.compilation import kernel
from kftext.blazingtext.kernels.logistic import GROUP
from kftext.blazingtext.kernels.replica import Replica, Replicas
from kftext.blazingtext.kernels.sampling import build_alias_table
from kftext.blazingtext.kernels.state import Sampling, Weights, Worker, allocate_worker, no_paths
from kftext.blazingtext.kernels.supervised import (
    OVA,
    SAMPLED,
    SOFTMAX,
    Examples,
    allocate_labels,
    supervised,
)
from kftext.blazingtext.matrices import allocate_rows
from kftext.blazingtext.memory import is_mapped_file, read_ahead, release_pages
from kftext.blazingtext.supervised_data import SupervisedData, features_of, writable

__all__ = ["COPIED_WORDS", "NEGATIVE_POWER", "SupervisedJob"]

NEGATIVE_POWER = 0.5
"""Labels are drawn as negatives by count to this power, as in fastText."""

_BLOCKS_A_SLICE = 16

_LABELS_FOR_EACH_WRITTEN = 8
"""Threads train copies of the output matrix where an example writes at least one label in so many."""

COPIED_WORDS = 16
"""Of so many words, the most frequent, each of several threads trains a copy of the row."""

_OUTPUTS_WITH_COPIED_WORDS = 16
"""But not where an example trains more output rows than this: the words are a small part of the work then, and the gradients of all these
rows add up to steps too large to be seen late."""

_LOSSES = {"softmax": SOFTMAX, "ova": OVA, "ns": SAMPLED, "hs": SAMPLED}


class SupervisedJob:
    """The slices of the examples and how one is trained (`hogwild.Job`).

    Args:
        data: checked, see `supervised_data.check_data`.
        hyperparameters: see there.
        weights: for each thread the matrices, with a spare row of its own behind the labels' rows, and where there are several threads
            with COPIED_WORDS rows for each at the end of the input matrix.
        seeds: uint64[threads].
    """

    def __init__(
        self,
        data: SupervisedData,
        hyperparameters: SupervisedHyperparameters,
        weights: Sequence[Weights],
        seeds: npt.NDArray[np.uint64],
    ):
        examples, self._weights = data.examples, weights
        self._ids, self._labels = (
            writable(array, np.int32) for array in (examples.ids, examples.labels)
        )
        self._offsets, self._label_offsets = (
            writable(array, np.int64) for array in (examples.line_offsets, examples.label_offsets)
        )
        self._is_mapped = is_mapped_file(self._ids)
        self._cut(hyperparameters.epochs)
        allocate = features_of(data, hyperparameters)
        self._features = [allocate() for _ in seeds]
        loss, labels = hyperparameters.loss, data.label_count
        self._scorers = [allocate_labels(_LOSSES[loss], labels) for _ in seeds]
        negatives = hyperparameters.negative_samples if loss == "ns" else 0
        paths = build_paths(data.label_counts) if loss == "hs" else no_paths()
        table = build_alias_table(np.maximum(data.label_counts, 1) ** NEGATIVE_POWER)
        self._sampling = Sampling(np.zeros(0, np.uint32), table, paths, 0, False)
        path = max(int(np.diff(paths.offsets).max(initial=1)), 1)
        # One thread has nobody to share with. ns and hs write a few rows only; but among a few labels those are most of them, and
        # threads would lose one another's changes.
        written = {"ns": 1 + negatives, "hs": path}.get(loss, labels)
        crowded = len(seeds) > 1 and labels <= _LABELS_FOR_EACH_WRITTEN * written
        copies_words = len(seeds) > 1 and written <= _OUTPUTS_WITH_COPIED_WORDS
        copied = min(COPIED_WORDS, data.word_count) if copies_words else 0
        self._replicas = [
            Replicas(_replica(own.output.size if crowded else 0), self._copy_words(thread, copied))
            for thread, own in enumerate(weights)
        ]
        # With ns a label that is drawn twice begins a group.
        outputs = {"softmax": 1, "ns": written * GROUP}.get(loss, written)
        self.workers = [
            _on_own_lines(
                allocate_worker(
                    int(seed),
                    longest_line=0,
                    negatives=negatives,
                    inputs=1,
                    outputs=outputs,
                    stride=weights[0].stride,
                )
            )
            for seed in seeds
        ]

    def _copy_words(self, thread: int, words: int) -> Replica:
        """Make a thread's copy of the first rows of the input matrix: at its end, one thread's copy behind the other's."""
        matrix, stride = self._weights[thread].input, self._weights[thread].stride
        copies = matrix.size // stride - (len(self._weights) - thread) * words
        self._features[thread] = self._features[thread]._replace(copied=words, copies=copies)
        own = matrix[copies * stride : (copies + words) * stride]
        return Replica(own, allocate_rows(words, stride))

    def _cut(self, epochs: int) -> None:
        """Cut the examples into blocks, and deal these out to slices: slice i of n gets the blocks i, i + n, i + 2n and so on."""
        # A label counts as a token, so that a slice of examples without words has a length too.
        total = int(self._offsets[-1] + self._label_offsets[-1])
        slices = -(-total // slice_size(total, epochs))
        ends = np.zeros(slices * _BLOCKS_A_SLICE + 1, np.int64)
        _cut_blocks(self._offsets, self._label_offsets, ends)
        shape = _BLOCKS_A_SLICE, slices
        self._firsts = np.ascontiguousarray(ends[:-1].reshape(shape).T)
        self._stops = np.ascontiguousarray(ends[1:].reshape(shape).T)
        before = self._offsets[ends] + self._label_offsets[ends]
        sizes = np.diff(before).reshape(shape).sum(axis=0)
        self.tokens = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)

    def train_slice(self, index: int, rate: np.float32, thread: int) -> None:
        """Train slice `index` on a thread; the kernel lets go of the GIL."""
        firsts, stops = self._firsts[index], self._stops[index]
        blocks = self._ids_of(firsts, stops) if self._is_mapped else []
        for block in blocks:
            read_ahead(block)
        supervised(
            Examples(self._ids, self._offsets, self._labels, self._label_offsets, firsts, stops),
            self._weights[thread],
            self._features[thread],
            self._scorers[thread],
            self._sampling,
            rate,
            self.workers[thread],
            self._replicas[thread],
        )
        for block in blocks:
            release_pages(block)

    def _ids_of(self, firsts: Int64Array, stops: Int64Array) -> list[Int32Array]:
        offsets = self._offsets
        return [
            self._ids[offsets[first] : offsets[stop]]
            for first, stop in zip(firsts, stops, strict=True)
        ]


@kernel
def _cut_blocks(offsets, label_offsets, ends):
    """Set ends[k] to the first example behind the share k / (blocks) of the tokens, and the last one to the number of examples.

    A kernel, since a sum of both offsets would take as much memory as they do.
    """
    examples, blocks = offsets.size - 1, ends.size - 1
    total = offsets[examples] + label_offsets[examples]
    example = 0
    for k in range(blocks):
        wanted = total // blocks * k + total % blocks * k // blocks
        while example < examples and offsets[example] + label_offsets[example] < wanted:
            example += 1
        ends[k] = example
    ends[blocks] = examples


def _on_own_lines(worker: Worker) -> Worker:
    """Move what a thread writes for every example to cache lines that no other thread writes to, vectors to the start of a line."""
    step = worker.step
    names = ("scores", "gradients", "targets")
    return worker._replace(
        random=_aligned(worker.random),
        totals=_aligned(worker.totals),
        hidden=_aligned(worker.hidden),
        step=step._replace(**{name: _aligned(getattr(step, name)) for name in names}),
    )


def _aligned(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a copy in cache lines of its own."""
    copy = allocate_rows(-(-array.nbytes // 64), 16).view(array.dtype)[: array.size]
    copy[:] = array
    return copy


def _replica(size: int) -> Replica:
    return Replica(allocate_rows(size, 1), allocate_rows(size, 1))
