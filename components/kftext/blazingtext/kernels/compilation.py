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

__all__ = ["helper", "kernel"]


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
    compiled = numba.njit(nogil=True, boundscheck=False, error_model="numpy")(function)
    compiled._cache = _KernelCache(function)
    return compiled


def helper(function: Callable[..., Any]) -> Any:
    """Compile a piece of a kernel: it is always inlined, and it is not callable from Python at any useful speed."""
    return numba.njit(
        nogil=True, boundscheck=False, error_model="numpy", forceinline=True, no_cpython_wrapper=True
    )(function)
