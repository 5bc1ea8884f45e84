"""Memory that other warps write while this one reads it: rows of the matrices, and the count of tokens done.

numba-cuda's `ldcg` would read past the multiprocessor's own cache too, but the compiler takes it for a function without side effects: one
whose address stays the same is moved out of its loop, and the warp goes on with what it read first. These are marked as what they are,
relaxed operations that the whole GPU sees (PTX ISA, "Memory consistency model").
"""

from __future__ import annotations

import threading

from kftext.blazingtext.cuda.kernels.compilation import SIMULATED, helper

__all__ = ["add", "load"]

if SIMULATED:
    # Lanes are threads, and what Python does in three steps another may come between.
    _turn = threading.Lock()

    def load(array, index):
        """Return an element as it is now."""
        return array[index]

    def add(array, index, change):
        """Add to an element atomically."""
        with _turn:
            array[index] += change

else:
    from llvmlite import ir
    from numba import types
    from numba.cuda.extending import intrinsic

    # PTX's suffix and kind of register.
    _OPERANDS = {
        types.float32: ("f32", "f"),
        types.float64: ("f64", "d"),
        types.int64: ("u64", "l"),
    }

    def _pointer(context, builder, array_type, array, index):
        """Return the address of array[index]."""
        structure = context.make_array(array_type)(context, builder, value=array)
        return builder.gep(structure.data, [index])

    @intrinsic
    def _load(typing_context, array, index):
        """Return array[index], read from the cache that the whole GPU shares."""
        suffix, register = _OPERANDS[array.dtype]

        def generate(context, builder, signature, arguments):
            pointer = _pointer(context, builder, array, *arguments)
            kind = ir.FunctionType(context.get_value_type(array.dtype), [pointer.type])
            text = f"ld.relaxed.gpu.global.{suffix} $0, [$1];"
            return builder.call(
                ir.InlineAsm(kind, text, f"={register},l", side_effect=True), [pointer]
            )

        return array.dtype(array, types.intp), generate

    @intrinsic
    def _add(typing_context, array, index, change):
        """Add to array[index] in the cache that the whole GPU shares; nothing is returned, so that nobody waits."""
        suffix, register = _OPERANDS[array.dtype]

        def generate(context, builder, signature, arguments):
            pointer = _pointer(context, builder, array, *arguments[:2])
            kind = ir.FunctionType(ir.VoidType(), [pointer.type, arguments[2].type])
            text = f"red.relaxed.gpu.global.add.{suffix} [$0], $1;"
            constraints = f"l,{register},~{{memory}}"
            builder.call(
                ir.InlineAsm(kind, text, constraints, side_effect=True), [pointer, arguments[2]]
            )
            return context.get_dummy_value()

        return types.void(array, types.intp, array.dtype), generate

    @helper
    def load(array, index):
        """Return an element as it is now."""
        return _load(array, index)

    @helper
    def add(array, index, change):
        """Add to an element atomically."""
        _add(array, index, change)
