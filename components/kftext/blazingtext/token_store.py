"""Where token ids are kept: in memory while they fit, else in a file without a name in the work folder."""

from __future__ import annotations

import os
import tempfile
import threading
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from kftext.blazingtext.encoded import Int32Array
from kftext.blazingtext.memory import allocate, map_file
from kftext.errors import ResourceError

__all__ = ["TokenStore"]


class TokenStore:
    """The ids of a corpus by block, each put once and taken once, in any order and from any thread.

    Args:
        memory_limit: bytes of ids held in memory; those beyond go to the file.
        work_dir: where that file is; it has no name, and is gone with the process however that ends.
    """

    def __init__(self, memory_limit: int, work_dir: str | os.PathLike[str] | None):
        self._limit, self._work_dir = memory_limit, work_dir
        self._lock = threading.Lock()
        self._in_memory: dict[int, Int32Array] = {}
        self._in_file: dict[int, tuple[int, int]] = {}
        self._used = self._allocated = 0
        self._file: BinaryIO | None = None
        self._file_size = 0

    def put(self, block: int, ids: Int32Array) -> None:
        """Keep a copy of the ids of a block.

        Raises:
            ResourceError: the work folder can't take them.
        """
        with self._lock:
            fits = self._used + ids.nbytes <= self._limit
            if fits:
                self._used += ids.nbytes
            else:
                descriptor = self._descriptor()
                offset, self._file_size = self._file_size, self._file_size + ids.nbytes
                self._in_file[block] = (offset, len(ids))
        if fits:
            self._in_memory[block] = _copy(ids)
            return
        view = memoryview(ids.data).cast("B")
        try:
            while view:
                count = os.pwrite(descriptor, view, offset)
                view, offset = view[count:], offset + count
        except OSError as error:
            raise self._no_room(error) from None

    def take(self, block: int) -> Int32Array:
        """Return the ids of a block, writable, and forget them."""
        if block in self._in_memory:
            ids = self._in_memory.pop(block)
            self._used -= ids.nbytes
            return ids
        offset, count = self._in_file.pop(block)
        ids = np.empty(count, np.int32)
        view = memoryview(ids.data).cast("B")
        while view:
            read = os.preadv(self._descriptor(), [view], offset)
            view, offset = view[read:], offset + read
        return ids

    def allocate(self, count: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Return an array of undefined content for what is made of the ids: in memory as far as the limit goes, else a mapped file.

        Raises:
            ResourceError: the work folder has no room for it.
        """
        size = count * np.dtype(dtype).itemsize
        if self._allocated + size <= self._limit:
            self._allocated += size
            return np.empty(count, dtype)
        with self._open() as file:
            try:
                if hasattr(os, "posix_fallocate"):
                    # Writing to a mapped page for which the disk has no room kills the process: room is taken first.
                    os.posix_fallocate(file.fileno(), 0, size)
                else:
                    os.ftruncate(file.fileno(), size)
            except OSError as error:
                raise self._no_room(error) from None
            return map_file(file.fileno(), count, dtype)

    def close(self) -> None:
        """Give the file's room back."""
        if self._file is not None:
            self._file.close()

    def _descriptor(self) -> int:
        if self._file is None:
            self._file = self._open()
        return self._file.fileno()

    def _open(self) -> BinaryIO:
        try:
            if self._work_dir is not None:
                Path(self._work_dir).mkdir(parents=True, exist_ok=True)
            return tempfile.TemporaryFile(dir=self._work_dir, buffering=0)
        except OSError as error:
            raise self._no_room(error) from None

    def _no_room(self, error: OSError) -> ResourceError:
        folder = self._work_dir or tempfile.gettempdir()
        return ResourceError(
            f"the ids of the corpus fit neither in memory nor in the work folder {folder}: "
            f"{error.strerror}; name a folder on a larger disk with --work-dir"
        )


def _copy(ids: Int32Array) -> Int32Array:
    copy = allocate(len(ids), np.int32)
    copy[:] = ids
    return copy
