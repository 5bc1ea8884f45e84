"""From the bytes of a line to rows of the input matrix: `Dictionary.line`, compiled."""

from __future__ import annotations

import numpy as np

from kftext.models.compiled.compilation import compiled
from kftext.models.compiled.memory import Field, high_product, load_u8, load_u64, pointer
from kftext.models.compiled.tokens import (
    END_OF_SENTENCE_HASH,
    ENDS,
    OFFSET,
    STARTS,
    cut,
    find,
    find_token,
    is_label,
    is_space,
    mix,
    most_tokens,
)

__all__ = [
    "line_labels",
    "line_rows",
    "most_rows",
    "most_word_rows",
    "push_subwords",
    "unknown_word_rows",
    "word_rows",
]

_WORD_NGRAM_PRIME = np.uint64(116049371)

BUCKET, BUCKET_INVERSE = int(Field.BUCKET), int(Field.BUCKET_INVERSE)
DIM, MAXN, MINN = int(Field.DIM), int(Field.MAXN), int(Field.MINN)
CODES, INPUT, NSUBQ = int(Field.CODES), int(Field.INPUT), int(Field.NSUBQ)
PRUNED, PRUNED_MASK = int(Field.PRUNED), int(Field.PRUNED_MASK)
END_OF_SENTENCE, WORDS, WORD_NGRAMS = (
    int(Field.END_OF_SENTENCE),
    int(Field.WORDS),
    int(Field.WORD_NGRAMS),
)


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
        if i < end and not is_space(load_u8(text, i)):
            length += 1
        else:
            bound += length * min(widest, length)
            length = 2
    return bound


@compiled
def _push_bucket(state, rows, count, bucket):
    """Append a bucket's row, unless pruning dropped it."""
    if state[PRUNED] == 0:
        rows[count] = state[WORDS] + bucket
        return count + 1
    table, mask = pointer(state[PRUNED]), state[PRUNED_MASK]
    slot = (bucket * 0x9E3779B1) & mask
    while True:
        entry = load_u64(table, slot)
        if entry == np.uint64(0):
            return count
        if np.int64(entry >> np.uint64(32)) == bucket:
            row = np.int64(entry & np.uint64(0xFFFFFFFF)) - 1
            rows[count] = state[WORDS] + row
            return count + 1
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
def push_subwords(state, rows, count, text, start, end):
    """Append the rows of a token's character n-grams; return how many rows there are then."""
    minn, maxn, bucket = state[MINN], state[MAXN], np.uint32(state[BUCKET])
    stop = end + 1
    for first in range(start - 1, stop):
        if _wrapped(text, start, end, first) & 0xC0 == 0x80:
            continue
        h = OFFSET
        i, n = first, 1
        while i < stop and n <= maxn:
            h = mix(h, _wrapped(text, start, end, i))
            i += 1
            while i < stop and _wrapped(text, start, end, i) & 0xC0 == 0x80:
                h = mix(h, _wrapped(text, start, end, i))
                i += 1
            if n >= minn and not (n == 1 and (first < start or i == stop)):
                count = _push_bucket(state, rows, count, np.int64(h % bucket))
            n += 1
    return count


@compiled
def _push_word_ngrams(state, rows, count, hashes, tokens):
    """Append the rows of all n-grams of two or more words."""
    longest = state[WORD_NGRAMS]
    bucket, inverse = np.uint64(state[BUCKET]), np.uint64(state[BUCKET_INVERSE])
    for i in range(tokens):
        h = np.uint64(hashes[i])
        for j in range(i + 1, min(tokens, i + longest)):
            h = h * _WORD_NGRAM_PRIME + np.uint64(hashes[j])
            # h % bucket without a division: the quotient is at most 2 too small.
            rest = h - high_product(h, inverse) * bucket
            while rest >= bucket:
                rest -= bucket
            count = _push_bucket(state, rows, count, np.int64(rest))
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
def line_rows(state, text, start, end, readable, rows, scratch):
    """Write the rows of the line text[start:end], which a newline ends; newlines within it are white space.

    Args:
        state: int64[fields].
        text: pointer to the bytes.
        start: where the line starts in it.
        end: where it ends.
        readable: where the bytes end that may be read, at or behind `end`.
        rows: int64[most_rows(...)], written.
        scratch: `token_scratch(...)`.

    Returns:
        The number of rows.
    """
    found, ended = cut(state, text, start, end, readable, scratch)
    words, maxn = state[WORDS], state[MAXN]
    # A token whose rows are found needs its place in the scratch memory no more.
    hashes, count, kept = scratch[STARTS], 0, 0
    for t in range(found):
        index, h = find(state, text, scratch, t)
        first, last = scratch[STARTS, t], scratch[ENDS, t]
        if index >= words or (index < 0 and is_label(state, text, first, last)):
            continue
        if index >= 0:
            rows[count] = index
            count += 1
        if maxn > 0 and not (ended and t == found - 1):
            count = push_subwords(state, rows, count, text, first, last)
        hashes[kept] = np.int32(h)
        kept += 1
    if not ended:
        if state[END_OF_SENTENCE] >= 0:
            rows[count] = state[END_OF_SENTENCE]
            count += 1
        hashes[kept] = np.int32(END_OF_SENTENCE_HASH)
        kept += 1
    if state[WORD_NGRAMS] > 1:
        count = _push_word_ngrams(state, rows, count, hashes, kept)
    return count


@compiled
def line_labels(state, text, start, end, readable, labels, scratch):
    """Write the ids of the known labels of the line text[start:end] to labels, int64[most_tokens(...)]; return their number."""
    found, _ = cut(state, text, start, end, readable, scratch)
    count = 0
    for t in range(found):
        index, _ = find(state, text, scratch, t)
        if index >= state[WORDS]:
            labels[count] = index - state[WORDS]
            count += 1
    return count


@compiled
def word_rows(state, text, start, end, word, rows):
    """Write the rows that make up the known word text[start:end], its own first; return their number."""
    rows[0], count = word, 1
    if state[MAXN] > 0 and word != state[END_OF_SENTENCE]:
        count = push_subwords(state, rows, count, text, start, end)
    return count


@compiled
def most_word_rows(state, length):
    """An upper bound of the rows of a word of `length` bytes."""
    widest = max(0, state[MAXN] - max(1, state[MINN]) + 1)
    return (length + 2) * widest + 1


@compiled
def unknown_word_rows(state, text, start, end, text_end, rows):
    """As `word_rows`, for a word that need not be known: looks it up in a text that ends at `text_end`."""
    index, _ = find_token(state, text, start, end, text_end)
    if 0 <= index < state[WORDS]:
        return word_rows(state, text, start, end, index, rows)
    if state[MAXN] <= 0 or _is_end_of_sentence(text, start, end):
        return 0
    return push_subwords(state, rows, 0, text, start, end)
