"""How a text becomes rows of the input matrix, their mean and its gradient.

Words, their character n-grams and word n-grams are features, as in fastText.

Most n-grams' rows are out of cache, and a classifier waits for them longer than it computes. So they are asked for in three places:
`collect_rows` asks for the first rows of a text while the text before it is trained, as many as leave half of the nearest cache
free; `mean_of_rows` for the others a little ahead of the sum; `add_gradient` brings those of the next text half of the way.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from kftext.blazingtext.kernels import simd
from kftext.blazingtext.kernels.compilation import helper, lean_kernel
from kftext.blazingtext.kernels.prefetch import prefetch_row
from kftext.blazingtext.subwords import Subwords

__all__ = [
    "Features",
    "add_gradient",
    "allocate_features",
    "collect_rows",
    "mark_rows",
    "mean_of_rows",
    "most_subwords",
]

_NGRAM_MULTIPLIER = np.uint64(116049371)
_ZERO, _ONE, _TWO, _THREE, _FOUR = (np.uint64(number) for number in range(5))
_READY_LINES = 256
"""Cache lines of a text asked for before its turn: 16 KiB."""
_LINES_AHEAD = 64
"""Cache lines between the row being summed and the one asked for."""


class Features(NamedTuple):
    """What tells the rows of a text, and room for them.

    Attributes:
        word_hashes: uint32[distinct ids], fastText's hash of each word.
        words: ids below it have a row of their own.
        buckets: rows that word n-grams are hashed to.
        reciprocal: uint64, the greatest whole number not above (2^64 - 1) / buckets.
        longest: the longest word n-gram, 1 for none.
        subword_offsets: int64[distinct ids + 1], id w stands for subword_rows[subword_offsets[w]:subword_offsets[w + 1]]; empty where a
            word is one row, its own.
        subword_rows: int32[n].
        rows: int64[rows of the text that has most], room for the rows of the text at hand.
        next_rows: the same for the text after it.
        copied: words below it have a copy of their row that is the thread's own (`replica`), 0 for none.
        copies: how many rows behind a word's own row its copy stands.
    """

    word_hashes: npt.NDArray[np.uint32]
    words: int
    buckets: int
    reciprocal: np.uint64
    longest: int
    subword_offsets: npt.NDArray[np.int64]
    subword_rows: npt.NDArray[np.int32]
    rows: npt.NDArray[np.int64]
    next_rows: npt.NDArray[np.int64]
    copied: int = 0
    copies: int = 0


def allocate_features(
    word_hashes: npt.NDArray[np.uint32],
    words: int,
    buckets: int,
    ngrams: int,
    longest_text: int,
    subwords: Subwords | None = None,
    most_subwords: int = 0,
) -> Features:
    """Make a thread's features.

    Args:
        word_hashes: uint32[distinct ids].
        words: words in the vocabulary.
        buckets: rows for word n-grams, > 0 where there are any.
        ngrams: the longest word n-gram, 1 for none.
        longest_text: most words in a text.
        subwords: the rows of each distinct id where words have character n-grams.
        most_subwords: the rows that those are in the text that has most, see `most_subwords`.
    """
    if ngrams == 1:
        buckets = 1
    rows, next_rows = np.zeros((2, longest_text * ngrams + most_subwords + 1), np.int64)
    reciprocal = np.uint64((2**64 - 1) // buckets)
    offsets, subword_rows = np.zeros(0, np.int64), np.zeros(0, np.int32)
    if subwords is not None:
        offsets, subword_rows = subwords.offsets, subwords.rows
    return Features(
        np.asarray(word_hashes),
        words,
        buckets,
        reciprocal,
        ngrams,
        offsets,
        subword_rows,
        rows,
        next_rows,
    )


@intrinsic
def _multiply_high(typing_context, x, y):
    """Return the upper half of the 128-bit product of two uint64."""

    def generate(context, builder, signature, arguments):
        wide = ir.IntType(128)
        product = builder.mul(*(builder.zext(number, wide) for number in arguments))
        return builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), ir.IntType(64))

    return types.uint64(types.uint64, types.uint64), generate


@helper
def _bucket(h, features):
    """Return h % buckets (uint64) without a division, which costs as much as a row.

    The product's upper half is the quotient or 1 less (Granlund and Montgomery, "Division by invariant integers using
    multiplication", 1994).
    """
    buckets = np.uint64(features.buckets)
    remainder = h - _multiply_high(h, features.reciprocal) * buckets
    return remainder - buckets if remainder >= buckets else remainder


@helper
def _signed_hash(hashes, word):
    """Return a word's hash as fastText's n-gram hash takes it: an int32, extended to 64 bits with its sign."""
    return np.uint64(np.int64(np.int32(hashes[np.uint32(word)])))


@helper
def _ready_rows(stride):
    """Return how many rows of a text are asked for before its turn."""
    return np.uint64(_READY_LINES * simd.LANES // stride)


@helper
def _set_row(rows, n, row, ready, matrix, stride):
    """Make `row` the row number n of a text, and ask for it where it is one of the first, below `ready`."""
    rows[n] = row
    if n < ready:
        prefetch_row(matrix, row, stride)


@helper
def _word_row(row, features, stride):
    """Return where the row number `row` of the input matrix starts, or the thread's copy of it."""
    return (row + (row < features.copied) * features.copies) * stride


