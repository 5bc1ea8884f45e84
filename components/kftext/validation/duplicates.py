"""Finds equal texts, in bounded memory: a 64-bit hash of each text, spilled to partitions on disk when there are many.

Each text is a record of 20 bytes. Up to a limit they are held in memory; beyond it they are written to partitions by the
high bits of their hash, so that equal texts share a partition, and each partition is sorted on its own. The hash is
Python's own of a string (SipHash, keyed anew in each process); among a hundred million texts the chance that any two
different ones share a hash is 0.03 %.
"""

from __future__ import annotations

import heapq
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

__all__ = ["Occurrence", "Position", "Repeats", "TextIndex"]

_RECORD = np.dtype([("text", "<u8"), ("position", "<u8"), ("labels", "<u4")])
_PARTITIONS = 256
_BATCH = 1 << 16
_LINE_BITS = 40
_FILE_BITS = 23


class Position(NamedTuple):
    """Where a text stands: in which part, which file of all, and on which line."""

    validation: bool
    file: int
    line: int

    def pack(self) -> int:
        """Return the 64 bits in which a record holds a position; they sort as positions do."""
        return self.validation << 63 | self.file << _LINE_BITS | self.line

    @classmethod
    def unpack(cls, packed: int) -> Position:
        """Read a position from its 64 bits."""
        file = packed >> _LINE_BITS & ((1 << _FILE_BITS) - 1)
        return cls(bool(packed >> 63), file, packed & ((1 << _LINE_BITS) - 1))


class Occurrence(NamedTuple):
    """A text that was there before, and where it was first."""

    position: Position
    first: Position


@dataclass
class Repeats:
    """How often, and where first, texts occur again.

    Attributes:
        duplicates: counts for (training, validation).
        conflicts: those of them whose labels differ from those of the first occurrence in the part.
        leaks: validation rows whose text the training part has.
        duplicate_examples, conflict_examples, leak_examples: the first of each, in reading order.
    """

    duplicates: tuple[int, int] = (0, 0)
    conflicts: tuple[int, int] = (0, 0)
    leaks: int = 0
    duplicate_examples: list[Occurrence] = field(default_factory=list)
    conflict_examples: list[Occurrence] = field(default_factory=list)
    leak_examples: list[Occurrence] = field(default_factory=list)


class TextIndex:
    """Collects the texts of both parts, then finds the repeated ones. A context manager: its spill files go with it.

    Args:
        limit: how many texts are held in memory (20 bytes each, about four times that while they are sorted).
        work_dir: folder for the spill files; the system's temporary one by default.
    """

    def __init__(self, limit: int = 1 << 20, work_dir: Path | None = None):
        self._limit, self._work_dir = limit, work_dir
        self._texts: list[int] = []
        self._positions: list[int] = []
        self._labels: list[int] = []
        self._batches: list[np.ndarray] = []
        self._held = 0
        self._folder: tempfile.TemporaryDirectory | None = None

    def __enter__(self) -> TextIndex:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._folder is not None:
            self._folder.cleanup()

    @property
    def spilled(self) -> bool:
        """Whether records were written to disk."""
        return self._folder is not None

    def add(self, text: str, position: int, labels: tuple[str, ...]) -> None:
        """Take in the text of a row, and its packed `Position`."""
        self._texts.append(hash(text))
        self._positions.append(position)
        if len(labels) > 1:
            labels = ("\n".join(sorted(set(labels))),)
        self._labels.append(zlib.crc32(labels[0].encode()) if labels else 0)
        if len(self._texts) == _BATCH:
            self._pack()

    def _pack(self) -> None:
        batch = np.empty(len(self._texts), _RECORD)
        # A hash is signed; as bits it is as good.
        batch["text"] = np.array(self._texts, np.int64).view(np.uint64)
        batch["position"], batch["labels"] = self._positions, self._labels
        self._texts, self._positions, self._labels = [], [], []
        self._batches.append(batch)
        self._held += len(batch)
        if self._held >= self._limit:
            self._spill()

    def _spill(self) -> None:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="kftext-texts-", dir=self._work_dir)
        records = np.concatenate(self._batches)
        self._batches, self._held = [], 0
        partition = (records["text"] // np.uint64(2**64 // _PARTITIONS)).astype(np.uint8)
        records = records[np.argsort(partition, kind="stable")]
        ends = np.cumsum(np.bincount(partition, minlength=_PARTITIONS))
        for number, part in enumerate(np.split(records, ends[:-1])):
            with (Path(self._folder.name) / str(number)).open("ab") as stream:
                stream.write(part.tobytes())

    def _partitions(self) -> Iterator[np.ndarray]:
        self._pack()
        if self._folder is None:
            yield np.concatenate(self._batches)
            return
        if self._batches:
            self._spill()
        for number in range(_PARTITIONS):
            yield np.fromfile(Path(self._folder.name) / str(number), _RECORD)

    def find(self, examples: int) -> Repeats:
        """Find the repeated texts, with this many examples of each kind."""
        repeats = Repeats()
        for records in self._partitions():
            _find(records, examples, repeats)
        return repeats


def _find(records: np.ndarray, examples: int, repeats: Repeats) -> None:
    """Add what repeats among the records of one partition."""
    if not len(records):
        return
    # Training comes before validation, as the part is the highest bit of a position.
    records = records[np.lexsort((records["position"], records["text"]))]
    validation = records["position"] >> np.uint64(63) != 0
    new_text = np.ones(len(records), bool)
    new_text[1:] = records["text"][1:] != records["text"][:-1]
    new_part = new_text.copy()
    new_part[1:] |= validation[1:] != validation[:-1]
    index = np.arange(len(records))
    first_of_text = np.maximum.accumulate(np.where(new_text, index, 0))
    first_of_part = np.maximum.accumulate(np.where(new_part, index, 0))

    duplicate = ~new_part
    conflict = duplicate & (records["labels"] != records["labels"][first_of_part])
    leak = validation & ~validation[first_of_text]
    repeats.duplicates = _count(repeats.duplicates, duplicate, validation)
    repeats.conflicts = _count(repeats.conflicts, conflict, validation)
    repeats.leaks += int(leak.sum())
    for kept, found, first in (
        (repeats.duplicate_examples, duplicate, first_of_part),
        (repeats.conflict_examples, conflict, first_of_part),
        (repeats.leak_examples, leak, first_of_text),
    ):
        where = np.flatnonzero(found)
        where = where[np.argsort(records["position"][where])[:examples]]
        more = [
            Occurrence(
                Position.unpack(int(records["position"][at])),
                Position.unpack(int(records["position"][first[at]])),
            )
            for at in where
        ]
        kept[:] = heapq.nsmallest(examples, kept + more)


def _count(so_far: tuple[int, int], found: np.ndarray, validation: np.ndarray) -> tuple[int, int]:
    return (
        so_far[0] + int((found & ~validation).sum()),
        so_far[1] + int((found & validation).sum()),
    )
