"""How a text becomes rows of the input matrix, their mean and its gradient: words and word n-grams (the twin of `kernels.features`).

Each lane finds a row: that of a word, then those of the word n-grams that begin with it. The rows of all lanes go through the stream's
work space, so that the warp reads them side by side, many at a time. They are found again for the gradient, which costs less than room
for those of a text of any length.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import float32, int32

from kftext.blazingtext.cuda.kernels.compilation import SIMULATED, helper, registers
from kftext.blazingtext.cuda.kernels.rows import add, load
from kftext.blazingtext.cuda.kernels.shape import TextShape
from kftext.blazingtext.cuda.kernels.warp import rank, synchronize

__all__ = ["TextRows", "build_text_rows"]

_ZERO = np.float32(0)

if SIMULATED:
    _MASK = (1 << 64) - 1

    def _first_hash(number):
        """Return a word's hash, uint32, as fastText's n-gram hash takes it: an int32, extended to 64 bits with its sign."""
        return (int(number) - ((int(number) & 0x80000000) << 1)) & _MASK

    def _extend(h, number):
        """Return the hash of an n-gram with another word behind it."""
        return (h * 116049371 + _first_hash(number)) & _MASK

    def _bucket(h, features):
        """Return h % buckets."""
        return h % int(features.buckets)

else:
    from numba.cuda import libdevice

    _MULTIPLIER = np.uint64(116049371)

    @helper
    def _first_hash(number):
        """Return a word's hash, uint32, as fastText's n-gram hash takes it: an int32, extended to 64 bits with its sign."""
        return np.uint64(np.int64(np.int32(number)))

    @helper
    def _extend(h, number):
        """Return the hash of an n-gram with another word behind it."""
        return h * _MULTIPLIER + _first_hash(number)

    @helper
    def _bucket(h, features):
        """Return h % buckets, as the CPU's kernel does it: without a division."""
        quotient = np.uint64(libdevice.umul64hi(np.int64(h), np.int64(features.reciprocal)))
        remainder = h - quotient * features.buckets
        return remainder - features.buckets if remainder >= features.buckets else remainder


class TextRows(NamedTuple):
    """Device functions of a shape, on the text `task.texts.ids[start:stop]`.

    Attributes:
        mean: (hidden, start, stop, worker, task) -> int32, rows of the text: set this lane's dimensions of their mean.
        add_gradient: (gradient, start, stop, worker, task): add to each row.
    """

    mean: Callable[..., Any]
    add_gradient: Callable[..., Any]


def build_text_rows(shape: TextShape) -> TextRows:
    """Build the device functions of a shape."""
    chunks, sum_up = shape.chunks, _build_for_rows(shape, _build_add_rows(shape))

    @helper
    def mean(hidden, start, stop, worker, task):
        """Set hidden, float32[chunks], to the mean of the text's rows, and return how many those are."""
        for j in range(chunks):
            hidden[j] = _ZERO
        n = sum_up(hidden, start, stop, worker, task)
        scale = np.float32(1) / np.float32(max(n, 1))
        for j in range(chunks):
            hidden[j] *= scale
        return n

    return TextRows(mean, _build_for_rows(shape, _build_change_rows(shape)))


def _build_add_rows(shape: TextShape) -> Callable[..., Any]:
    """Return (hidden, n, worker, task): add the first n rows of the work space up."""
    lanes, chunks, whole, stride = shape.lanes, shape.chunks, shape.whole_chunks, shape.stride
    at_once, held = shape.rows_at_once, shape.rows_at_once * shape.chunks

    @helper
    def add_rows(hidden, n, worker, task):
        """Read the first n rows of the work space, several side by side, and add them to hidden, float32[chunks]."""
        w = registers.local.array(held, float32)
        first = 0
        while first < n:
            for i in range(at_once):
                place = worker.integers_at + min(first + i, n - 1)
                row = np.int64(worker.integers[place]) * stride
                for j in range(chunks):
                    d = worker.lane + lanes * j
                    there = first + i < n and (j < whole or d < stride)
                    w[i * chunks + j] = load(task.weights.input, row + d) if there else _ZERO
            for i in range(at_once):
                for j in range(chunks):
                    hidden[j] += w[i * chunks + j]
            first += at_once

    return add_rows


