"""The pass over the data: reads every row once, counts it, and collects what is wrong."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from kftext import storage
from kftext.data import readers
from kftext.data.formats import Format
from kftext.data.rows import Fault, FaultKind, Row, Severity
from kftext.progress import Progress
from kftext.validation.duplicates import Occurrence, Position, TextIndex
from kftext.validation.faults import FaultLog
from kftext.validation.report import ValidationReport
from kftext.validation.request import ValidationRequest
from kftext.validation.statistics import PartStatistics

__all__ = ["scan"]

MAX_LABELS = 1_000_000
"""More labels than this are no classes: the wrong column or attribute is being read."""

FEW_EXAMPLES = 5
"""A label with fewer training rows than this is reported."""

DOMINANT = 0.9
"""A label on at least this share of the training rows is reported."""


def scan(request: ValidationRequest) -> ValidationReport:
    """Read the data and report what is there and what is wrong. Writes nothing; raises nothing for bad data.

    Raises:
        StorageError: the data are not there or can't be read.
    """
    start = time.monotonic()
    with TextIndex(request.texts_in_memory) as index:
        scanner = _Scanner(request, index)
        size = storage.size(request.data)
        if request.validation_data:
            size += storage.size(request.validation_data)
        with Progress(size, "B", f"validating {request.data}") as progress:
            scanner.read(request.data, part=scanner.train, progress=progress)
            if request.validation_data and scanner.validation is not None:
                scanner.read(request.validation_data, part=scanner.validation, progress=progress)
        scanner.finish()
    return ValidationReport(
        request,
        scanner.train,
        scanner.validation,
        scanner.faults,
        size,
        time.monotonic() - start,
    )


class _Scanner:
    def __init__(self, request: ValidationRequest, index: TextIndex):
        self._request, self._index = request, index
        self._splitter = request.splitter()
        has_validation = bool(request.validation_data or self._splitter)
        self.train = PartStatistics()
        self.validation = PartStatistics() if has_validation else None
        self.faults = FaultLog(request.examples)
        self._files: list[str] = []

    def read(self, path: str, *, part: PartStatistics, progress: Progress) -> None:
        """Read one of the request's paths into a part; what is split off is counted in the other."""
        splitter, split_off, index = self._splitter, self.validation, self._index
        file, rows = "", part.rows
        places = {True: 0, False: 0}
        for item in self._items(path, progress):
            if isinstance(item, Fault):
                self.faults.add(item)
                if item.severity is Severity.ERROR:
                    part.rejected += 1
                continue
            if item.file != file:
                file = item.file
                places = {side: Position(side, len(self._files), 0).pack() for side in places}
                self._files.append(file)
            target = part
            if splitter is not None and split_off is not None and splitter.is_validation(item.text):
                target = split_off
            target.add(item)
            index.add(item.text, places[target is split_off] + item.line, item.labels)
            if len(target.labels) > MAX_LABELS:
                message = (
                    f"more than {MAX_LABELS:,} different labels: is the wrong column or attribute "
                    "read as the label?"
                )
                self.faults.add(Fault(FaultKind.TOO_MANY_LABELS, file, item.line, message))
                return
        if part.rows == rows and splitter is None:
            self._no_rows(path, part)

    def _items(self, path: str, progress: Progress) -> Iterator[Row | Fault]:
        request = self._request
        return readers.read(path, request.format, request.options, on_bytes=progress.update)

    def _no_rows(self, path: str, part: PartStatistics) -> None:
        known = self.faults.total(Severity.FATAL) or part.rejected
        if known and self._request.max_error_fraction < 1:
            return
        empty = set(self.faults.counts) == {FaultKind.EMPTY_FILE}
        message = "the data are empty (0 bytes)" if empty else "no line is a row"
        self.faults.add(
            Fault(FaultKind.NO_ROWS, path, None, f"{message}: expected at least one row")
        )

    def finish(self) -> None:
        """Judge the data set as a whole."""
        self.train.flush()
        if self.validation is not None:
            self.validation.flush()
        self._repeats()
        if self._splitter is not None and self.validation is not None:
            self._split(self.validation)
        if self._request.format.has_labels and self.train.rows:
            self._labels()

    def _split(self, validation: PartStatistics) -> None:
        if not self.train.rows and not validation.rows:
            self._no_rows(self._request.data, self.train)
        elif not self.train.rows or not validation.rows:
            side, change = ("validation", "larger") if self.train.rows else ("training", "smaller")
            message = (
                f"validation_split_ratio={self._request.validation_split_ratio:g} leaves no row for "
                f"{side}: give a {change} one, or more data"
            )
            self.faults.add(Fault(FaultKind.NO_ROWS, self._request.data, None, message))

    def _repeats(self) -> None:
        repeats = self._index.find(self._request.examples)
        self.train.duplicates, self.train.conflicts = repeats.duplicates[0], repeats.conflicts[0]
        if self.validation is not None:
            self.validation.duplicates = repeats.duplicates[1]
            self.validation.conflicts = repeats.conflicts[1]
            self.validation.leaks = repeats.leaks
        for kind, total, examples, message in (
            (
                FaultKind.DUPLICATE,
                sum(repeats.duplicates),
                repeats.duplicate_examples,
                "the same text as",
            ),
            (
                FaultKind.CONFLICTING_LABELS,
                sum(repeats.conflicts),
                repeats.conflict_examples,
                "other labels than the same text at",
            ),
            (FaultKind.LEAK, repeats.leaks, repeats.leak_examples, "in the training data at"),
        ):
            for occurrence in examples:
                self.faults.add(self._repeat(kind, occurrence, message))
            if examples:
                self.faults.counts[kind] += total - len(examples)

    def _repeat(self, kind: FaultKind, occurrence: Occurrence, message: str) -> Fault:
        position, first = occurrence
        return Fault(
            kind,
            self._files[position.file],
            position.line,
            f"{message} {self._files[first.file]}:{first.line}",
        )

    def _labels(self) -> None:
        """Judge the labels of both parts."""
        train, path = self.train.labels, self._request.data

        def add(kind: FaultKind, message: str, times: int = 1, file: str = path) -> None:
            self.faults.add(Fault(kind, file, None, message), times)

        if len(train) == 1:
            message = f"all {self.train.rows:,} rows have the same label, {_names(train)}: expected two or more"
            add(FaultKind.ONE_CLASS, message)
        if self._request.format is Format.CSV:
            classes = sorted(int(label) for label in train)
            if classes != list(range(len(classes))):
                shown = _names([str(label) for label in classes])
                message = f"labels are {shown}: they are mapped in order to classes 0 to {len(classes) - 1}"
                add(FaultKind.LABEL_GAP, message)
        few = [label for label, count in train.items() if count < FEW_EXAMPLES]
        if few:
            message = f"{len(few):,} of {len(train):,} labels have fewer than {FEW_EXAMPLES} rows: {_names(few)}"
            add(FaultKind.FEW_EXAMPLES, message, len(few))
        label, count = train.most_common(1)[0]
        if len(train) > 1 and count >= DOMINANT * self.train.rows:
            message = (
                f"label {label} is on {count / self.train.rows:.1%} of the rows: a classifier that always "
                "names it is right that often"
            )
            add(FaultKind.IMBALANCE, message)
        unseen = (
            []
            if self.validation is None
            else [label for label in self.validation.labels if label not in train]
        )
        if unseen:
            message = (
                f"no training row has these labels, so that they can't be learnt: {_names(unseen)}"
            )
            add(FaultKind.UNSEEN_LABEL, message, len(unseen), self._request.validation_data or path)


def _names(labels: Iterable[str], most: int = 10) -> str:
    names = list(labels)
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
