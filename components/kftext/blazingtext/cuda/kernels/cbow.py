"""CBOW on a GPU, the twin of `kernels.cbow`: the mean of a word's neighbours predicts it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numba import float32

from kftext.blazingtext.cuda.kernels.compilation import helper, registers
from kftext.blazingtext.cuda.kernels.logistic import build_train_vector
from kftext.blazingtext.cuda.kernels.ring import build_ring
from kftext.blazingtext.cuda.kernels.shape import Shape
from kftext.blazingtext.cuda.kernels.stream import build_kernel, observe
from kftext.blazingtext.cuda.kernels.targets import build_targets
from kftext.blazingtext.cuda.kernels.workspace import build_word_at

__all__ = ["cbow"]

_ZERO, _ONE = np.float32(0), np.float32(1)


@lru_cache
def cbow(shape: Shape) -> Any:
    """Return the kernel of a shape (`stream.build_kernel`)."""
    lanes, chunks, whole = shape.lanes, shape.chunks, shape.whole_chunks
    stride, word_at = shape.stride, build_word_at(shape)
    ring, targets = build_ring(shape), build_targets(shape)
    input_row, read_one = ring.input_row, ring.read_one
    change, row_count = ring.change, ring.row_count
    train_vector, draw_ahead = build_train_vector(shape, targets), targets.draw_ahead

    @helper
    def mean(hidden, span, worker, task):
        """Set hidden to the mean of the rows of all neighbours: a word of many n-grams weighs more, as in fastText."""
        count = _ZERO
        for j in range(chunks):
            hidden[j] = _ZERO
        for context in range(span.first, span.stop):
            if context != span.position:
                row, share = input_row(context, worker), row_count(context, worker, task)
                for j in range(chunks):
                    d = worker.lane + lanes * j
                    if j < whole or d < stride:
                        hidden[j] += share * read_one(row, d, worker, task)
                count += share
        scale = _ONE / count
        for j in range(chunks):
            hidden[j] *= scale

    @helper
    def add_gradient(gradient, span, worker, task):
        """Add the gradient to each neighbour."""
        for context in range(span.first, span.stop):
            if context != span.position:
                row = input_row(context, worker)
                for j in range(chunks):
                    d = worker.lane + lanes * j
                    if j < whole or d < stride:
                        change(row, d, gradient[j], worker, task)

    @helper
    def train_window(span, rate, pending, draws, tally, worker, task):
        """Train the word against the mean of its neighbours, if it has any."""
        if span.stop - span.first > 1:
            hidden = registers.local.array(chunks, float32)
            gradient = registers.local.array(chunks, float32)
            for j in range(chunks):
                gradient[j] = _ZERO
            mean(hidden, span, worker, task)
            word = word_at(span.position, worker)
            loss = train_vector(word, hidden, gradient, rate, worker, task)
            add_gradient(gradient, span, worker, task)
            draws, tally = draw_ahead(draws, worker, task), observe(tally, loss, 1)
        return pending, draws, tally

    return build_kernel(shape, train_window)
