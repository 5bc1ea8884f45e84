"""How the functions of this folder are compiled: without the interpreter's lock, kept on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numba import njit

from kftext.kernel_cache import keep_on_disk

__all__ = ["compiled", "entry"]

_OPTIONS = {"nogil": True, "boundscheck": False, "error_model": "numpy"}


def compiled(function: Any) -> Any:
    """Compile a function that other compiled functions call."""
    return njit(**_OPTIONS)(function)


def entry(function: Any) -> Any:
    """Compile a function that Python calls, at its first call, and keep it on disk, wherever it stands: it calls this folder's."""
    return keep_on_disk(njit(**_OPTIONS)(function), Path(__file__).parent)
