"""Local files: atomic writing, and operating-system errors told as ours."""

from __future__ import annotations

import errno
import io
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from kftext.errors import StorageError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

__all__ = ["atomic_directory", "list_files", "open_reader", "open_writer", "translate_errors"]

BUFFER_SIZE = 1 << 20


@contextmanager
def translate_errors(path: object) -> Iterator[None]:
    """Raise StorageError in place of OSError; `path` is named where the error names no file."""
    try:
        yield
    except FileNotFoundError as error:
        raise StorageError(f"no such file or folder: {error.filename or path}") from None
    except OSError as error:
        raise StorageError(f"{error.filename or path}: {error.strerror or error}") from None


class _File(io.FileIO):
    """A file whose reads and writes fail as StorageError: a full disk, a stale network mount."""

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        with translate_errors(self.name):
            return super().readinto(buffer)

    def readall(self) -> bytes:
        with translate_errors(self.name):
            return super().readall()

    def write(self, data: ReadableBuffer) -> int:
        with translate_errors(self.name):
            return super().write(data)


def list_files(folder: Path) -> list[str]:
    """Return the files below a folder, sorted; names that start with a dot are left out at every depth."""
    found: list[str] = []

    def fail(error: OSError) -> None:
        raise error

    with translate_errors(folder):
        for parent, folders, files in os.walk(folder, onerror=fail):
            folders[:] = [name for name in folders if not name.startswith(".")]
            found += [str(Path(parent, name)) for name in files if not name.startswith(".")]
    return sorted(found)


def open_reader(path: Path, offset: int = 0) -> BinaryIO:
    """Open a file for buffered reading, from `offset` bytes after its start."""
    with translate_errors(path):
        if path.is_dir():
            raise StorageError(f"{path} is a folder, not a file")
        reader = io.BufferedReader(_File(path, "rb"), BUFFER_SIZE)
        if offset:
            reader.seek(offset)
        return reader


@contextmanager
def open_writer(path: Path) -> Iterator[BinaryIO]:
    """Write a file that appears under its name only once it is whole and on the disk.

    The bytes go to a hidden file beside it, which `os.replace` then puts in place; a process that is killed leaves at most
    that hidden file. An existing file keeps its permissions, and a symbolic link keeps pointing to the file it names.
    Devices and pipes (/dev/stdout) are written to directly.
    """
    with translate_errors(path):
        target = Path(os.path.realpath(path))
        status = target.stat() if target.exists() else None
        if status and stat.S_ISDIR(status.st_mode):
            raise StorageError(f"{path} is a folder, not a file")
        target.parent.mkdir(parents=True, exist_ok=True)
    if status and not stat.S_ISREG(status.st_mode):
        with translate_errors(path), io.BufferedWriter(_File(target, "wb"), BUFFER_SIZE) as direct:
            yield cast(BinaryIO, direct)
        return
    temporary = _hidden_sibling(target)

    def create(_name: str, flags: int) -> int:
        # Mode 0o666 less the umask, as `open` does; tempfile's 0o600 would hide results from other users of a volume.
        return os.open(temporary, flags | os.O_EXCL, 0o666)

    with translate_errors(path):
        raw = _File(str(path), "wb", opener=create)
    try:
        if status:
            with suppress(OSError):  # some network mounts have no permissions to set
                os.fchmod(raw.fileno(), stat.S_IMODE(status.st_mode))
        with io.BufferedWriter(raw, BUFFER_SIZE) as writer:
            yield cast(BinaryIO, writer)
        with translate_errors(path):
            _sync(temporary)
            temporary.replace(target)
            _sync(target.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def atomic_directory(path: Path, owned: Sequence[str] = ()) -> Iterator[Path]:
    """Fill a temporary folder that becomes `path` on a clean exit, and vanishes after an exception.

    Where `path` is missing or empty it appears as a whole, by one rename. Where it holds files already, or is the root of a
    mounted volume, each entry is put in place by a rename of its own, and other files there stay.

    Args:
        path: the folder to be.
        owned: names that make up such a folder (model.bin, model.json): those that an earlier run left and this one does
            not write are removed, so that no mixture of two runs is left.
    """
    with translate_errors(path):
        path = Path(os.path.realpath(path))
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = not path.exists() or _is_replaceable(path)
        temporary = _hidden_sibling(path) if whole else _hidden_sibling(path / path.name)
        temporary.mkdir()
    try:
        yield temporary
        with translate_errors(path):
            if whole:
                temporary.rename(path)
            else:
                _move_entries(temporary, path, owned)
            _sync(path.parent if whole else path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _is_replaceable(folder: Path) -> bool:
    if not folder.is_dir():
        raise StorageError(f"{folder} is a file, not a folder")
    empty = next(folder.iterdir(), None) is None
    return empty and not folder.is_mount() and os.access(folder.parent, os.W_OK)


def _move_entries(source: Path, target: Path, owned: Sequence[str]) -> None:
    for name in owned:
        if not (source / name).exists():
            _remove(target / name)
    for entry in sorted(source.iterdir()):
        if entry.is_dir():
            _remove(target / entry.name)
        entry.rename(target / entry.name)


def _remove(path: Path) -> None:
    remove: Callable[..., object] = (
        shutil.rmtree if path.is_dir() and not path.is_symlink() else Path.unlink
    )
    with suppress(FileNotFoundError):
        remove(path)


def _hidden_sibling(path: Path) -> Path:
    # A name holds at most 255 bytes; what is cut here only helps a person who finds a leftover.
    stem = os.fsdecode(os.fsencode(path.name)[:200])
    return path.with_name(f".{stem}.{secrets.token_hex(6)}.tmp")


def _sync(path: Path) -> None:
    """Make a file's content, or the names in a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network mounts can't do it for folders; anything else means that the data may be lost.
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(descriptor)
