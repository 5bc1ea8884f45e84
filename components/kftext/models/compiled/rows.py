"""From the bytes of a line to rows of the input matrix: `Dictionary.line`, compiled."""

from __future__ import annotations

import numpy as np

from kftext.models.compiled.compilation import compiled
from kftext.models.compiled.memory import (
    Field,
    load_u8,
    load_u64,
    load_word,
    pointer,
    prefetch,
)

__all__ = [
    "hash_bytes",
    "line_labels",
    "line_rows",
    "most_rows",
    "most_tokens",
    "most_word_rows",
    "unknown_word_rows",
    "word_rows",
]

_OFFSET, _PRIME = np.uint32(2166136261), np.uint32(16777619)
_WORD_NGRAM_PRIME = np.uint64(116049371)
_EOS_HASH = np.uint32(3617362777)  # of "</s>"
_CACHE_LINE = 64

BUCKET, DIM, MAXN, MINN = int(Field.BUCKET), int(Field.DIM), int(Field.MAXN), int(Field.MINN)
CODES, INPUT, NSUBQ = int(Field.CODES), int(Field.INPUT), int(Field.NSUBQ)
NAMES = int(Field.NAMES)
PREFIX, PREFIX_LENGTH = int(Field.PREFIX), int(Field.PREFIX_LENGTH)
PRUNED, PRUNED_MASK = int(Field.PRUNED), int(Field.PRUNED_MASK)
TABLE, TABLE_MASK = int(Field.TABLE), int(Field.TABLE_MASK)
END_OF_SENTENCE, WORDS, WORD_NGRAMS = (
    int(Field.END_OF_SENTENCE),
    int(Field.WORDS),
    int(Field.WORD_NGRAMS),
)


@compiled
def _mix(h, byte):
    """One step of FNV-1a over signed characters."""
    return np.uint32((h ^ np.uint32(np.int32(np.int8(byte)))) * _PRIME)


@compiled
def hash_bytes(text, start, end):
    """Hash text[start:end] as fastText does."""
    h = _OFFSET
    for i in range(start, end):
        h = _mix(h, load_u8(text, i))
    return h


@compiled
def _is_space(byte):
    return byte <= 32 and (byte == 32 or (byte >= 9 and byte <= 13) or byte == 0)


@compiled
def most_tokens(length):
    """An upper bound of the tokens of a line of `length` bytes, with the end of the line."""
    return length // 2 + 2


@compiled
def most_rows(state, text, start, end):
    """An upper bound of the rows of the line text[start:end]."""
    tokens = most_tokens(end - start)
    bound = tokens * max(1, min(state[WORD_NGRAMS], tokens))
    widest = state[MAXN] - max(1, state[MINN]) + 1
    if state[MAXN] <= 0 or widest <= 0:
        return bound
    # A token of n bytes with "<" and ">" has no more n-grams of a length than it has bytes.
    length = 2
    for i in range(start, end + 1):
        if i < end and not _is_space(load_u8(text, i)):
            length += 1
        else:
            bound += length * min(widest, length)
            length = 2
    return bound


@compiled
def _same(names, first, text, start, length, end):
    """Whether the name at `first` is text[start : start + length], on a line that ends at `end`."""
    if length <= 8:
        if start + 8 <= end:
            # Eight bytes at once, of which those behind the word are shifted out; names have eight bytes to spare.
            difference = load_word(names, first) ^ load_word(text, start)
            return difference << np.uint64(64 - 8 * length) == np.uint64(0)
        i = 0
        while i < length and load_u8(names, first + i) == load_u8(text, start + i):
            i += 1
        return i == length
    i = 0
    while i + 8 <= length and load_word(names, first + i) == load_word(text, start + i):
        i += 8
    if i + 8 <= length:
        return False
    return load_word(names, first + length - 8) == load_word(text, start + length - 8)


