"""Files and whole folders copied between places, and the two context managers that steps work in."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from kftext.errors import StorageError
from kftext.progress import Progress
from kftext.storage import local
from kftext.storage.files import list_sizes, open_reader, open_writer
from kftext.storage.uri import S3Path, StrPath, join, parse

__all__ = ["atomic_directory", "download", "local_copy", "upload"]

_PARALLEL_FILES = 4
_SHOW_PROGRESS_FROM = 64 << 20


def download(path: StrPath, local_dir_or_file: StrPath) -> Path:
    """Copy a file, or a whole folder or prefix, to a local place; each file appears when it is complete.

    Args:
        path: what to copy.
        local_dir_or_file: for a folder or prefix, the folder to fill. For a file, its new name, or the folder to put it into
            (one that exists, or a name that ends with a slash).

    Returns:
        The local file or folder.

    Raises:
        StorageError: nothing is there, it can't be read, or a key would lead out of the folder (`..`).
    """
    _local(local_dir_or_file)
    return Path(_copy_tree(path, local_dir_or_file))


def upload(source: StrPath, path: StrPath) -> str:
    """Copy a local file, or a whole folder, to a path; each file is complete or absent there.

    A folder's description (the JSON files at its top) goes last: who finds it finds all it describes.

    Args:
        source: what to copy.
        path: for a folder, the prefix or folder to fill. For a file, its new name, or where that ends with a slash the folder
            to put it into.

    Returns:
        The path of the copied file or folder.
    """
    _local(source)
    return _copy_tree(source, path)


def _local(path: StrPath) -> Path:
    place = parse(path)
    if isinstance(place, S3Path):
        raise StorageError(f"{place}: expected a local path")
    return place


def _copy_tree(source: StrPath, target: StrPath) -> str:
    origin, files, place = parse(source), list_sizes(source), parse(target)
    if files[0][0] == origin:
        into = str(target).endswith("/") or (isinstance(place, Path) and place.is_dir())
        destination = join(target, _name(origin)) if into else str(place)
        first, last = [(origin, destination)], []
    else:
        destination = str(place)
        names = [_relative(file, origin) for file, _ in files]
        pairs = [
            (file, join(destination, *name)) for (file, _), name in zip(files, names, strict=True)
        ]
        described = [len(name) == 1 and name[0].endswith(".json") for name in names]
        first = [pair for pair, is_last in zip(pairs, described, strict=True) if not is_last]
        last = [pair for pair, is_last in zip(pairs, described, strict=True) if is_last]
    counter = _Counter(sum(length for _, length in files), f"copying {_name(origin)}")

    def copy(pair: tuple[Path | S3Path, str]) -> None:
        _copy(*pair, counter)

    for group in (first, last):
        with ThreadPoolExecutor(_PARALLEL_FILES, "copy") as pool:
            list(pool.map(copy, group))
    counter.close()
    return destination


def _name(place: Path | S3Path) -> str:
    if isinstance(place, Path):
        return place.absolute().name
    return place.key.rstrip("/").rpartition("/")[2] or place.bucket


def _relative(file: Path | S3Path, folder: Path | S3Path) -> tuple[str, ...]:
    """Return the names that lead from a folder to a file in it; keys that would lead out of it are refused."""
    if isinstance(file, S3Path) and isinstance(folder, S3Path):
        names = tuple(file.key.removeprefix(folder.prefix).split("/"))
        if any(name in ("", ".", "..") or "\0" in name for name in names):
            raise StorageError(f"{str(file)!r}: this key can't name a file below a folder")
        return names
    return Path(str(file)).relative_to(str(folder)).parts


class _Counter:
    """Bytes copied, counted from several threads, and shown where they are many."""

    def __init__(self, total: int, description: str):
        self._lock = threading.Lock()
        self._progress = Progress(total, "B", description) if total >= _SHOW_PROGRESS_FROM else None

    def add(self, amount: int) -> None:
        if self._progress is not None:
            with self._lock:
                self._progress.update(amount)

    def close(self) -> None:
        if self._progress is not None:
            self._progress.close()


class _Counted:
    """A reader that counts what passes."""

    def __init__(self, reader: BinaryIO, counter: _Counter):
        self._reader, self._counter = reader, counter

    def read(self, length: int = -1) -> bytes:
        data = self._reader.read(length)
        self._counter.add(len(data))
        return data


def _copy(source: Path | S3Path, target: str, counter: _Counter) -> None:
    place = parse(target)
    with open_reader(str(source)) as reader:
        counted = _Counted(reader, counter)
        if isinstance(place, S3Path) and isinstance(source, Path) and source.is_file():
            from kftext.storage import s3

            s3.put_file(counted, source.stat().st_size, place)
            return
        with open_writer(target) as writer:
            shutil.copyfileobj(counted, writer, local.BUFFER_SIZE)


@contextmanager
def local_copy(path: StrPath, work_dir: StrPath | None = None) -> Iterator[Path]:
    """Yield a local file or folder with the content of `path`: itself where it is local, else a copy that is removed after.

    Args:
        path: a file, folder or prefix.
        work_dir: where the copy lies meanwhile; the system's temporary folder by default. The copy keeps the last part of
            its name.

    Raises:
        StorageError: nothing is there, or it can't be read.
    """
    place = parse(path)
    if isinstance(place, Path):
        with local.translate_errors(place):
            place.stat()
        yield place
        return
    folder = None if work_dir is None else _local(work_dir)
    with local.translate_errors(folder or tempfile.gettempdir()):
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.TemporaryDirectory(prefix="kftext-", dir=folder)
    with temporary as name:
        yield download(path, Path(name, _name(place)))


@contextmanager
def atomic_directory(path: StrPath, owned: Sequence[str] = ()) -> Iterator[Path]:
    """Yield an empty temporary local folder whose content becomes `path` on a clean exit, and vanishes after an exception.

    Local: `kftext.storage.local.atomic_directory`. Remote: the bucket is looked up at the start; the files are uploaded
    at the end, each complete or absent, the JSON files that describe the folder last. Where that fails the local folder is kept.

    Args:
        path: a folder or prefix.
        owned: names whose older versions at `path` are removed where this run does not write them (local paths only).
    """
    place = parse(path)
    if isinstance(place, Path):
        with local.atomic_directory(place, owned) as folder:
            yield folder
        return
    from kftext.storage import s3

    s3.check_bucket(place)
    name = tempfile.mkdtemp(prefix="kftext-")
    try:
        yield Path(name)
    except BaseException:
        shutil.rmtree(name, ignore_errors=True)
        raise
    try:
        upload(name, path)
    except StorageError as error:
        # Hours of training may lie in it.
        raise StorageError(f"{error}; what was to be stored is kept in {name}") from None
    shutil.rmtree(name, ignore_errors=True)
