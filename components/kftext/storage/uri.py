"""What a path may look like: a local path, `file://`, `s3://bucket/key`, or `minio://bucket/key` (a synonym of s3)."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from kftext.errors import StorageError

__all__ = ["S3Path", "StrPath", "is_remote", "join", "parse"]

StrPath = str | os.PathLike[str]

# pathlib turns "s3://bucket" into "s3:/bucket": one slash is understood as well.
_S3 = re.compile(r"(s3|minio):/{1,2}([^/]*)/?(.*)", re.IGNORECASE | re.DOTALL)
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)


@dataclass(frozen=True)
class S3Path:
    """An object or a prefix in a bucket. `str()` gives the URI back, with the scheme it was written with."""

    scheme: str
    bucket: str
    key: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}/{self.key}"

    @property
    def prefix(self) -> str:
        """The key as a folder: what the keys of the files in it start with."""
        return self.key if not self.key or self.key.endswith("/") else self.key + "/"

    def with_key(self, key: str) -> S3Path:
        """Return another key of the same bucket."""
        return S3Path(self.scheme, self.bucket, key)


def parse(path: StrPath) -> Path | S3Path:
    """Tell local paths from objects.

    Keys are taken as they are written: a space is a space, `%20` is three characters. `file://` URIs are percent-decoded.

    Raises:
        StorageError: empty, no bucket, or a scheme that is not understood.
    """
    text = os.fspath(path)
    if not text or "\0" in text:
        raise StorageError(f"not a path: {text!r}")
    if match := _S3.fullmatch(text):
        scheme, bucket, key = match.groups()
        if not bucket:
            raise StorageError(f"{text}: no bucket is named: expected s3://bucket/key")
        try:
            key.encode()
        except UnicodeEncodeError:
            raise StorageError(f"{text!a}: an object's key must be valid Unicode") from None
        return S3Path(scheme.lower(), bucket, key)
    if text.lower().startswith("file://"):
        text = _file_path(text)
    elif match := _SCHEME.match(text):
        raise StorageError(
            f"{text}: {match[1]}:// is not understood: expected a local path, file://, s3:// or minio://"
        )
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise StorageError(f"{text}: {error}") from None


def _file_path(uri: str) -> str:
    host, slash, rest = uri[len("file://") :].partition("/")
    if host not in ("", "localhost") or not slash:
        raise StorageError(f"{uri}: expected file:///absolute/path")
    return unquote(slash + rest)


def is_remote(path: StrPath) -> bool:
    """Tell whether a path names an object or a prefix in a bucket."""
    return isinstance(parse(path), S3Path)


def join(path: StrPath, *parts: str) -> str:
    """Append names to a path, with one slash between each."""
    place = parse(path)
    if isinstance(place, S3Path):
        names = [name for part in parts if (name := part.strip("/"))]
        return str(place.with_key(place.prefix + "/".join(names)) if names else place)
    return str(place.joinpath(*parts))
