r"""Text to token ids in one pass: fastText's tokenization rules, and a hash table of the distinct tokens.

A token is a run of bytes other than fastText's white space (space, \t, \n, \v, \f, \r, \0); a newline yields the token `</s>`.

The table holds the first 16 bytes of a token in its slot: a token of that length or
less is compared there and then, a longer one against all its bytes. Two tokens can't be taken for one another.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from kftext.blazingtext.encoded import Int32Array, Int64Array, UInt32Array
from kftext.blazingtext.kernels.compilation import helper, kernel
from kftext.blazingtext.kernels.simd import prefetch_to_read
from kftext.blazingtext.memory import allocate
from kftext.blazingtext.whitespace import (
    BLOCK,
    PADDING,
    UInt8Array,
    pad,
    trailing_zeros,
    whitespace_mask,
)
from kftext.data.tokens import END_OF_SENTENCE

# Numba gives what it makes of a function the function's own type, whose first argument callers don't pass.
_intrinsic: Any = intrinsic

__all__ = ["END_OF_SENTENCE_ID", "TokenTable"]

END_OF_SENTENCE_ID = 0
"""Id of `</s>` in every table, whether the text has newlines or not."""

_FIRST_CAPACITY = 1 << 16

# Columns of a slot, 32 bytes. A slot is free while its length is 0.
_KEY_LOW, _KEY_HIGH, _LENGTH_AND_ID, _COUNT = (np.uint64(column) for column in range(4))
_SLOT = np.uint64(4)

_ZERO, _ONE, _EIGHT, _HALF = (np.uint64(number) for number in (0, 1, 8, 32))
_INLINE = np.uint64(16)
_AHEAD = np.uint64(16)
"""Tokens between the one being merged and the one whose slot is asked for: most slots are out of cache."""
_NEWLINE = np.uint8(ord("\n"))
_ALL, _LENGTH_LIMIT = np.uint64(2**64 - 1), np.uint64(2**32 - 1)
_ID = _LENGTH_LIMIT
_PRIME_1 = np.uint64(0x9E3779B97F4A7C15)
_PRIME_2 = np.uint64(0xC2B2AE3D27D4EB4F)

# Columns of a table's state.
_USED, _KEY_BYTES, _TOKENS, _NEWLINES = range(4)


@_intrinsic
def _load_word(typingctx, text, position):
    """Return the 8 bytes at `text[position]` as a little-endian uint64."""

    def codegen(context, builder, signature, arguments):
        """Emit one load, from any address."""
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        pointer = builder.gep(array.data, [arguments[1]])
        value = builder.load(builder.bitcast(pointer, ir.IntType(64).as_pointer()))
        value.align = 1
        return value

    return types.uint64(text, position), codegen


@helper
def _low_bytes(count):
    """Return a mask of the `count` lowest bytes, 0 to 8."""
    return _ALL >> (np.uint64(64) - _EIGHT * count) if count > _ZERO else _ZERO


@helper
def _mix(low, high, length):
    """Hash two words of a token and its length to 64 bits of which the upper ones are well mixed."""
    mixed = (low ^ (high * _PRIME_2 + length)) * _PRIME_1
    mixed ^= mixed >> _HALF
    return mixed * _PRIME_2


@helper
def _hash_long(text, start, length):
    """Hash all bytes of a token longer than a slot's 16."""
    mixed = length
    for offset in range(_ZERO, length - np.uint64(7), _EIGHT):
        mixed = (mixed ^ _load_word(text, start + offset)) * _PRIME_1
        mixed ^= mixed >> _HALF
    last = _load_word(text, start + length - _EIGHT)
    return (mixed ^ last) * _PRIME_2


@helper
def _token_words(text, start, length):
    """Return the two uint64 by which a slot knows a token: its first 16 bytes, or 8 and the hash of all where it is longer."""
    low = _load_word(text, start) & _low_bytes(min(length, _EIGHT))
    if length > _INLINE:
        return low, _hash_long(text, start, length)
    beyond = length - _EIGHT if length > _EIGHT else _ZERO
    return low, _load_word(text, start + _EIGHT) & _low_bytes(beyond)


