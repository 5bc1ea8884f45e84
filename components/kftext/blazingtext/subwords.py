"""Character n-grams of words, as rows of the input matrix (Dictionary::computeSubwords of fastText)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kftext.blazingtext.kernels.compilation import helper, kernel

__all__ = ["Subwords", "compute_subwords"]

_FNV_OFFSET, _FNV_PRIME = np.uint32(2166136261), np.uint32(16777619)
_WORDS_AT_A_TIME = 1 << 16


@dataclass(frozen=True)
class Subwords:
    """What each word is made of.

    Attributes:
        offsets: int64[words + 1], word w is made of rows[offsets[w]:offsets[w + 1]]: its own row first, then its n-grams'. Words
            outside the vocabulary come behind those in it, and have no row of their own.
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
def _compute(text, starts, bare, lengths, numbers, offsets, rows):
    """Write the rows of each word; with empty `rows`, count only. The word is at text[starts[w]:starts[w + 1]], brackets and all.

    `lengths` are those of the shortest and of the longest n-gram; `numbers` the id of the first word, the size of the vocabulary and
    the buckets.
    """
    shortest, longest = lengths
    first_word, vocabulary_size, buckets = numbers
    n = 0
    for word in range(starts.size - 1):
        if first_word + word < vocabulary_size:
            if rows.size > 0:
                rows[n] = first_word + word
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
                        rows[n] = vocabulary_size + np.int64(_hash(text, first, end)) % buckets
                    n += 1
            first += 1
            while first < stop and _continues(text[first]):
                first += 1
        offsets[word + 1] = n


def compute_subwords(
    words: Sequence[bytes],
    shortest: int,
    longest: int,
    buckets: int,
    unknown: Sequence[bytes] = (),
) -> Subwords:
    """Return the rows that each word is made of.

    Args:
        words: the vocabulary; `</s>` has no n-grams.
        shortest: length of the shortest n-gram in characters, the brackets around a word included.
        longest: length of the longest.
        buckets: rows that n-grams are hashed to.
        unknown: words outside the vocabulary, whose ids follow on its own: they are made of n-grams alone.
    """
    size = len(words)
    offsets = np.zeros(size + len(unknown) + 1, np.int64)
    none = np.zeros(0, np.int32)
    for first, part in _parts(words, unknown):
        ends = offsets[first : first + len(part) + 1]
        _compute(*_bracketed(part), (shortest, longest), (first, size, buckets), ends, none)
        ends[1:] += ends[0]
    rows = np.zeros(offsets[-1], np.int32)
    for first, part in _parts(words, unknown):
        stop = first + len(part)
        own = rows[offsets[first] : offsets[stop]]
        if len(own):
            ends = np.zeros(len(part) + 1, np.int64)
            _compute(*_bracketed(part), (shortest, longest), (first, size, buckets), ends, own)
    return Subwords(offsets, rows, size + buckets)


def _parts(*lists: Sequence[bytes]) -> Iterator[tuple[int, Sequence[bytes]]]:
    """Yield the words some at a time, and the id of the first: what is made of them on the way needs little memory."""
    before = 0
    for words in lists:
        for first in range(0, len(words), _WORDS_AT_A_TIME):
            yield before + first, words[first : first + _WORDS_AT_A_TIME]
        before += len(words)


def _bracketed(
    words: Sequence[bytes],
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return the words in one text with brackets around each, where each starts, and which have no n-grams."""
    bracketed = [b"<" + word + b">" for word in words]
    starts = np.zeros(len(words) + 1, np.int64)
    np.cumsum([len(word) for word in bracketed], out=starts[1:])
    text = np.frombuffer(b"".join(bracketed), np.uint8).copy()
    bare = np.fromiter((word == b"</s>" for word in words), np.bool_, len(words))
    return text, starts, bare
