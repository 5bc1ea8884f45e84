"""How kernels are compiled: without the GIL, kept on disk, helpers always inlined."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba

from kftext.kernel_cache import keep_on_disk

__all__ = ["helper", "kernel", "lean_kernel"]


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a function that Python calls. It runs without the GIL; indexes are checked by its Python caller."""
    return _compile(function)


def lean_kernel(function: Callable[..., Any]) -> Any:
    """Compile a kernel that allocates nothing, without reference counts.

    With them Numba counts up and down each array that is taken out of a named tuple: atomic operations in the innermost loops.
    """
    return _compile(function, _nrt=False)


def _compile(function: Callable[..., Any], **options: Any) -> Any:
    return keep_on_disk(
        numba.njit(nogil=True, boundscheck=False, error_model="numpy", **options)(function)
    )


def helper(function: Callable[..., Any]) -> Any:
    """Compile a piece of a kernel that allocates nothing: it is always inlined."""
    return numba.njit(
        nogil=True,
        boundscheck=False,
        error_model="numpy",
        forceinline=True,
        no_cpython_wrapper=True,
        _nrt=False,
    )(function)
