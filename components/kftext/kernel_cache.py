"""Numba's cache on disk, made to notice every edit.

Numba keys it by the file of a function alone: an edit of a function in another file would leave stale machine code in use. Here
the key also holds a digest of all modules of the function's folder and the folders below, where the functions it calls stand.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba.core.caching import FunctionCache

__all__ = ["keep_on_disk"]


@functools.cache
def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for module in sorted(folder.rglob("*.py")):
        digest.update(module.read_bytes())
    return digest.hexdigest()


class _FolderCache(FunctionCache):
    def __init__(self, function: Callable[..., Any]):
        super().__init__(function)
        self._folder = Path(function.__code__.co_filename).parent

    def _index_key(self, sig: Any, codegen: Any) -> tuple[Any, ...]:
        return (*super()._index_key(sig, codegen), _digest(self._folder))


def keep_on_disk(dispatcher: Any) -> Any:
    """Give a function that `numba.njit` returned, without `cache=True`, this cache. Returns it."""
    dispatcher._cache = _FolderCache(dispatcher.py_func)
    return dispatcher
