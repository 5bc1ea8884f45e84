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
    "Field",
    "add_products",
    "add_rows",
    "data_pointer",
    "high_product",
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


_BYTE, _INTEGER, _FLOAT = ir.IntType(8), ir.IntType(64), ir.FloatType()


@intrinsic
def pointer(typing: Any, address: Any) -> Any:
    """The pointer to an address (int64)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], _BYTE.as_pointer())

    return types.voidptr(types.int64), generate


def _load(element: Any, result: Any) -> Any:
    size = element.width // 8 if isinstance(element, ir.IntType) else 4

    def typing(_: Any, base: Any, index: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            offset = builder.mul(arguments[1], ir.Constant(ir.IntType(64), size))
            address = builder.gep(arguments[0], [offset], source_etype=_BYTE)
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
        address = builder.gep(arguments[0], [arguments[1]], source_etype=_BYTE)
        address = builder.bitcast(address, _INTEGER.as_pointer())
        return builder.load(address, typ=_INTEGER, align=1)

    return types.uint64(types.voidptr, types.int64), generate


@intrinsic
def space_bits(typing: Any, base: Any, offset: Any) -> Any:
    """64 bits, of which bit i says whether the byte at `offset + i` from `base` is white space."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.VectorType(_BYTE, 64)
        address = builder.gep(arguments[0], [arguments[1]], source_etype=_BYTE)
        address = builder.bitcast(address, kind.as_pointer())
        value = builder.load(address, typ=kind, align=1)

        def constant(number: int) -> Any:
            return ir.Constant(kind, [number] * 64)

        # \\t \\n \\v \\f \\r are 9 to 13.
        bits = builder.icmp_unsigned("<", builder.sub(value, constant(9)), constant(5))
        for byte in (ord(" "), 0):
            bits = builder.or_(bits, builder.icmp_unsigned("==", value, constant(byte)))
        return builder.bitcast(bits, _INTEGER)

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
        return builder.trunc(product, _INTEGER)

    return types.uint64(types.uint64, types.uint64), generate


@intrinsic
def data_pointer(typing: Any, array: Any) -> Any:
    """The pointer to the first byte of an array or of `bytes`, good as long as that lives."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _array_data(context, builder, signature.args[0], arguments[0])

    return types.voidptr(array), generate


@intrinsic
def prefetch(typing: Any, base: Any, offset: Any) -> Any:
    """Ask for the cache line at `offset` bytes from `base` early: rows lie anywhere in hundreds of megabytes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        integer = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [_BYTE.as_pointer(), integer, integer, integer])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        address = builder.gep(arguments[0], [arguments[1]], source_etype=_BYTE)
        read, locality, data = (ir.Constant(integer, value) for value in (0, 3, 1))
        builder.call(function, [address, read, locality, data])
        return context.get_dummy_value()

    return types.void(types.voidptr, types.int64), generate


_WIDTHS = (64, 32, 16, 8, 4, 2, 1)
"""Columns that are summed in registers at a time; LLVM splits what is wider than the CPU's registers."""


def _vector_at(builder: Any, base: Any, index: Any, width: int) -> Any:
    """The `width` floats at base[index], at any alignment."""
    kind = ir.VectorType(_FLOAT, width)
    offset = builder.mul(index, ir.Constant(_INTEGER, 4))
    address = builder.gep(base, [offset], source_etype=_BYTE)
    return builder.load(builder.bitcast(address, kind.as_pointer()), typ=kind, align=1)


def _array_data(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    data = context.make_array(kind)(context, builder, value).data
    return builder.bitcast(data, _BYTE.as_pointer())


def _for_each_block(builder: Any, size: Any, emit: Any) -> None:
    """Cut `size` columns into blocks of the widths above and emit the code of each: emit(first column, width)."""
    first = cgutils.alloca_once_value(builder, ir.Constant(_INTEGER, 0))
    for width in _WIDTHS:
        step = ir.Constant(_INTEGER, width)
        head, body = (builder.append_basic_block(f"{part}{width}") for part in ("head", "body"))
        after = builder.append_basic_block(f"after{width}")
        builder.branch(head)
        builder.position_at_end(head)
        end = builder.add(builder.load(first), step)
        builder.cbranch(builder.icmp_signed("<=", end, size), body, after)
        builder.position_at_end(body)
        column = builder.load(first)
        emit(column, width)
        builder.store(builder.add(column, step), first)
        builder.branch(head)
        builder.position_at_end(after)


def _store_sum(builder: Any, target: Any, column: Any, width: int, count: Any, term: Any) -> None:
    """Store the sum of term(i) for i < count, taken from first to last, to target[column : column + width]."""
    kind = ir.VectorType(_FLOAT, width)
    total = cgutils.alloca_once_value(builder, ir.Constant(kind, [0.0] * width))
    builder.store(ir.Constant(kind, [0.0] * width), total)
    with cgutils.for_range(builder, count) as loop:
        builder.store(builder.fadd(builder.load(total), term(loop.index)), total)
    offset = builder.mul(column, ir.Constant(_INTEGER, 4))
    address = builder.gep(target, [offset], source_etype=_BYTE)
    builder.store(builder.load(total), builder.bitcast(address, kind.as_pointer()), align=4)


@intrinsic
def add_rows(typing: Any, base: Any, dim: Any, rows: Any, count: Any, target: Any) -> Any:
    """Write the sum of the rows `rows[:count]` (int64) of the matrix at `base` to target, float32[dim].

    A block of columns stays in registers over all rows. The sums are those of a loop over rows: no other order.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        base, dim, rows, count, target = arguments
        rows = _array_data(context, builder, signature.args[2], rows)
        rows = builder.bitcast(rows, _INTEGER.as_pointer())
        target = _array_data(context, builder, signature.args[4], target)

        def emit(column: Any, width: int) -> None:
            def term(i: Any) -> Any:
                row = builder.load(builder.gep(rows, [i]))
                return _vector_at(builder, base, builder.add(builder.mul(row, dim), column), width)

            _store_sum(builder, target, column, width, count, term)

        _for_each_block(builder, dim, emit)
        return context.get_dummy_value()

    return types.void(types.voidptr, types.int64, rows, types.int64, target), generate


@intrinsic
def add_products(typing: Any, base: Any, rows: Any, vector: Any, dim: Any, target: Any) -> Any:
    """Write the product of a matrix and `vector` (float32[dim]) to target, float32[rows].

    The matrix at `base` is stored by columns, float32[dim, rows], so that rows lie beside each other: each sum is that of a
    loop over columns, and a block of rows is summed at once.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        base, rows, vector, dim, target = arguments
        vector = _array_data(context, builder, signature.args[2], vector)
        vector = builder.bitcast(vector, _FLOAT.as_pointer())
        target = _array_data(context, builder, signature.args[4], target)

        def emit(row: Any, width: int) -> None:
            kind = ir.VectorType(_FLOAT, width)
            lanes = ir.Constant(ir.VectorType(ir.IntType(32), width), [0] * width)

            def term(j: Any) -> Any:
                x = builder.load(builder.gep(vector, [j]))
                undefined = ir.Constant(kind, ir.Undefined)
                first = builder.insert_element(undefined, x, ir.Constant(ir.IntType(32), 0))
                index = builder.add(builder.mul(j, rows), row)
                weights = _vector_at(builder, base, index, width)
                return builder.fmul(builder.shuffle_vector(first, undefined, lanes), weights)

            _store_sum(builder, target, row, width, dim, term)

        _for_each_block(builder, rows, emit)
        return context.get_dummy_value()

    return types.void(types.voidptr, types.int64, vector, types.int64, target), generate
