r"""Lines of text files: local or remote, plain or gzip, of any size, in constant memory.

A file is read in blocks of about one mebibyte that end at a line's end. A block is examined as a whole, at C speed; only
the lines of a block where something is suspicious are examined one by one.

Lines end with `\n`. A `\r` before it is white space, as for fastText. A line longer than `MAX_LINE` is no example: it
is a fault. In a corpus it is legitimate (some corpora are one line), and is read in pieces that end at white space.
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, NamedTuple

from kftext import storage
from kftext.data.rows import Fault, FaultKind, Severity
from kftext.data.tokens import WHITESPACE
from kftext.errors import DataError

__all__ = [
    "BLOCK",
    "MAX_LINE",
    "Block",
    "Line",
    "examine",
    "open_text",
    "read_blocks",
    "read_lines",
]

BLOCK = 1 << 20
"""Bytes read at a time, and the longest piece of a corpus line."""

MAX_LINE = 16 * BLOCK
"""Longest line or CSV record, in bytes, that is taken for an example."""

_KEPT_OF_OVERLONG = 1 << 16
_BOM = b"\xef\xbb\xbf"
_GZIP = b"\x1f\x8b"
_UTF16 = {
    b"\xff\xfe\0\0": "UTF-32",
    b"\0\0\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
_BINARY = {
    b"PK\x03\x04": "a ZIP archive (or .xlsx, .docx, .npz)",
    b"\xfd7zXZ\0": "an xz file",
    b"BZh": "a bzip2 file",
    b"\x28\xb5\x2f\xfd": "a Zstandard file",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"PAR1": "a Parquet file",
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"GIF8": "a GIF picture",
    b"%PDF": "a PDF document",
    b"\x7fELF": "a program",
    b"\x93NUMPY": "a NumPy array",
    b"\x89HDF": "an HDF5 file",
    b"\xba\x16\x4f\x2f": "a fastText model",
    b"SQLite format 3": "an SQLite database",
    b"\xd0\xcf\x11\xe0": "an old Microsoft Office document",
}
_CONTROLS = bytes([*range(9), *range(14, 32), 127])
_C1 = re.compile(rb"\xc2[\x80-\x9f]")
_CONTROL = re.compile(rb"[\x01-\x08\x0e-\x1f\x7f]|\xc2[\x80-\x9f]")
_REPLACEMENT = "�".encode()


class _Joined(io.RawIOBase):
    """Bytes already taken from a stream, then the rest of it."""

    def __init__(self, head: bytes, stream: BinaryIO, on_bytes: Callable[[int], object] | None):
        self._head, self._stream, self._on_bytes = head, stream, on_bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data, self._head = self._head[: len(buffer)], self._head[len(buffer) :]
        data = data or self._stream.read(len(buffer))
        buffer[: len(data)] = data
        if self._on_bytes is not None:
            self._on_bytes(len(data))
        return len(data)


class _Gunzip(io.RawIOBase):
    """A gzip stream whose damage is a DataError."""

    def __init__(self, stream: BinaryIO, file: str):
        self._gzip, self._file = gzip.GzipFile(fileobj=stream, mode="rb"), file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._gzip.read(len(buffer))
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DataError(
                f"the gzip stream is cut off or damaged ({error}): copy or compress the file again",
                file=self._file,
            ) from None
        buffer[: len(data)] = data
        return len(data)


@contextmanager
def _open(path: str, on_bytes: Callable[[int], object] | None) -> Iterator[BinaryIO]:
    with storage.open_reader(path) as raw:
        magic = raw.read(2)
        stored = io.BufferedReader(_Joined(magic, raw, on_bytes), BLOCK)
        yield io.BufferedReader(_Gunzip(stored, path), BLOCK) if magic == _GZIP else stored


@contextmanager
def open_text(path: str, on_bytes: Callable[[int], object] | None = None) -> Iterator[BinaryIO]:
    """Open a file for reading its bytes, decompressed and without a UTF-8 byte order mark.

    Args:
        path: local path or URI of one file.
        on_bytes: told how many bytes were read from storage, as they are read (compressed ones of a gzip file).

    Raises:
        StorageError: the file can't be read.
        DataError: while reading, for a damaged gzip stream.
    """
    with _open(path, on_bytes) as stream:
        head = stream.read(len(_BOM))
        yield io.BufferedReader(_Joined(b"" if head == _BOM else head, stream, None), BLOCK)


class Block(NamedTuple):
    """Some lines of a file that follow each other.

    Attributes:
        file: path or URI.
        number: 1-based number of the first line.
        offset: of the first line in the file, in (decompressed) bytes.
        lines: without their endings.
        texts: the same, decoded, where nothing in the block is suspicious; None: `examine` each line.
    """

    file: str
    number: int
    offset: int
    lines: list[bytes]
    texts: list[str] | None


class Line(NamedTuple):
    """One line that is text."""

    file: str
    number: int
    content: bytes
    text: str


def read_blocks(
    path: str, *, pieces: bool = False, on_bytes: Callable[[int], object] | None = None
) -> Iterator[Block | Fault]:
    """Read one file in blocks of lines.

    Args:
        path: local path or URI of one file.
        pieces: read a line longer than `BLOCK` in pieces, each a line of the same number, instead of
            leaving out a line longer than `MAX_LINE`.
        on_bytes: as for `open_text`.

    Yields:
        Blocks, and faults of the file or of overlong lines. Nothing follows a fatal fault.
    """
    try:
        with _open(path, on_bytes) as stream:
            yield from _Blocks(stream, path, pieces).read()
    except DataError as error:
        message = str(error).removeprefix(f"{path}: ")
        yield Fault(FaultKind.DAMAGED_GZIP, path, None, message)


class _Blocks:
    """Cuts a stream into blocks. State: the line and the byte that come next."""

    def __init__(self, stream: BinaryIO, file: str, pieces: bool):
        self._stream, self._file, self._pieces = stream, file, pieces
        self._number, self._offset = 1, 0

    def read(self) -> Iterator[Block | Fault]:
        carry = self._stream.read(BLOCK)
        fault = _examine_head(carry, self._file)
        if fault is not None:
            yield fault
            if fault.kind is not FaultKind.BYTE_ORDER_MARK:
                return
            carry, self._offset = carry[len(_BOM) :], len(_BOM)
        searched, reported = 0, 0
        while True:
            if self._is_overlong(carry):
                yield self._fault(
                    FaultKind.OVERLONG_LINE,
                    f"a line of more than {MAX_LINE:,} bytes: is a line break missing?",
                    carry,
                )
                carry, searched = self._skip_line(carry), 0
            cut = carry.rfind(b"\n", searched)
            if cut >= 0:
                yield self._block(carry[:cut], ended=True)
                carry = carry[cut + 1 :]
            elif self._pieces and len(carry) >= BLOCK:
                if reported != self._number:
                    reported = self._number
                    yield self._fault(
                        FaultKind.LONG_LINE,
                        f"a line of more than {BLOCK:,} bytes: it is read in pieces of at most that "
                        "length, so that windows of words end where a piece ends",
                        carry,
                    )
                cut = _last_boundary(carry)
                yield self._block(carry[:cut], ended=False)
                carry = carry[cut:]
            searched = len(carry)
            chunk = self._stream.read(BLOCK)
            if not chunk:
                break
            carry += chunk
        if carry:
            yield self._block(carry, ended=False)

    def _block(self, body: bytes, *, ended: bool) -> Block:
        lines = body.split(b"\n")
        block = Block(self._file, self._number, self._offset, lines, _decode(body))
        self._number += len(lines) - (0 if ended else 1)
        self._offset += len(body) + (1 if ended else 0)
        return block

    def _fault(self, kind: FaultKind, message: str, content: bytes) -> Fault:
        return Fault(kind, self._file, self._number, message, content[:_KEPT_OF_OVERLONG])

    def _is_overlong(self, carry: bytes) -> bool:
        """Tell whether the line that `carry` starts is too long. Later lines in it came with one block."""
        if self._pieces or len(carry) <= MAX_LINE:
            return False
        return not 0 <= carry.find(b"\n") <= MAX_LINE

    def _skip_line(self, carry: bytes) -> bytes:
        """Read past the end of the line that `carry` starts; return what was read beyond it."""
        self._number += 1
        while carry and b"\n" not in carry:
            self._offset += len(carry)
            carry = self._stream.read(BLOCK)
        cut = carry.find(b"\n") + 1
        self._offset += cut
        return carry[cut:]


def _last_boundary(data: bytes) -> int:
    """Where to cut: behind the last white space, else before the last character."""
    cut = max(data.rfind(character) for character in WHITESPACE) + 1
    if cut > 0:
        return cut
    cut = len(data) - 1
    while cut > len(data) - 4 and data[cut] & 0xC0 == 0x80:
        cut -= 1
    return cut


def _decode(body: bytes) -> list[str] | None:
    """The lines as text, or None where one of them might be at fault."""
    if (
        len(body.translate(None, _CONTROLS)) != len(body)
        or _REPLACEMENT in body
        or (b"\xc2" in body and _C1.search(body))
    ):
        return None
    try:
        return body.decode().split("\n")
    except UnicodeDecodeError:
        return None


def _examine_head(head: bytes, file: str) -> Fault | None:
    """Judge a file by its first block: is it text at all?"""
    if not head:
        return Fault(FaultKind.EMPTY_FILE, file, None, "the file is empty (0 bytes)")
    for magic, name in _UTF16.items():
        if head.startswith(magic):
            return _utf16(file, f"{name} (it starts with that byte order mark)")
    for magic, name in _BINARY.items():
        if head.startswith(magic):
            return Fault(
                FaultKind.BINARY_FILE,
                file,
                None,
                f"not text: it starts like {name}; expected UTF-8 text, plain or gzip",
            )
    nuls = head.count(b"\0")
    if nuls > 0.3 * len(head) and nuls in (head[::2].count(b"\0"), head[1::2].count(b"\0")):
        return _utf16(file, "UTF-16 (every second byte is NUL)")
    controls = len(head) - len(head.translate(None, _CONTROLS))
    if controls >= 8 and controls > 0.02 * len(head):
        return Fault(
            FaultKind.BINARY_FILE,
            file,
            None,
            f"not text: {controls:,} of its first {len(head):,} bytes are control characters "
            f"({nuls:,} of them NUL); expected UTF-8 text, plain or gzip",
        )
    if head.startswith(_BOM):
        return Fault(
            FaultKind.BYTE_ORDER_MARK, file, 1, "a UTF-8 byte order mark starts the file: skipped"
        )
    return None


def _utf16(file: str, what: str) -> Fault:
    encoding = what.split()[0]
    return Fault(
        FaultKind.UTF16_FILE,
        file,
        None,
        f"encoded in {what}; expected UTF-8: convert it with iconv -f {encoding} -t UTF-8",
    )


def examine(content: bytes, file: str, number: int, offset: int) -> list[Fault]:
    """Say what is wrong with the bytes of a line (or a record), whatever its format.

    Args:
        content: the line without its ending.
        file: path or URI.
        number: of the line.
        offset: of the line in the file, in bytes.

    Returns:
        One error, or any number of warnings, or nothing.
    """
    if b"\0" in content:
        at = content.index(b"\0")
        message = f"a NUL byte at byte {at + 1} of the line (offset {offset + at}): not text"
        return [Fault(FaultKind.NUL_BYTE, file, number, message, content)]
    try:
        content.decode()
    except UnicodeDecodeError as error:
        at = error.start
        message = (
            f"byte 0x{content[at]:02x} at byte {at + 1} of the line (offset {offset + at} of the "
            f"file) is not UTF-8 ({error.reason}): if the file is Windows-1252 or Latin-1, convert "
            "it with iconv -f WINDOWS-1252 -t UTF-8"
        )
        return [Fault(FaultKind.INVALID_UTF8, file, number, message, content)]
    faults = []
    found = _CONTROL.search(content)
    if found:
        code = ord(found.group().decode())
        message = f"control character U+{code:04X} at byte {found.start() + 1} of the line"
        faults.append(Fault(FaultKind.CONTROL_CHARACTER, file, number, message, content))
    if _REPLACEMENT in content:
        at = content.index(_REPLACEMENT)
        message = (
            f"U+FFFD at byte {at + 1} of the line: an earlier conversion could not read a character"
        )
        faults.append(Fault(FaultKind.REPLACEMENT_CHARACTER, file, number, message, content))
    return faults


def read_lines(
    path: str, *, pieces: bool = False, on_bytes: Callable[[int], object] | None = None
) -> Iterator[Line | Fault]:
    """Read the lines of one file: an error instead of a line that is no text, warnings before a line.

    Arguments as for `read_blocks`.
    """
    for block in read_blocks(path, pieces=pieces, on_bytes=on_bytes):
        if isinstance(block, Fault):
            yield block
        elif block.texts is None:
            yield from examined_lines(block)
        else:
            numbers = range(block.number, block.number + len(block.lines))
            for number, content, text in zip(numbers, block.lines, block.texts, strict=True):
                yield Line(path, number, content, text)


def examined_lines(block: Block) -> Iterator[Line | Fault]:
    """Examine each line of a block in which something is suspicious; yields as `read_lines` does."""
    offset = block.offset
    for number, content in enumerate(block.lines, block.number):
        faults = examine(content, block.file, number, offset)
        yield from faults
        if not faults or faults[0].severity is Severity.WARNING:
            yield Line(block.file, number, content, content.decode())
        offset += len(content) + 1
