"""Objects of an S3 store, through the minio client: streamed, retried, verified, and complete or absent."""

from __future__ import annotations

import hashlib
import io
import queue
import threading
import time
import zlib
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO, NoReturn, Protocol, cast

from minio.error import S3Error
from urllib3.exceptions import HTTPError

from kftext.errors import StorageError
from kftext.storage.s3_client import RETRIES, check_etag, client, translate_errors
from kftext.storage.uri import S3Path

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer
    from minio.datatypes import Object
    from urllib3 import BaseHTTPResponse

__all__ = [
    "check_bucket",
    "find_size",
    "list_etags",
    "list_objects",
    "open_reader",
    "open_writer",
    "put_file",
]

CHUNK_SIZE = 1 << 20
PART_SIZE = 8 << 20
"""Bytes a part of an upload of unknown length. A store allows 10,000 parts: 78 GiB."""


def find_size(path: S3Path) -> int | None:
    """Return an object's size in bytes, or None where there is none of that key."""
    found = _stat(path)
    return None if found is None else found.size or 0


def _stat(path: S3Path) -> Object | None:
    if not path.key or path.key.endswith("/"):
        return None
    with translate_errors(path):
        try:
            found = client().stat_object(path.bucket, path.key)
        except S3Error as error:
            if error.code == "NoSuchKey":
                return None
            _raise_reason(path, error)
        check_etag(path, found.etag)
        return found


def _raise_reason(path: S3Path, error: S3Error) -> NoReturn:
    """Ask again with GET: an answer to HEAD has no body, so it can't say why access was denied."""
    client().get_object(path.bucket, path.key, length=1).close()
    raise error


def check_bucket(path: S3Path) -> None:
    """Find out before long work, not after it, that a bucket is missing, credentials are wrong or nobody answers.

    Raises:
        StorageError: as described. That writing is allowed is not known before it is tried.
    """
    with translate_errors(path):
        try:
            next(client().list_objects(path.bucket, prefix=path.key), None)
        except S3Error as error:
            if error.code != "AccessDenied":  # who may only write can't list
                raise


def list_objects(path: S3Path) -> Iterator[tuple[S3Path, int]]:
    """Yield the objects below a prefix, with sizes in bytes, in the order of their keys.

    Hidden ones (a part of the name starts with a dot) are left out, and so are folder markers (keys that end with a slash).
    """
    for item in _list(path):
        yield path.with_key(item.object_name or ""), item.size or 0


def list_etags(path: S3Path) -> list[tuple[str, int, str]]:
    """Return name, size in bytes and ETag of an object (under the name ""), or of those that `list_objects` yields.

    Raises:
        StorageError: nothing is there.
    """
    one = _stat(path)
    if one is not None:
        return [("", one.size or 0, one.etag or "")]
    found = [
        ((item.object_name or "").removeprefix(path.prefix), item.size or 0, item.etag or "")
        for item in _list(path)
    ]
    if not found:
        raise StorageError(f"no such object or prefix: {path}")
    return found


def _list(path: S3Path) -> Iterator[Object]:
    with translate_errors(path):
        for item in client().list_objects(path.bucket, prefix=path.prefix, recursive=True):
            names = (item.object_name or "").removeprefix(path.prefix).split("/")
            hidden = any(name.startswith(".") and name not in (".", "..") for name in names)
            if names[-1] and not hidden:
                yield item


def open_reader(path: S3Path, offset: int = 0) -> BinaryIO:
    """Stream an object from `offset`; a connection that breaks is taken up again where it broke.

    Raises:
        StorageError: here or while reading: no such object, access denied, the object was replaced meanwhile, its bytes
            differ from its checksum.
    """
    return io.BufferedReader(_ObjectReader(path, offset), CHUNK_SIZE)