@helper
def _set_subwords(word, features, rows, n, ready, matrix, stride):
    """Make the rows that a word stands for the rows from number n on, and return the number behind them."""
    offsets = features.subword_offsets
    for k in range(np.uint64(offsets[word]), np.uint64(offsets[word + _ONE])):
        row = _word_row(features.subword_rows[k], features, stride)
        _set_row(rows, n, row, ready, matrix, stride)
        n += _ONE
    return n


@helper
def _ngram_row(h, features, stride):
    """Return where the row of a word n-gram starts, of which h is the hash."""
    return (features.words + np.int64(_bucket(h, features))) * stride


@helper
def collect_rows(ids, start, stop, features, matrix, stride, rows):
    """Write where the rows of the text ids[start:stop] start, ask for the first of them, and return how many rows there are.

    Words, then word n-grams: Dictionary::getLine, addSubwords and addWordNgrams of fastText. A word that is not in the vocabulary has
    no row of its own, but the rows of its character n-grams, and its hash takes part in word n-grams. Indexes are unsigned: of signed
    ones Numba looks whether they are negative, and counted from the end.
    """
    first, end, ready = np.uint64(start), np.uint64(stop), _ready_rows(stride)
    longest, hashes = np.uint64(features.longest), features.word_hashes
    n = _ZERO
    if features.subword_offsets.size > 0:
        for i in range(first, end):
            n = _set_subwords(np.uint64(ids[i]), features, rows, n, ready, matrix, stride)
    else:
        for i in range(first, end):
            _set_row(rows, n, _word_row(ids[i], features, stride), ready, matrix, stride)
            n += np.uint64(ids[i] < features.words)
    if longest == _TWO and first < end:
        # Nearly always: without a loop in the loop, and with each word's hash read once, a fifth faster on the whole.
        h = _signed_hash(hashes, ids[first])
        for i in range(first + _ONE, end):
            next_h = _signed_hash(hashes, ids[i])
            row = _ngram_row(h * _NGRAM_MULTIPLIER + next_h, features, stride)
            _set_row(rows, n, row, ready, matrix, stride)
            n += _ONE
            h = next_h
    elif longest > _TWO:
        for i in range(first, end):
            h = _signed_hash(hashes, ids[i])
            for j in range(i + _ONE, min(end, i + longest)):
                h = h * _NGRAM_MULTIPLIER + _signed_hash(hashes, ids[j])
                _set_row(rows, n, _ngram_row(h, features, stride), ready, matrix, stride)
                n += _ONE
    return np.int64(n)


