"""fastText's binary format, version 12, as data that both the reader and the writer go by; version 11 is read too.

::

    header       magic, version
    arguments    what the model was trained with
    dictionary   its header; for each entry the word, a NUL, count and type; the pairs of a pruned model's index
    input        one byte, 1 for a quantized matrix; the matrix
    output       one byte, 1 for a quantized matrix where the input is one; the matrix

All numbers are little-endian and nothing is aligned. There is no specification: the authority is fastText 0.9.3
(`FastText::saveModel`, `Dictionary::save`, `DenseMatrix::save`, `QuantMatrix::save`, `ProductQuantizer::save`).

The reader maps the file: the matrices of the model are views of it, so that a model of any size opens at once and
processes share its pages. Each size that the file states is checked against what the file holds before it is used.
"""

from __future__ import annotations

import math
import mmap
import re
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from kftext import storage
from kftext.errors import ModelFormatError, StorageError
from kftext.models.arguments import Args, Loss, Model
from kftext.models.dictionary import Dictionary
from kftext.models.matrix import (
    CENTROIDS,
    DenseMatrix,
    Matrix,
    ProductQuantizer,
    QuantizedMatrix,
)

__all__ = ["MAGIC", "VERSION", "FastTextModel", "read_model", "write_model"]

MAGIC = 793712314
VERSION = 12
_OLDEST_VERSION = 11

_HEADER = np.dtype([("magic", "<i4"), ("version", "<i4")])
_ARGUMENTS = np.dtype(
    [
        ("dim", "<i4"),
        ("ws", "<i4"),
        ("epoch", "<i4"),
        ("min_count", "<i4"),
        ("neg", "<i4"),
        ("word_ngrams", "<i4"),
        ("loss", "<i4"),
        ("model", "<i4"),
        ("bucket", "<i4"),
        ("minn", "<i4"),
        ("maxn", "<i4"),
        ("lr_update_rate", "<i4"),
        ("t", "<f8"),
    ]
)
_DICTIONARY = np.dtype(
    [
        ("size", "<i4"),
        ("words", "<i4"),
        ("labels", "<i4"),
        ("tokens", "<i8"),
        ("pruned", "<i8"),  # -1: the model is not pruned
    ]
)
_ENTRY_TAIL = np.dtype([("count", "<i8"), ("type", "i1")])  # after the word and its NUL
_PRUNED_PAIR = np.dtype([("bucket", "<i4"), ("row", "<i4")])
_FLAG = np.dtype([("flag", "u1")])
_DENSE = np.dtype([("rows", "<i8"), ("columns", "<i8")])
_QUANTIZED = np.dtype([("qnorm", "u1"), ("rows", "<i8"), ("columns", "<i8"), ("code_bytes", "<i4")])
_QUANTIZER = np.dtype([("dim", "<i4"), ("nsubq", "<i4"), ("dsub", "<i4"), ("last_dsub", "<i4")])
_FLOAT = np.dtype("<f4")
_WORD, _LABEL = 0, 1


@dataclass(frozen=True)
class FastTextModel:
    """A model as the binary format holds it.

    Attributes:
        arguments: what it was trained with.
        dictionary: words, labels, and the rules from tokens to rows.
        input: [words + buckets, dim]; of a pruned model [words + kept buckets, dim].
        output: [labels, dim] of a classifier, [words, dim] of word vectors (which may also have no rows: fastText
            reads such a file, and vectors need no output).
    """

    arguments: Args
    dictionary: Dictionary
    input: Matrix
    output: Matrix

    @property
    def quantized(self) -> bool:
        """Whether the input matrix is quantized."""
        return isinstance(self.input, QuantizedMatrix)

    def validate(self, where: str = "the model") -> None:
        """Check that the parts fit each other, so that no lookup can leave a matrix.

        Raises:
            ModelFormatError: naming the first two numbers that don't agree.
        """
        arguments, dictionary = self.arguments, self.dictionary
        if arguments.dim <= 0 or arguments.bucket < 0:
            raise ModelFormatError(
                f"{where}: dim={arguments.dim}, bucket={arguments.bucket}: "
                "expected dim > 0 and bucket >= 0"
            )
        if arguments.hashes_ngrams and arguments.bucket == 0:
            raise ModelFormatError(
                f"{where}: has n-grams (word_ngrams={arguments.word_ngrams}, minn={arguments.minn}, "
                f"maxn={arguments.maxn}) but no buckets for them"
            )
        for name, matrix in (("input", self.input), ("output", self.output)):
            if matrix.shape[1] != arguments.dim:
                raise ModelFormatError(
                    f"{where}: the {name} matrix has {matrix.shape[1]} columns, but dim={arguments.dim}"
                )
        words, buckets = len(dictionary.words), arguments.bucket
        if dictionary.pruned is not None:
            if not self.quantized:
                raise ModelFormatError(
                    f"{where}: a pruned dictionary with an input matrix that is not quantized"
                )
            buckets = len(dictionary.pruned)
            if buckets and (
                dictionary.pruned.min() < 0
                or dictionary.pruned[:, 0].max() >= arguments.bucket
                or dictionary.pruned[:, 1].max() >= buckets
            ):
                raise ModelFormatError(
                    f"{where}: the index of kept buckets points outside its {buckets} rows "
                    f"or {arguments.bucket} buckets"
                )
        rows = self.input.shape[0]
        if rows < words or (arguments.hashes_ngrams and rows != words + buckets):
            raise ModelFormatError(
                f"{where}: the input matrix has {rows} rows, expected {words} words + {buckets} buckets"
            )
        kind, targets = (
            ("labels", len(dictionary.labels)) if arguments.supervised else ("words", words)
        )
        rows = self.output.shape[0]
        if rows != targets and (arguments.supervised or rows):
            raise ModelFormatError(
                f"{where}: the output matrix has {rows} rows for {targets} {kind}"
            )


