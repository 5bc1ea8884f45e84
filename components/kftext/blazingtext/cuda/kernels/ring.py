"""Input vectors of the words around the one at hand: in the matrix, or with subwords in a ring (the twin of `kernels.ring`).

Without subwords a context word's vector is read from the matrix and its change is added to the matrix at once. A ring in shared
memory would save half of that traffic (Randall, Allen and Ge, "FULL-W2V: fully exploiting data reuse for W2V on GPU-accelerated
systems", ICS 2021), but keeps changes back for a whole window, in which thousands of streams train the same frequent words: the vectors
come out worse at the same number of streams, and bandwidth is not what the kernels wait for. With subwords a vector is the mean of a
dozen rows, and the ring is what makes that affordable, as on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import float32

from kftext.blazingtext.cuda.kernels.compilation import helper, registers
from kftext.blazingtext.cuda.kernels.rows import add, load
from kftext.blazingtext.cuda.kernels.shape import Shape
from kftext.blazingtext.cuda.kernels.workspace import build_word_at

__all__ = ["Ring", "build_ring"]

_ZERO, _ONE = np.float32(0), np.float32(1)


class Ring(NamedTuple):
    """Device functions of a shape. A position is one in the line; each lane reads and writes its own dimensions alone.

    Attributes:
        enter: (first, stop, worker, task): bring the words of these positions in.
        leave: (first, stop, worker, task): add what they have learnt to the rows that they are made of.
        input_row: (position, worker) -> where the input vector starts: in the matrix, or in Worker.floats.
        read_one: (row, d, worker, task) -> dimension d of an input vector.
        read: (x, row, worker, task): read this lane's dimensions of it into registers.
        change: (row, d, amount, worker, task): change dimension d.
        row_count: (position, worker, task) -> float32, rows that it is the mean of.
    """

    enter: Callable[..., Any]
    leave: Callable[..., Any]
    input_row: Callable[..., Any]
    read_one: Callable[..., Any]
    read: Callable[..., Any]
    change: Callable[..., Any]
    row_count: Callable[..., Any]


def build_ring(shape: Shape) -> Ring:
    """Build the device functions of a shape."""
    enter, leave, input_row, read_one, change, row_count = (
        (*_build_passage(shape), *_build_access(shape)) if shape.subwords else _in_matrix(shape)
    )
    lanes, chunks, whole, stride = shape.lanes, shape.chunks, shape.whole_chunks, shape.stride

    @helper
    def read(x, row, worker, task):
        """Set x, float32[chunks], to this lane's dimensions of an input vector."""
        for j in range(chunks):
            d = worker.lane + lanes * j
            x[j] = read_one(row, d, worker, task) if j < whole or d < stride else _ZERO

    return Ring(enter, leave, input_row, read_one, read, change, row_count)


def _in_matrix(shape: Shape) -> tuple[Callable[..., Any], ...]:
    """Return the functions of words that are one row each: nothing enters or leaves, vectors are read and trained in the matrix."""
    stride, word_at = shape.stride, build_word_at(shape)

    @helper
    def stay(first, stop, worker, task):
        """Do nothing: vectors stay in the matrix."""

    @helper
    def input_row(position, worker):
        """Return where the word's row starts in the matrix."""
        return np.int64(word_at(position, worker)) * stride

    @helper
    def read_one(row, d, worker, task):
        """Return an element of the matrix as it is now."""
        return load(task.weights.input, row + d)

    @helper
    def change(row, d, amount, worker, task):
        """Add to an element of the matrix."""
        add(task.weights.input, row + d, amount)

    @helper
    def row_count(position, worker, task):
        """Return 1: a word is one row."""
        return _ONE

    return stay, stay, input_row, read_one, change, row_count


def _build_passage(shape: Shape) -> tuple[Callable[..., Any], ...]:
    """Return how words come into the ring and leave it."""
    lanes, chunks, whole = shape.lanes, shape.chunks, shape.whole_chunks
    stride, word_at = shape.stride, build_word_at(shape)
    places, half = shape.ring_places, shape.ring_places * shape.stride

    @helper
    def enter(first, stop, worker, task):
        """Write the mean of each word's rows to its two places in the ring: one is trained, one keeps what came in."""
        total = registers.local.array(chunks, float32)
        for position in range(first, stop):
            word = word_at(position, worker)
            begin, end = task.subwords.offsets[word], task.subwords.offsets[word + 1]
            for j in range(chunks):
                total[j] = _ZERO
            for k in range(begin, end):
                row = np.int64(task.subwords.rows[k]) * stride
                for j in range(chunks):
                    d = worker.lane + lanes * j
                    if j < whole or d < stride:
                        total[j] += load(task.weights.input, row + d)
            scale, place = (
                _ONE / np.float32(end - begin),
                worker.floats_at + (position % places) * stride,
            )
            for j in range(chunks):
                d = worker.lane + lanes * j
                if j < whole or d < stride:
                    mean = total[j] * scale
                    worker.floats[place + d] = mean
                    worker.floats[place + half + d] = mean

    @helper
    def leave(first, stop, worker, task):
        """Add to each row of the words what their vectors have changed by in the ring."""
        for position in range(first, stop):
            word = word_at(position, worker)
            place = worker.floats_at + (position % places) * stride
            # What was learnt takes the place of what came in: registers for it would be one array more than large vectors leave.
            for j in range(chunks):
                d = worker.lane + lanes * j
                if j < whole or d < stride:
                    worker.floats[place + half + d] = (
                        worker.floats[place + d] - worker.floats[place + half + d]
                    )
            for k in range(task.subwords.offsets[word], task.subwords.offsets[word + 1]):
                row = np.int64(task.subwords.rows[k]) * stride
                for j in range(chunks):
                    d = worker.lane + lanes * j
                    if j < whole or d < stride:
                        add(task.weights.input, row + d, worker.floats[place + half + d])

    return enter, leave


def _build_access(shape: Shape) -> tuple[Callable[..., Any], ...]:
    """Return how the ring's vectors are read and trained."""
    stride, places, word_at = shape.stride, shape.ring_places, build_word_at(shape)

    @helper
    def input_row(position, worker):
        """Return where the vector of a position lies in Worker.floats."""
        return worker.floats_at + (position % places) * stride

    @helper
    def read_one(row, d, worker, task):
        """Return an element of the ring."""
        return worker.floats[row + d]

    @helper
    def change(row, d, amount, worker, task):
        """Add to an element of the ring: no other lane has this dimension, no other warp this ring."""
        worker.floats[row + d] += amount

    @helper
    def row_count(position, worker, task):
        """Return how many rows the word is the mean of."""
        word = word_at(position, worker)
        return np.float32(task.subwords.offsets[word + 1] - task.subwords.offsets[word])

    return input_row, read_one, change, row_count
