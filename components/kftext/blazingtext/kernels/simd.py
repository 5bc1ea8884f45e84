"""Sixteen float32 numbers as one value, and the operations on them that the kernels are written in.

Numba's own loops over `a[base + d]` keep LLVM from using the widest registers (bounds, signed indexes, possible aliasing), so
the kernels say what they want: `f32x16` is a first-class value, each function below is one or a few LLVM instructions. LLVM
splits them where the CPU has narrower registers, so that the same code runs with AVX-512, AVX2, SSE or NEON.

Array arguments are one-dimensional float32 arrays, indexes count floats. Nothing is bounds-checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

__all__ = [
    "LANES",
    "add",
    "exp",
    "load",
    "multiply",
    "multiply_add",
    "prefetch",
    "prefetch_halfway",
    "prefetch_to_read",
    "sigmoid",
    "splat",
    "store",
    "subtract",
    "sum_lanes",
    "sums",
    "zeros",
]

LANES = 16
_FLOAT, _INT32 = ir.FloatType(), ir.IntType(32)
_VECTOR, _INT_VECTOR = ir.VectorType(_FLOAT, LANES), ir.VectorType(_INT32, LANES)


class _F32x16(types.Type):
    def __init__(self) -> None:
        super().__init__(name="f32x16")


f32x16 = _F32x16()


@register_model(_F32x16)
class _F32x16Model(models.PrimitiveModel):
    def __init__(self, manager: Any, front_end_type: Any) -> None:
        super().__init__(manager, front_end_type, _VECTOR)


def _address(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """Return the address of `array[index]`, the first two arguments."""
    array_type, index_type = signature.args[:2]
    array = context.make_array(array_type)(context, builder, arguments[0])
    index = context.cast(builder, arguments[1], index_type, types.int64)
    return builder.gep(array.data, [index])


def _constant(value: float) -> ir.Constant:
    return ir.Constant(_VECTOR, [value] * LANES)


def _call(builder: Any, name: str, *arguments: Any) -> Any:
    """Call an LLVM intrinsic on vectors: `llvm.<name>.v16f32`."""
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(_VECTOR, [_VECTOR] * len(arguments)), f"llvm.{name}.v16f32"
    )
    return builder.call(function, arguments)


@intrinsic
def load(typing_context, array, index):
    """Return array[index : index + 16]."""

    def generate(context, builder, signature, arguments):
        address = _address(context, builder, signature, arguments)
        vector = builder.load(builder.bitcast(address, _VECTOR.as_pointer()))
        vector.align = 4  # the least that holds for every array; aligned rows cost nothing extra
        return vector

    return f32x16(array, index), generate


@intrinsic
def store(typing_context, array, index, vector):
    """Write a vector to array[index : index + 16]."""

    def generate(context, builder, signature, arguments):
        address = _address(context, builder, signature, arguments)
        builder.store(arguments[2], builder.bitcast(address, _VECTOR.as_pointer())).align = 4
        return context.get_dummy_value()

    return types.void(array, index, f32x16), generate


_NEAREST, _SECOND = 3, 2
"""Cache levels, in the numbers of `llvm.prefetch`."""


def _prefetch(for_write: int, level: int) -> Any:
    """Return the code generator of a prefetch into the data cache, `level` and those beyond."""

    def generate(context, builder, signature, arguments):
        address = _address(context, builder, signature, arguments)
        byte_pointer = ir.IntType(8).as_pointer()
        function = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [byte_pointer, _INT32, _INT32, _INT32]),
            "llvm.prefetch.p0",
        )
        data = 1
        options = [ir.Constant(_INT32, option) for option in (for_write, level, data)]
        builder.call(function, [builder.bitcast(address, byte_pointer), *options])
        return context.get_dummy_value()

    return generate


@intrinsic
def prefetch(typing_context, array, index):
    """Ask for the cache line of array[index], to be written soon: taken from other cores now, not at the write."""
    return types.void(array, index), _prefetch(for_write=1, level=_NEAREST)


@intrinsic
def prefetch_to_read(typing_context, array, index):
    """Ask for the cache line of array[index], of any type, which other cores may keep."""
    return types.void(array, index), _prefetch(for_write=0, level=_NEAREST)


@intrinsic
def prefetch_halfway(typing_context, array, index):
    """Ask for the cache line of array[index] into the second cache, where it waits without crowding the first."""
    return types.void(array, index), _prefetch(for_write=0, level=_SECOND)


@intrinsic
def zeros(typing_context):
    """Return sixteen zeros."""
    return f32x16(), lambda context, builder, signature, arguments: _constant(0.0)


@intrinsic
def splat(typing_context, number):
    """Return sixteen times the same number."""

    def generate(context, builder, signature, arguments):
        number = context.cast(builder, arguments[0], signature.args[0], types.float32)
        undefined = ir.Constant(_VECTOR, ir.Undefined)
        first = builder.insert_element(undefined, number, ir.Constant(_INT32, 0))
        return _shuffle(builder, first, undefined, [0] * LANES)

    return f32x16(number), generate


@intrinsic
def add(typing_context, x, y):
    """Return x + y."""
    return f32x16(f32x16, f32x16), lambda context, builder, signature, xy: builder.fadd(*xy)


@intrinsic
def subtract(typing_context, x, y):
    """Return x - y."""
    return f32x16(f32x16, f32x16), lambda context, builder, signature, xy: builder.fsub(*xy)


@intrinsic
def multiply(typing_context, x, y):
    """Return x * y."""
    return f32x16(f32x16, f32x16), lambda context, builder, signature, xy: builder.fmul(*xy)


def _multiply_add(builder: Any, x: Any, y: Any, z: Any) -> Any:
    # Not llvm.fma: on a CPU without that instruction it becomes sixteen library calls.
    return _call(builder, "fmuladd", x, y, z)


@intrinsic
def multiply_add(typing_context, x, y, z):
    """Return x * y + z."""
    return (
        f32x16(f32x16, f32x16, f32x16),
        lambda context, builder, signature, xyz: _multiply_add(builder, *xyz),
    )


@intrinsic
def sum_lanes(typing_context, x):
    """Return the sum of the sixteen lanes, a float32."""

    def generate(context, builder, signature, arguments):
        function = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(_FLOAT, [_FLOAT, _VECTOR]),
            "llvm.vector.reduce.fadd.v16f32",
        )
        return builder.call(function, [ir.Constant(_FLOAT, 0.0), *arguments], fastmath=("reassoc",))

    return types.float32(f32x16), generate


def _shuffle(builder: Any, x: Any, y: Any, lanes: Sequence[int]) -> Any:
    """Pick lanes of x (0 to 15) and of y (16 to 31)."""
    mask = ir.Constant(ir.VectorType(_INT32, len(lanes)), list(lanes))
    return builder.shuffle_vector(x, y, mask)


def _fold(builder: Any, x: Any, y: Any, run: int) -> Any:
    """Halve two vectors of runs of 2 * `run` lanes: add each run's halves; x's results first, then y's."""
    starts = range(0, 2 * LANES, 2 * run)
    low = [start + lane for start in starts for lane in range(run)]
    high = [lane + run for lane in low]
    return builder.fadd(_shuffle(builder, x, y, low), _shuffle(builder, x, y, high))


