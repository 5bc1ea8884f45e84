"""Memory by the page: how much there is, and how to give it back."""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "allocate",
    "available_memory",
    "is_mapped_file",
    "map_file",
    "read_ahead",
    "release_pages",
]

_HUGE_PAGE = 2 << 20
_GROUP_LIMITS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    ),
)


def available_memory() -> int:
    """Return the bytes that this process may still take: the machine's, or what the container's limit leaves."""
    available = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                available = int(line.split()[1]) * 1024
        for limit, usage in _GROUP_LIMITS:
            if Path(limit).exists() and (text := Path(limit).read_text().strip()) != "max":
                available = min(available, int(text) - int(Path(usage).read_text()))
    except OSError:
        # No Linux, or a container that hides these files: what the machine has is the best guess.
        pass
    return max(available, 0)


def allocate(count: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return zeros in pages of their own, which go back to the system at once when the array is gone.

    The C library keeps what is freed for its own later use, in a heap a thread: with large arrays that come and go the process would
    hold much more memory than it uses.
    """
    size = max(count * np.dtype(dtype).itemsize, 1)
    pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if size >= _HUGE_PAGE and hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a kernel without them
            pages.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(pages, dtype, count)


class _MappedFile(mmap.mmap):
    """A mapped file, other than anonymous memory, whose pages can be had again."""


def map_file(descriptor: int, count: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return the content of an open file as an array, writable."""
    return np.frombuffer(_MappedFile(descriptor, count * np.dtype(dtype).itemsize), dtype, count)


def is_mapped_file(array: npt.NDArray[Any]) -> bool:
    """Return whether an array shows a mapped file."""
    return isinstance(_mapping(array)[1], _MappedFile)


def read_ahead(array: npt.NDArray[Any]) -> None:
    """Ask for the part of a mapped file that an array shows: it is read from disk while this goes on.

    Does nothing to another array.
    """
    if hasattr(mmap, "MADV_WILLNEED"):
        _advise(array, mmap.MADV_WILLNEED)


def release_pages(array: npt.NDArray[Any]) -> None:
    """Take the array of a mapped file, or the part that a view shows, out of resident memory: it is read again when needed.

    Does nothing to another array.
    """
    _advise(array, mmap.MADV_DONTNEED)


def _mapping(array: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], object]:
    """Return the array that a view is of, and what that one's memory belongs to."""
    root = array
    while isinstance(root.base, np.ndarray):
        root = root.base
    return root, root.base.obj if isinstance(root.base, memoryview) else root.base


def _advise(array: npt.NDArray[Any], advice: int) -> None:
    root, mapping = _mapping(array)
    if isinstance(mapping, _MappedFile) and array.size:
        start = array.ctypes.data - root.ctypes.data
        first = start - start % mmap.PAGESIZE
        mapping.madvise(advice, first, start + array.nbytes - first)
