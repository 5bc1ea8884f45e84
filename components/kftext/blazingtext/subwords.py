"""Character n-grams of words, as rows of the input matrix (Dictionary::computeSubwords of fastText)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kftext.blazingtext.kernels.compilation import helper, kernel

__all__ = ["Subwords", "compute_subwords"]

_FNV_OFFSET, _FNV_PRIME = np.uint32(2166136261), np.uint32(16777619)
_BEGIN, _END = ord("<"), ord(">")


@dataclass(frozen=True)
class Subwords:
    """What each word is made of.

    Attributes:
        offsets: int64[words + 1], word w is made of rows[offsets[w]:offsets[w + 1]]: its own row first, then its n-grams'.
        rows: int32[n], from 0 to words + buckets - 1.
        row_count: rows of the input matrix: words + buckets.
    """

    offsets: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int32]
    row_count: int


@helper
def _hash(text, start, stop):
    """FNV-1a over bytes taken as signed, as fastText does."""
    h = _FNV_OFFSET
    for i in range(start, stop):
        h = np.uint32((h ^ np.uint32(np.int8(text[i]))) * _FNV_PRIME)
    return h


@helper
def _continues(byte):
    """Return whether a byte goes on with the UTF-8 character before it."""
    return byte & 0xC0 == 0x80


@kernel
def _compute(text, starts, bare, shortest, longest, buckets, offsets, rows):
    """Write the rows of each word; with empty `rows`, count only. The word is at text[starts[w]:starts[w + 1]], brackets and all."""
    n = 0
    words = starts.size - 1
    for word in range(words):
        if rows.size > 0:
            rows[n] = word
        n += 1
        start, stop = starts[word], starts[word + 1]
        first = start
        while first < stop and not bare[word]:
            end, length = first, 0
            while end < stop and length < longest:
                end += 1
                while end < stop and _continues(text[end]):
                    end += 1
                length += 1
                bracket = length == 1 and (first == start or end == stop)
                if length >= shortest and not bracket:
                    if rows.size > 0:
                        rows[n] = words + np.int64(_hash(text, first, end)) % buckets
                    n += 1
            first += 1
            while first < stop and _continues(text[first]):
                first += 1
        offsets[word + 1] = n


def compute_subwords(words: Sequence[bytes], shortest: int, longest: int, buckets: int) -> Subwords:
    """Return the rows that each word is made of.

    Args:
        words: the vocabulary; `</s>` has no n-grams.
        shortest: length of the shortest n-gram in characters, the brackets around a word included.
        longest: length of the longest.
        buckets: rows that n-grams are hashed to.
    """
    bracketed = [b"<" + word + b">" for word in words]
    starts = np.zeros(len(words) + 1, np.int64)
    np.cumsum([len(word) for word in bracketed], out=starts[1:])
    text = np.frombuffer(b"".join(bracketed), np.uint8).copy()
    bare = np.fromiter((word == b"</s>" for word in words), np.bool_, len(words))
    offsets = np.zeros(len(words) + 1, np.int64)
    arguments = (text, starts, bare, shortest, longest, buckets, offsets)
    _compute(*arguments, np.zeros(0, np.int32))
    rows = np.zeros(offsets[-1], np.int32)
    _compute(*arguments, rows)
    return Subwords(offsets, rows, len(words) + buckets)
