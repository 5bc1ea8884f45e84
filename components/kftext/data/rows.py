"""What reading a data set gives: rows, and faults that say why something is no row."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from kftext.data.tokens import LABEL_PREFIX, tokenize
from kftext.errors import DataError

__all__ = ["Fault", "FaultKind", "Row", "Severity", "to_labeled_text"]


class Row(NamedTuple):
    """One example (or one line of a corpus).

    Attributes:
        file: path or URI it was read from.
        line: 1-based number of its first line there.
        labels: without the label prefix; a label holds no white space. Empty for a corpus.
        text: without labels, never empty, white space trimmed at both ends.
        content: the bytes as they stand in the file, without the last line ending.
    """

    file: str
    line: int
    labels: tuple[str, ...]
    text: str
    content: bytes


class Severity(StrEnum):
    """What a fault means for the data set."""

    FATAL = "fatal"
    """The data set can't be used, not even without the lines at fault."""

    ERROR = "error"
    """The line is no row: it is left out where that is allowed."""

    WARNING = "warning"
    """Worth knowing; the line, if it is about one, is still read."""


class FaultKind(StrEnum):
    """Every kind of fault, by the name under which it is counted and reported."""

    # Of a whole data set or file.
    NO_ROWS = "no-rows"
    BINARY_FILE = "binary-file"
    UTF16_FILE = "utf-16-file"
    DAMAGED_GZIP = "damaged-gzip"
    ONE_CLASS = "one-class"
    TOO_MANY_LABELS = "too-many-labels"
    # Of a line.
    INVALID_UTF8 = "invalid-utf-8"
    NUL_BYTE = "nul-byte"
    OVERLONG_LINE = "overlong-line"
    HEADER = "header"
    UNLABELED = "unlabeled"
    EMPTY_LABEL = "empty-label"
    NO_TEXT = "no-text"
    LABEL_NOT_INTEGER = "label-not-an-integer"
    ONE_COLUMN = "one-column"
    BAD_CSV = "bad-csv"
    BAD_JSON = "bad-json"
    MISSING_ATTRIBUTE = "missing-attribute"
    WRONG_TYPE = "wrong-type"
    # Warnings.
    EMPTY_FILE = "empty-file"
    BYTE_ORDER_MARK = "byte-order-mark"
    BLANK_LINE = "blank-line"
    CONTROL_CHARACTER = "control-character"
    REPLACEMENT_CHARACTER = "replacement-character"
    LONG_LINE = "long-line"
    EXTRA_COLUMNS = "extra-columns"
    SPACE_IN_LABEL = "space-in-label"
    PREFIX_IN_TEXT = "prefix-in-text"
    DUPLICATE = "duplicate"
    CONFLICTING_LABELS = "conflicting-labels"
    LEAK = "leak"
    LABEL_GAP = "label-gap"
    UNSEEN_LABEL = "unseen-label"
    FEW_EXAMPLES = "few-examples"
    IMBALANCE = "imbalance"

    @property
    def severity(self) -> Severity:
        """What a fault of this kind means for the data set."""
        if self in _FATAL:
            return Severity.FATAL
        return Severity.WARNING if self in _WARNINGS else Severity.ERROR

    @property
    def meaning(self) -> str:
        """What this kind of fault is, in a few words."""
        return _MEANINGS[self]


_MEANINGS = {
    FaultKind.NO_ROWS: "there is nothing to train on",
    FaultKind.BINARY_FILE: "the file is not text",
    FaultKind.UTF16_FILE: "the file is UTF-16 or UTF-32 text, not UTF-8",
    FaultKind.DAMAGED_GZIP: "the gzip stream is cut off or damaged",
    FaultKind.ONE_CLASS: "all rows have the same label",
    FaultKind.TOO_MANY_LABELS: "more labels than a classifier can have",
    FaultKind.INVALID_UTF8: "bytes that are not UTF-8",
    FaultKind.NUL_BYTE: "a NUL byte inside text",
    FaultKind.OVERLONG_LINE: "a line or record too long to be an example",
    FaultKind.HEADER: "a header line where data should start",
    FaultKind.UNLABELED: "no label",
    FaultKind.EMPTY_LABEL: "a label without a name",
    FaultKind.NO_TEXT: "labels without a text",
    FaultKind.LABEL_NOT_INTEGER: "the first column is not an integer",
    FaultKind.ONE_COLUMN: "a row with one column",
    FaultKind.BAD_CSV: "quotes that break the rules of CSV",
    FaultKind.BAD_JSON: "a line that is not a JSON object",
    FaultKind.MISSING_ATTRIBUTE: "an attribute is missing",
    FaultKind.WRONG_TYPE: "an attribute of the wrong type",
    FaultKind.EMPTY_FILE: "an empty file among others",
    FaultKind.BYTE_ORDER_MARK: "a UTF-8 byte order mark, which is skipped",
    FaultKind.BLANK_LINE: "a line with nothing on it, which is skipped",
    FaultKind.CONTROL_CHARACTER: "an invisible control character",
    FaultKind.REPLACEMENT_CHARACTER: "U+FFFD: a character was lost in an earlier conversion",
    FaultKind.LONG_LINE: "a corpus line too long to hold, which is read in pieces",
    FaultKind.EXTRA_COLUMNS: "columns after the second, which are not read",
    FaultKind.SPACE_IN_LABEL: "white space in a label, which becomes '-'",
    FaultKind.PREFIX_IN_TEXT: "a word of the text looks like a label; its prefix is left out",
    FaultKind.DUPLICATE: "the same text more than once in one data set",
    FaultKind.CONFLICTING_LABELS: "the same text with different labels",
    FaultKind.LEAK: "a validation text that is in the training data too",
    FaultKind.LABEL_GAP: "labels that are not 0, 1, ..., n-1: they are mapped in order",
    FaultKind.UNSEEN_LABEL: "a label that only validation data have: it can't be learnt",
    FaultKind.FEW_EXAMPLES: "labels with very few examples",
    FaultKind.IMBALANCE: "one label on nearly all rows",
}
_KINDS = list(FaultKind)
_FATAL = frozenset(_KINDS[: _KINDS.index(FaultKind.INVALID_UTF8)])
_WARNINGS = frozenset(_KINDS[_KINDS.index(FaultKind.EMPTY_FILE) :])


class Fault(NamedTuple):
    """Something wrong, and where.

    Attributes:
        kind: what kind of fault.
        file: path or URI of the file.
        line: 1-based number of the line, or None where the fault is not one line's.
        message: what was found and what is expected.
        content: the bytes of the line, without its ending; cut short for `FaultKind.OVERLONG_LINE`.
    """

    kind: FaultKind
    file: str
    line: int | None
    message: str
    content: bytes = b""

    @property
    def severity(self) -> Severity:
        """What it means for the data set."""
        return self.kind.severity

    def error(self) -> DataError:
        """The fault as an exception."""
        return DataError(self.message, file=self.file, line=self.line)


def to_labeled_text(row: Row, label_prefix: str = LABEL_PREFIX) -> bytes:
    r"""Write a row as one line of labelled text, `__label__a __label__b the text`, ending in `\n`."""
    words = [(label_prefix + label).encode() for label in row.labels]
    words += tokenize(row.text.encode())
    return b" ".join(words) + b"\n"
