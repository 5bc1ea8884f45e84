"""A thread's copy of the output matrix, for examples that each write much of it.

With softmax and ova each example writes the whole output matrix, with ns and hs a few of its rows, which among a few labels are most of
them. With several threads each write takes the cache line away from another core: on 735 labels, with softmax, four threads were four
times as slow as one. So each thread trains a copy, and adds what it has learnt to the shared matrix now and then. Sums, not means: every
update counts once, as without copies, only a few examples later.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kftext.blazingtext.kernels import simd
from kftext.blazingtext.kernels.compilation import helper

__all__ = ["MERGE_EVERY", "Replica", "begin", "merge"]

MERGE_EVERY = 16
"""Examples trained between two merges."""


class Replica(NamedTuple):
    """A thread's copy of the output matrix; both arrays are empty where the thread trains the shared one.

    Attributes:
        own: float32[size of the output matrix], the copy.
        before: float32[the same], the shared matrix as it was at the last merge.
    """

    own: npt.NDArray[np.float32]
    before: npt.NDArray[np.float32]


@helper
def begin(shared, replica):
    """Make the copy equal to the shared matrix."""
    for i in range(0, replica.own.size, simd.LANES):
        values = simd.load(shared, i)
        simd.store(replica.own, i, values)
        simd.store(replica.before, i, values)


@helper
def merge(shared, replica):
    """Add what the copy learnt to the shared matrix, and take over what other threads have added there."""
    for i in range(0, replica.own.size, simd.LANES):
        learnt = simd.subtract(simd.load(replica.own, i), simd.load(replica.before, i))
        values = simd.add(simd.load(shared, i), learnt)
        simd.store(shared, i, values)
        simd.store(replica.own, i, values)
        simd.store(replica.before, i, values)