class _Reader:
    """A position in a mapped file. Every read is checked against the file's end before anything is made of it."""

    def __init__(self, path: Path):
        self.path = path
        try:
            with path.open("rb") as file:
                self.size = file.seek(0, 2)
                if self.size == 0:
                    raise ModelFormatError(f"{path}: the file is empty")
                self.map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise StorageError(f"{path}: can't be read: {error.strerror}") from None
        self.data = np.frombuffer(self.map, dtype=np.uint8)
        self.position = 0

    def error(self, message: str) -> ModelFormatError:
        return ModelFormatError(f"{self.path}: {message}")

    def array(self, dtype: np.dtype[Any], count: int, what: str) -> npt.NDArray[Any]:
        """Return a view of the next `count` items."""
        length = dtype.itemsize * count
        if count < 0 or length > self.size - self.position:
            raise self.error(
                f"truncated or damaged: {what} needs {length:,} bytes at {self.position:,}, "
                f"the file has {self.size - self.position:,} there"
            )
        # An empty array keeps no claim on the map, and frombuffer refuses to make one.
        if count == 0:
            return np.empty(0, dtype=dtype)
        view = np.frombuffer(self.map, dtype=dtype, count=count, offset=self.position)
        self.position += length
        return view

    def record(self, dtype: np.dtype[Any], what: str) -> dict[str, Any]:
        """Return the next record's fields."""
        values = self.array(dtype, 1, what)[0].item()
        return dict(zip(dtype.names or (), values, strict=True))

    def flag(self, what: str) -> bool:
        value = self.record(_FLAG, what)["flag"]
        if value > 1:
            raise self.error(f"damaged: {what} is {value}, expected 0 or 1")
        return bool(value)


def read_model(path: str | Path) -> FastTextModel:
    """Open a fastText binary (`.bin` or `.ftz`) by mapping it.

    Args:
        path: a local file. It must stay as it is while the model is in use.

    Raises:
        StorageError: the file can't be read.
        ModelFormatError: it is no fastText binary of version 11 or 12, or it is damaged.
    """
    reader = _Reader(Path(path))
    header = reader.record(_HEADER, "the header")
    if header["magic"] != MAGIC:
        raise reader.error("no fastText binary: it does not start with fastText's magic number")
    version = header["version"]
    if not _OLDEST_VERSION <= version <= VERSION:
        raise reader.error(
            f"fastText format version {version}: versions {_OLDEST_VERSION} and {VERSION} are known"
        )
    arguments = _read_arguments(reader, version)
    dictionary = _read_dictionary(reader, arguments)
    quantized = reader.flag("the flag of a quantized input")
    input_matrix = _read_matrix(reader, quantized, "input")
    quantized_output = reader.flag("the flag of a quantized output")
    output_matrix = _read_matrix(reader, quantized and quantized_output, "output")
    if reader.position != reader.size:
        raise reader.error(
            f"damaged: {reader.size - reader.position:,} bytes follow the end of the model"
        )
    model = FastTextModel(arguments, dictionary, input_matrix, output_matrix)
    model.validate(str(path))
    return model