@helper
def _mean(matrix, rows, n, stride, hidden):
    """See `mean_of_rows`. Four rows are added at a time, so that the sum is read and written a quarter as often."""
    count, ready = np.uint64(n), _ready_rows(stride)
    ahead = np.uint64(max(_LINES_AHEAD * simd.LANES // stride, 4))
    for d in range(0, 2 * stride, simd.LANES):
        simd.store(hidden, d, simd.zeros())
    i = _ZERO
    while i + _FOUR <= count:
        for k in range(max(i + ahead, ready), min(i + ahead + _FOUR, count)):
            prefetch_row(matrix, rows[k], stride)
        w, x, y, z = rows[i], rows[i + _ONE], rows[i + _TWO], rows[i + _THREE]
        for d in range(0, stride, simd.LANES):
            two = simd.add(simd.load(matrix, w + d), simd.load(matrix, x + d))
            more = simd.add(simd.load(matrix, y + d), simd.load(matrix, z + d))
            simd.store(hidden, d, simd.add(simd.load(hidden, d), simd.add(two, more)))
        i += _FOUR
    while i < count:
        for d in range(0, stride, simd.LANES):
            simd.store(hidden, d, simd.add(simd.load(hidden, d), simd.load(matrix, rows[i] + d)))
        i += _ONE
    scale = simd.splat(np.float32(1) / np.float32(n))
    for d in range(0, stride, simd.LANES):
        simd.store(hidden, d, simd.multiply(scale, simd.load(hidden, d)))


@helper
def mean_of_rows(matrix, rows, n, stride, hidden):
    """Set hidden[:stride] to the mean of n rows, and the gradient behind it to zero."""
    # A row of one vector is frequent, and twice as fast without a loop over its vectors.
    if stride == simd.LANES:
        _mean(matrix, rows, n, simd.LANES, hidden)
    else:
        _mean(matrix, rows, n, stride, hidden)


@helper
def _add_gradient(matrix, rows, n, next_rows, next_n, stride, hidden):
    """See `add_gradient`."""
    count, next_count, ready = np.uint64(n), np.uint64(next_n), _ready_rows(stride)
    scale = simd.splat(np.float32(1) / np.float32(n))
    for d in range(stride, 2 * stride, simd.LANES):
        simd.store(hidden, d, simd.multiply(scale, simd.load(hidden, d)))
    for i in range(count):
        if i + ready < next_count:
            for d in range(0, stride, simd.LANES):
                simd.prefetch_halfway(matrix, next_rows[i + ready] + d)
        row = rows[i]
        for d in range(0, stride, simd.LANES):
            change = simd.load(hidden, stride + d)
            simd.store(matrix, row + d, simd.add(simd.load(matrix, row + d), change))


@helper
def add_gradient(matrix, rows, n, next_rows, next_n, stride, hidden):
    """Add the hidden vector's gradient, divided by n, to each of the n rows (fastText: normalizeGradient).

    Asks for rows of the next text, `next_n` of them, on the way.
    """
    if stride == simd.LANES:
        _add_gradient(matrix, rows, n, next_rows, next_n, simd.LANES, hidden)
    else:
        _add_gradient(matrix, rows, n, next_rows, next_n, stride, hidden)


@lean_kernel
def most_subwords(ids, offsets, subword_offsets):
    """Return the most rows that the words of a text stand for.

    Args:
        ids: int32[n].
        offsets: int64[texts + 1], text i is ids[offsets[i]:offsets[i + 1]].
        subword_offsets: int64[distinct ids + 1], see `Features`.
    """
    most = np.int64(0)
    for i in range(offsets.size - 1):
        rows = np.int64(0)
        for k in range(offsets[i], offsets[i + 1]):
            word = np.uint64(ids[k])
            rows += subword_offsets[word + _ONE] - subword_offsets[word]
        most = max(most, rows)
    return most


@lean_kernel
def mark_rows(ids, offsets, features, matrix, stride, used):
    """Set used[row], bool, for each row of the texts: those that training changes."""
    for i in range(offsets.size - 1):
        n = collect_rows(ids, offsets[i], offsets[i + 1], features, matrix, stride, features.rows)
        for k in range(n):
            used[features.rows[k] // stride] = True
