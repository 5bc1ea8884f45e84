"""The two formats of word2vec.c: text (`vectors.txt`, `.vec`) and binary.

Both open with a line `words dim`; then come the words, each with its vector. gensim, spaCy and most others read them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import orjson

from kftext import storage
from kftext.errors import ModelFormatError, StorageError

__all__ = ["read_binary", "read_text", "write_binary", "write_text"]

_ROWS_AT_A_TIME = 1024
_LONGEST_HEADER = 64

Floats = npt.NDArray[np.float32]


def write_text(
    path: str | Path, words: Sequence[bytes | str], matrix: Floats, *, header: bool = True
) -> None:
    """Write vectors as text: numbers with as many digits as bring each float32 back exactly.

    Args:
        path: local or s3:// path; complete or absent.
        words: one for each row.
        matrix: float32[len(words), dim], finite.
        header: whether the first line is `words dim`.

    Raises:
        ModelFormatError: words and rows don't match, a word holds white space, or a number is not finite.
    """
    names = _check(words, matrix)
    with storage.open_writer(path) as file:
        if header:
            file.write(b"%d %d\n" % matrix.shape)
        for start, chunk in _chunks(matrix):
            # orjson prints the shortest digits that read back as the same float32, at a C library's speed.
            text = orjson.dumps(chunk, option=orjson.OPT_SERIALIZE_NUMPY)
            rows = text[2:-2].replace(b",", b" ").split(b"] [")
            lines = (
                b"%s %s\n" % pair
                for pair in zip(names[start : start + len(chunk)], rows, strict=True)
            )
            file.write(b"".join(lines))


def write_binary(path: str | Path, words: Sequence[bytes | str], matrix: Floats) -> None:
    """Write vectors as word2vec.c's binary; arguments and errors as those of `write_text`."""
    names = _check(words, matrix)
    with storage.open_writer(path) as file:
        file.write(b"%d %d\n" % matrix.shape)
        for start, chunk in _chunks(matrix):
            raw = chunk.astype("<f4").tobytes()
            width = matrix.shape[1] * 4
            file.write(
                b"".join(
                    b"%s %s\n" % (name, raw[i * width : (i + 1) * width])
                    for i, name in enumerate(names[start : start + len(chunk)])
                )
            )


def _check(words: Sequence[bytes | str], matrix: Floats) -> list[bytes]:
    if matrix.ndim != 2 or len(words) != len(matrix):
        raise ModelFormatError(f"{len(words)} words for a matrix of shape {matrix.shape}")
    names = [word.encode() if isinstance(word, str) else word for word in words]
    for name in names:
        if not name or len(name.split()) != 1 or len(name.strip()) != len(name):
            raise ModelFormatError(f"{name!r} can't be written: a word has no white space in it")
    return names


def _chunks(matrix: Floats) -> Iterator[tuple[int, Floats]]:
    for start in range(0, len(matrix), _ROWS_AT_A_TIME):
        chunk = np.ascontiguousarray(matrix[start : start + _ROWS_AT_A_TIME], dtype=np.float32)
        if not np.isfinite(chunk).all():
            raise ModelFormatError("the vectors are not finite: training diverged")
        yield start, chunk


def read_text(path: str | Path) -> tuple[list[bytes], Floats]:
    """Read vectors written as text, with or without the first line `words dim` (GloVe's files have none).

    Args:
        path: a local file.

    Returns:
        The words and float32[words, dim].

    Raises:
        ModelFormatError: naming the line that is not `word number number ...`, or the number of lines that are missing.
        StorageError: the file can't be read.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            return _read_lines(path, file)
    except OSError as error:
        raise StorageError(f"{path}: can't be read: {error.strerror}") from None


def _read_lines(path: Path, lines: Iterator[bytes]) -> tuple[list[bytes], Floats]:
    expected = dim = None
    words: list[bytes] = []
    chunks: list[Floats] = []
    pending: list[list[float]] = []
    for number, line in enumerate(lines, start=1):
        # Only ASCII spaces part a line: words of real models hold no-break spaces.
        fields = line.split()
        if number == 1 and len(fields) == 2 and fields[0].isdigit() and fields[1].isdigit():
            expected, dim = int(fields[0]), int(fields[1])
            continue
        if dim is None:
            dim = len(fields) - 1
        # "</s>" of some writers and words with spaces in them: the vector is what stands last.
        if len(fields) < dim + 1 or dim < 1:
            raise ModelFormatError(
                f"{path}:{number}: expected a word and {max(dim, 1)} numbers, found {len(fields)} fields"
            )
        try:
            pending.append([float(field) for field in fields[-dim:]])
        except ValueError:
            raise ModelFormatError(
                f"{path}:{number}: expected a word and {dim} numbers: {line[:60]!r}"
            ) from None
        words.append(b" ".join(fields[:-dim]))
        if len(pending) == _ROWS_AT_A_TIME:
            chunks.append(np.array(pending, dtype=np.float32))
            pending = []
    if dim is None or (expected is not None and expected != len(words)):
        raise ModelFormatError(
            f"{path}: truncated: {expected or 'some'} words expected, {len(words)} found"
        )
    chunks.append(np.array(pending, dtype=np.float32).reshape(-1, dim))
    return words, np.concatenate(chunks)


def read_binary(path: str | Path) -> tuple[list[bytes], Floats]:
    """Read vectors in word2vec.c's binary format.

    Returns:
        The words and float32[words, dim].

    Raises:
        ModelFormatError: the file is not of that format, or is truncated.
        StorageError: the file can't be read.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StorageError(f"{path}: can't be read: {error.strerror}") from None
    end = data.find(b"\n", 0, _LONGEST_HEADER)
    fields = data[: max(end, 0)].split()
    if len(fields) != 2 or not (fields[0].isdigit() and fields[1].isdigit()):
        raise ModelFormatError(f"{path}: no word2vec binary: it does not start with `words dim`")
    count, dim = int(fields[0]), int(fields[1])
    if dim < 1 or count * (dim * 4 + 2) > len(data) - end:
        raise ModelFormatError(
            f"{path}: truncated: {count} words of {dim} numbers don't fit into it"
        )
    words: list[bytes] = []
    matrix = np.empty((count, dim), dtype=np.float32)
    position = end + 1
    for index in range(count):
        space = data.find(b" ", position)
        if space < 0 or space + 1 + dim * 4 > len(data):
            raise ModelFormatError(f"{path}: truncated: it ends in word {index} of {count}")
        # word2vec.c writes a newline behind each vector, gensim does not.
        words.append(data[position:space].lstrip(b"\n"))
        matrix[index] = np.frombuffer(data, dtype="<f4", count=dim, offset=space + 1)
        position = space + 1 + dim * 4
    return words, matrix