@compiled
def _find(state, text, start, end, h, line_end):
    """Id of the word or label text[start:end] of a line that ends at `line_end`, -1 for neither."""
    table, mask = pointer(state[TABLE]), state[TABLE_MASK]
    slot = np.int64(h) & mask
    while True:
        entry = load_u64(table, 2 * slot)
        if entry == np.uint64(0):
            return -1
        if np.uint32(entry >> np.uint64(32)) == h:
            name = load_u64(table, 2 * slot + 1)
            first, length = np.int64(name >> np.uint64(24)), np.int64(name & np.uint64(0xFFFFFF))
            if length == end - start and _same(
                pointer(state[NAMES]), first, text, start, length, line_end
            ):
                return np.int64(entry & np.uint64(0xFFFFFFFF)) - 1
        slot = (slot + 1) & mask


@compiled
def _is_label(state, text, start, end):
    """Whether a token that is not known starts as a label does."""
    length = state[PREFIX_LENGTH]
    if end - start < length:
        return False
    prefix, same = pointer(state[PREFIX]), True
    for i in range(length):
        same = same and load_u8(prefix, i) == load_u8(text, start + i)
    return same


@compiled
def _push(state, rows, count, row):
    """Append a row, and ask for its memory."""
    rows[count] = row
    if state[INPUT] != 0:
        base, width = pointer(state[INPUT]), state[DIM] * 4
    else:
        base, width = pointer(state[CODES]), state[NSUBQ]
    for offset in range(0, width, _CACHE_LINE):
        prefetch(base, row * width + offset)
    return count + 1


@compiled
def _push_bucket(state, rows, count, bucket):
    """Append a bucket's row, unless pruning dropped it."""
    if state[PRUNED] == 0:
        return _push(state, rows, count, state[WORDS] + bucket)
    table, mask = pointer(state[PRUNED]), state[PRUNED_MASK]
    slot = (bucket * 0x9E3779B1) & mask
    while True:
        entry = load_u64(table, slot)
        if entry == np.uint64(0):
            return count
        if np.int64(entry >> np.uint64(32)) == bucket:
            row = np.int64(entry & np.uint64(0xFFFFFFFF)) - 1
            return _push(state, rows, count, state[WORDS] + row)
        slot = (slot + 1) & mask


@compiled
def _wrapped(text, start, end, i):
    """Byte i of the token text[start:end] with "<" before it and ">" behind it; i counts from start - 1."""
    if i < start:
        return np.uint8(60)
    if i >= end:
        return np.uint8(62)
    return load_u8(text, i)


@compiled
def _push_subwords(state, rows, count, text, start, end):
    """Append the rows of a token's character n-grams."""
    minn, maxn, bucket = state[MINN], state[MAXN], np.uint32(state[BUCKET])
    stop = end + 1
    for first in range(start - 1, stop):
        if _wrapped(text, start, end, first) & 0xC0 == 0x80:
            continue
        h = _OFFSET
        i, n = first, 1
        while i < stop and n <= maxn:
            h = _mix(h, _wrapped(text, start, end, i))
            i += 1
            while i < stop and _wrapped(text, start, end, i) & 0xC0 == 0x80:
                h = _mix(h, _wrapped(text, start, end, i))
                i += 1
            if n >= minn and not (n == 1 and (first < start or i == stop)):
                count = _push_bucket(state, rows, count, np.int64(h % bucket))
            n += 1
    return count


@compiled
def _push_word_ngrams(state, rows, count, hashes, tokens):
    """Append the rows of all n-grams of two or more words."""
    longest, bucket = state[WORD_NGRAMS], np.uint64(state[BUCKET])
    for i in range(tokens):
        h = np.uint64(hashes[i])
        for j in range(i + 1, min(tokens, i + longest)):
            h = h * _WORD_NGRAM_PRIME + np.uint64(hashes[j])
            count = _push_bucket(state, rows, count, np.int64(h % bucket))
    return count


@compiled
def _is_end_of_sentence(text, start, end):
    """Whether the token text[start:end] is `</s>`."""
    return end - start == 4 and (
        load_u8(text, start),
        load_u8(text, start + 1),
        load_u8(text, start + 2),
        load_u8(text, start + 3),
    ) == (60, 47, 115, 62)