@helper
def _equal_bytes(text, start, keys, key_ends, token_id, length):
    """Tell whether a token longer than a slot's 16 bytes is the one of that id."""
    key_start = key_ends[token_id - _ONE]
    if key_ends[token_id] - key_start != length:
        return False
    offset = _ZERO
    while offset < length and text[start + offset] == keys[key_start + offset]:
        offset += _ONE
    return offset == length


@helper
def _first_slot(low, high, short_length, slots):
    """Return the index in `slots` where the search for a token begins."""
    shift = np.uint64(66) - trailing_zeros(np.uint64(slots.size))
    return (_mix(low, high, short_length) >> shift) * _SLOT


@helper
def _find_slot(text, start, length, low, high, slots, keys, key_ends):
    """Return the index in `slots` of the token's slot, or of the free slot where it belongs (linear probing)."""
    short_length = min(length, _LENGTH_LIMIT)
    slot = _first_slot(low, high, short_length, slots)
    while True:
        length_and_id = slots[slot + _LENGTH_AND_ID]
        if length_and_id == _ZERO:
            return slot
        if (
            slots[slot + _KEY_LOW] == low
            and slots[slot + _KEY_HIGH] == high
            and length_and_id >> _HALF == short_length
            and (
                length <= _INLINE
                or _equal_bytes(text, start, keys, key_ends, length_and_id & _ID, length)
            )
        ):
            return slot
        slot = (slot + _SLOT) & (np.uint64(slots.size) - _ONE)


@helper
def _insert(text, start, length, low, high, slot, slots, keys, key_ends, state):
    """Give the token at a free slot the next id, with count 0, and return the id."""
    token_id, key_start = state[_USED], state[_KEY_BYTES]
    slots[slot + _KEY_LOW], slots[slot + _KEY_HIGH] = low, high
    slots[slot + _LENGTH_AND_ID] = (min(length, _LENGTH_LIMIT) << _HALF) | token_id
    for i in range(length):
        keys[key_start + i] = text[start + i]
    key_ends[token_id] = key_start + length
    state[_USED] += _ONE
    state[_KEY_BYTES] += length
    return token_id


@kernel
def _scan(text, start, end, base, slots, keys, key_ends, first_seen, tokens, state):
    """Append the ids of the tokens in `text[start:end]` to `tokens`; return where to go on where the table is full, else `end`.

    `text[end - 1]` is white space and `text[0]` is at `base` in the corpus. `keys` has room for `end - start` more bytes, `tokens` for
    as many more ids. The other arrays are those of a `TokenTable`.
    """
    token_count = state[_TOKENS]
    position = token_start = start
    while position < end:
        mask = whitespace_mask(text, position)
        if end - position < BLOCK:
            mask &= (_ONE << (end - position)) - _ONE
        while mask != _ZERO:
            token_end = position + trailing_zeros(mask)
            mask &= mask - _ONE
            length = token_end - token_start
            if length > _ZERO:
                low, high = _token_words(text, token_start, length)
                slot = _find_slot(text, token_start, length, low, high, slots, keys, key_ends)
                if slots[slot + _LENGTH_AND_ID] == _ZERO:
                    if state[_USED] == np.uint64(key_ends.size):
                        state[_TOKENS] = token_count
                        return token_start
                    token_id = _insert(
                        text, token_start, length, low, high, slot, slots, keys, key_ends, state
                    )
                    first_seen[token_id] = base + token_start
                token_id = slots[slot + _LENGTH_AND_ID] & _ID
                slots[slot + _COUNT] += _ONE
                tokens[token_count] = np.int32(token_id)
                token_count += _ONE
            if text[token_end] == _NEWLINE:
                tokens[token_count] = np.int32(END_OF_SENTENCE_ID)
                token_count += _ONE
                state[_NEWLINES] += _ONE
            token_start = token_end + _ONE
        position += BLOCK
    state[_TOKENS] = token_count
    return end


@kernel
def _rehash(old_slots, slots):
    """Move all tokens to a larger table. No two of them are equal, so a free slot is all that is looked for."""
    for old in range(0, old_slots.size, 4):
        length = old_slots[old + 2] >> _HALF
        if length != _ZERO:
            slot = _first_slot(old_slots[old], old_slots[old + 1], length, slots)
            while slots[slot + _LENGTH_AND_ID] != _ZERO:
                slot = (slot + _SLOT) & (np.uint64(slots.size) - _ONE)
            for column in range(_SLOT):
                slots[slot + column] = old_slots[np.uint64(old) + column]


