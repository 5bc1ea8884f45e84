"""The first half of a batch's step: the gradients of all pairs and outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import float32, int32

from kftext.blazingtext.cuda.kernels.batch import Batch
from kftext.blazingtext.cuda.kernels.compilation import helper, registers
from kftext.blazingtext.cuda.kernels.logistic import build_outputs
from kftext.blazingtext.cuda.kernels.ring import Ring
from kftext.blazingtext.cuda.kernels.rows import load
from kftext.blazingtext.cuda.kernels.shape import Shape
from kftext.blazingtext.cuda.kernels.warp import SLOTS, gradients, synchronize

__all__ = ["build_compute_gradients"]

_ZERO = np.float32(0)


def build_compute_gradients(shape: Shape, batch: Batch, ring: Ring) -> Callable[..., Any]:
    """Return (pairs, negatives, rate, worker, task) -> loss."""
    lanes, chunks, whole = shape.lanes, shape.chunks, shape.whole_chunks
    stride, group = shape.stride, shape.group
    group_floats, outputs, read = group * chunks, build_outputs(shape), ring.read
    read_outputs, score = outputs.read, outputs.score
    input_row_at, middle_at, negative_at, gradient_at = (
        batch.input_row_at,
        batch.middle_at,
        batch.negative_at,
        batch.gradient_at,
    )

    @helper
    def choose_group(rows, first, negatives, worker):
        """Set the rows of a group, outputs from `first` on, and return their number. The middle word's place is filled pair by pair."""
        n = 0
        for k in range(group):
            if first + k <= negatives:
                rows[k] = negative_at(max(first + k - 1, 0), worker)
                n += 1
        return n

    @helper
    def read_middle(w, middle, worker, task):
        """Read a middle word's row into the first place of the group."""
        row = np.int64(middle) * stride
        for j in range(chunks):
            d = worker.lane + lanes * j
            w[j] = load(task.weights.output, row + d) if j < whole or d < stride else _ZERO

    @helper
    def compute_gradients(pairs, negatives, rate, worker, task):
        """Score each pair against each output, group by group, and write the gradients; return this lane's share of the loss."""
        w, x = (
            registers.local.array(group_floats, float32),
            registers.local.array(chunks, float32),
        )
        scores = registers.local.array(SLOTS, float32)
        rows = registers.local.array(group, int32)
        loss, first = _ZERO, 0
        while first <= negatives:
            n = choose_group(rows, first, negatives, worker)
            read_outputs(w, rows, n, worker, task)
            current = int32(-1)
            for i in range(pairs):
                middle = middle_at(i, worker)
                if first == 0 and middle != current:
                    read_middle(w, middle, worker, task)
                current = middle
                read(x, input_row_at(i, worker), worker, task)
                score(scores, x, w)
                loss += gradients(scores, n, 1 if first == 0 else 0, rate, worker)
                for k in range(group):
                    # A negative that is the pair's middle word is left out.
                    dropped = (first > 0 or k > 0) and rows[k] == middle
                    if worker.lane == 0:
                        worker.floats[gradient_at(i, first + k, worker)] = (
                            _ZERO if dropped else scores[k]
                        )
            first += group
        # The other lanes read what the first has written.
        synchronize(worker)
        return loss

    return compute_gradients