@compiled
def _cut(state, text, start, end, starts, ends, hashes):
    """Cut a line into tokens, hash them, and ask for their places in the table; return their number and if `</s>` is last."""
    table, mask = pointer(state[TABLE]), state[TABLE_MASK]
    tokens, i = 0, start
    while True:
        while i < end and _is_space(load_u8(text, i)):
            i += 1
        if i >= end:
            return tokens, False
        first, h = i, _OFFSET
        while i < end and not _is_space(load_u8(text, i)):
            h = _mix(h, load_u8(text, i))
            i += 1
        prefetch(table, (np.int64(h) & mask) * 16)
        starts[tokens], ends[tokens], hashes[tokens] = first, i, np.int32(h)
        tokens += 1
        # "</s>" ends a line wherever it stands.
        if h == _EOS_HASH and _is_end_of_sentence(text, first, i):
            return tokens, True


@compiled
def line_rows(state, text, start, end, rows, tokens):
    """Write the rows of the line text[start:end], which a newline ends; newlines within it are white space.

    Args:
        state: int64[fields].
        text: pointer to the bytes.
        start: where the line starts in it.
        end: where it ends.
        rows: int64[most_rows(...)], written.
        tokens: int64[3, most_tokens(...)], scratch.

    Returns:
        The number of rows.
    """
    starts, ends, hashes = tokens[0], tokens[1], tokens[2]
    found, ended = _cut(state, text, start, end, starts, ends, hashes)
    words, maxn = state[WORDS], state[MAXN]
    count = kept = 0
    for t in range(found):
        first, last, h = starts[t], ends[t], hashes[t]
        index = _find(state, text, first, last, np.uint32(h), end)
        if index >= words or (index < 0 and _is_label(state, text, first, last)):
            continue
        if index >= 0:
            count = _push(state, rows, count, index)
        if maxn > 0 and not (ended and t == found - 1):
            count = _push_subwords(state, rows, count, text, first, last)
        hashes[kept] = h
        kept += 1
    if not ended:
        if state[END_OF_SENTENCE] >= 0:
            count = _push(state, rows, count, state[END_OF_SENTENCE])
        hashes[kept] = np.int32(_EOS_HASH)
        kept += 1
    if state[WORD_NGRAMS] > 1:
        count = _push_word_ngrams(state, rows, count, hashes, kept)
    return count


@compiled
def line_labels(state, text, start, end, labels, tokens):
    """Write the ids of the known labels of the line text[start:end] to labels, int64[most_tokens(...)]; return their number."""
    starts, ends, hashes = tokens[0], tokens[1], tokens[2]
    found, _ = _cut(state, text, start, end, starts, ends, hashes)
    count = 0
    for t in range(found):
        index = _find(state, text, starts[t], ends[t], np.uint32(hashes[t]), end)
        if index >= state[WORDS]:
            labels[count] = index - state[WORDS]
            count += 1
    return count


@compiled
def word_rows(state, text, start, end, word, rows):
    """Write the rows that make up the known word text[start:end], its own first; return their number."""
    count = _push(state, rows, 0, word)
    if state[MAXN] > 0 and word != state[END_OF_SENTENCE]:
        count = _push_subwords(state, rows, count, text, start, end)
    return count


@compiled
def most_word_rows(state, length):
    """An upper bound of the rows of a word of `length` bytes."""
    widest = max(0, state[MAXN] - max(1, state[MINN]) + 1)
    return (length + 2) * widest + 1


@compiled
def unknown_word_rows(state, text, start, end, text_end, rows):
    """As `word_rows`, for a word that need not be known: looks it up in a text that ends at `text_end`."""
    index = _find(state, text, start, end, hash_bytes(text, start, end), text_end)
    if 0 <= index < state[WORDS]:
        return word_rows(state, text, start, end, index, rows)
    if state[MAXN] <= 0 or _is_end_of_sentence(text, start, end):
        return 0
    return _push_subwords(state, rows, 0, text, start, end)
