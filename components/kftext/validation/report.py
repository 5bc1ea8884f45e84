"""What validation found, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kftext.data.rows import Severity
from kftext.errors import DataError
from kftext.validation.faults import FaultLog
from kftext.validation.request import ValidationRequest
from kftext.validation.statistics import PartStatistics

__all__ = ["ValidationReport"]


@dataclass(frozen=True)
class ValidationReport:
    """What validation found.

    Attributes:
        request: what was validated.
        train: counts over the training part.
        validation: counts over the validation part, given or split off; None where there is none.
        faults: what was wrong.
        size: bytes read, compressed ones where files are.
        seconds: how long it took.
    """

    request: ValidationRequest
    train: PartStatistics
    validation: PartStatistics | None
    faults: FaultLog
    size: int
    seconds: float

    @property
    def parts(self) -> dict[str, PartStatistics]:
        """The parts there are, by name."""
        parts = {"training": self.train, "validation": self.validation}
        return {name: part for name, part in parts.items() if part is not None}

    def error(self) -> DataError | None:
        """Return why the data can't be used as they are, or None.

        One message: the first fault with its file and line, then how many there are of each kind.
        """
        fatal = self.faults.total(Severity.FATAL)
        exceeded = any(
            part.rejected > self.request.max_error_fraction * (part.rows + part.rejected)
            for part in self.parts.values()
        )
        first = self.faults.first
        if first is None or not (fatal or exceeded):
            return None
        notes = []
        if fatal + self.faults.total(Severity.ERROR) > 1:
            notes.append(f"faults: {self.faults.summary(Severity.FATAL, Severity.ERROR)}")
        if exceeded and self.request.max_error_fraction:
            notes += [
                f"{part.rejected:,} of {part.rows + part.rejected:,} {name} lines are at fault, more "
                f"than max_error_fraction={self.request.max_error_fraction:g} allows"
                for name, part in self.parts.items()
                if part.rejected > self.request.max_error_fraction * (part.rows + part.rejected)
            ]
        if self.request.report:
            notes.append(f"report: {self.request.report}")
        note = f" ({'; '.join(notes)})" if notes else ""
        return DataError(first.message + note, file=first.file, line=first.line)

    def metrics(self) -> dict[str, float]:
        """Return the numbers that a pipeline's UI shows for the step."""
        numbers: dict[str, float] = {
            "errors": self.faults.total(Severity.FATAL) + self.faults.total(Severity.ERROR),
            "warnings": self.faults.total(Severity.WARNING),
        }
        for name, part in self.parts.items():
            words, _ = part.distinct_words()
            numbers |= {
                f"{name}_rows": part.rows,
                f"{name}_rejected": part.rejected,
                f"{name}_tokens": part.tokens,
                f"{name}_distinct_words": words,
                f"{name}_duplicates": part.duplicates,
            }
            if self.request.format.has_labels:
                numbers[f"{name}_labels"] = len(part.labels)
        if self.validation is not None:
            numbers["leaks"] = self.validation.leaks
        return numbers

    def statistics(self) -> dict[str, Any]:
        """Return the counts over each part as JSON values."""
        return {name: part.to_dict() for name, part in self.parts.items()}

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        error = self.error()
        return {
            "passed": error is None,
            "error": None if error is None else str(error),
            "format": self.request.format.value,
            "data": self.request.data,
            "validation_data": self.request.validation_data,
            "validation_split_ratio": self.request.validation_split_ratio,
            "max_error_fraction": self.request.max_error_fraction,
            "bytes": self.size,
            "seconds": round(self.seconds, 3),
            **self.statistics(),
            "faults": [
                {
                    "kind": kind.value,
                    "severity": kind.severity.value,
                    "meaning": kind.meaning,
                    "count": count,
                    "examples": [
                        {
                            "file": fault.file,
                            "line": fault.line,
                            "message": fault.message,
                            "content": fault.content.decode("utf-8", "replace"),
                        }
                        for fault in self.faults.examples[kind]
                    ],
                }
                for kind, count in self.faults.counts.most_common()
            ],
        }