@kernel
def _merge(
    start, other_keys, other_ends, other_first, slots, keys, key_ends, first_seen, state, ids
):
    """Add another table's tokens from id `start` on, and set `ids[i]` to the id here of its i; return where to go on, as `_scan`."""
    for other_id in range(start, np.uint64(other_ends.size)):
        key_start = other_ends[other_id - _ONE] if other_id > _ZERO else _ZERO
        length = other_ends[other_id] - key_start
        ahead = other_id + _AHEAD
        if ahead < np.uint64(other_ends.size):
            ahead_start = other_ends[ahead - _ONE]
            ahead_length = other_ends[ahead] - ahead_start
            low, high = _token_words(other_keys, ahead_start, ahead_length)
            short_length = min(ahead_length, _LENGTH_LIMIT)
            prefetch_to_read(slots, _first_slot(low, high, short_length, slots))
        low, high = _token_words(other_keys, key_start, length)
        slot = _find_slot(other_keys, key_start, length, low, high, slots, keys, key_ends)
        if slots[slot + _LENGTH_AND_ID] == _ZERO:
            if state[_USED] == np.uint64(key_ends.size):
                return other_id
            token_id = _insert(
                other_keys, key_start, length, low, high, slot, slots, keys, key_ends, state
            )
            first_seen[token_id] = other_first[other_id]
        token_id = slots[slot + _LENGTH_AND_ID] & _ID
        first_seen[token_id] = min(first_seen[token_id], other_first[other_id])
        ids[other_id] = np.int32(token_id)
    return np.uint64(other_ends.size)


@kernel
def _collect_counts(slots, counts):
    """Add to counts[id], int64, how often each token of a table was seen."""
    for slot in range(0, slots.size, 4):
        if slots[slot + 2] >> _HALF != _ZERO:
            counts[slots[slot + 2] & _ID] += np.int64(slots[slot + 3])


@kernel
def _fasttext_hashes(keys, key_ends, hashes):
    """Set hashes[id], uint32, to each token's 32-bit FNV-1a (Dictionary::hash of fastText)."""
    start = _ZERO
    for i in range(key_ends.size):
        value = np.uint32(2166136261)
        for position in range(start, key_ends[i]):
            # fastText takes bytes for signed: those above 127 are widened with ones.
            value = np.uint32((value ^ np.uint32(np.int8(keys[position]))) * np.uint32(16777619))
        hashes[i] = value
        start = key_ends[i]


@kernel
def _join(keys, starts, ends, joined):
    """Write the tokens keys[starts[i]:ends[i]] one after the other, each with a newline behind it."""
    position = 0
    for i in range(starts.size):
        for source in range(starts[i], ends[i]):
            joined[position] = keys[source]
            position += 1
        joined[position] = _NEWLINE
        position += 1


@kernel
def _start_with(keys, key_ends, prefix, prefix_length, result):
    """Set result[id], bool, where a token starts with the first `prefix_length` bytes of `prefix`."""
    start = _ZERO
    for i in range(key_ends.size):
        result[i] = key_ends[i] - start >= np.uint64(prefix_length)
        if result[i]:
            for offset in range(np.uint64(prefix_length)):
                result[i] &= keys[start + offset] == prefix[offset]
        start = key_ends[i]