@intrinsic
def sums(typing_context, x0, x1, x2, x3, x4, x5, x6, x7, x8, x9, xa, xb, xc, xd, xe, xf):
    """Return the vector whose lane k is the sum of the lanes of the k-th argument.

    Four rounds of shuffles and adds transpose and sum at once: 15 additions for what one by one would take 64.
    """

    def generate(context, builder, signature, arguments):
        vectors = list(arguments)
        run = LANES // 2
        while len(vectors) > 1:
            pairs = zip(vectors[::2], vectors[1::2], strict=True)
            vectors = [_fold(builder, x, y, run) for x, y in pairs]
            run //= 2
        return vectors[0]

    return f32x16(*[f32x16] * LANES), generate


def _exp(builder: Any, x: Any) -> Any:
    """Return e to the power of x for |x| <= 80: 2^n times the Cephes polynomial of 2^f (relative error about 1e-7)."""
    power = builder.fmul(x, _constant(1.4426950408889634))
    whole = _call(builder, "rint", power)
    fraction = builder.fsub(power, whole)
    result = _constant(1.535336188319500e-4)
    for coefficient in (
        1.339887440266574e-3,
        9.618437357674640e-3,
        5.550332471162809e-2,
        2.402264791363012e-1,
        6.931472028550421e-1,
        1.0,
    ):
        result = _multiply_add(builder, result, fraction, _constant(coefficient))
    exponent = builder.add(
        builder.fptosi(whole, _INT_VECTOR), ir.Constant(_INT_VECTOR, [127] * LANES)
    )
    scale = builder.shl(exponent, ir.Constant(_INT_VECTOR, [23] * LANES))
    return builder.fmul(result, builder.bitcast(scale, _VECTOR))


def _clamp(builder: Any, x: Any, bound: float) -> Any:
    return _call(
        builder, "minnum", _call(builder, "maxnum", x, _constant(-bound)), _constant(bound)
    )


@intrinsic
def exp(typing_context, x):
    """Return e to the power of x, where x is taken as within -80 and 80."""
    return (
        f32x16(f32x16),
        lambda context, builder, signature, xs: _exp(builder, _clamp(builder, xs[0], 80.0)),
    )


@intrinsic
def sigmoid(typing_context, x):
    """Return 1 / (1 + exp(-x)), where x is taken as within -30 and 30."""

    def generate(context, builder, signature, arguments):
        x = _clamp(builder, arguments[0], 30.0)
        power = _exp(builder, builder.fsub(_constant(0.0), x))
        return builder.fdiv(_constant(1.0), builder.fadd(_constant(1.0), power))

    return f32x16(f32x16), generate
