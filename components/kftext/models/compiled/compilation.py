"""How the functions of this folder are compiled: without the interpreter's lock, kept on disk."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from numba import njit, types
from numba.core.ccallback import CFunc

from kftext.kernel_cache import keep_callback_on_disk, keep_on_disk

__all__ = ["Callback", "compiled", "entry"]

_OPTIONS = {"nogil": True, "boundscheck": False, "error_model": "numpy"}


def compiled(function: Any) -> Any:
    """Compile a function that other compiled functions call."""
    return njit(**_OPTIONS)(function)


def entry(function: Any) -> Any:
    """Compile a function that Python calls, at its first call, and keep it on disk, wherever it stands: it calls this folder's."""
    return keep_on_disk(njit(**_OPTIONS)(function), Path(__file__).parent)


class Callback:
    """A function that compiled code calls by its address, with one int64; it returns 0.

    Memory that it can't have is said on stderr and ends the call, which then returns 0 as well.
    """

    def __init__(self, function: Callable[[int], int]):
        self._function = function

    @cached_property
    def address(self) -> int:
        """Where it lies; compiled when it is first asked for, and kept on disk."""
        callback = CFunc(self._function, ((types.int64,), types.int64), {}, _OPTIONS)
        keep_callback_on_disk(callback, Path(__file__).parent)
        callback.compile()
        # The code lives as long as what it was compiled by.
        self._compiled = callback
        return int(callback.address)
