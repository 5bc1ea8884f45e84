"""Random draws of the kernels: generator, subsampling of frequent words, words drawn by frequency.

The generator is SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014): its state is one
uint64 that counts up by a constant, so that a draw doesn't wait for the one before. The state is an array of one element, always
handed in: nothing here is global.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kftext.blazingtext.kernels.compilation import helper, kernel

__all__ = [
    "AliasTable",
    "below",
    "build_alias_table",
    "keep_line",
    "keep_thresholds",
    "next_random",
    "resolve",
]

_INCREMENT = np.uint64(0x9E3779B97F4A7C15)
_MULTIPLIER_1, _MULTIPLIER_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_SHIFT_27, _SHIFT_30, _SHIFT_31, _HALF = (np.uint64(bits) for bits in (27, 30, 31, 32))
_LOW_HALF = np.uint64(0xFFFFFFFF)
_TWO_TO_32 = float(1 << 32)


class AliasTable(NamedTuple):
    """Draws an index with given probabilities in constant time: Walker's alias method, in Vose's construction.

    Entry k is drawn uniformly, then k itself with probability threshold / 2^32, else its alias. At 8 bytes an entry it stays in
    cache, where fastText's table of ten million entries misses it on every draw.

    Attributes:
        entries: uint64[n], the alias in the high half and the threshold in the low one, so that a draw reads one cache line.
    """

    entries: npt.NDArray[np.uint64]


@kernel
def _vose(scaled, threshold, alias):
    """Vose, "A linear algorithm for generating random numbers with a given distribution", 1991. `scaled` has mean 1 and is used up."""
    n = scaled.size
    small, large = np.empty(n, np.int64), np.empty(n, np.int64)
    n_small = n_large = 0
    for k in range(n):
        if scaled[k] < 1.0:
            small[n_small] = k
            n_small += 1
        else:
            large[n_large] = k
            n_large += 1
    while n_small > 0 and n_large > 0:
        n_small -= 1
        k, donor = small[n_small], large[n_large - 1]
        threshold[k] = np.uint64(min(scaled[k] * _TWO_TO_32, _TWO_TO_32 - 1.0))
        alias[k] = np.uint64(donor)
        scaled[donor] -= 1.0 - scaled[k]
        if scaled[donor] < 1.0:
            n_large -= 1
            small[n_small] = donor
            n_small += 1
    # What is left has probability 1 but for rounding, and so it stands in the arrays already.


def build_alias_table(weights: npt.ArrayLike) -> AliasTable:
    """Build the table that draws index k with probability weights[k] / sum(weights).

    Args:
        weights: [n], n >= 1, not negative, not all zero.
    """
    probabilities = np.asarray(weights, np.float64)
    n = len(probabilities)
    threshold, alias = np.full(n, _LOW_HALF), np.arange(n, dtype=np.uint64)
    _vose(probabilities * (n / probabilities.sum()), threshold, alias)
    return AliasTable((alias << _HALF) | threshold)


def keep_thresholds(
    counts: npt.NDArray[np.int64], token_count: int, threshold: float
) -> npt.NDArray[np.uint32]:
    """Return for each word the probability that an occurrence is kept, in units of 2^-32.

    A word that is the share f of the text is kept with probability sqrt(t / f) + t / f, as in word2vec and fastText
    (Dictionary::initTableDiscard); equation 5 of Mikolov et al., "Distributed representations of words and phrases and their
    compositionality" (2013) lacks the second term.

    Args:
        counts: int64[words], occurrences of each word.
        token_count: occurrences of all words, those left out of the vocabulary included.
        threshold: t.
    """
    share = np.maximum(counts, 1) / max(token_count, 1)
    keep = np.sqrt(threshold / share) + threshold / share
    return np.minimum(keep * _TWO_TO_32, _TWO_TO_32 - 1).astype(np.uint32)


@helper
def next_random(state):
    """Advance `state` (uint64[1]) and return 64 random bits."""
    state[0] += _INCREMENT
    z = state[0]
    z = (z ^ (z >> _SHIFT_30)) * _MULTIPLIER_1
    z = (z ^ (z >> _SHIFT_27)) * _MULTIPLIER_2
    return z ^ (z >> _SHIFT_31)


@helper
def below(state, n):
    """Draw a whole number from 0 to n - 1, n < 2^32 (Lemire's multiplication in place of a division)."""
    return np.int64(((next_random(state) >> _HALF) * np.uint64(n)) >> _HALF)


@helper
def resolve(bits, table):
    """Return the index that a random number draws from an alias table: the high half chooses the entry, the low half is the coin."""
    k = np.int64(((bits >> _HALF) * np.uint64(table.entries.size)) >> _HALF)
    entry = table.entries[k]
    return k if (bits & _LOW_HALF) <= (entry & _LOW_HALF) else np.int64(entry >> _HALF)


@helper
def keep_line(state, ids, start, stop, keep, line):
    """Copy the words of ids[start:stop] that subsampling keeps to `line` (int64) and return how many those are."""
    kept = 0
    for token in range(start, stop):
        word = ids[token]
        line[kept] = (
            word  # without a branch: it would be mispredicted for every other frequent word
        )
        kept += (next_random(state) >> _HALF) <= np.uint64(keep[word])
    return kept
