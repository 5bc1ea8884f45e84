"""The rows of a data set: labels in memory, texts in a file, so that data sets larger than memory can be trained on."""

from __future__ import annotations

import hashlib
import logging
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from kftext import storage
from kftext.data.formats import Format, ReadOptions
from kftext.data.readers import read_rows
from kftext.data.rows import Fault, FaultKind
from kftext.errors import DataError, UsageError

__all__ = ["Examples", "Source", "held_out_rows", "read_classes", "read_examples"]

DATA_FILE = "data.csv"
"""What the reference calls the file in a data folder."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """Where rows come from.

    Attributes:
        path: file, folder or prefix. A folder with a `data.csv` is that file; else all its files are one data set.
        format: one with labels.
        options: how it is read.
    """

    path: str
    format: Format = Format.CSV
    options: ReadOptions = field(default_factory=ReadOptions)

    def files(self) -> str:
        """Return what is to be read."""
        if not self.format.has_labels:
            raise UsageError(f"data format {self.format}: a classifier is trained on labelled data")
        if self.format is Format.CSV:
            named = storage.join(self.path, DATA_FILE)
            if named in storage.list_files(self.path):
                return named
        return self.path


@dataclass(frozen=True)
class Examples:
    """Texts and classes.

    Attributes:
        texts: uint8[bytes], all texts one after the other, UTF-8; a map of a file.
        offsets: int64[rows + 1], where each text starts.
        labels: int32[rows], index of each row's class.
        classes: the label of each class, as it stands in the data.
        digest: of texts and labels.
    """

    texts: npt.NDArray[np.uint8]
    offsets: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int32]
    classes: tuple[str, ...]
    digest: str

    def __len__(self) -> int:
        return len(self.labels)

    def text(self, rows: npt.NDArray[np.int64] | Sequence[int]) -> list[bytes]:
        """Return the texts of some rows."""
        starts, ends = self.offsets[:-1], self.offsets[1:]
        return [self.texts[starts[row] : ends[row]].tobytes() for row in rows]


def read_examples(source: Source, work_dir: Path, classes: Sequence[str] | None = None) -> Examples:
    """Read all rows of a data set.

    Args:
        source: the data.
        work_dir: folder for the file that holds the texts.
        classes: those of the training data, where these rows are for validation; found in the data where it is None.

    Raises:
        DataError: naming file and line: a line is at fault, a row has several labels or one that training does not know,
            or all rows are of one class.
        StorageError: the data can't be read.
    """
    work_dir.mkdir(parents=True, exist_ok=True)
    path = work_dir / f"texts-{len(list(work_dir.iterdir()))}"
    with path.open("wb") as file:
        rows = _copy_rows(source, file, classes)
    found = tuple(classes) if classes is not None else read_classes(set(rows.names), source.path)
    index = {name: number for number, name in enumerate(found)}
    numbers = np.array([index[name] for name in rows.names], np.int32)
    labels = numbers[np.frombuffer(rows.codes, np.int32)]
    offsets = np.zeros(len(labels) + 1, np.int64)
    np.cumsum(np.frombuffer(rows.lengths, np.int64), out=offsets[1:])
    rows.digest.update(labels.tobytes())
    rows.digest.update(repr(found).encode())
    return Examples(np.memmap(path, np.uint8, "r"), offsets, labels, found, rows.digest.hexdigest())


@dataclass
class _Rows:
    """What is kept of rows in memory: 12 bytes each.

    Attributes:
        names: the labels, in the order in which they were met.
        codes: of each row, its label's number in that order.
        lengths: of each row, its text's bytes.
        digest: of the texts.
    """

    names: dict[str, int] = field(default_factory=dict)
    codes: array[int] = field(default_factory=lambda: array("i"))
    lengths: array[int] = field(default_factory=lambda: array("q"))
    digest: hashlib.blake2b = field(default_factory=lambda: hashlib.blake2b(digest_size=16))


def _copy_rows(source: Source, file: BinaryIO, classes: Sequence[str] | None) -> _Rows:
    rows = _Rows()
    known = None if classes is None else set(classes)
    warnings = _Warnings()
    for row in read_rows(source.files(), source.format, source.options, on_warning=warnings.take):
        if len(row.labels) > 1:
            raise DataError(
                f"{len(row.labels)} labels ({', '.join(row.labels)}): expected one",
                file=row.file,
                line=row.line,
            )
        (name,) = row.labels
        if known is not None and name not in known:
            raise DataError(
                f"label {name!r} is not among those of the training data: {', '.join(classes or ())}",
                file=row.file,
                line=row.line,
            )
        text = row.text.encode("utf-8", "replace")
        file.write(text)
        rows.digest.update(len(text).to_bytes(8, "little"))
        rows.digest.update(text)
        rows.codes.append(rows.names.setdefault(name, len(rows.names)))
        rows.lengths.append(len(text))
    warnings.log()
    return rows


class _Warnings:
    """Lines that are read, but maybe not as they are meant: the first of each kind is named."""

    def __init__(self) -> None:
        self._first: dict[FaultKind, Fault] = {}
        self._counts: Counter[FaultKind] = Counter()

    def take(self, fault: Fault) -> None:
        if fault.kind is not FaultKind.BLANK_LINE:
            self._first.setdefault(fault.kind, fault)
            self._counts[fault.kind] += 1

    def log(self) -> None:
        for kind, fault in self._first.items():
            others = self._counts[kind] - 1
            more = f" ({others} more such lines)" if others else ""
            _log.warning("%s%s", fault.error(), more)


def read_classes(labels: set[str], path: str) -> tuple[str, ...]:
    """Return the labels in the order of their class indexes: integers by value, others by name.

    Raises:
        DataError: there is only one.
    """
    if len(labels) < 2:
        raise DataError(
            f"{FaultKind.ONE_CLASS.meaning} ({', '.join(labels)}): expected at least two classes",
            file=path,
        )
    if not all(label.lstrip("-").isdigit() for label in labels):
        return tuple(sorted(labels))
    classes = tuple(sorted(labels, key=int))
    if classes != tuple(str(index) for index in range(len(classes))):
        _log.warning(
            "%s: labels are not 0 to %d: %s are mapped to class indexes in that order",
            path,
            len(classes) - 1,
            ", ".join(classes[:20]) + (", …" if len(classes) > 20 else ""),
        )
    return classes


def held_out_rows(examples: Examples, ratio: float, seed: int) -> npt.NDArray[np.bool_]:
    """Choose a share of the rows of each class; rows with the same text stay together.

    Args:
        examples: the rows.
        ratio: share of each class's distinct texts, 0 <= ratio < 1; at least one stays on each side where there are two.
        seed: the same seed and rows give the same choice.

    Returns:
        bool[rows], True for those that are held out.

    Raises:
        DataError: none of the classes has two distinct texts, so that nothing can be held out.
    """
    held_out = np.zeros(len(examples), dtype=np.bool_)
    if not ratio:
        return held_out
    keys = np.fromiter(
        (_hash(text) for text in _each(examples)), dtype=np.uint64, count=len(examples)
    )
    _, first, group = np.unique(keys, return_index=True, return_inverse=True)
    chosen = np.zeros(len(first), dtype=np.bool_)
    random = np.random.default_rng([seed, 1])
    # A text with several labels counts for the class of its first row.
    for label in range(len(examples.classes)):
        groups = np.flatnonzero(examples.labels[first] == label)
        if len(groups) > 1:
            count = min(max(1, round(ratio * len(groups))), len(groups) - 1)
            chosen[random.permutation(groups)[:count]] = True
    if not chosen.any():
        raise DataError("too few distinct texts to hold any out for validation")
    return chosen[group]


def _hash(text: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def _each(examples: Examples) -> Iterator[bytes]:
    for row in range(len(examples)):
        yield examples.text([row])[0]
