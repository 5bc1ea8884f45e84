"""A thread's copies of rows that all threads write, each for nearly every example.

- The output matrix. With softmax and ova each example writes the whole of it, with ns and hs a few of its rows, which among a few labels
  are most of them.
- The rows of the most frequent words: nearly every text has some of them.

With several threads each write takes the cache line away from another core. On 735 labels, with softmax, four threads were four times as
slow as one; on texts of 40 words and 4 labels they are 1.5 times as fast for the words' copies, where the cores share no cache. So each
thread trains a copy, and adds what it has learnt to the shared matrix now and then. Sums, not means: every update counts once, as without
copies, only a few examples later.

How much later decides whether training stays stable: threads that don't see one another's steps take each of them anew. So with few
labels a copy is merged as soon as the steps taken in it have changed the loss of what they were taken on by `MOST_DRIFT`, which on short
texts with a high learning rate is after each example. Of many labels a merge costs as much as an example: there it is `MERGE_EVERY` alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kftext.blazingtext.kernels import simd
from kftext.blazingtext.kernels.compilation import helper

__all__ = ["MERGE_EVERY", "MOST_DRIFT", "Replica", "Replicas", "begin", "merge", "squared_length"]

MERGE_EVERY = 16
"""Examples trained between two merges, at most."""

MOST_DRIFT = 0.5
"""Change of the loss, to first order and summed over examples, after which a copy is merged."""


class Replica(NamedTuple):
    """A thread's copy of a matrix's first rows; both arrays are empty where the thread trains the shared ones.

    Attributes:
        own: float32[floats of those rows], the copy.
        before: float32[the same], the shared rows as they were at the last merge.
    """

    own: npt.NDArray[np.float32]
    before: npt.NDArray[np.float32]


class Replicas(NamedTuple):
    """A thread's copies.

    Attributes:
        output: of the output matrix.
        words: of the input matrix's rows of the most frequent words, the first ones.
    """

    output: Replica
    words: Replica


@helper
def begin(shared, replica):
    """Make the copy equal to the shared rows."""
    for i in range(0, replica.own.size, simd.LANES):
        values = simd.load(shared, i)
        simd.store(replica.own, i, values)
        simd.store(replica.before, i, values)


@helper
def merge(shared, replica):
    """Add what the copy learnt to the shared rows, and take over what other threads have added there."""
    for i in range(0, replica.own.size, simd.LANES):
        learnt = simd.subtract(simd.load(replica.own, i), simd.load(replica.before, i))
        values = simd.add(simd.load(shared, i), learnt)
        simd.store(shared, i, values)
        simd.store(replica.own, i, values)
        simd.store(replica.before, i, values)


@helper
def squared_length(vector, start, stride):
    """Return the sum of squares of vector[start : start + stride]."""
    total = simd.zeros()
    for d in range(start, start + stride, simd.LANES):
        values = simd.load(vector, d)
        total = simd.multiply_add(values, values, total)
    return simd.sum_lanes(total)
