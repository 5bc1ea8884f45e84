"""Cutting a line into tokens, and finding them among a model's words and labels.

White space is found 64 bytes at a time, and a slot of the table holds a token's first and last eight bytes: a token of up to
16 bytes is found without a loop over its bytes, and without fastText's hash of it, which the slot holds as well.
"""

from __future__ import annotations

import numpy as np

from kftext.models.compiled.compilation import compiled
from kftext.models.compiled.memory import (
    Field,
    load_u8,
    load_u64,
    load_word,
    lowest_bit,
    pointer,
    prefetch,
    space_bits,
)

__all__ = [
    "ENDS",
    "END_OF_SENTENCE_HASH",
    "OFFSET",
    "STARTS",
    "ask_for",
    "ask_for_token",
    "cut",
    "fill_slots",
    "find",
    "find_token",
    "hash_bytes",
    "is_label",
    "is_space",
    "mix",
    "most_tokens",
    "split",
    "token_scratch",
]

OFFSET, _PRIME = np.uint32(2166136261), np.uint32(16777619)
END_OF_SENTENCE_HASH = np.uint32(3617362777)
_END_OF_SENTENCE_BYTES = np.uint64(int.from_bytes(b"</s>", "little"))
_PRIME_1, _PRIME_2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)
_ALL, _ZERO, _ONE, _HALF = np.uint64(2**64 - 1), np.uint64(0), np.uint64(1), np.uint64(32)
_LOW_HALF = np.uint64(2**32 - 1)
_BLOCK = 64
_INLINE = 16

NAMES, NAME_STARTS = int(Field.NAMES), int(Field.NAME_STARTS)
PREFIX, PREFIX_LENGTH = int(Field.PREFIX), int(Field.PREFIX_LENGTH)
TABLE, TABLE_SHIFT = int(Field.TABLE), int(Field.TABLE_SHIFT)

# Rows of the scratch memory of a line: where each token starts and ends, the words it is known by, and its place in the table.
STARTS, ENDS, _LOWS, _HIGHS, _SLOTS = range(5)


@compiled
def mix(h, byte):
    """One step of FNV-1a over signed characters."""
    return np.uint32((h ^ np.uint32(np.int32(np.int8(byte)))) * _PRIME)


@compiled
def hash_bytes(text, start, end):
    """Hash text[start:end] as fastText does."""
    h = OFFSET
    for i in range(start, end):
        h = mix(h, load_u8(text, i))
    return h


@compiled
def is_space(byte):
    """Whether a byte is white space to fastText."""
    return byte <= 32 and (byte == 32 or (byte >= 9 and byte <= 13) or byte == 0)


@compiled
def most_tokens(length):
    """An upper bound of the tokens of a line of `length` bytes, with the end of the line."""
    return length // 2 + 2


@compiled
def token_scratch(length):
    """Scratch memory for the tokens of a line of up to `length` bytes."""
    return np.empty((5, most_tokens(length)), np.int64)


@compiled
def _spaces(text, position, end, readable):
    """64 bits, of which bit i says whether text[position + i] is white space or lies behind `end`."""
    if position + _BLOCK <= readable:
        bits = space_bits(text, position)
    else:
        bits = _ALL
        for i in range(min(_BLOCK, readable - position)):
            if not is_space(load_u8(text, position + i)):
                bits ^= _ONE << np.uint64(i)
    if end - position < _BLOCK:
        bits |= _ALL << np.uint64(end - position)
    return bits


@compiled
def _first_bytes(text, start, end, readable):
    """The first eight bytes of a token, zeros behind its end."""
    length = end - start
    if start + 8 > readable:
        word = _ZERO
        for i in range(min(length, 8)):
            word |= np.uint64(load_u8(text, start + i)) << np.uint64(8 * i)
        return word
    return load_word(text, start) & (_ALL >> np.uint64(64 - 8 * min(length, 8)))


@compiled
def _look(text, start, end, readable, shift):
    """The words by which the table knows a token, its first and last bytes, and the slot where its search begins."""
    length = end - start
    low, high = _ZERO, _ZERO
    if length > 0:
        low = _first_bytes(text, start, end, readable)
    if length > 8:
        high = load_word(text, end - 8)
    # The upper bits of a product depend on all bits of its factors.
    mixed = (low ^ (high * _PRIME_2 + np.uint64(length))) * _PRIME_1
    mixed ^= mixed >> _HALF
    return low, high, np.int64((mixed * _PRIME_2) >> np.uint64(shift))


@compiled
def split(text, start, end, readable, scratch):
    """Write where the tokens of a line start and end.

    Args:
        text: pointer to the bytes.
        start: where the line starts in it.
        end: where it ends.
        readable: where the bytes end that may be read, at or behind `end`.
        scratch: `token_scratch(...)`, written.

    Returns:
        The number of tokens.
    """
    starts, ends = scratch[STARTS], scratch[ENDS]
    begun, ended, before = 0, 0, _ONE
    for position in range(start, end + 1, _BLOCK):
        spaces = _spaces(text, position, end, readable) if position < end else _ALL
        shifted = (spaces << _ONE) | before
        before = spaces >> np.uint64(63)
        bits = shifted & ~spaces
        while bits != _ZERO:
            starts[begun] = position + lowest_bit(bits)
            begun += 1
            bits &= bits - _ONE
        bits = spaces & ~shifted
        while bits != _ZERO:
            ends[ended] = position + lowest_bit(bits)
            ended += 1
            bits &= bits - _ONE
    return begun


