"""A corpus in blocks: pieces of about a megabyte that start and end between two tokens.

Blocks of plain local files are read by the threads that tokenize them, each on its own, with `pread` into memory that is used again
and again and that the tokenizer finds in the processor's cache. The copy costs a twentieth of the tokenizing; in return the resident
memory is that of the blocks at hand whatever the size of the file, and a file that is cut short meanwhile is an error, where a mapped
one kills the process. Compressed and remote files, and formats other than text, are streams, cut into blocks as they come.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from kftext import storage
from kftext.blazingtext.whitespace import PADDING, UInt8Array, first_whitespace, pad
from kftext.data import readers
from kftext.data.formats import Format, ReadOptions
from kftext.data.lines import open_text
from kftext.data.rows import to_labeled_text
from kftext.data.tokens import WHITESPACE
from kftext.errors import StorageError

__all__ = ["BLOCK_SIZE", "BUFFER_SIZE", "Block", "BlockLoader", "count_bytes", "iterate_blocks"]

BLOCK_SIZE = 1 << 20
"""Bytes of a block, about: small enough for a processor's own cache. Tokens longer than that make longer ones."""

_STEP = 1 << 16

BUFFER_SIZE = BLOCK_SIZE + 2 * _STEP
"""Bytes of an array that a block is loaded into."""

_GZIP = b"\x1f\x8b"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Block:
    """A piece of the corpus.

    Attributes:
        text: uint8[>= length + 1 + PADDING].
        length: bytes of text.
        position: of `text[0]` in the corpus.
        ends_file: whether a file ends with this block, and with it a line.
        bytes_read: bytes that loading it took from storage; 0 for a piece of a stream, whose reader counts them.
    """

    text: UInt8Array
    length: int
    position: int
    ends_file: bool
    bytes_read: int = 0


BlockLoader = Callable[[UInt8Array], Block]
"""Loads a block, into the array that it is handed where that is large enough: it may be used again and again."""


def iterate_blocks(
    paths: Sequence[str],
    format: Format,
    options: ReadOptions | None = None,
    on_bytes: Callable[[int], object] | None = None,
) -> Iterator[BlockLoader]:
    """Cut files into blocks, in the order of the corpus. Each may be loaded by any thread.

    Args:
        paths: local paths or URIs of files, folders, prefixes.
        format: of all of them; formats other than text are turned into labelled text, line by line.
        options: how to read those formats.
        on_bytes: told of the bytes of streams as they are read; who loads a plain file's block knows its length.

    Raises:
        StorageError: a file is not there or can't be read; also from the loaders.
        DataError: a compressed file is damaged, or a line of a manifest or CSV file is at fault.
    """
    position = 0
    for path in paths:
        for file in storage.list_files(path):
            if format not in (Format.CORPUS, Format.LABELED_TEXT):
                stream = _labeled_text(file, format, options or ReadOptions(), on_bytes)
            elif storage.is_remote(file) or _head(file).startswith(_GZIP):
                stream = _chunks(file, on_bytes)
            else:
                skipped = len(_BYTE_ORDER_MARK) if _head(file) == _BYTE_ORDER_MARK else 0
                size = storage.size(file)
                for start in range(skipped, size, BLOCK_SIZE):
                    yield partial(_load, file, skipped, start, size, position + start)
                position += size
                continue
            for block in _blocks_of_stream(stream, position):
                position = block.position + block.length
                yield partial(_loaded, block)


def count_bytes(paths: Sequence[str]) -> int:
    """Return the bytes that reading takes from storage: what progress is counted in."""
    return sum(storage.size(path) for path in paths)


def _loaded(block: Block, buffer: UInt8Array) -> Block:
    return block


def _head(file: str) -> bytes:
    with storage.open_reader(file) as stream:
        return stream.read(len(_BYTE_ORDER_MARK))


def _load(file: str, first: int, start: int, size: int, position: int, buffer: UInt8Array) -> Block:
    """Read the tokens that start in `[start, start + BLOCK_SIZE)` of a plain file; `first` is where its text starts."""
    stop = min(start + BLOCK_SIZE, size)
    bytes_read = stop - start
    # The byte before tells whether the first token starts here; the one that is cut by the end is read to its own end.
    lead = 1 if start > first else 0
    try:
        with Path(file).open("rb", buffering=0) as stream:
            descriptor = stream.fileno()
            length = lead + stop - start
            text = buffer
            if text.size < length + _STEP + PADDING:
                text = np.empty(length + _STEP + PADDING, np.uint8)
            _read(file, descriptor, text[:length], start - lead)
            begin = max(first_whitespace(text, 0, length), 1) if lead else 0
            if begin == length and lead:
                return Block(pad(b""), 0, position, stop == size, stop - start)
            ended = text[length - 1] in WHITESPACE
            while stop < size and not ended:
                step = min(_STEP, size - stop)
                if length + step + 1 + PADDING > text.size:
                    text = np.concatenate([text, np.empty(text.size + step, np.uint8)])
                _read(file, descriptor, text[length : length + step], stop)
                end = first_whitespace(text, length, length + step)
                ended = end < length + step
                stop += end - length
                length = end
    except OSError as error:
        raise StorageError(f"{file}: {error.strerror}") from None
    return Block(text[begin:], length - begin, position - lead + begin, stop == size, bytes_read)


def _read(file: str, descriptor: int, target: UInt8Array, offset: int) -> None:
    view = memoryview(target.data)
    while view:
        count = os.preadv(descriptor, [view], offset)
        if count == 0:
            raise StorageError(f"{file}: the file became shorter while it was read")
        view, offset = view[count:], offset + count


def _chunks(file: str, on_bytes: Callable[[int], object] | None) -> Iterator[bytes]:
    with open_text(file, on_bytes) as stream:
        while chunk := stream.read(BLOCK_SIZE):
            yield chunk


def _labeled_text(
    file: str, format: Format, options: ReadOptions, on_bytes: Callable[[int], object] | None
) -> Iterator[bytes]:
    lines: list[bytes] = []
    size = 0
    for row in readers.read_rows(file, format, options, on_bytes=on_bytes):
        lines.append(to_labeled_text(row, options.label_prefix))
        size += len(lines[-1])
        if size >= BLOCK_SIZE:
            yield b"".join(lines)
            lines, size = [], 0
    yield b"".join(lines)


def _blocks_of_stream(chunks: Iterable[bytes], position: int) -> Iterator[Block]:
    """Move the cuts between chunks to where white space is."""
    pending: list[bytes] = []
    for chunk in chunks:
        cut = max(chunk.rfind(space) for space in WHITESPACE) + 1
        pending.append(chunk[:cut])
        if cut:
            block = _block(b"".join(pending), position, ends_file=False)
            position += block.length
            yield block
            pending = []
        pending.append(chunk[cut:])
    yield _block(b"".join(pending), position, ends_file=True)


def _block(content: bytes, position: int, *, ends_file: bool) -> Block:
    return Block(pad(content), len(content), position, ends_file)
