"""How the functions of this folder are compiled: without the interpreter's lock, into a cache that notices every edit.

Numba keys its cache on disk by the file of a function alone: it would go on using machine code that holds an older version
of a function from another file. Here the key holds a digest of the whole folder.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from numba import njit
from numba.core.caching import FunctionCache

__all__ = ["compiled", "entry"]

_OPTIONS = {"nogil": True, "boundscheck": False, "error_model": "numpy"}


def _digest() -> str:
    digest = hashlib.sha256()
    for module in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(module.read_bytes())
    return digest.hexdigest()


_DIGEST = _digest()


class _Cache(FunctionCache):
    def _index_key(self, sig: Any, codegen: Any) -> tuple[Any, ...]:
        return (*super()._index_key(sig, codegen), _DIGEST)


def compiled(function: Any) -> Any:
    """Compile a function that other compiled functions call."""
    return njit(**_OPTIONS)(function)


def entry(function: Any) -> Any:
    """Compile a function that Python calls, at its first call, and keep it on disk."""
    dispatcher = njit(**_OPTIONS)(function)
    dispatcher._cache = _Cache(function)
    return dispatcher
