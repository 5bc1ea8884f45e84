"""Local paths and `s3://bucket/key` paths, behind the same few functions.

Every path is a str or an os.PathLike: a local path (`~` is understood), `file:///path`, `s3://bucket/key`, or
`minio://bucket/key`, a synonym. How the store, its region and the credentials are found: `kftext.storage.s3_client`.

    with storage.open_reader("s3://corpora/news.txt.gz") as lines: ...
    with storage.atomic_directory("s3://models/news/1") as folder: ...

What is written is complete or absent. What is read is a stream: memory does not grow with a file's size.
"""

from __future__ import annotations

from kftext.storage.digest import Content, content_of
from kftext.storage.files import exists, list_files, open_reader, open_writer, size
from kftext.storage.transfer import atomic_directory, download, local_copy, upload
from kftext.storage.uri import StrPath, is_remote, join

__all__ = [
    "Content",
    "StrPath",
    "atomic_directory",
    "content_of",
    "download",
    "exists",
    "is_remote",
    "join",
    "list_files",
    "local_copy",
    "open_reader",
    "open_writer",
    "size",
    "upload",
]
