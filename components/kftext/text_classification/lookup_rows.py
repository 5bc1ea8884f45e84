"""From the bytes of texts to rows of an encoder's table: the look-up of words and n-grams of `word_vector_lookup`, compiled.

What differs from fastText's own is lower case and punctuation, here for ASCII alone: a text with another token that is not known as it
stands is refused.
"""

from __future__ import annotations

import numpy as np

from kftext.models.compiled.compilation import compiled
from kftext.models.compiled.memory import Field, data_pointer, load_f32, load_u8, pointer
from kftext.models.compiled.rows import push_subwords
from kftext.models.compiled.tokens import (
    ENDS,
    STARTS,
    ask_for,
    find,
    find_token,
    most_tokens,
    split,
)

__all__ = ["REFUSED", "cut", "most_rows", "push_tokens", "shares_scratch"]

REFUSED = -2
"""In place of a label, or of a number of rows: the text is one for the oracle."""

MAXN, MINN = int(Field.MAXN), int(Field.MINN)
WORDS, WORD_WEIGHTS = int(Field.WORDS), int(Field.WORD_WEIGHTS)


@compiled
def _is_punctuation(byte):
    """Whether an ASCII character is in Unicode's category P or S."""
    return (
        (byte >= 33 and byte <= 47)
        or (byte >= 58 and byte <= 64)
        or (byte >= 91 and byte <= 96)
        or (byte >= 123 and byte <= 126)
    )


@compiled
def _is_upper(byte):
    """Whether an ASCII character is a capital letter."""
    return byte >= 65 and byte <= 90


@compiled
def most_rows(state, length):
    """An upper bound of the rows of a text of `length` bytes."""
    widest = max(0, state[MAXN] - max(1, state[MINN]) + 1) if state[MAXN] > 0 else 0
    # A part of n bytes with "<" and ">" has n + 2 first characters, and something stands between two parts.
    return most_tokens(length) + 2 * (length + 1) * widest


@compiled
def shares_scratch(state, size):
    """Scratch memory for what each of `size` rows counts."""
    return np.empty(size if state[WORD_WEIGHTS] != 0 else 0, np.float32)


@compiled
def _push_word(state, rows, shares, count, word):
    """Append the row of a known word; return how many rows there are then."""
    rows[count] = word
    if state[WORD_WEIGHTS] != 0:
        shares[count] = load_f32(pointer(state[WORD_WEIGHTS]), word)
    return count + 1


@compiled
def _push_unknown(state, rows, shares, count, text, start, end):
    """Append the rows of an unknown word's n-grams, which share its weight; return how many rows there are then."""
    if state[MAXN] <= 0:
        return count
    after = push_subwords(state, rows, count, text, start, end)
    if after > count:
        share = load_f32(pointer(state[WORD_WEIGHTS]), state[WORDS]) / np.float32(after - count)
        shares[count:after] = share
    return after


@compiled
def _find_lower(state, lower, start, end):
    """Find lower[start:end] among the words, -1 where it is none."""
    index, _ = find_token(state, data_pointer(lower), start, end, len(lower))
    return index


@compiled
def _push_closer(state, rows, shares, count, text, start, end, readable):
    """Append the rows of a token that is not known as it stands: in lower case, or in parts without punctuation.

    Returns:
        How many rows there are then; REFUSED where the token is not ASCII.
    """
    as_it_stands = True
    for i in range(start, end):
        byte = load_u8(text, i)
        if byte >= 128:
            return REFUSED
        as_it_stands = as_it_stands and not (_is_upper(byte) or _is_punctuation(byte))
    if as_it_stands:
        return _push_unknown(state, rows, shares, count, text, start, end)
    lower = np.empty(end - start, np.uint8)
    for i in range(start, end):
        byte = load_u8(text, i)
        lower[i - start] = byte + 32 if _is_upper(byte) else byte
    word = _find_lower(state, lower, 0, end - start)
    if word >= 0:
        return _push_word(state, rows, shares, count, word)
    first = start
    for i in range(start, end + 1):
        if i < end and not _is_punctuation(load_u8(text, i)):
            continue
        if i > first:
            word, _ = find_token(state, text, first, i, readable)
            if word < 0:
                word = _find_lower(state, lower, first - start, i - start)
            if word >= 0:
                count = _push_word(state, rows, shares, count, word)
            else:
                count = _push_unknown(state, rows, shares, count, text, first, i)
        first = i + 1
    return count


@compiled
def cut(state, text, start, end, readable, scratch):
    """Cut text[start:end] into tokens, and ask for their places in the table of words; return how many there are."""
    tokens = split(text, start, end, readable, scratch)
    for t in range(tokens):
        ask_for(state, text, readable, scratch, t)
    return tokens


@compiled
def push_tokens(state, rows, shares, count, text, span, scratch):
    """Append the rows of a text that was cut.

    Args:
        state: int64[fields].
        rows: int64[n], written from `count` on.
        shares: float32[n], the same, where words have weights: what each row counts.
        count: how many rows there are.
        text: pointer to the bytes.
        span: (first, tokens, end, readable): its first token, how many were cut, where the text ends in the bytes, and where
            the bytes end that may be read.
        scratch: that of `cut`.

    Returns:
        The first token behind the text, and how many rows there are then; REFUSED where the oracle has to look.
    """
    t, tokens, end, readable = span
    weights, weighted = pointer(state[WORD_WEIGHTS]), state[WORD_WEIGHTS] != 0
    while t < tokens and scratch[STARTS, t] < end:
        if count >= 0:
            word, _ = find(state, text, scratch, t)
            if word < 0:
                first, last = scratch[STARTS, t], scratch[ENDS, t]
                count = _push_closer(state, rows, shares, count, text, first, last, readable)
            else:
                rows[count] = word
                if weighted:
                    shares[count] = load_f32(weights, word)
                count += 1
        t += 1
    return t, count
