"""Single files and listings, wherever they are: each function asks the path and hands over to `local` or `s3`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

from kftext.errors import StorageError
from kftext.storage import local
from kftext.storage.uri import S3Path, StrPath, parse

__all__ = ["exists", "list_files", "list_sizes", "open_reader", "open_writer", "size"]

# `s3` is imported where a remote path asks for it: the client takes half a second to import.


def exists(path: StrPath) -> bool:
    """Tell whether a file or a folder is there; in a bucket, an object of that key or one below it."""
    place = parse(path)
    if isinstance(place, Path):
        with local.translate_errors(place):
            return place.exists()
    from kftext.storage import s3

    return s3.find_size(place) is not None or next(s3.list_objects(place), None) is not None


def size(path: StrPath) -> int:
    """Return a file's size in bytes, or the sum over a folder's files.

    Raises:
        StorageError: nothing is there.
    """
    return sum(length for _, length in list_sizes(path))


def list_files(path: StrPath) -> list[str]:
    """Return a file as itself, a folder or prefix as its files: recursively, sorted, hidden ones left out.

    Raises:
        StorageError: nothing is there.
    """
    return [str(file) for file, _ in list_sizes(path)]


def list_sizes(path: StrPath) -> Sequence[tuple[Path | S3Path, int]]:
    """Return what `list_files` does, parsed, each with its size in bytes."""
    place = parse(path)
    files = _list(place)
    if not files:
        if isinstance(place, Path) and place.is_dir():
            raise StorageError(f"{place}: the folder holds no files")
        kind = "object or prefix" if isinstance(place, S3Path) else "file or folder"
        raise StorageError(f"no such {kind}: {place}")
    return files


def _list(place: Path | S3Path) -> Sequence[tuple[Path | S3Path, int]]:
    if isinstance(place, S3Path):
        from kftext.storage import s3

        length = s3.find_size(place)
        return list(s3.list_objects(place)) if length is None else [(place, length)]
    with local.translate_errors(place):
        if place.is_dir():
            return [(Path(file), Path(file).stat().st_size) for file in local.list_files(place)]
        return [(place, place.stat().st_size)] if place.exists() else []


def open_reader(path: StrPath, offset: int = 0) -> BinaryIO:
    """Open a file for reading from byte `offset`; a context manager. Remote bytes stream, and broken connections resume.

    Raises:
        StorageError: the file can't be read, now or later; a remote one was replaced meanwhile or fails its checksum.
    """
    place = parse(path)
    if isinstance(place, Path):
        return local.open_reader(place, offset)
    from kftext.storage import s3

    return s3.open_reader(place, offset)


def open_writer(path: StrPath) -> AbstractContextManager[BinaryIO]:
    """Return a context manager of a file for writing: in place after a clean exit, absent after an exception.

    A file that was there before stays as it was until then. Missing local folders are made.

    Raises:
        StorageError: the path can't be written.
    """
    place = parse(path)
    if isinstance(place, Path):
        return local.open_writer(place)
    from kftext.storage import s3

    return s3.open_writer(place)
