"""The pairs of a batch and its negatives, in a stream's work space (the twin of `kernels.batch_skipgram.Batch`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from kftext.blazingtext.cuda.kernels.compilation import helper
from kftext.blazingtext.cuda.kernels.ring import Ring
from kftext.blazingtext.cuda.kernels.shape import Shape
from kftext.blazingtext.cuda.kernels.workspace import build_word_at

__all__ = ["Batch", "build_batch"]


class Batch(NamedTuple):
    """Device functions of a shape. What the first lane writes the others see after `targets.draw_ahead`, which synchronizes.

    Attributes:
        put: (i, context, middle, worker): make two positions pair i.
        input_row_at: (i, worker) -> where the vector of pair i's context word starts, see `ring.Ring.input_row`.
        middle_at: (i, worker) -> pair i's middle word.
        choose_negatives: (worker) -> n: take the negatives drawn ahead, each once.
        negative_at: (k, worker) -> the k-th of them.
        gradient_at: (i, k, worker) -> where the gradient of pair i and output k lies in Worker.floats; output 0 is the middle word, k the
            negative k - 1.
    """

    put: Callable[..., Any]
    input_row_at: Callable[..., Any]
    middle_at: Callable[..., Any]
    choose_negatives: Callable[..., Any]
    negative_at: Callable[..., Any]
    gradient_at: Callable[..., Any]


def build_batch(shape: Shape, ring: Ring) -> Batch:
    """Build the device functions of a shape."""
    drawn, outputs, ring_floats = shape.negatives, shape.groups * shape.group, shape.ring_floats
    word_at, input_row, drawn_at = build_word_at(shape), ring.input_row, shape.word_places
    chosen_at = drawn_at + drawn
    contexts_at = chosen_at + drawn
    middles_at = contexts_at + shape.batch_size

    @helper
    def put(i, context, middle, worker):
        """Make the words at two positions of the line, `context` and `middle`, pair i of the batch."""
        if worker.lane == 0:
            worker.integers[worker.integers_at + contexts_at + i] = context
            worker.integers[worker.integers_at + middles_at + i] = middle

    @helper
    def input_row_at(i, worker):
        """Return where the input vector of pair i's context word starts."""
        return input_row(worker.integers[worker.integers_at + contexts_at + i], worker)

    @helper
    def middle_at(i, worker):
        """Return pair i's middle word."""
        return word_at(worker.integers[worker.integers_at + middles_at + i], worker)

    @helper
    def negative_at(k, worker):
        """Return the k-th of the negatives chosen."""
        return worker.integers[worker.integers_at + chosen_at + k]

    @helper
    def choose_negatives(worker):
        """Take each of the negatives drawn ahead once, and return how many those are."""
        n, drawn_here = 0, worker.integers_at + drawn_at
        for k in range(drawn):
            negative, fresh = worker.integers[drawn_here + k], True
            for other in range(k):
                if worker.integers[drawn_here + other] == negative:
                    fresh = False
            if fresh:
                if worker.lane == 0:
                    worker.integers[worker.integers_at + chosen_at + n] = negative
                n += 1
        return n

    @helper
    def gradient_at(i, k, worker):
        """Return where the gradient of pair i and output k lies in Worker.floats."""
        return worker.floats_at + ring_floats + i * outputs + k

    return Batch(put, input_row_at, middle_at, choose_negatives, negative_at, gradient_at)
