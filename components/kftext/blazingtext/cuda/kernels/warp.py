"""What the lanes of a warp do together, and reading and writing memory that other warps write.

A block is one warp. numba's simulator has no warp instructions: here, and nowhere else, each has a twin that goes through an array
that all lanes see (`exchange`), for any number of lanes. The arrays it is given are float32[EXCHANGE_FLOATS].
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba import cuda

from kftext.blazingtext.cuda.kernels.shape import LANES

__all__ = [
    "EXCHANGE_FLOATS",
    "LAUNCH_BOUNDS",
    "SIMULATED",
    "SLOTS",
    "add",
    "device",
    "gradients",
    "kernel",
    "load",
    "rank",
    "synchronize",
]

SIMULATED = bool(numba.config.ENABLE_CUDASIM)
SLOTS = 8
"""Scores that are summed over the lanes at once."""
EXCHANGE_FLOATS = LANES * SLOTS if SIMULATED else 1

LAUNCH_BOUNDS = (LANES, 8)
"""Threads of a block, and blocks of a multiprocessor that registers must do for: with none named, ptxas spills to make room for more."""

_ALL_LANES = 0xFFFFFFFF
_LARGEST_SCORE = np.float32(30)
_ONE, _ZERO = np.float32(1), np.float32(0)


def device(function: Callable[..., Any]) -> Any:
    """Compile a piece of a kernel; it is always inlined. In the simulator it stays a Python function."""
    if SIMULATED:
        return function
    return cuda.jit(device=True, forceinline=True, fastmath=True)(function)


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a kernel for blocks of one warp."""
    if SIMULATED:
        return cuda.jit(function)
    return cuda.jit(fastmath=True, launch_bounds=LAUNCH_BOUNDS)(function)


@device
def gradient_of(score, target, rate):
    """Return rate * (target - sigmoid(score))."""
    score = min(max(score, -_LARGEST_SCORE), _LARGEST_SCORE)
    return rate * (target - _ONE / (_ONE + np.float32(math.exp(-score))))


@device
def loss_of(score, target):
    """Return the negative log-likelihood of a target, 0 or 1."""
    return max(score, _ZERO) - target * score + np.float32(math.log1p(math.exp(-abs(score))))


if SIMULATED:

    def synchronize():
        """Wait for the other lanes, and see what they have written."""
        threading.current_thread().syncthreads()  # type: ignore[attr-defined]

    def load(array, index):
        """Read what other warps write, past the cache that only this multiprocessor sees."""
        return array[index]

    def add(array, index, change):
        """Add atomically."""
        array[index] += change

    def rank(flag, lane, lanes, exchange):
        """Return how many lanes before this one have the flag set, and how many of all."""
        exchange[lane] = flag
        synchronize()
        before, count = int(exchange[:lane].sum()), int(exchange[:lanes].sum())
        synchronize()
        return before, count

    def gradients(scores, n, positive, rate, lane, lanes, exchange):
        """Sum scores (float32[SLOTS], changed in place) over the lanes and make them gradients; return this lane's share of the loss.

        The first `n` scores count, the gradient of the others is 0. The target of the first is 1 where `positive`, that of the others 0.
        """
        exchange[lane * SLOTS : lane * SLOTS + SLOTS] = scores
        synchronize()
        loss = _ZERO
        for k in range(SLOTS):
            score = np.float32(exchange[k : lanes * SLOTS : SLOTS].sum())
            target = _ONE if positive and k == 0 else _ZERO
            scores[k] = gradient_of(score, target, rate) if k < n else _ZERO
            if lane == 0 and k < n:
                loss += loss_of(score, target)
        synchronize()
        return loss

else:

    @device
    def synchronize():
        """Wait for the other lanes, and see what they have written."""
        cuda.syncwarp()

    @device
    def load(array, index):
        """Read what other warps write, past the cache that only this multiprocessor sees."""
        return cuda.ldcg(array, index)

    @device
    def add(array, index, change):
        """Add atomically."""
        cuda.atomic.add(array, index, change)

    @device
    def rank(flag, lane, lanes, exchange):
        """Return how many lanes before this one have the flag set, and how many of all."""
        votes = np.uint32(cuda.ballot_sync(_ALL_LANES, flag))
        before = votes & ((np.uint32(1) << np.uint32(lane)) - np.uint32(1))
        return np.int32(cuda.popc(before)), np.int32(cuda.popc(votes))

    @device
    def _exchange_pair(low, high, upper, mask):
        """Give the lane across `mask` what it sums, keep what this one does: half as many numbers, each a sum of two lanes."""
        keep = high if upper else low
        give = low if upper else high
        return keep + cuda.shfl_xor_sync(_ALL_LANES, give, mask)

    @device
    def sums(scores, lane):
        """Return the sum over all lanes of scores[lane // 4]: eight sums with nine shuffles in place of forty."""
        upper = (lane & 16) != 0
        a0 = _exchange_pair(scores[0], scores[4], upper, 16)
        a1 = _exchange_pair(scores[1], scores[5], upper, 16)
        a2 = _exchange_pair(scores[2], scores[6], upper, 16)
        a3 = _exchange_pair(scores[3], scores[7], upper, 16)
        upper = (lane & 8) != 0
        b0 = _exchange_pair(a0, a2, upper, 8)
        b1 = _exchange_pair(a1, a3, upper, 8)
        total = _exchange_pair(b0, b1, (lane & 4) != 0, 4)
        total += cuda.shfl_xor_sync(_ALL_LANES, total, 2)
        return total + cuda.shfl_xor_sync(_ALL_LANES, total, 1)

    @device
    def gradients(scores, n, positive, rate, lane, lanes, exchange):
        """Sum scores (float32[SLOTS], changed in place) over the lanes and make them gradients; return this lane's share of the loss.

        The first `n` scores count, the gradient of the others is 0. The target of the first is 1 where `positive`, that of the others 0.
        """
        score = sums(scores, lane)
        slot = lane >> 2
        target = _ONE if positive and slot == 0 else _ZERO
        gradient = gradient_of(score, target, rate) if slot < n else _ZERO
        for k in range(SLOTS):
            scores[k] = cuda.shfl_sync(_ALL_LANES, gradient, 4 * k)
        return loss_of(score, target) if slot < n and lane & 3 == 0 else _ZERO