def _build_change_rows(shape: TextShape) -> Callable[..., Any]:
    """Return (gradient, n, worker, task): add to the first n rows of the work space."""
    lanes, chunks, whole, stride = shape.lanes, shape.chunks, shape.whole_chunks, shape.stride

    @helper
    def change_rows(gradient, n, worker, task):
        """Add gradient, float32[chunks], to the first n rows of the work space."""
        for i in range(n):
            row = np.int64(worker.integers[worker.integers_at + i]) * stride
            for j in range(chunks):
                d = worker.lane + lanes * j
                if j < whole or d < stride:
                    add(task.weights.input, row + d, gradient[j])

    return change_rows


def _build_for_rows(shape: TextShape, visit: Callable[..., Any]) -> Callable[..., Any]:
    """Return (values, start, stop, worker, task) -> int32, rows of the text: visit them, as many at a time as there are lanes.

    Words, with subwords also their character n-grams, and word n-grams: Dictionary::getLine, addSubwords and addWordNgrams of fastText.
    A word that is not in the vocabulary has no row of its own, but its hash takes part in word n-grams.

    Args:
        shape: what it is compiled for.
        visit: (values, n, worker, task), called with n rows in the work space.
    """
    lanes, share_words, share = shape.lanes, *_build_share(shape, visit)

    @helper
    def for_rows(values, start, stop, worker, task):
        """Find a row for each lane, of words and then of the n-grams that begin with them, and visit them; return how many there were."""
        features, ids, total = task.features, task.texts.ids, int32(0)
        first = start
        while first < stop:
            position = first + worker.lane
            total += share_words(position, stop, values, worker, task)
            h = _first_hash(0)
            if position < stop:
                h = _first_hash(features.hashes[ids[position]])
            for more in range(1, features.longest):
                row = int32(-1)
                if position + more < stop:
                    h = _extend(h, features.hashes[ids[position + more]])
                    row = int32(np.int64(_bucket(h, features)) + features.words)
                total += share(row, values, worker, task)
            first += lanes
        return total

    return for_rows


def _build_share(shape: TextShape, visit: Callable[..., Any]) -> tuple[Callable[..., Any], ...]:
    """Return how the lanes' rows are visited: those of words, and any others.

    The first is (position, stop, values, worker, task) -> n, for the words from `position` on, one a lane; the second
    (row, values, worker, task) -> n.
    """

    @helper
    def share(row, values, worker, task):
        """Visit the rows of all lanes, -1 for none, and return how many those are."""
        before, n = rank(row >= 0, worker)
        if row >= 0:
            worker.integers[worker.integers_at + before] = row
        synchronize(worker)
        visit(values, n, worker, task)
        synchronize(worker)
        return n

    @helper
    def share_words(position, stop, values, worker, task):
        """Visit the words' own rows."""
        row = int32(-1)
        if position < stop and task.texts.ids[position] < task.features.words:
            row = int32(task.texts.ids[position])
        return share(row, values, worker, task)

    @helper
    def share_subwords(position, stop, values, worker, task):
        """Visit all rows of the words: one of each word at a time, until none has any left."""
        features, k, end = task.features, np.int64(0), np.int64(0)
        if position < stop:
            word = task.texts.ids[position]
            k, end = features.offsets[word], features.offsets[word + 1]
        total, going = int32(0), True
        while going:
            row = features.rows[k] if k < end else int32(-1)
            n = share(row, values, worker, task)
            total += n
            k += 1
            going = n > 0
        return total

    return (share_subwords if shape.subwords else share_words), share