class TokenTable:
    """The distinct tokens of a text, numbered in the order in which they were first seen; `</s>` is number 0.

    Grows as it must. A table belongs to one thread at a time; what several threads found is put together with `merge`.
    """

    def __init__(self) -> None:
        # Open addressing; a row holds the token's first 16 bytes, length and id, count. Half of the rows stay free.
        self._slots = allocate(4 * _FIRST_CAPACITY, np.uint64)
        self._key_ends = allocate(_FIRST_CAPACITY // 2, np.uint64)
        self._first_seen = allocate(_FIRST_CAPACITY // 2, np.uint64)
        self._keys = allocate(1 << 20, np.uint8)
        self._ids = np.empty(0, np.int32)
        # Tokens in the table, their bytes, tokens written by the scan under way, newlines seen.
        self._state = np.zeros(4, np.uint64)
        self.scan(pad(END_OF_SENTENCE.encode()), len(END_OF_SENTENCE), 0)
        self._slots[3::4] = 0

    def __len__(self) -> int:
        return int(self._state[_USED])

    def scan(self, text: UInt8Array, length: int, base: int) -> Int32Array:
        """Return the ids of the tokens of a text, int32[tokens], and count them. The next scan overwrites them.

        Args:
            text: uint8[>= length + 1 + PADDING]; `text[length]` is overwritten with white space. The text starts and ends
                between two tokens.
            length: bytes of text.
            base: position of `text[0]` in the corpus, by which the order of first appearance is known.
        """
        text[length] = 0
        self._reserve_key_bytes(length)
        if self._ids.size <= length:
            self._ids = allocate(length + 1, np.int32)
        ids = self._ids
        position, end, self._state[_TOKENS] = 0, length + 1, 0
        while position < end:
            position = _scan(
                text,
                np.uint64(position),
                np.uint64(end),
                np.uint64(base),
                self._slots,
                self._keys,
                self._key_ends,
                self._first_seen,
                ids,
                self._state,
            )
            if position < end:
                self._grow()
        return ids[: self._state[_TOKENS]]

    def merge(self, other: TokenTable) -> Int32Array:
        """Add another table's tokens; return int32[len(other)], the id here of each id there. Counts are not touched."""
        self._reserve_key_bytes(int(other._state[_KEY_BYTES]))
        ids = np.empty(len(other), np.int32)
        start = 0
        while start < len(other):
            start = _merge(
                np.uint64(start),
                other._keys,
                other._key_ends[: len(other)],
                other._first_seen,
                self._slots,
                self._keys,
                self._key_ends,
                self._first_seen,
                self._state,
                ids,
            )
            if start < len(other):
                self._grow()
        return ids

    def counts(self) -> Int64Array:
        """Return int64[len(self)]: how often each token was seen by `scan`."""
        counts = np.zeros(len(self), np.int64)
        _collect_counts(self._slots, counts)
        counts[END_OF_SENTENCE_ID] += np.int64(self._state[_NEWLINES])
        return counts

    def first_seen(self) -> Int64Array:
        """Return int64[len(self)]: the position in the corpus where each token was first seen."""
        return self._first_seen[: len(self)].astype(np.int64)

    def tokens(self, ids: npt.NDArray[np.integer]) -> list[bytes]:
        """Return the tokens of some ids."""
        starts = np.where(ids > 0, self._key_ends[ids - 1], 0)
        joined = np.empty(int((self._key_ends[ids] - starts).sum()) + len(ids), np.uint8)
        _join(self._keys, starts, self._key_ends[ids], joined)
        # No token holds a newline.
        return joined.tobytes().split(b"\n")[:-1]

    def start_with(self, prefix: bytes) -> npt.NDArray[np.bool_]:
        """Return bool[len(self)]: whether each token starts with a prefix."""
        result = np.empty(len(self), np.bool_)
        _start_with(self._keys, self._key_ends[: len(self)], pad(prefix), len(prefix), result)
        return result

    def fasttext_hashes(self) -> UInt32Array:
        """Return uint32[len(self)]: fastText's hash (32-bit FNV-1a over signed bytes) of each token."""
        hashes = np.empty(len(self), np.uint32)
        _fasttext_hashes(self._keys, self._key_ends[: len(self)], hashes)
        return hashes

    def _reserve_key_bytes(self, count: int) -> None:
        needed = int(self._state[_KEY_BYTES]) + count + PADDING
        if needed > self._keys.size:
            # Memory that is not written to is not resident: room for the worst case costs nothing.
            keys = allocate(max(needed, 2 * self._keys.size), np.uint8)
            keys[: self._state[_KEY_BYTES]] = self._keys[: self._state[_KEY_BYTES]]
            self._keys = keys

    def _grow(self) -> None:
        slots = allocate(2 * self._slots.size, np.uint64)
        _rehash(self._slots, slots)
        self._slots = slots
        used = len(self)
        for name in ("_key_ends", "_first_seen"):
            old = getattr(self, name)
            new = allocate(2 * old.size, np.uint64)
            new[:used] = old[:used]
            setattr(self, name, new)
