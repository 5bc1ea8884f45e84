"""How the pieces of a CUDA kernel are compiled. In numba's simulator they stay Python functions."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numba
import numpy as np
from numba import cuda

from kftext.blazingtext.cuda.kernels.shape import LANES

__all__ = ["LAUNCH_BOUNDS", "SIMULATED", "helper", "kernel", "registers"]

SIMULATED = bool(numba.config.ENABLE_CUDASIM)
"""Whether NUMBA_ENABLE_CUDASIM is set: kernels then run as Python, a thread a lane."""

LAUNCH_BOUNDS = (LANES, 8)
"""Threads of a block, and blocks of a multiprocessor that registers must do for: with none named, ptxas spills to make room for more."""


def helper(function: Callable[..., Any]) -> Any:
    """Compile a piece of a kernel; it is always inlined, so that arrays which it is handed can stay in registers."""
    if SIMULATED:
        return function
    return cuda.jit(device=True, forceinline=True, fastmath=True)(function)


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a kernel for blocks of one warp."""
    if SIMULATED:
        return cuda.jit(function)
    return cuda.jit(fastmath=True, launch_bounds=LAUNCH_BOUNDS)(function)


registers: Any = cuda
"""`registers.local.array(n, float32)` makes a thread's array, which stays in registers where every index is known to the compiler."""

if SIMULATED:
    # The simulator hands its own `cuda` to kernels, and none to the functions that they call.
    registers = SimpleNamespace(
        local=SimpleNamespace(array=lambda n, kind: np.zeros(n, np.dtype(kind.name)))
    )
