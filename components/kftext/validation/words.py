"""Counts the tokens of many texts at once, and how many distinct words there are, in bounded memory.

Cutting each text into a list of `bytes` is what a pass over a corpus would spend most of its time on. Here some hundred
kilobytes of texts are joined, and NumPy finds the tokens and their hashes; `tokens.tokenize` is the definition that this
agrees with.
"""

from __future__ import annotations

import numpy as np

from kftext.data.tokens import WHITESPACE

__all__ = ["DistinctWords", "find_tokens", "hash_tokens", "token_counts"]

_IS_SPACE = np.zeros(256, bool)
_IS_SPACE[list(WHITESPACE)] = True
_HASHED_BYTES = 256
_PENDING = 1 << 18
_FACTORS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_LOW_BYTES = np.array([(1 << 8 * count) - 1 for count in range(9)], np.uint64)


def find_tokens(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Find the tokens of a text.

    Returns:
        Their first bytes' offsets and the offsets behind their last bytes, int64[tokens] each.
    """
    space = np.ones(len(data) + 2, bool)
    space[1:-1] = _IS_SPACE[np.frombuffer(data, np.uint8)]
    edges = np.flatnonzero(space[1:] != space[:-1])
    return edges[::2], edges[1::2]


def token_counts(starts: np.ndarray, breaks: np.ndarray) -> np.ndarray:
    """Count the tokens of texts that were joined.

    Args:
        starts: offsets of the tokens, int64[tokens].
        breaks: offsets of the characters between two texts, int64[texts - 1].

    Returns:
        Tokens of each text, int64[texts].
    """
    return np.diff(np.searchsorted(starts, breaks), prepend=0, append=len(starts))


def hash_tokens(data: bytes, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Hash each token to 64 bits; tokens of one length that share their first 256 bytes share their hash.

    Eight bytes at a time are mixed in, with the finalizer of splitmix64 (Steele, Lea, Flood, "Fast splittable pseudorandom
    number generators", OOPSLA 2014).

    Returns:
        uint64[tokens].
    """
    padded = data + bytes(8)
    # Each byte's offset as the start of an 8-byte little-endian number.
    numbers = np.ndarray(len(data) + 1, "<u8", padded, strides=(1,))
    hashes = _mix((ends - starts).astype(np.uint64))
    at, left = starts, ends - starts
    active = np.arange(len(starts))
    for _ in range(_HASHED_BYTES // 8):
        values = numbers[at] & _LOW_BYTES[np.minimum(left, 8)]
        hashes[active] = _mix(hashes[active] ^ values)
        longer = np.flatnonzero(left > 8)
        if not len(longer):
            break
        active, at, left = active[longer], at[longer] + 8, left[longer] - 8
    return hashes


def _mix(values: np.ndarray) -> np.ndarray:
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values ^= values >> np.uint64(30)
    values *= _FACTORS[0]
    values ^= values >> np.uint64(27)
    values *= _FACTORS[1]
    values ^= values >> np.uint64(31)
    return values


class DistinctWords:
    """Counts distinct words by their hashes: all of them up to a limit, then by adaptive sampling.

    The sample holds the hashes that end in `level` zero bits; its size times 2^level estimates the number of distinct
    words, with a standard error of about 1.2 / sqrt(limit). P. Flajolet, "On adaptive sampling", Computing 43 (1990).

    Args:
        limit: the most hashes that the sample holds, 8 bytes each.
    """

    def __init__(self, limit: int = 1 << 16):
        self._limit = limit
        self._mask = np.uint64(0)
        self._sample = np.empty(0, np.uint64)
        self._pending: list[np.ndarray] = []
        self._pending_size = 0

    def add(self, hashes: np.ndarray) -> None:
        """Count words, given by their hashes, uint64[n]."""
        hashes = hashes[hashes & self._mask == 0] if self._mask else hashes
        self._pending.append(hashes)
        self._pending_size += len(hashes)
        if self._pending_size > _PENDING:
            self._merge()

    def _merge(self) -> None:
        # By sorting: for this many integers several times as fast as np.unique, which builds a hash table.
        merged = np.sort(np.concatenate([self._sample, *self._pending]))
        self._sample = merged[np.diff(merged, prepend=~merged[:1]) != 0]
        self._pending, self._pending_size = [], 0
        while len(self._sample) > self._limit:
            self._mask = self._mask << np.uint64(1) | np.uint64(1)
            self._sample = self._sample[self._sample & self._mask == 0]

    def estimate(self) -> tuple[int, bool]:
        """Return the number of distinct words, and whether it is exact."""
        self._merge()
        return len(self._sample) * (int(self._mask) + 1), not self._mask