class _ObjectReader(io.RawIOBase):
    """An object's bytes, fetched again from the current position (`Range`, `If-Match`) after a break."""

    def __init__(self, path: S3Path, offset: int):
        super().__init__()
        _check_key(path)
        self._path, self._position, self._attempts, self._ended = path, offset, 0, False
        self._etag: str | None = None
        self._verify: Callable[[bytes], None] = _ignore
        self._response: BaseHTTPResponse | None = None
        with translate_errors(path):
            self._connect(first=True)

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        while not self._ended:
            with translate_errors(self._path):
                try:
                    if self._response is None:
                        self._connect(first=False)
                    return self._read_into(view)
                except (HTTPError, OSError):
                    self._close_response()
                    self._attempts += 1
                    if self._attempts > RETRIES:
                        raise
                    time.sleep(0.2 * 2**self._attempts)
        return 0

    def _read_into(self, view: memoryview) -> int:
        if self._response is None:
            return 0
        # Content-Encoding is left as it is: readers tell gzip by its first bytes. A body that ends before its Content-Length
        # raises IncompleteRead.
        data = self._response.read(len(view), decode_content=False)
        if data:
            self._attempts = 0
        view[: len(data)] = data
        self._position += len(data)
        self._verify(data)
        return len(data)

    def _connect(self, *, first: bool) -> None:
        headers: dict[str, str | list[str] | tuple[str]] = {"x-amz-checksum-mode": "ENABLED"}
        if self._etag:
            headers["If-Match"] = f'"{self._etag}"'
        if self._position:
            headers["Range"] = f"bytes={self._position}-"
        try:
            response = client().get_object(
                self._path.bucket, self._path.key, request_headers=headers
            )
        except S3Error as error:
            if error.code != "InvalidRange":
                raise
            self._ended = True  # the position is the object's end, or beyond
            return
        if self._position and response.status != 206:
            response.close()
            raise StorageError(
                f"{self._path}: the server can't continue from byte {self._position}"
            )
        self._response = response
        if first:
            self._etag = response.headers.get("etag", "").strip('"')
            check_etag(self._path, self._etag)
            size = int(response.headers.get("content-length", 0))
            if size and not self._position:
                self._verify = _verifier(self._path, size, response.headers)

    def _close_response(self) -> None:
        if self._response is not None:
            self._response.close()
            self._response = None

    def close(self) -> None:
        self._close_response()
        super().close()


def _ignore(_data: bytes) -> None:
    pass


def _verifier(path: S3Path, size: int, headers: Mapping[str, str]) -> Callable[[bytes], None]:
    """Return a function that takes an object's bytes in order, and raises at the end where they differ from its checksum."""
    update, digest, expected = _checksum(headers)
    if not expected:
        return _ignore
    left = size

    def verify(data: bytes) -> None:
        nonlocal left
        update(data)
        left -= len(data)
        if left == 0 and data and digest() != expected:
            raise StorageError(f"{path}: the bytes read differ from the object's checksum")

    return verify


def _checksum(
    headers: Mapping[str, str],
) -> tuple[Callable[[bytes], object], Callable[[], bytes], bytes | None]:
    """Choose how to verify: S3's additional checksums where they cover the whole object, else the MD5 in a plain ETag."""
    whole = headers.get("x-amz-checksum-type", "FULL_OBJECT") == "FULL_OBJECT"
    for name in ("sha256", "sha1"):
        value = headers.get(f"x-amz-checksum-{name}", "")
        if value and whole and "-" not in value:
            sha = hashlib.new(name, usedforsecurity=False)
            return sha.update, sha.digest, b64decode(value)
    value = headers.get("x-amz-checksum-crc32", "")
    if value and whole and "-" not in value:
        crc = 0

        def update(data: bytes) -> None:
            nonlocal crc
            crc = zlib.crc32(data, crc)

        return update, lambda: crc.to_bytes(4, "big"), b64decode(value)
    # The ETag is the content's MD5 unless the object came in parts ("…-7") or is encrypted with a key of one's own.
    etag = headers.get("etag", "").strip('"')
    encryption = headers.get("x-amz-server-side-encryption", "AES256")
    customer_key = "x-amz-server-side-encryption-customer-algorithm" in headers
    md5 = hashlib.md5(usedforsecurity=False)
    expected = None
    if len(etag) == 32 and encryption == "AES256" and not customer_key:
        with suppress(ValueError):
            expected = bytes.fromhex(etag)
    return md5.update, md5.digest, expected


