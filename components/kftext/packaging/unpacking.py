"""Unpacking: an archive of unknown origin becomes a folder, or an error, and nothing outside that folder is touched."""

from __future__ import annotations

import gzip
import shutil
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Self, cast

from kftext import storage
from kftext.errors import ModelFormatError

__all__ = ["unpack"]

MAX_MEMBERS = 10_000
MAX_BYTES = 64 << 30
# Trained models shrink by a few tenths. Above a size that fits anywhere, this is no model but a bomb.
MAX_RATIO, RATIO_FROM = 100, 1 << 30
# Long names and attributes stand in members of their own, which tarfile reads into memory whole.
MAX_HEADER = 1 << 20
_HEADERS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


class _Member(tarfile.TarInfo):
    """A header that is refused before memory is spent on it."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        member = super().frombuf(buf, encoding, errors)
        if member.type in _HEADERS and member.size > MAX_HEADER:
            raise ModelFormatError(
                f"a header of {member.size} bytes, at most {MAX_HEADER} expected"
            )
        return member


def unpack(
    archive: storage.StrPath, folder: storage.StrPath, *, max_bytes: int = MAX_BYTES
) -> list[Path]:
    """Unpack a .tar.gz into a local folder, which appears whole or not at all.

    Plain files and folders alone are taken. Hidden files (macOS adds some) are passed over.

    Args:
        archive: local or remote; streamed.
        folder: local folder to make, or to add the files to.
        max_bytes: how much the files may hold together.

    Returns:
        The files, sorted.

    Raises:
        ModelFormatError: it is no gzip'd tar, is cut short or damaged, holds nothing, a link, a device, a path that leads out
            of the folder, a name twice, or more than the limits on number, size and compression allow.
        StorageError: the archive can't be read or the folder can't be written.
    """
    compressed = storage.size(archive)
    limit = max_bytes
    if max_bytes > RATIO_FROM:
        limit = min(max_bytes, max(RATIO_FROM, MAX_RATIO * compressed))
    with storage.atomic_directory(folder) as target:
        try:
            with (
                storage.open_reader(archive) as raw,
                gzip.GzipFile(fileobj=raw) as stream,
                tarfile.open(fileobj=cast(BinaryIO, stream), mode="r|", tarinfo=_Member) as tar,
            ):
                names = _extract(tar, target, limit)
                # gzip's checksum stands behind the last byte: read on to the end.
                rest = 0
                while piece := stream.read(1 << 20):
                    rest += len(piece)
                    if rest > limit:
                        raise ModelFormatError("too much data behind the last file")
        except ModelFormatError as error:
            raise ModelFormatError(f"{archive}: {error}") from None
        except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise ModelFormatError(f"{archive}: not a .tar.gz, or damaged: {error}") from None
        if not names:
            raise ModelFormatError(f"{archive}: no files in this archive")
    return sorted(Path(folder, name) for name in names)


def _extract(tar: tarfile.TarFile, target: Path, limit: int) -> set[PurePosixPath]:
    names: set[PurePosixPath] = set()
    total = 0
    for number, member in enumerate(tar, start=1):
        if number > MAX_MEMBERS:
            raise ModelFormatError(f"more than {MAX_MEMBERS} members")
        name = _check(member)
        total += member.size
        if total > limit:
            raise ModelFormatError(
                f"its files hold more than {limit} bytes, too much for a model of this archive's size"
            )
        if member.isdir() or any(part.startswith(".") for part in name.parts):
            continue
        if (target / name).exists() or not names.isdisjoint(name.parents):
            raise ModelFormatError(f"{member.name!r} is there twice")
        names.add(name)
        content = tar.extractfile(member)
        with storage.open_writer(target / name) as file:
            shutil.copyfileobj(cast(BinaryIO, content), file, 1 << 20)
    return names


def _check(member: tarfile.TarInfo) -> PurePosixPath:
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts or "\0" in member.name:
        raise ModelFormatError(f"{member.name!r} leads out of the folder")
    if not (member.isfile() or member.isdir()) or member.issparse():
        raise ModelFormatError(
            f"{member.name!r} is neither a plain file nor a folder (links and devices are not taken)"
        )
    return name