def _read_arguments(reader: _Reader, version: int) -> Args:
    values = reader.record(_ARGUMENTS, "the arguments")
    for name, kind in (("loss", Loss), ("model", Model)):
        try:
            values[name] = kind(values[name])
        except ValueError:
            raise reader.error(
                f"damaged: {name} is {values[name]}, expected one of {[int(k) for k in kind]}"
            ) from None
    if version == _OLDEST_VERSION and values["model"] == Model.SUPERVISED:
        # Classifiers of that version had no character n-grams, whatever the file says.
        values["maxn"] = 0
    return Args(**values)


def _read_dictionary(reader: _Reader, arguments: Args) -> Dictionary:
    header = reader.record(_DICTIONARY, "the dictionary's header")
    size, words, labels = header["size"], header["words"], header["labels"]
    if words < 0 or labels < 0 or words + labels != size or header["pruned"] < -1:
        raise reader.error(
            f"damaged: a dictionary of {size} entries, {words} words and {labels} labels, "
            f"{header['pruned']} kept buckets"
        )
    # The least that each entry takes is its NUL, count and type.
    if size * (1 + _ENTRY_TAIL.itemsize) > reader.size - reader.position:
        raise reader.error(
            f"truncated or damaged: {size:,} dictionary entries don't fit into the "
            f"{reader.size - reader.position:,} bytes that follow"
        )
    names, counts, types = _read_entries(reader, size)
    if (types[:words] != _WORD).any() or (types[words:] != _LABEL).any():
        raise reader.error(f"damaged: the first {words} dictionary entries are not its words")
    if (counts < 0).any():
        raise reader.error("damaged: a dictionary entry has a negative count")
    pruned = None
    if header["pruned"] >= 0:
        pairs = reader.array(_PRUNED_PAIR, header["pruned"], "the index of kept buckets")
        pruned = np.stack([pairs["bucket"], pairs["row"]], axis=1)
    return Dictionary(
        arguments,
        names[:words],
        counts[:words],
        names[words:],
        counts[words:],
        token_count=header["tokens"],
        pruned=pruned,
    )


def _read_entries(
    reader: _Reader, size: int
) -> tuple[list[bytes], npt.NDArray[np.int64], npt.NDArray[np.int8]]:
    """Return names, counts and types of the entries."""
    # Regular expressions walk over the entries without Python's steps. "+" for possessive: nothing to go back to is kept.
    tail = _ENTRY_TAIL.itemsize
    found = re.compile(rb"(?:[^\0]*+\0.{%d}){%d}+" % (tail, size), re.DOTALL).match(
        reader.map, reader.position
    )
    if found is None:
        raise reader.error(f"truncated: it ends within the {size} entries of the dictionary")
    entries = found.group()
    reader.position = found.end()
    names = re.split(rb"\0.{%d}" % tail, entries, flags=re.DOTALL)[:-1]
    # Behind the i-th name lie i tails and NULs, and its own NUL.
    ends = np.cumsum(np.fromiter(map(len, names), np.int64, size)) + (1 + tail) * np.arange(size)
    tails = np.frombuffer(entries, dtype=np.uint8)[ends[:, None] + np.arange(1, 1 + tail)]
    raw = tails.reshape(-1).view(_ENTRY_TAIL)
    return names, raw["count"].astype(np.int64), raw["type"]


def _read_matrix(reader: _Reader, quantized: bool, name: str) -> Matrix:
    if quantized:
        return _read_quantized(reader, name)
    header = reader.record(_DENSE, f"the {name} matrix's header")
    rows, columns = _shape(reader, header, name)
    values = reader.array(_FLOAT, rows * columns, f"the {name} matrix of {rows:,} x {columns:,}")
    return DenseMatrix(values.reshape(rows, columns))


def _shape(reader: _Reader, header: dict[str, Any], name: str) -> tuple[int, int]:
    rows, columns = header["rows"], header["columns"]
    if rows < 0 or not 0 < columns < 2**31:
        raise reader.error(f"damaged: the {name} matrix is {rows} x {columns}")
    return rows, columns


def _read_quantized(reader: _Reader, name: str) -> QuantizedMatrix:
    header = reader.record(_QUANTIZED, f"the {name} matrix's header")
    rows, columns = _shape(reader, header, name)
    if header["qnorm"] > 1:
        raise reader.error(f"damaged: the flag of quantized norms is {header['qnorm']}")
    codes = reader.array(_FLAG["flag"], header["code_bytes"], f"the {name} matrix's codes")
    quantizer = _read_quantizer(reader, columns, name)
    if rows * quantizer.nsubq != len(codes):
        raise reader.error(
            f"damaged: {len(codes):,} bytes of codes for {rows:,} rows of {quantizer.nsubq} bytes"
        )
    norm_codes = norm_quantizer = None
    if header["qnorm"]:
        norm_codes = reader.array(_FLAG["flag"], rows, f"the {name} matrix's norms")
        norm_quantizer = _read_quantizer(reader, 1, f"{name} norms'")
    return QuantizedMatrix(
        codes.reshape(rows, quantizer.nsubq), quantizer, norm_codes, norm_quantizer
    )


