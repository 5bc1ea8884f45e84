"""Predictions as JSON text, digit for digit what orjson writes for the same numbers.

A server that answers many texts spends as long on the objects of their answers, and on turning these into text, as on predicting.
A number is written with the fewest digits that read back as the same float64, and of those the nearest ones: the definition of
Steele and White, "How to Print Floating-Point Numbers Accurately", PLDI 1990. A probability is a float32, whose 24 bits leave room
to do that exactly in integers of 64 bits, where a float64 at large would need tables (Adams, "Ryū", PLDI 2018).
"""

from __future__ import annotations

import math

import numpy as np

from kftext.models.compiled.compilation import compiled
from kftext.models.compiled.memory import Field, high_product, load_u8, load_u64, pointer

__all__ = ["NUMBER_BYTES", "ROW_BYTES", "write_number", "write_rows"]

NUMBER_BYTES = 32
"""More than any number takes, its comma included."""

ROW_BYTES = 32
"""More than a row takes beside its numbers and labels: `{"prob":[],"label":[]}` and what parts it from the next."""

LABEL_JSON, LABEL_JSON_STARTS = int(Field.LABEL_JSON), int(Field.LABEL_JSON_STARTS)

_DIGITS = 17
"""Digits that tell any two float64 apart."""

_SMALLEST = 1e-10
_NEAR = 64
"""More units of the 17th digit than the numbers that read back as a float64 are away from it: those are 11 at most."""

_OPENING = np.frombuffer(b'{"prob":[', np.uint8)
_MIDDLE = np.frombuffer(b'],"label":[', np.uint8)
_CLOSING = np.frombuffer(b"]}", np.uint8)
_COMMA, _DOT, _NAUGHT, _MINUS, _EXPONENT = (np.uint8(ord(one)) for one in ",.0-e")

_ONE = np.uint64(1)
_TEN = np.uint64(10)
_POWERS_OF_5 = np.array([5**n for n in range(28)], np.uint64)
_POWERS_OF_10 = np.array([10**n for n in range(20)], np.uint64)


@compiled
def _shortest(value):
    """The shortest digits of a number from 1e-10 to below 10.

    Args:
        value: float32.

    Returns:
        digits, uint64, and places, so that digits / 10 ** places reads back as the float64 of `value`.
    """
    fraction, exponent = math.frexp(np.float64(value))
    mantissa = np.uint64(fraction * 2**24)
    # value = mantissa * 2 ** (exponent - 24), and its 17 digits are those of value * 10 ** places.
    places = _DIGITS - 1
    power = 1.0
    while np.float64(value) < power:
        places += 1
        power *= 0.1
    five = _POWERS_OF_5[places]
    shift = np.uint64(24 - exponent - places)
    # value * 10 ** places = mantissa * 5 ** places / 2 ** shift.
    low, high = mantissa * five, high_product(mantissa, five)
    whole = (high << (np.uint64(64) - shift)) | (low >> shift)
    rest = low & ((_ONE << shift) - _ONE)
    # Half the way to the next float64 above and below, in units of 2 ** -shift; the one below a power of 2 is nearer.
    above = five >> np.uint64(30)
    below = above
    if mantissa == np.uint64(1 << 23):
        below = five >> np.uint64(31)
    digits, dropped, half = whole, 0, _ONE << (shift - _ONE)
    if rest > half or (rest == half and whole & _ONE == _ONE):
        digits += _ONE
    for count in range(1, _DIGITS):
        unit = _POWERS_OF_10[count]
        over = whole % unit
        under = unit - over
        down = over < np.uint64(_NEAR) and (over << shift) + rest <= below
        up = under <= np.uint64(_NEAR) and (under << shift) - rest <= above
        if not down and not up:
            break
        shorter = whole // unit
        if up:
            middle = (over << shift) + rest if over < np.uint64(_NEAR) else (unit << shift)
            other = (under << shift) - rest
            if not down or other < middle or (other == middle and shorter & _ONE == _ONE):
                shorter += _ONE
        digits, dropped = shorter, count
    return digits, places - dropped


@compiled
def write_number(out, position, value):
    """Write a probability.

    Args:
        out: uint8[...], with room for `NUMBER_BYTES` from `position` on.
        position: where it begins.
        value: float32.

    Returns:
        The position behind it; -1 for a number that is neither 0 nor from 1e-10 to below 10.
    """
    if value == np.float32(0):
        out[position], out[position + 1], out[position + 2] = _NAUGHT, _DOT, _NAUGHT
        return position + 3
    if not _SMALLEST <= value < 10:
        return -1
    digits, places = _shortest(value)
    length = 1
    while length < _DIGITS and digits >= _POWERS_OF_10[length]:
        length += 1
    before = length - places
    if -5 < before <= 0:
        # 0.000ddd
        end = position + 2 - before + length
        for i in range(position, end - length):
            out[i] = _NAUGHT
        out[position + 1] = _DOT
        for i in range(end - 1, end - length - 1, -1):
            out[i] = np.uint8(digits % _TEN) + _NAUGHT
            digits //= _TEN
        return end
    # d.ddd, d.0, or d.ddde-n: one digit before the point.
    end = position + max(length, 2) + 1
    if length == 1:
        out[position + 2] = _NAUGHT
    for i in range(position + length, position + 1, -1):
        out[i] = np.uint8(digits % _TEN) + _NAUGHT
        digits //= _TEN
    out[position], out[position + 1] = np.uint8(digits) + _NAUGHT, _DOT
    if before > 0:
        return end
    if length == 1:
        end = position + 1
    exponent = 1 - before
    out[end], out[end + 1], end = _EXPONENT, _MINUS, end + 2
    if exponent > 9:
        out[end], end = _NAUGHT + np.uint8(1), end + 1
        exponent -= 10
    out[end] = np.uint8(exponent) + _NAUGHT
    return end + 1


@compiled
def _copy(out, position, source):
    for byte in source:
        out[position] = byte
        position += 1
    return position


@compiled
def _write_label(state, out, position, label):
    names, starts = pointer(state[LABEL_JSON]), pointer(state[LABEL_JSON_STARTS])
    for i in range(np.int64(load_u64(starts, label)), np.int64(load_u64(starts, label + 1))):
        out[position] = load_u8(names, i)
        position += 1
    return position


@compiled
def write_rows(state, values, indices, sizes, separator, out):
    """Write `{"prob":[...],"label":[...]}` for each text.

    Args:
        state: int64[fields].
        values: float32[texts, k], probabilities.
        indices: int32[texts, k], ids of labels.
        sizes: int32[texts], number of labels of each text.
        separator: uint8, the byte between two texts' answers.
        out: uint8[...], written; with room for `ROW_BYTES` a text, and for `NUMBER_BYTES` and the longest name a label.

    Returns:
        The number of bytes, or -1 where a number is not one that `write_number` writes.
    """
    position = 0
    for text in range(len(sizes)):
        if text > 0:
            out[position], position = separator, position + 1
        position = _copy(out, position, _OPENING)
        for i in range(sizes[text]):
            if i > 0:
                out[position], position = _COMMA, position + 1
            position = write_number(out, position, values[text, i])
            if position < 0:
                return -1
        position = _copy(out, position, _MIDDLE)
        for i in range(sizes[text]):
            if i > 0:
                out[position], position = _COMMA, position + 1
            position = _write_label(state, out, position, np.int64(indices[text, i]))
        position = _copy(out, position, _CLOSING)
    return position
