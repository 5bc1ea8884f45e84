"""What the lanes of a warp do together. A block is one warp.

numba's simulator has no warp instructions: here, and nowhere else, each has a twin that goes through an array that all lanes see
(`Worker.exchange`). What is made of them is the same code on both.
"""

from __future__ import annotations

import math
import threading

import numpy as np
from numba import cuda

from kftext.blazingtext.cuda.kernels.compilation import SIMULATED, helper
from kftext.blazingtext.cuda.kernels.shape import LANES

__all__ = [
    "EXCHANGE_FLOATS",
    "SLOTS",
    "gradients",
    "rank",
    "sum_lanes",
    "sum_scores",
    "synchronize",
]

SLOTS = 8
"""Scores that are summed over the lanes at once."""
EXCHANGE_FLOATS = LANES * SLOTS if SIMULATED else 1

_ALL_LANES = 0xFFFFFFFF
_LARGEST_SCORE = np.float32(30)
_ONE, _ZERO = np.float32(1), np.float32(0)


@helper
def _gradient_of(score, target, rate):
    """Return rate * (target - sigmoid(score))."""
    score = min(max(score, -_LARGEST_SCORE), _LARGEST_SCORE)
    return rate * (target - _ONE / (_ONE + np.float32(math.exp(-score))))


@helper
def _loss_of(score, target):
    """Return the negative log-likelihood of a target, 0 or 1."""
    return max(score, _ZERO) - target * score + np.float32(math.log1p(math.exp(-abs(score))))


if SIMULATED:

    def synchronize(worker):
        """Wait for the other lanes, and see what they have written."""
        # A single lane has nobody to wait for, and the simulator would poll.
        if worker.lanes > 1:
            threading.current_thread().syncthreads()  # type: ignore[attr-defined]

    def _give_and_take(value, source, worker):
        """Show a value to all lanes, and return what the lane `source`, or the lanes of a slice, have shown."""
        worker.exchange[worker.lane] = value
        synchronize(worker)
        # A copy: a slice shows what the array holds, and the others are free to write to it once all have read.
        taken = worker.exchange[source].copy()
        synchronize(worker)
        return taken

    def _shuffle_xor(value, mask, worker):
        """Return the value of the lane whose number differs in the bits of a mask."""
        return _give_and_take(value, worker.lane ^ mask, worker)

    def _shuffle(value, source, worker):
        """Return the value of one lane."""
        return _give_and_take(value, source, worker)

    def _ballot(flag, worker):
        """Return uint32, bit i set where lane i has the flag set."""
        flags = _give_and_take(flag, slice(0, worker.lanes), worker) != 0
        return np.uint32(sum(1 << lane for lane in np.flatnonzero(flags).tolist()))

    def _bit_count(bits):
        """Return how many bits are set."""
        return int(bits).bit_count()

else:

    @helper
    def synchronize(worker):
        """Wait for the other lanes, and see what they have written."""
        cuda.syncwarp()

    @helper
    def _shuffle_xor(value, mask, worker):
        """Return the value of the lane whose number differs in the bits of a mask."""
        return cuda.shfl_xor_sync(_ALL_LANES, value, mask)

    @helper
    def _shuffle(value, source, worker):
        """Return the value of one lane."""
        return cuda.shfl_sync(_ALL_LANES, value, source)

    @helper
    def _ballot(flag, worker):
        """Return uint32, bit i set where lane i has the flag set."""
        return np.uint32(cuda.ballot_sync(_ALL_LANES, flag))

    @helper
    def _bit_count(bits):
        """Return how many bits are set."""
        return np.int32(cuda.popc(bits))


@helper
def rank(flag, worker):
    """Return how many lanes before this one have the flag set, and how many of all."""
    votes = _ballot(flag, worker)
    before = votes & ((np.uint32(1) << np.uint32(worker.lane)) - np.uint32(1))
    return _bit_count(before), _bit_count(votes)


@helper
def _exchange_pair(low, high, mask, worker):
    """Give the lane across `mask` what it sums, keep what this one does: half as many numbers, each a sum of two lanes."""
    upper = (worker.lane & mask) != 0
    keep = high if upper else low
    give = low if upper else high
    return keep + _shuffle_xor(give, mask, worker)


@helper
def _sums(scores, worker):
    """Return the sum over all lanes of scores[lane // 4]: eight sums with nine shuffles in place of forty."""
    a0 = _exchange_pair(scores[0], scores[4], 16, worker)
    a1 = _exchange_pair(scores[1], scores[5], 16, worker)
    a2 = _exchange_pair(scores[2], scores[6], 16, worker)
    a3 = _exchange_pair(scores[3], scores[7], 16, worker)
    b0 = _exchange_pair(a0, a2, 8, worker)
    b1 = _exchange_pair(a1, a3, 8, worker)
    total = _exchange_pair(b0, b1, 4, worker)
    total += _shuffle_xor(total, 2, worker)
    return total + _shuffle_xor(total, 1, worker)


@helper
def sum_lanes(value, worker):
    """Return the sum of a value over all lanes, to each of them."""
    value += _shuffle_xor(value, 16, worker)
    value += _shuffle_xor(value, 8, worker)
    value += _shuffle_xor(value, 4, worker)
    value += _shuffle_xor(value, 2, worker)
    return value + _shuffle_xor(value, 1, worker)


@helper
def sum_scores(scores, worker):
    """Sum each of the scores, float32[SLOTS], over all lanes, in place and for each of them."""
    total = _sums(scores, worker)
    for k in range(SLOTS):
        scores[k] = _shuffle(total, 4 * k, worker)


@helper
def gradients(scores, n, targets, rate, worker):
    """Sum scores (float32[SLOTS], changed in place) over the lanes and make them gradients; return this lane's share of the loss.

    The first `n` scores count, the gradient of the others is 0. The target of score k is bit k of `targets`.
    """
    score, slot = _sums(scores, worker), worker.lane >> 2
    target = _ONE if (targets >> slot) & 1 else _ZERO
    gradient = _gradient_of(score, target, rate) if slot < n else _ZERO
    for k in range(SLOTS):
        scores[k] = _shuffle(gradient, 4 * k, worker)
    return _loss_of(score, target) if slot < n and worker.lane & 3 == 0 else _ZERO


if SIMULATED:
    # A whole warp is slow to simulate.
    _of_a_warp = gradients, sum_lanes, sum_scores

    def sum_lanes(value, worker):
        """The same for any number of lanes."""
        if worker.lanes == LANES:
            return _of_a_warp[1](value, worker)
        values = _give_and_take(value, slice(0, worker.lanes), worker)
        return np.float32(np.sum(values))

    def sum_scores(scores, worker):
        """The same for any number of lanes."""
        if worker.lanes == LANES:
            _of_a_warp[2](scores, worker)
            return
        exchange, lane, lanes = worker.exchange, worker.lane, worker.lanes
        exchange[lane * SLOTS : lane * SLOTS + SLOTS] = scores
        synchronize(worker)
        for k in range(SLOTS):
            scores[k] = np.float32(exchange[k : lanes * SLOTS : SLOTS].sum())
        synchronize(worker)

    def gradients(scores, n, targets, rate, worker):
        """The same for any number of lanes."""
        if worker.lanes == LANES:
            return _of_a_warp[0](scores, n, targets, rate, worker)
        sum_scores(scores, worker)
        loss = _ZERO
        for k in range(SLOTS):
            target = _ONE if (targets >> k) & 1 else _ZERO
            if worker.lane == 0 and k < n:
                loss += _loss_of(scores[k], target)
            scores[k] = _gradient_of(scores[k], target, rate) if k < n else _ZERO
        return loss
