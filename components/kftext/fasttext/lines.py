"""The lines of a file, as fastText reads them: a newline ends one, and so does the token `</s>` in the text itself."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kftext.errors import StorageError

__all__ = ["cut_line", "read_lines"]

_END_OF_SENTENCE = re.compile(rb"(?<![^ \t\n\v\f\r\0])</s>(?![^ \t\n\v\f\r\0])")


def cut_line(line: bytes) -> list[bytes]:
    """Cut a line, its newline included, behind each `</s>`: what follows it is another line, be it the newline alone."""
    cuts = [match.end() for match in _END_OF_SENTENCE.finditer(line)] if b"</s>" in line else []
    bounds = [0, *cuts, len(line)]
    return [line[a:b] for a, b in pairwise(bounds) if a < b]


def read_lines(
    path: str | Path,
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return a file's bytes, and where each of its lines starts and ends (its newline left out).

    A file without a newline at its end has a line there that nothing tells from one with it.

    Raises:
        StorageError: the file can't be read.
    """
    try:
        text = np.frombuffer(Path(path).read_bytes(), dtype=np.uint8)  # a pipe, too
    except OSError as error:
        raise StorageError(f"{path}: can't be read: {error.strerror or error}") from None
    ends = np.flatnonzero(text == ord("\n"))
    if len(text) and (not len(ends) or ends[-1] != len(text) - 1):
        ends = np.append(ends, len(text))
    starts = np.concatenate([[0], ends[:-1] + 1]) if len(ends) else np.zeros(0, dtype=np.int64)
    cuts = [match.end() for match in _END_OF_SENTENCE.finditer(text.data)]
    cuts = [cut for cut in cuts if cut < len(text)]
    if cuts:
        # Behind a cut a line starts, and another one ends there.
        starts = np.sort(np.concatenate([starts, cuts]))
        ends = np.sort(np.concatenate([ends, cuts]))
    return text, starts.astype(np.int64), ends.astype(np.int64)
