"""Word vectors made of character n-grams, kept while a word is inside the sliding window.

With subwords a word's input vector is the mean of its own row and its n-grams' (Bojanowski et al., "Enriching word vectors with
subword information", 2017, section 3.2), about a dozen rows. A word is the context of up to twice `window` others: its mean is
computed once when it comes into reach, trained in a ring that stays in cache, and its change is added to each of its rows once when
it is out of reach. (The gradient of each row is the mean's whole gradient: fastText divides it by the number of rows in supervised
mode only.)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kftext.blazingtext.kernels import simd
from kftext.blazingtext.kernels.compilation import helper
from kftext.blazingtext.kernels.prefetch import prefetch_row

__all__ = ["Ring", "allocate_ring", "enter", "input_row", "leave", "row_count"]


class Ring(NamedTuple):
    """The words around the current position.

    Attributes:
        offsets: int64[words + 1], word w is made of the rows rows[offsets[w]:offsets[w + 1]] of the input matrix.
        rows: int32[n].
        vectors: float32[places * stride], the mean of each place's word, being trained.
        before: float32[places * stride], the same when the word came in.
        mask: places - 1; the number of places is a power of two.
    """

    offsets: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int32]
    vectors: npt.NDArray[np.float32]
    before: npt.NDArray[np.float32]
    mask: int


def allocate_ring(
    offsets: npt.NDArray[np.int64], rows: npt.NDArray[np.int32], reach: int, stride: int
) -> Ring:
    """Make a thread's ring, with room for `reach` positions at once."""
    places = 1 << max(reach - 1, 1).bit_length()
    return Ring(
        offsets,
        rows,
        np.zeros(places * stride, np.float32),
        np.zeros(places * stride, np.float32),
        places - 1,
    )


@helper
def input_row(word, position, stride, ring):
    """Return where the input vector of the word at `position` starts: in the matrix, or in the ring if there is one."""
    if ring is None:
        return word * stride
    return (position & ring.mask) * stride


@helper
def row_count(word, ring):
    """Return the number of rows that a word is made of."""
    if ring is None:
        return np.int64(1)
    return ring.offsets[word + 1] - ring.offsets[word]


@helper
def _enter(word, position, matrix, stride, ring):
    first, stop = ring.offsets[word], ring.offsets[word + 1]
    scale = simd.splat(np.float32(1) / np.float32(stop - first))
    place = (position & ring.mask) * stride
    for d in range(0, stride, simd.LANES):
        total = simd.zeros()
        for k in range(first, stop):
            total = simd.add(total, simd.load(matrix, np.int64(ring.rows[k]) * stride + d))
        mean = simd.multiply(total, scale)
        simd.store(ring.vectors, place + d, mean)
        simd.store(ring.before, place + d, mean)


@helper
def enter(line, first, stop, length, weights, ring):
    """Bring the words line[first:stop] of a line of `length` words into the ring, and ask for the rows of those after them."""
    if ring is not None:
        stride = np.int64(weights.stride)
        for position in range(first, stop):
            if position + 2 < length:
                word = line[position + 2]
                for k in range(ring.offsets[word], ring.offsets[word + 1]):
                    prefetch_row(weights.input, np.int64(ring.rows[k]) * stride, stride)
            _enter(line[position], position, weights.input, stride, ring)


@helper
def leave(line, first, stop, weights, ring):
    """Add what the words line[first:stop] learnt in the ring to the rows that they are made of."""
    if ring is not None:
        stride = np.int64(weights.stride)
        for position in range(first, stop):
            place = (position & ring.mask) * stride
            word = line[position]
            for d in range(0, stride, simd.LANES):
                change = simd.subtract(
                    simd.load(ring.vectors, place + d), simd.load(ring.before, place + d)
                )
                for k in range(ring.offsets[word], ring.offsets[word + 1]):
                    row = np.int64(ring.rows[k]) * stride + d
                    simd.store(weights.input, row, simd.add(simd.load(weights.input, row), change))
