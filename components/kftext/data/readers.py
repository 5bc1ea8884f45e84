"""Reading a data set of any format: a file, or a folder or prefix of files that are one data set."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from kftext import storage
from kftext.data import corpus, csv, labeled_text, manifest
from kftext.data.formats import Format, ReadOptions
from kftext.data.rows import Fault, FaultKind, Row, Severity
from kftext.errors import DataError

__all__ = ["read", "read_rows"]

_READERS = {
    Format.CORPUS: corpus.read,
    Format.LABELED_TEXT: labeled_text.read,
    Format.MANIFEST: manifest.read,
    Format.CSV: csv.read,
}


def read(
    path: str | os.PathLike[str],
    format: Format,
    options: ReadOptions | None = None,
    *,
    on_bytes: Callable[[int], object] | None = None,
) -> Iterator[Row | Fault]:
    """Read the rows and the faults of a data set, in the order of its files and lines.

    Args:
        path: local path or URI of a file, or of a folder or prefix whose files are one data set.
        format: of all its files.
        options: see `ReadOptions`.
        on_bytes: told how many bytes were read from storage, as they are read.

    Raises:
        StorageError: nothing is there, or it can't be read.
    """
    for file in storage.list_files(path):
        yield from _READERS[format](file, options, on_bytes=on_bytes)


def read_rows(
    path: str | os.PathLike[str],
    format: Format,
    options: ReadOptions | None = None,
    *,
    on_bytes: Callable[[int], object] | None = None,
    on_warning: Callable[[Fault], object] | None = None,
) -> Iterator[Row]:
    """Read a data set that is expected to be right: rows only.

    Arguments as for `read`; `on_warning` is called for each fault that is a warning.

    Raises:
        DataError: for the first fault that is an error, or where there is no row at all.
        StorageError: nothing is there, or it can't be read.
    """
    empty = True
    for item in read(path, format, options, on_bytes=on_bytes):
        if isinstance(item, Row):
            empty = False
            yield item
        elif item.severity is not Severity.WARNING:
            raise item.error()
        elif on_warning is not None:
            on_warning(item)
    if empty:
        raise DataError(FaultKind.NO_ROWS.meaning, file=os.fspath(path))
