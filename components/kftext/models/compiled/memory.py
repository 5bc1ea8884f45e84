"""Memory by address: what lets one integer array stand for a whole model in a call.

A compiled function's call costs a tenth of a microsecond for each array argument, as much as predicting some words does. So
a model's arrays are passed as addresses in one array, `state`, whose fields are numbered here. A mapped file's matrix starts
at any byte; loads say so.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = [
    "BYTE",
    "FLOAT",
    "INTEGER",
    "Field",
    "address",
    "array_data",
    "borrowed",
    "call",
    "data_pointer",
    "emit_prefetch",
    "high_product",
    "keep",
    "load_f32",
    "load_i32",
    "load_u8",
    "load_u64",
    "load_word",
    "lowest_bit",
    "pointer",
    "prefetch",
    "space_bits",
]


class Field(IntEnum):
    """Index of each number in `state`; addresses are those of C-contiguous arrays, 0 where there is none."""

    WORDS = 0  # number of words
    LABELS = 1  # number of labels
    DIM = 2
    LOSS = 3
    BUCKET = 4
    MINN = 5
    MAXN = 6  # 0: no character n-grams
    WORD_NGRAMS = 7
    TABLE = 8  # uint64[slots, 4]: first and last eight bytes of a word or label, its length << 32 | id + 1, its hash
    TABLE_SHIFT = 9  # 64 less the binary logarithm of the number of slots
    NAMES = 10  # uint8: all words and labels, one after the other
    PREFIX = 11  # uint8: the prefix of labels
    PREFIX_LENGTH = 12
    END_OF_SENTENCE = 13  # id of </s>, -1 where it is no word
    PRUNED = 14  # uint64[mask + 1]: bucket << 32 | row + 1; 0: not pruned
    PRUNED_MASK = 15
    INPUT = 16  # float32[rows, dim]; 0: quantized
    CODES = 17  # uint8[rows, nsubq]
    NSUBQ = 18
    DSUB = 19
    CENTROIDS = 20  # float32[nsubq, 256, dsub]
    NORM_CODES = 21  # uint8[rows]; 0: norms are not quantized apart
    NORM_CENTROIDS = 22  # float32[256]
    OUTPUT = 23  # float32, element (row, column) at row * OUTPUT_ROW + column * OUTPUT_COLUMN
    OUTPUT_ROW = 24
    OUTPUT_COLUMN = 25
    OUTPUT_NORMS = 26  # float32[labels]; 0: none
    LEFT = 27  # int32[2 * labels - 1], children of the nodes of hierarchical softmax
    RIGHT = 28
    SIGMOID = 29  # float32[513], the table of sigmoids
    NAME_STARTS = 30  # int64[words + labels + 1], where each name starts in NAMES
    BUCKET_INVERSE = 31  # uint64: (2 ** 64 - 1) // BUCKET
    LABEL_JSON = 32  # uint8: all labels as JSON strings, one after the other
    LABEL_JSON_STARTS = 33  # int64[labels + 1], where each starts in LABEL_JSON
    WORD_WEIGHTS = (
        34  # float32[words + 1], what each word, and an unknown one, counts in a mean; 0: all alike
    )
    BIAS = 35  # float32[labels], of a dense layer; 0: there is none


BYTE, INTEGER, FLOAT = ir.IntType(8), ir.IntType(64), ir.FloatType()


@intrinsic
def pointer(typing: Any, address: Any) -> Any:
    """The pointer to an address (int64)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], BYTE.as_pointer())

    return types.voidptr(types.int64), generate


@intrinsic
def address(typing: Any, base: Any) -> Any:
    """The address (int64) of a pointer."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ptrtoint(arguments[0], INTEGER)

    return types.int64(types.voidptr), generate


@intrinsic
def call(typing: Any, function: Any, argument: Any) -> Any:
    """Call the function at an address (int64) with an int64; it returns one."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(INTEGER, [INTEGER])
        return builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), [arguments[1]])

    return types.int64(types.int64, types.int64), generate