@contextmanager
def open_writer(path: S3Path) -> Iterator[BinaryIO]:
    """Stream bytes of unknown number into an object, in parts; it exists only after a clean exit.

    After an exception the parts sent so far are discarded. A process that is killed leaves parts that no listing shows; a
    lifecycle rule of the bucket (AbortIncompleteMultipartUpload) clears them.
    """
    _check_key(path)
    check_bucket(path)
    stream = _UploadStream(path)
    writer = io.BufferedWriter(stream, CHUNK_SIZE)
    try:
        yield cast(BinaryIO, writer)
        writer.close()
    except BaseException:
        stream.abort()
        writer.close()
        raise
    stream.commit()


class _Aborted(Exception):  # noqa: N818
    """Ends an upload from inside, so that the client discards its parts."""


class _UploadStream(io.RawIOBase):
    """Takes bytes from the writing thread and hands them to `put_object`, which pulls them in a thread of its own.

    The queue between the two is short: memory stays at a few parts, and a writer that is faster than the network waits.
    """

    def __init__(self, path: S3Path):
        super().__init__()
        self._path, self._sent, self._rest = path, 0, b""
        self._chunks: queue.Queue[bytes | None] = queue.Queue(maxsize=8)
        self._ended = self._aborted = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._upload, name=f"upload {path}", daemon=True)
        self._thread.start()

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer) -> int:
        view = memoryview(data).cast("B")[:CHUNK_SIZE]
        if self._aborted:
            return len(view)  # what a buffer still held goes nowhere
        if self._error is not None:
            raise self._error
        self._chunks.put(bytes(view))
        self._sent += len(view)
        return len(view)

    def commit(self) -> None:
        """Wait until the object is complete, and check its size."""
        self._finish()
        if self._error is not None:
            raise self._error
        _check_size(self._path, self._sent)

    def abort(self) -> None:
        """Discard what was sent."""
        self._aborted = True
        self._finish()

    def _finish(self) -> None:
        self._chunks.put(None)
        self._thread.join()

    def _upload(self) -> None:
        try:
            with translate_errors(self._path):
                client().put_object(
                    self._path.bucket,
                    self._path.key,
                    cast(BinaryIO, _Pull(self._pull)),
                    length=-1,
                    part_size=PART_SIZE,
                    num_parallel_uploads=1,
                )
        except BaseException as error:  # raised again in the writing thread
            self._error = error
        finally:
            # After a failure the writing thread must never wait for a reader that is gone.
            while not self._ended:
                self._ended = self._chunks.get() is None

    def _pull(self, length: int) -> bytes:
        """Return `length` bytes, fewer only at the end."""
        pieces, have = [self._rest], len(self._rest)
        while have < length and not self._ended:
            chunk = self._chunks.get()
            if chunk is None:
                self._ended = True
            else:
                pieces.append(chunk)
                have += len(chunk)
        if self._ended and self._aborted:
            raise _Aborted
        data = b"".join(pieces)
        self._rest = data[length:]
        return data[:length]


class _Pull:
    """What `put_object` wants: an object with `read(size)`."""

    def __init__(self, read: Callable[[int], bytes]):
        self.read = read


class Source(Protocol):
    """What an upload reads from."""

    def read(self, length: int, /) -> bytes:
        """Return at most `length` bytes; none at the end."""
        ...


def put_file(source: Source, size: int, path: S3Path) -> None:
    """Upload an open file of a known size in bytes, in parallel parts where it is large."""
    _check_key(path)
    with translate_errors(path):
        client().put_object(path.bucket, path.key, cast(BinaryIO, source), size)
    _check_size(path, size)


def _check_key(path: S3Path) -> None:
    if not path.key or path.key.endswith("/"):
        raise StorageError(f"{path} names a folder: expected s3://bucket/key of a file")


def _check_size(path: S3Path, expected: int) -> None:
    size = find_size(path)
    if size != expected:
        raise StorageError(f"{path}: {expected} bytes were sent, the store has {size}")
