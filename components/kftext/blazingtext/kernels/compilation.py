"""How kernels are compiled: without the GIL, into a cache that notices an edit of any kernel module.

Numba keys its on-disk cache by the file of the function alone: a kernel would go on running stale machine code after an edit
of a helper in another file. Here the key holds a digest of every module of this folder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import FunctionCache

__all__ = ["helper", "kernel", "lean_kernel"]


def _sources_digest() -> str:
    digest = hashlib.sha256()
    for module in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(module.read_bytes())
    return digest.hexdigest()


SOURCES_DIGEST = _sources_digest()


class _KernelCache(FunctionCache):
    def _index_key(self, sig: Any, codegen: Any) -> tuple[Any, ...]:
        return (*super()._index_key(sig, codegen), SOURCES_DIGEST)


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a function that Python calls. It runs without the GIL; indexes are checked by its Python caller."""
    return _compile(function)


def lean_kernel(function: Callable[..., Any]) -> Any:
    """Compile a kernel that allocates nothing, without reference counts.

    With them Numba counts up and down each array that is taken out of a named tuple: atomic operations in the innermost loops.
    """
    return _compile(function, _nrt=False)


def _compile(function: Callable[..., Any], **options: Any) -> Any:
    compiled = numba.njit(nogil=True, boundscheck=False, error_model="numpy", **options)(function)
    compiled._cache = _KernelCache(function)
    return compiled


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
