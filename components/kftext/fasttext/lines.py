"""The lines of a file, as one buffer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from kftext.errors import StorageError

__all__ = ["read_lines"]


def read_lines(
    path: str | Path,
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return a file's bytes, and where each of its lines starts and ends (its newline left out).

    Raises:
        StorageError: the file can't be read.
    """
    try:
        text = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise StorageError(f"{path}: can't be read: {error.strerror or error}") from None
    ends = np.flatnonzero(text == ord("\n"))
    if len(text) and (not len(ends) or ends[-1] != len(text) - 1):
        ends = np.append(ends, len(text))
    starts = np.concatenate([[0], ends[:-1] + 1]) if len(ends) else np.zeros(0, dtype=np.int64)
    return text, starts.astype(np.int64), ends.astype(np.int64)
