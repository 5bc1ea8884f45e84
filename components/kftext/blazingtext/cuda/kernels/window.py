"""The words around the one at hand: subsampling ahead of the window, and input vectors, which live in the matrix or in a ring.

Without subwords a context word's vector is read from the matrix and its change is added to the matrix at once. A ring in shared
memory would save half of that traffic (Randall, Allen and Ge, "FULL-W2V: fully exploiting data reuse for W2V on GPU-accelerated
systems", ICS 2021), but keeps changes back for a whole window, in which thousands of streams train the same frequent words: the vectors
come out worse at the same number of streams, and bandwidth is not what the kernels wait for. With subwords a vector is the mean of a
dozen rows, and the ring is what makes that affordable, as on the CPU (`kernels.ring`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from kftext.blazingtext.cuda.kernels.sampling import advance, draw, keeps, resolve
from kftext.blazingtext.cuda.kernels.shape import Shape
from kftext.blazingtext.cuda.kernels.warp import add, device, load, rank, synchronize

__all__ = ["Window", "Workspace", "build_window", "build_workspace"]

_ZERO, _ONE = np.float32(0), np.float32(1)


class Window(NamedTuple):
    """Device functions of a shape.

    Attributes:
        fill: (words, ids, scanned, stop, start, kept, needed, base, sampling, lane, exchange) -> (scanned, kept): subsample until
            `needed` words of the line are kept, or the line ends.
        draw_ahead: (tosses, state, sampling, negatives, lane) -> (tosses, state): draw the negatives of the next window.
        enter: (words, first, stop, weights, subwords, ring, ring_at, total, lane): bring words into the ring.
        leave: (words, first, stop, weights, subwords, ring, ring_at, total, lane): add what words in the ring have learnt to their rows.
        read: (x, position, words, weights, ring, ring_at, lane): read an input vector into registers.
        change: (d, amount, position, words, weights, ring, ring_at): change one of its numbers.
        row_count: (position, words, subwords): rows that the input vector is the mean of.
    """

    fill: Callable[..., Any]
    draw_ahead: Callable[..., Any]
    enter: Callable[..., Any]
    leave: Callable[..., Any]
    read: Callable[..., Any]
    change: Callable[..., Any]
    row_count: Callable[..., Any]


class Workspace(NamedTuple):
    """Device functions that say where a stream's work space is: (shared array, array in device memory, stream) -> (array, begin)."""

    floats: Callable[..., Any]
    integers: Callable[..., Any]


def build_workspace(shape: Shape) -> Workspace:
    """Return where the work space of a shape is."""
    n_floats, n_integers = shape.floats, shape.integers
    if shape.in_shared_memory:

        @device
        def shared(inside, outside, stream):
            return inside, np.int64(0)

        return Workspace(shared, shared)

    @device
    def floats(inside, outside, stream):
        return outside, np.int64(stream) * n_floats

    @device
    def integers(inside, outside, stream):
        return outside, np.int64(stream) * n_integers

    return Workspace(floats, integers)


def build_window(shape: Shape) -> Window:
    """Build the device functions of a shape. `words` is a pair of the array and where the stream's ring of words begins in it."""
    lanes, negatives_drawn, word_mask = shape.lanes, shape.negatives, shape.word_places - 1

    @device
    def fill(words, ids, scanned, stop, start, kept, needed, base, sampling, lane, exchange):
        while kept < needed and scanned < stop:
            token, word, keep = scanned + lane, np.int32(0), False
            if token < stop:
                word = ids[token]
                keep = keeps(draw(base, token - start + 1), sampling.keep[word])
            before, count = rank(keep, lane, lanes, exchange)
            if keep:
                words[0][words[1] + ((kept + before) & word_mask)] = word
            kept += count
            scanned = min(stop, scanned + lanes)
            synchronize()
        return scanned, kept

    @device
    def draw_ahead(tosses, state, sampling, negatives, lane):
        # All lanes must have read the last ones.
        synchronize()
        for k in range(lane, negatives_drawn, lanes):
            negatives[0][negatives[1] + k] = resolve(draw(tosses, k + 1), sampling.negatives)
        synchronize()
        return state, advance(state, negatives_drawn)

    if shape.subwords:
        return Window(fill, draw_ahead, *_in_ring(shape))
    return Window(fill, draw_ahead, *_in_matrix(shape))


def _in_matrix(shape: Shape) -> tuple[Callable[..., Any], ...]:
    lanes, chunks, stride, word_mask = (
        shape.lanes,
        shape.chunks,
        shape.stride,
        shape.word_places - 1,
    )

    @device
    def enter(words, first, stop, weights, subwords, ring, ring_at, total, lane):
        pass

    @device
    def read(x, position, words, weights, ring, ring_at, lane):
        row = np.int64(words[0][words[1] + (position & word_mask)]) * stride
        for j in range(chunks):
            d = lane + lanes * j
            x[j] = load(weights.input, row + d) if d < stride else _ZERO

    @device
    def change(d, amount, position, words, weights, ring, ring_at):
        add(
            weights.input,
            np.int64(words[0][words[1] + (position & word_mask)]) * stride + d,
            amount,
        )

    @device
    def row_count(position, words, subwords):
        return _ONE

    return enter, enter, read, change, row_count


def _in_ring(shape: Shape) -> tuple[Callable[..., Any], ...]:
    lanes, chunks, stride, word_mask = (
        shape.lanes,
        shape.chunks,
        shape.stride,
        shape.word_places - 1,
    )
    places, half = shape.ring_places, shape.ring_places * shape.stride

    @device
    def enter(words, first, stop, weights, subwords, ring, ring_at, total, lane):
        for position in range(first, stop):
            word = words[0][words[1] + (position & word_mask)]
            begin, end = subwords.offsets[word], subwords.offsets[word + 1]
            for j in range(chunks):
                total[j] = _ZERO
            for k in range(begin, end):
                row = np.int64(subwords.rows[k]) * stride
                for j in range(chunks):
                    d = lane + lanes * j
                    if d < stride:
                        total[j] += load(weights.input, row + d)
            scale, place = _ONE / np.float32(end - begin), ring_at + (position % places) * stride
            for j in range(chunks):
                d = lane + lanes * j
                if d < stride:
                    ring[place + d] = ring[place + half + d] = total[j] * scale

    @device
    def leave(words, first, stop, weights, subwords, ring, ring_at, total, lane):
        for position in range(first, stop):
            word, place = (
                words[0][words[1] + (position & word_mask)],
                ring_at + (position % places) * stride,
            )
            for j in range(chunks):
                d = lane + lanes * j
                total[j] = ring[place + d] - ring[place + half + d] if d < stride else _ZERO
            for k in range(subwords.offsets[word], subwords.offsets[word + 1]):
                row = np.int64(subwords.rows[k]) * stride
                for j in range(chunks):
                    d = lane + lanes * j
                    if d < stride:
                        add(weights.input, row + d, total[j])

    @device
    def read(x, position, words, weights, ring, ring_at, lane):
        place = ring_at + (position % places) * stride
        for j in range(chunks):
            d = lane + lanes * j
            x[j] = ring[place + d] if d < stride else _ZERO

    @device
    def change(d, amount, position, words, weights, ring, ring_at):
        # Each lane alone reads and writes its dimensions.
        ring[ring_at + (position % places) * stride + d] += amount

    @device
    def row_count(position, words, subwords):
        word = words[0][words[1] + (position & word_mask)]
        return np.float32(subwords.offsets[word + 1] - subwords.offsets[word])

    return enter, leave, read, change, row_count
