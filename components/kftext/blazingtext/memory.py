"""Memory by the page: how much there is, and how to give it back."""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["allocate", "available_memory", "release_pages"]

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
    return np.frombuffer(pages, dtype, count)


def release_pages(ids: npt.NDArray[Any]) -> None:
    """Take the pages of a memory-mapped array out of this process's resident memory; they are read again when needed."""
    mapping: object = ids
    while isinstance(mapping, np.ndarray):
        mapping = mapping.base
    if isinstance(mapping, memoryview):
        mapping = mapping.obj
    if isinstance(mapping, mmap.mmap):
        mapping.madvise(mmap.MADV_DONTNEED)
