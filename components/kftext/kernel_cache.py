"""Numba's cache on disk, made to notice every edit.

Numba keys it by the file of a function alone: an edit of a function in another file would leave stale machine code in use. Here
the key also holds a digest of all modules of the function's folder and the folders below, where the functions it calls stand,
and of other folders that it calls functions of.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba.core.caching import FunctionCache
from numba.core.ccallback import CFunc

__all__ = ["keep_callback_on_disk", "keep_on_disk"]


@functools.cache
def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for module in sorted(folder.rglob("*.py")):
        digest.update(module.read_bytes())
    return digest.hexdigest()


class _FolderCache(FunctionCache):
    def __init__(self, function: Callable[..., Any], folders: tuple[Path, ...]):
        super().__init__(function)
        self._folders = (Path(function.__code__.co_filename).parent, *folders)

    def _index_key(self, sig: Any, codegen: Any) -> tuple[Any, ...]:
        return (*super()._index_key(sig, codegen), *map(_digest, self._folders))


def keep_on_disk(dispatcher: Any, *folders: Path) -> Any:
    """Give a function that `numba.njit` returned, without `cache=True`, this cache. Returns it.

    Args:
        dispatcher: the function.
        folders: where functions stand that it calls, beside its own folder and those below.
    """
    dispatcher._cache = _FolderCache(dispatcher.py_func, folders)
    return dispatcher


def keep_callback_on_disk(callback: CFunc, *folders: Path) -> None:
    """Give a callback that has not been compiled yet this cache; `folders` are those of `keep_on_disk`."""
    callback._cache = _FolderCache(callback.__wrapped__, folders)