@compiled
def ask_for(state, text, readable, scratch, t):
    """Note the words by which the table knows the t-th token, and ask for its place early; return whether it is `</s>`."""
    start, end = scratch[STARTS, t], scratch[ENDS, t]
    low, high, slot = _look(text, start, end, readable, state[TABLE_SHIFT])
    prefetch(pointer(state[TABLE]), slot * 32)
    scratch[_LOWS, t], scratch[_HIGHS, t], scratch[_SLOTS, t] = np.int64(low), np.int64(high), slot
    return low == _END_OF_SENTENCE_BYTES and end - start == 4


@compiled
def cut(state, text, start, end, readable, scratch):
    """Cut a line into tokens, and ask for their places in the table; arguments as those of `split`.

    Returns:
        The number of tokens, and whether the last one is `</s>`, which ends a line wherever it stands.
    """
    tokens = split(text, start, end, readable, scratch)
    for t in range(tokens):
        if ask_for(state, text, readable, scratch, t):
            return t + 1, True
    return tokens, False


@compiled
def _same(names, first, text, start, length):
    """Whether the name at `first` is text[start : start + length]; both are longer than eight bytes."""
    for i in range(0, length - 7, 8):
        if load_word(names, first + i) != load_word(text, start + i):
            return False
    return load_word(names, first + length - 8) == load_word(text, start + length - 8)


@compiled
def _is_name(state, index, text, start, length):
    """Whether a token longer than eight bytes is the name of that index."""
    starts = pointer(state[NAME_STARTS])
    first, end = np.int64(load_u64(starts, index)), np.int64(load_u64(starts, index + 1))
    return end - first == length and _same(pointer(state[NAMES]), first, text, start, length)


@compiled
def _find(state, text, start, length, words, slot):
    low, high = words
    table, mask = pointer(state[TABLE]), (1 << (64 - state[TABLE_SHIFT])) - 1
    key = np.uint64(min(length, 2**32 - 1)) << _HALF
    while True:
        entry = load_u64(table, 4 * slot + 2)
        if entry == _ZERO:
            return -1, hash_bytes(text, start, start + length)
        if (
            load_u64(table, 4 * slot) == low
            and load_u64(table, 4 * slot + 1) == high
            and entry & ~_LOW_HALF == key
        ):
            index = np.int64(entry & _LOW_HALF) - 1
            if length <= _INLINE or _is_name(state, index, text, start, length):
                return index, np.uint32(load_u64(table, 4 * slot + 3))
        slot = (slot + 1) & mask


@compiled
def find(state, text, scratch, t):
    """Find the t-th token of a line that was cut.

    Returns:
        Its id as a word, or the number of words and its id as a label, or -1; and fastText's hash of it.
    """
    start = scratch[STARTS, t]
    length = scratch[ENDS, t] - start
    words = np.uint64(scratch[_LOWS, t]), np.uint64(scratch[_HIGHS, t])
    return _find(state, text, start, length, words, scratch[_SLOTS, t])


@compiled
def ask_for_token(state, text, start, end, readable):
    """Ask for the place of the token text[start:end] in the table, where `find_token` will look."""
    _, _, slot = _look(text, start, end, readable, state[TABLE_SHIFT])
    prefetch(pointer(state[TABLE]), slot * 32)


@compiled
def find_token(state, text, start, end, readable):
    """As `find`, for the token text[start:end]."""
    low, high, slot = _look(text, start, end, readable, state[TABLE_SHIFT])
    return _find(state, text, start, end - start, (low, high), slot)


@compiled
def is_label(state, text, start, end):
    """Whether a token that is not known starts as a label does."""
    length = state[PREFIX_LENGTH]
    if end - start < length:
        return False
    prefix, same = pointer(state[PREFIX]), True
    for i in range(length):
        same = same and load_u8(prefix, i) == load_u8(text, start + i)
    return same


@compiled
def fill_slots(table, names, starts, shift):
    """Enter all names into a table (Field.TABLE); of equal names the last one counts.

    Args:
        table: uint64[2 ** (64 - shift), 4], zeros.
        names: pointer to the names, one after the other.
        starts: int64[names + 1], where each starts.
        shift: 64 less the table's bits.
    """
    mask, readable = len(table) - 1, starts[len(starts) - 1]
    for index in range(len(starts) - 1):
        start, end = starts[index], starts[index + 1]
        length = end - start
        low, high, slot = _look(names, start, end, readable, shift)
        key = np.uint64(min(length, 2**32 - 1)) << _HALF
        while table[slot, 2] != _ZERO:
            other = np.int64(table[slot, 2] & _LOW_HALF) - 1
            if (
                table[slot, 0] == low
                and table[slot, 1] == high
                and starts[other + 1] - starts[other] == length
                and (length <= _INLINE or _same(names, starts[other], names, start, length))
            ):
                break
            slot = (slot + 1) & mask
        table[slot, 0], table[slot, 1] = low, high
        table[slot, 2] = key | np.uint64(index + 1)
        table[slot, 3] = np.uint64(hash_bytes(names, start, end))
