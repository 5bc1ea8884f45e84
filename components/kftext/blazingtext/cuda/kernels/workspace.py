"""Where a stream's work space lies: in shared memory where it fits, else in device memory.

Its integers are the ring of the line's words, the negatives of the next window, and of a batch the negatives chosen, the positions of
the pairs' context words, and those of their middle words. Its floats are the ring of vectors, then a batch's gradients and changes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from kftext.blazingtext.cuda.kernels.compilation import helper
from kftext.blazingtext.cuda.kernels.shape import RowShape, Shape

__all__ = ["Workspace", "build_word_at", "build_workspace"]


class Workspace(NamedTuple):
    """Device functions: (shared array, array in device memory, stream) -> (array, where the stream's part begins)."""

    floats: Callable[..., Any]
    integers: Callable[..., Any]


def build_workspace(shape: RowShape) -> Workspace:
    """Return where the work space of a shape is."""
    n_floats, n_integers = shape.floats, shape.integers
    if shape.in_shared_memory:

        @helper
        def shared(inside, outside, stream):
            """Return the block's own array, of which all is the stream's."""
            return inside, np.int64(0)

        return Workspace(shared, shared)

    @helper
    def floats(inside, outside, stream):
        """Return the array in device memory, and where the stream's floats begin."""
        return outside, np.int64(stream) * n_floats

    @helper
    def integers(inside, outside, stream):
        """Return the array in device memory, and where the stream's integers begin."""
        return outside, np.int64(stream) * n_integers

    return Workspace(floats, integers)


def build_word_at(shape: Shape) -> Callable[..., Any]:
    """Return (position, worker) -> the word at a position of the line."""
    mask = shape.word_places - 1

    @helper
    def word_at(position, worker):
        """Return the word at a position of the line, which is in the ring of words still."""
        return worker.integers[worker.integers_at + (position & mask)]

    return word_at
