"""Sums of rows and products with a matrix, in registers and in the order of a plain loop, so that no bit of a sum differs.

The rows of a line lie anywhere in hundreds of megabytes, and reading them is most of a prediction. So each row is asked for
long before it is added, across the ends of lines: its walk through the page tables and its cache lines are under way while
others are summed.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from kftext.models.compiled.compilation import compiled
from kftext.models.compiled.memory import BYTE, FLOAT, INTEGER, array_data, emit_prefetch

__all__ = ["AHEAD", "add_products", "add_rows"]

AHEAD = 32
"""Rows between one that is asked for and the one that is added: more than a core has cache lines under way."""

_LANES, _VECTORS = 16, 8
"""Floats of a vector, and vectors that a pass over the rows sums; LLVM splits what is wider than the CPU's registers."""

_SHAPES = [*((_LANES, n) for n in range(1, _VECTORS + 1)), *((width, 2) for width in (8, 4, 2, 1))]
"""What a pass can be: floats of a vector, number of vectors; the narrow ones for rows of fewer columns than a vector."""

_WIDTHS = (64, 32, 16, 8, 4, 2, 1)
"""Products that are summed at a time."""


def _vector_at(builder: Any, base: Any, index: Any, width: int) -> Any:
    """The `width` floats at base[index], at any alignment."""
    kind = ir.VectorType(FLOAT, width)
    address = builder.bitcast(_element(builder, base, index), kind.as_pointer())
    return builder.load(address, typ=kind, align=1)


def _element(builder: Any, base: Any, index: Any) -> Any:
    return builder.gep(base, [builder.mul(index, _number(4))], source_etype=BYTE)


def _number(value: int) -> Any:
    return ir.Constant(INTEGER, value)


def _emit_sums(builder: Any, row_at: Any, span: Any, columns: Any, width: int, target: Any) -> None:
    """Sum some columns, `width` from each of `columns` on, over the rows span = (first, last, known)."""
    kind = ir.VectorType(FLOAT, width)
    zeros = ir.Constant(kind, [0.0] * width)
    totals = [cgutils.alloca_once(builder, kind) for _ in columns]
    for total in totals:
        builder.store(zeros, total)
    first, last, known = span
    final = builder.sub(known, _number(1))
    with cgutils.for_range(builder, last, start=first, intp=INTEGER) as loop:
        ahead = builder.add(loop.index, _number(AHEAD))
        ahead = builder.select(builder.icmp_signed("<", ahead, final), ahead, final)
        coming, row = row_at(ahead), row_at(loop.index)
        for column in columns:
            emit_prefetch(builder, _element(builder, coming, column), 2)
        end = builder.add(columns[-1], _number(width - 1))
        emit_prefetch(builder, _element(builder, coming, end), 2)
        for total, column in zip(totals, columns, strict=True):
            term = _vector_at(builder, row, column, width)
            builder.store(builder.fadd(builder.load(total), term), total)
    for total, column in zip(totals, columns, strict=True):
        address = builder.bitcast(_element(builder, target, column), kind.as_pointer())
        builder.store(builder.load(total), address, align=4)


@intrinsic
def _sum_columns(
    typing: Any, base: Any, dim: Any, rows: Any, span: Any, column: Any, shape: Any, target: Any
) -> Any:
    """One pass: sum the columns from `column` on that _SHAPES[shape] covers; vectors overlap where the row ends."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        base, dim, rows, span, column, shape, target = arguments
        rows = array_data(context, builder, signature.args[2], rows)
        rows = builder.bitcast(rows, INTEGER.as_pointer())
        target = array_data(context, builder, signature.args[6], target)
        span = cgutils.unpack_tuple(builder, span, 3)

        def row_at(i: Any) -> Any:
            return _element(builder, base, builder.mul(builder.load(builder.gep(rows, [i])), dim))

        done = builder.append_basic_block("done")
        switch = builder.switch(shape, done)
        for number, (width, count) in enumerate(_SHAPES):
            block = builder.append_basic_block(f"shape{number}")
            switch.add_case(_number(number), block)
            builder.position_at_end(block)
            columns = [builder.add(column, _number(width * i)) for i in range(count - 1)]
            # The last vector ends with the row, unless another pass goes on behind it.
            following = builder.add(column, _number(width * (count - 1)))
            flush = builder.sub(dim, _number(width))
            inside = builder.icmp_signed("<", following, flush)
            columns.append(builder.select(inside, following, flush))
            _emit_sums(builder, row_at, span, columns, width, target)
            builder.branch(done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    arguments = (types.voidptr, types.int64, rows, span, types.int64, types.int64, target)
    return types.void(*arguments), generate


@compiled
def add_rows(base, dim, rows, span, target):
    """Write the sum of rows of a matrix to target, float32[dim], taken from first to last.

    Args:
        base: pointer to the matrix.
        dim: its columns.
        rows: int64[n], indexes of rows.
        span: (first, last, known): rows[first:last] are summed, rows[last:known] will be, and are asked for early.
        target: float32[dim], written.
    """
    if dim >= _LANES:
        for column in range(0, dim, _LANES * _VECTORS):
            vectors = min(_VECTORS, (dim - column + _LANES - 1) // _LANES)
            _sum_columns(base, dim, rows, span, column, vectors - 1, target)
    else:
        shape = _VECTORS + (dim < 8) + (dim < 4) + (dim < 2)
        _sum_columns(base, dim, rows, span, 0, shape, target)


def _for_each_block(builder: Any, size: Any, emit: Any) -> None:
    """Cut `size` columns into blocks of the widths above and emit the code of each: emit(first column, width)."""
    first = cgutils.alloca_once_value(builder, ir.Constant(INTEGER, 0))
    for width in _WIDTHS:
        step = ir.Constant(INTEGER, width)
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
    kind = ir.VectorType(FLOAT, width)
    total = cgutils.alloca_once_value(builder, ir.Constant(kind, [0.0] * width))
    builder.store(ir.Constant(kind, [0.0] * width), total)
    with cgutils.for_range(builder, count) as loop:
        builder.store(builder.fadd(builder.load(total), term(loop.index)), total)
    offset = builder.mul(column, ir.Constant(INTEGER, 4))
    address = builder.gep(target, [offset], source_etype=BYTE)
    builder.store(builder.load(total), builder.bitcast(address, kind.as_pointer()), align=4)


@intrinsic
def add_products(typing: Any, base: Any, rows: Any, vector: Any, dim: Any, target: Any) -> Any:
    """Write the product of a matrix and `vector` (float32[dim]) to target, float32[rows].

    The matrix at `base` is stored by columns, float32[dim, rows], so that rows lie beside each other: each sum is that of a
    loop over columns, and a block of rows is summed at once.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        base, rows, vector, dim, target = arguments
        vector = array_data(context, builder, signature.args[2], vector)
        vector = builder.bitcast(vector, FLOAT.as_pointer())
        target = array_data(context, builder, signature.args[4], target)

        def emit(row: Any, width: int) -> None:
            kind = ir.VectorType(FLOAT, width)
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
