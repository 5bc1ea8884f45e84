"""What lies under a path, as one digest: two calls agree as long as nothing there was added, removed or written anew."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from kftext.storage.files import list_sizes, open_reader
from kftext.storage.local import BUFFER_SIZE
from kftext.storage.uri import S3Path, StrPath, parse

__all__ = ["Content", "content_of"]


@dataclass(frozen=True)
class Content:
    """What a path held when it was looked at.

    Attributes:
        files: number of files or objects.
        size: their bytes together.
        digest: SHA-256 over each one's name, size and content, 64 hexadecimal digits.
    """

    files: int
    size: int
    digest: str


def content_of(path: StrPath) -> Content:
    """Look at a file, a folder or a prefix.

    Local files are read. Of objects the ETag is taken, which a store computes from the content or gives anew with each write:
    terabytes cost a listing.

    Raises:
        StorageError: nothing is there, or it can't be read.
    """
    place = parse(path)
    if isinstance(place, S3Path):
        from kftext.storage import s3

        entries = [(key, size, etag) for key, size, etag in s3.list_etags(place)]
    else:
        entries = [
            (_name(file, place), size, _sha256(file))
            for file, size in list_sizes(place)
            if isinstance(file, Path)
        ]
    digest = hashlib.sha256()
    for name, size, content in entries:
        digest.update(f"{name}\0{size}\0{content}\n".encode("utf-8", "surrogateescape"))
    return Content(len(entries), sum(size for _, size, _ in entries), digest.hexdigest())


def _name(file: Path, place: Path) -> str:
    # A file's own name is the user's to change; within a folder, names are content.
    return "" if file == place else file.relative_to(place).as_posix()


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with open_reader(file) as stream:
        while piece := stream.read(BUFFER_SIZE):
            digest.update(piece)
    return digest.hexdigest()
