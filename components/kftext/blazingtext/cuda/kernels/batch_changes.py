"""The second half of a batch's step: the changes, collected from parameters that no pair has changed, and then applied."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import float32, int32

from kftext.blazingtext.cuda.kernels.batch import Batch
from kftext.blazingtext.cuda.kernels.compilation import helper, registers
from kftext.blazingtext.cuda.kernels.ring import Ring
from kftext.blazingtext.cuda.kernels.rows import add, load
from kftext.blazingtext.cuda.kernels.shape import Shape
from kftext.blazingtext.cuda.kernels.warp import synchronize

__all__ = ["build_apply_changes"]

_ZERO = np.float32(0)


def build_apply_changes(shape: Shape, batch: Batch, ring: Ring) -> Callable[..., Any]:
    """Return (pairs, negatives, worker, task): apply a batch. Each lane changes its own dimensions."""
    lanes, chunks, whole, stride = shape.lanes, shape.chunks, shape.whole_chunks, shape.stride
    collect, input_at, run_at, output_at = _build_collect(shape, batch, ring)
    input_row_at, middle_at, negative_at, change = (
        batch.input_row_at,
        batch.middle_at,
        batch.negative_at,
        ring.change,
    )

    @helper
    def add_to_middles(d, pairs, worker, task):
        """Add to each middle word's row what the run of its pairs has collected."""
        run = 0
        for i in range(pairs):
            middle = middle_at(i, worker)
            if i + 1 == pairs or middle_at(i + 1, worker) != middle:
                row = np.int64(middle) * stride
                add(task.weights.output, row + d, worker.floats[run_at(run, worker)])
                run += 1

    @helper
    def apply_changes(pairs, negatives, worker, task):
        """Add to all rows of a batch, inputs and outputs, what its gradients say; then the next batch may begin."""
        for j in range(chunks):
            d = worker.lane + lanes * j
            if j < whole or d < stride:
                collect(d, pairs, negatives, worker, task)
                for i in range(pairs):
                    change(
                        input_row_at(i, worker), d, worker.floats[input_at(i, worker)], worker, task
                    )
                add_to_middles(d, pairs, worker, task)
                for k in range(negatives):
                    row = np.int64(negative_at(k, worker)) * stride
                    add(task.weights.output, row + d, worker.floats[output_at(k + 1, worker)])
        # The next batch's gradients take the place of these.
        synchronize(worker)

    return apply_changes


def _build_places(shape: Shape) -> tuple[Callable[..., Any], ...]:
    """Return where a lane collects the change of a pair's input, of a run of pairs' middle word, and of output k."""
    lanes, pairs_most = shape.lanes, shape.batch_size
    inputs_begin = shape.ring_floats + pairs_most * shape.groups * shape.group
    runs_begin = inputs_begin + pairs_most * lanes
    outputs_begin = runs_begin + pairs_most * lanes

    @helper
    def input_at(i, worker):
        """Return where this lane collects the change of pair i's input vector, for the dimension at hand."""
        return worker.floats_at + inputs_begin + i * lanes + worker.lane

    @helper
    def run_at(run, worker):
        """Return where it collects that of the middle word of a run: pairs side by side that have it in common."""
        return worker.floats_at + runs_begin + run * lanes + worker.lane

    @helper
    def output_at(k, worker):
        """Return where it collects that of output k."""
        return worker.floats_at + outputs_begin + k * lanes + worker.lane

    return input_at, run_at, output_at


def _build_collect(shape: Shape, batch: Batch, ring: Ring) -> tuple[Callable[..., Any], ...]:
    """Return (d, pairs, negatives, worker, task), which adds up the changes of dimension d, and where it leaves them."""
    stride, group = shape.stride, shape.group
    input_at, run_at, output_at = _build_places(shape)
    input_row_at, middle_at, negative_at, gradient_at, read_one = (
        batch.input_row_at,
        batch.middle_at,
        batch.negative_at,
        batch.gradient_at,
        ring.read_one,
    )

    @helper
    def read_negatives(w, d, first, negatives, worker, task):
        """Read dimension d of a group of outputs, from `first` on; the middle word's place stays zero."""
        for k in range(group):
            w[k] = _ZERO
            if 0 < first + k <= negatives:
                row = np.int64(negative_at(first + k - 1, worker)) * stride
                w[k] = load(task.weights.output, row + d)

    @helper
    def collect_group(d, first, pairs, w, sums, worker, task):
        """Add up what a group, outputs from `first` on, and all pairs do to each other."""
        runs, current = 0, int32(-1)
        for i in range(pairs):
            middle = middle_at(i, worker)
            if first == 0 and middle != current:
                w[0] = load(task.weights.output, np.int64(middle) * stride + d)
                if i > 0:
                    worker.floats[run_at(runs, worker)] = sums[0]
                    runs += 1
                    sums[0] = _ZERO
            current = middle
            x, y = read_one(input_row_at(i, worker), d, worker, task), _ZERO
            if first > 0:
                y = worker.floats[input_at(i, worker)]
            for k in range(group):
                g = worker.floats[gradient_at(i, first + k, worker)]
                y += g * w[k]
                sums[k] += g * x
            worker.floats[input_at(i, worker)] = y
        if first == 0:
            worker.floats[run_at(runs, worker)] = sums[0]

    @helper
    def collect(d, pairs, negatives, worker, task):
        """Add up the changes of dimension d, group by group of output rows, and leave them at the three places."""
        w, sums = registers.local.array(group, float32), registers.local.array(group, float32)
        first = 0
        while first <= negatives:
            read_negatives(w, d, first, negatives, worker, task)
            for k in range(group):
                sums[k] = _ZERO
            collect_group(d, first, pairs, w, sums, worker, task)
            for k in range(group):
                worker.floats[output_at(first + k, worker)] = sums[k]
            first += group

    return collect, input_at, run_at, output_at
