r"""Where tokens end: fastText's white space (space, \t, \n, \v, \f, \r, \0), found 64 bytes at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from kftext.blazingtext.kernels.compilation import kernel

UInt8Array = npt.NDArray[np.uint8]

# Numba gives what it makes of a function the function's own type, whose first argument callers don't pass.
_intrinsic: Any = intrinsic

__all__ = [
    "BLOCK",
    "PADDING",
    "UInt8Array",
    "first_whitespace",
    "pad",
    "trailing_zeros",
    "whitespace_mask",
]

BLOCK = np.uint64(64)
"""Bytes looked at at once."""

PADDING = 64
"""Bytes that must be readable behind a text."""

_ZERO = np.uint64(0)


@_intrinsic
def whitespace_mask(typingctx, text, position):
    """Return a uint64 whose bit i says whether `text[position + i]` is white space."""

    def codegen(context, builder, signature, arguments):
        """Compare 64 bytes at once; the vector of truth values is the mask."""
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        vector = ir.VectorType(ir.IntType(8), 64)
        pointer = builder.gep(array.data, [arguments[1]])
        value = builder.load(builder.bitcast(pointer, vector.as_pointer()))
        value.align = 1

        def constant(number):
            """Return a vector of one number 64 times."""
            return ir.Constant(vector, [number] * 64)

        # \t \n \v \f \r are 9 to 13.
        mask = builder.icmp_unsigned("<", builder.sub(value, constant(9)), constant(5))
        for byte in (ord(" "), 0):
            mask = builder.or_(mask, builder.icmp_unsigned("==", value, constant(byte)))
        return builder.bitcast(mask, ir.IntType(64))

    return types.uint64(text, position), codegen


@_intrinsic
def trailing_zeros(typingctx, number):
    """Return the index of the lowest set bit of a uint64 that is not 0."""

    def codegen(context, builder, signature, arguments):
        """Emit LLVM's `cttz`, told that the number is not 0."""
        return builder.cttz(arguments[0], cgutils.true_bit)

    return types.uint64(types.uint64), codegen


@kernel
def _first_whitespace(text, start, end):
    """See `first_whitespace`; indexes are uint64."""
    position = start
    while position < end:
        mask = whitespace_mask(text, position)
        if mask != _ZERO:
            return min(position + trailing_zeros(mask), end)
        position += BLOCK
    return end


def first_whitespace(text: UInt8Array, start: int, end: int) -> int:
    """Return the index of the first white space in `text[start:end]`, `end` where there is none. `text` is padded."""
    return int(_first_whitespace(text, np.uint64(start), np.uint64(end)))


def pad(content: bytes | bytearray | memoryview) -> UInt8Array:
    """Return a copy with white space and `PADDING` behind it."""
    text = np.zeros(len(content) + 1 + PADDING, np.uint8)
    text[: len(content)] = np.frombuffer(content, np.uint8)
    return text
