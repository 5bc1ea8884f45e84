"""Packing: a model folder becomes one flat .tar.gz whose bytes depend on the files' names and content alone."""

from __future__ import annotations

import hashlib
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from kftext import models, storage
from kftext.errors import StorageError
from kftext.packaging.gzip_writer import GzipWriter
from kftext.progress import Progress

__all__ = ["ARCHIVE_NAME", "Archive", "pack"]

ARCHIVE_NAME = "model.tar.gz"


@dataclass(frozen=True)
class Archive:
    """What was packed.

    Attributes:
        uri: path of the archive.
        size: its length in bytes.
        sha256: its digest, 64 hexadecimal digits.
        files: names of its members, in order.
    """

    uri: str
    size: int
    sha256: str
    files: tuple[str, ...]


def pack(model_dir: storage.StrPath, output: storage.StrPath) -> Archive:
    """Check that a folder holds a model that can be loaded, and write its files into an archive.

    Members stand at the top level, sorted by name, without times, owners and permissions of their own. Hidden files are left
    out. The archive is streamed: memory does not grow with the model.

    Args:
        model_dir: a model folder, local or remote (which is fetched first).
        output: the archive to write, local or remote; complete or absent. A path that ends with a slash, or a local folder,
            gets `model.tar.gz` in it.

    Raises:
        ModelFormatError: the folder holds no model, or a damaged one.
        StorageError: the folder can't be read or the archive can't be written.
    """
    output = archive_path(output)
    with storage.local_copy(model_dir) as folder:
        if not folder.is_dir():
            raise StorageError(f"{model_dir} is a file: expected a model folder")
        models.load(folder)
        # An archive that an earlier run wrote into the folder is not part of the model.
        files = [Path(file) for file in storage.list_files(folder) if not _same(file, output)]
        names = [file.relative_to(folder).as_posix() for file in files]
        total = sum(file.stat().st_size for file in files)
        with storage.open_writer(output) as raw:
            digest = _DigestWriter(raw)
            with Progress(total, "B", "packing") as progress:
                _write_tar(digest, list(zip(names, files, strict=True)), progress)
    return Archive(output, digest.size, digest.hexdigest(), tuple(names))


def archive_path(output: storage.StrPath) -> str:
    """Return where an archive goes: `model.tar.gz` within what is, or is written as, a folder."""
    text = str(output)
    if text.endswith("/") or (not storage.is_remote(text) and Path(storage.join(text)).is_dir()):
        return storage.join(text, ARCHIVE_NAME)
    return text


def _same(file: str, output: str) -> bool:
    return (
        not storage.is_remote(output)
        and Path(file).resolve() == Path(storage.join(output)).resolve()
    )


def _write_tar(stream: _DigestWriter, files: list[tuple[str, Path]], progress: Progress) -> None:
    with (
        GzipWriter(cast(BinaryIO, stream)) as packed,
        tarfile.open(fileobj=cast(BinaryIO, packed), mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name, file in files:
            member = tarfile.TarInfo(name)
            member.mode = 0o644
            with storage.open_reader(file) as content:
                member.size = file.stat().st_size
                tar.addfile(member, cast(BinaryIO, _Counted(content, progress)))


class _Counted:
    """A reader that shows how much has passed."""

    def __init__(self, reader: BinaryIO, progress: Progress):
        self._reader, self._progress = reader, progress

    def read(self, length: int = -1) -> bytes:
        data = self._reader.read(length)
        self._progress.update(len(data))
        return data


class _DigestWriter:
    """Passes bytes on, and knows their number and SHA-256."""

    def __init__(self, stream: BinaryIO):
        self._stream, self._sha256, self.size = stream, hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        self._sha256.update(data)
        self.size += len(data)
        return self._stream.write(data)

    def hexdigest(self) -> str:
        return self._sha256.hexdigest()