def _read_quantizer(reader: _Reader, dim: int, name: str) -> ProductQuantizer:
    header = reader.record(_QUANTIZER, f"the {name} product quantizer")
    dsub = header["dsub"]
    if header["dim"] != dim or dsub <= 0:
        raise reader.error(f"damaged: the {name} product quantizer says {header} for dim={dim}")
    centroids = reader.array(_FLOAT, dim * CENTROIDS, f"the {name} centroids")
    quantizer = ProductQuantizer(dim, dsub, centroids)
    if (header["nsubq"], header["last_dsub"]) != (quantizer.nsubq, quantizer.last_dsub):
        raise reader.error(f"damaged: the {name} product quantizer says {header} for dim={dim}")
    return quantizer


def write_model(model: FastTextModel, path: str | Path) -> None:
    """Write a model as fastText would, version 12. The file is complete or absent.

    Raises:
        ModelFormatError: the parts of the model don't fit each other, or a number is too large for the format.
        StorageError: the file can't be written.
    """
    model.validate()
    with storage.open_writer(path) as file:
        for part in _parts(model):
            _write(file, part)


def _write(file: BinaryIO, part: bytes | npt.NDArray[Any]) -> None:
    if isinstance(part, bytes):
        file.write(part)
        return
    # In pieces: a matrix may be as large as memory, and one that is not little-endian and contiguous is copied.
    rows = max(1, (4 << 20) // max(1, part.itemsize * math.prod(part.shape[1:])))
    for start in range(0, len(part), rows):
        file.write(np.ascontiguousarray(part[start : start + rows]).tobytes())


def _record(dtype: np.dtype[Any], *values: Any) -> bytes:
    try:
        return np.array([values], dtype=dtype).tobytes()
    except OverflowError:
        raise ModelFormatError(f"{values}: a number is too large for fastText's format") from None


def _parts(model: FastTextModel) -> Iterator[bytes | npt.NDArray[Any]]:
    """Yield the file's content, in order."""
    yield _record(_HEADER, MAGIC, VERSION)
    yield _record(_ARGUMENTS, *astuple(model.arguments))
    dictionary = model.dictionary
    words, labels, pruned = dictionary.words, dictionary.labels, dictionary.pruned
    yield _record(
        _DICTIONARY,
        len(words) + len(labels),
        len(words),
        len(labels),
        dictionary.token_count,
        -1 if pruned is None else len(pruned),
    )
    for names, counts, kind in (
        (words, dictionary.counts, _WORD),
        (labels, dictionary.label_counts, _LABEL),
    ):
        if any(b"\0" in name for name in names):
            raise ModelFormatError("a word or label with a NUL can't be written: NUL ends it")
        tails = np.empty(len(names), dtype=_ENTRY_TAIL)
        tails["count"], tails["type"] = counts, kind
        raw, size = tails.tobytes(), _ENTRY_TAIL.itemsize
        yield b"".join(
            name + b"\0" + raw[i * size : (i + 1) * size] for i, name in enumerate(names)
        )
    if pruned is not None:
        yield pruned.astype("<i4")
    yield _record(_FLAG, int(model.quantized))
    yield from _matrix_parts(model.input)
    yield _record(_FLAG, int(isinstance(model.output, QuantizedMatrix)))
    yield from _matrix_parts(model.output)


def _matrix_parts(matrix: Matrix) -> Iterator[bytes | npt.NDArray[Any]]:
    if isinstance(matrix, DenseMatrix):
        yield _record(_DENSE, *matrix.shape)
        yield matrix.values
        return
    quantized_norms = int(matrix.norm_codes is not None)
    yield _record(_QUANTIZED, quantized_norms, *matrix.shape, matrix.codes.size)
    yield matrix.codes
    yield from _quantizer_parts(matrix.quantizer)
    if matrix.norm_codes is not None and matrix.norm_quantizer is not None:
        yield matrix.norm_codes
        yield from _quantizer_parts(matrix.norm_quantizer)


def _quantizer_parts(quantizer: ProductQuantizer) -> Iterator[bytes | npt.NDArray[Any]]:
    yield _record(_QUANTIZER, quantizer.dim, quantizer.nsubq, quantizer.dsub, quantizer.last_dsub)
    yield quantizer.centroids
