"""Random draws: the CPU's generator and alias table, so that one stream draws what one thread of the CPU does.

SplitMix64 counts: the k-th draw after a state is a function of both, so that the lanes of a warp draw side by side what the CPU draws
one after the other. A state is a uint64 (in the simulator a Python integer), and what has been drawn is added to it by `advance`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kftext.blazingtext.cuda.kernels.compilation import SIMULATED, helper
from kftext.blazingtext.cuda.kernels.shape import Shape
from kftext.blazingtext.cuda.kernels.warp import rank, synchronize

__all__ = ["advance", "below", "build_keep_line", "draw", "keeps", "resolve", "state_of"]

if SIMULATED:
    # Python's integers: NumPy's warn of each overflow, which here is meant.
    _MASK = (1 << 64) - 1

    def state_of(number):
        """Return a state from an array of uint64."""
        return int(number)

    def advance(state, draws):
        """Return the state after so many draws."""
        return (state + int(draws) * 0x9E3779B97F4A7C15) & _MASK

    def draw(state, k):
        """Return the 64 random bits of the k-th draw after `state`, from 1."""
        z = advance(state, k)
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
        return z ^ (z >> 31)

    def below(bits, n):
        """Return a whole number from 0 to n - 1, n < 2^31."""
        return ((bits >> 32) * n) >> 32

    def resolve(bits, entries):
        """Return the index that random bits draw from an alias table (the CPU's `sampling.AliasTable`)."""
        k = below(bits, len(entries))
        entry = int(entries[k])
        return k if (bits & 0xFFFFFFFF) <= (entry & 0xFFFFFFFF) else entry >> 32

    def keeps(bits, threshold):
        """Return whether subsampling keeps a word with this threshold (`sampling.keep_thresholds`)."""
        return (bits >> 32) <= int(threshold)

else:
    _INCREMENT = np.uint64(0x9E3779B97F4A7C15)
    _MULTIPLIER_1, _MULTIPLIER_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
    _SHIFT_27, _SHIFT_30, _SHIFT_31, _HALF = (np.uint64(bits) for bits in (27, 30, 31, 32))
    _LOW_HALF = np.uint64(0xFFFFFFFF)

    @helper
    def state_of(number):
        """Return a state from an array of uint64."""
        return np.uint64(number)

    @helper
    def advance(state, draws):
        """Return the state after so many draws."""
        return state + np.uint64(draws) * _INCREMENT

    @helper
    def draw(state, k):
        """Return the 64 random bits of the k-th draw after `state`, from 1."""
        z = advance(state, k)
        z = (z ^ (z >> _SHIFT_30)) * _MULTIPLIER_1
        z = (z ^ (z >> _SHIFT_27)) * _MULTIPLIER_2
        return z ^ (z >> _SHIFT_31)

    @helper
    def below(bits, n):
        """Return a whole number from 0 to n - 1, n < 2^31."""
        return np.int32(((bits >> _HALF) * np.uint64(n)) >> _HALF)

    @helper
    def resolve(bits, entries):
        """Return the index that random bits draw from an alias table (the CPU's `sampling.AliasTable`)."""
        k = below(bits, entries.size)
        entry = entries[k]
        return k if (bits & _LOW_HALF) <= (entry & _LOW_HALF) else np.int32(entry >> _HALF)

    @helper
    def keeps(bits, threshold):
        """Return whether subsampling keeps a word with this threshold (`sampling.keep_thresholds`)."""
        return (bits >> _HALF) <= np.uint64(threshold)


def build_keep_line(shape: Shape) -> Callable[..., Any]:
    """Return the twin of the CPU's `keep_line`, which keeps no more of a line than the next window needs."""
    lanes, mask = shape.lanes, shape.word_places - 1

    @helper
    def keep_line(line, scanned, kept, needed, worker, task):
        """Subsample ids[scanned:line.stop] until `needed` words of the line are kept, or it ends; return (scanned, kept).

        A place is written again when the word in it has left the windows of all lanes: they are less than a window apart.
        """
        while kept < needed and scanned < line.stop:
            token, word, keep = scanned + worker.lane, np.int32(0), False
            if token < line.stop:
                word = task.ids[token]
                keep = keeps(draw(line.random, token - line.start + 1), task.sampling.keep[word])
            before, count = rank(keep, worker)
            if keep:
                worker.integers[worker.integers_at + ((kept + before) & mask)] = word
            kept += count
            scanned = min(line.stop, scanned + lanes)
            synchronize(worker)
        return scanned, kept

    return keep_line