def _load(element: Any, result: Any) -> Any:
    size = element.width // 8 if isinstance(element, ir.IntType) else 4

    def typing(_: Any, base: Any, index: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            offset = builder.mul(arguments[1], ir.Constant(ir.IntType(64), size))
            address = builder.gep(arguments[0], [offset], source_etype=BYTE)
            return builder.load(
                builder.bitcast(address, element.as_pointer()), typ=element, align=1
            )

        return result(types.voidptr, types.int64), generate

    return intrinsic(typing)


load_f32 = _load(ir.FloatType(), types.float32)
load_i32 = _load(ir.IntType(32), types.int32)
load_u64 = _load(ir.IntType(64), types.uint64)
load_u8 = _load(ir.IntType(8), types.uint8)


@intrinsic
def load_word(typing: Any, base: Any, offset: Any) -> Any:
    """The eight bytes at `offset` bytes from `base`, the first one lowest."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = builder.gep(arguments[0], [arguments[1]], source_etype=BYTE)
        address = builder.bitcast(address, INTEGER.as_pointer())
        return builder.load(address, typ=INTEGER, align=1)

    return types.uint64(types.voidptr, types.int64), generate


@intrinsic
def space_bits(typing: Any, base: Any, offset: Any) -> Any:
    """64 bits, of which bit i says whether the byte at `offset + i` from `base` is white space."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.VectorType(BYTE, 64)
        address = builder.gep(arguments[0], [arguments[1]], source_etype=BYTE)
        address = builder.bitcast(address, kind.as_pointer())
        value = builder.load(address, typ=kind, align=1)

        def constant(number: int) -> Any:
            return ir.Constant(kind, [number] * 64)

        # \\t \\n \\v \\f \\r are 9 to 13.
        bits = builder.icmp_unsigned("<", builder.sub(value, constant(9)), constant(5))
        for byte in (ord(" "), 0):
            bits = builder.or_(bits, builder.icmp_unsigned("==", value, constant(byte)))
        return builder.bitcast(bits, INTEGER)

    return types.uint64(types.voidptr, types.int64), generate


@intrinsic
def lowest_bit(typing: Any, bits: Any) -> Any:
    """The index of the lowest set bit of a number that is not 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], cgutils.true_bit)

    return types.int64(types.uint64), generate


@intrinsic
def high_product(typing: Any, a: Any, b: Any) -> Any:
    """The upper 64 bits of the product of two uint64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide = ir.IntType(128)
        a, b = (builder.zext(argument, wide) for argument in arguments)
        product = builder.lshr(builder.mul(a, b), ir.Constant(wide, 64))
        return builder.trunc(product, INTEGER)

    return types.uint64(types.uint64, types.uint64), generate


@intrinsic
def data_pointer(typing: Any, array: Any) -> Any:
    """The pointer to the first byte of an array or of `bytes`, good as long as that lives."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return array_data(context, builder, signature.args[0], arguments[0])

    return types.voidptr(array), generate


@intrinsic
def borrowed(typing: Any, array: Any) -> Any:
    """The same array without a count of its references, which is to be kept alive until it is used no more: see `keep`.

    Numba counts the references to an array wherever a function takes it: atomic operations, which for short texts take half of
    all time.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        view = context.make_array(signature.args[0])(context, builder, arguments[0])
        view.meminfo = cgutils.get_null_value(view.meminfo.type)
        return view._getvalue()

    return array(array), generate


@intrinsic
def keep(typing: Any, arrays: Any) -> Any:
    """Do nothing: arrays in a tuple live until here."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return context.get_dummy_value()

    return types.void(arrays), generate


def emit_prefetch(builder: Any, address: Any, locality: int) -> None:
    """Emit the request for the cache line at `address`: locality 3 asks for it in all caches, 2 leaves the first one out."""
    integer = ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [BYTE.as_pointer(), integer, integer, integer])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    read, data = 0, 1
    numbers = [ir.Constant(integer, value) for value in (read, locality, data)]
    builder.call(function, [address, *numbers])


@intrinsic
def prefetch(typing: Any, base: Any, offset: Any) -> Any:
    """Ask for the cache line at `offset` bytes from `base` early."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        emit_prefetch(builder, builder.gep(arguments[0], [arguments[1]], source_etype=BYTE), 3)
        return context.get_dummy_value()

    return types.void(types.voidptr, types.int64), generate


def array_data(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    """Return the pointer to the first byte of an array, or of `bytes`."""
    data = context.make_array(kind)(context, builder, value).data
    return builder.bitcast(data, BYTE.as_pointer())
