"""CSV after RFC 4180, no header: first column an integer class label, second column the text.

A field may be quoted, and then hold commas, line breaks and doubled quotes. A record that breaks the rules is one fault:
reading goes on with the line after the one that the record started on, so that one stray quote can't swallow a file.
"""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Callable, Iterator

from kftext.data.formats import ReadOptions
from kftext.data.lines import MAX_LINE, Block, examine, read_blocks
from kftext.data.manifest import without_prefix
from kftext.data.rows import Fault, FaultKind, Row, Severity

__all__ = ["read"]

# The module's limit on a field's length is one for the whole process, and 128 KiB unless set: too short for documents.
csv.field_size_limit(2 * MAX_LINE)

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")


class _TooLongError(Exception):
    """A record went on for more than MAX_LINE bytes."""


class _Feeder:
    """Hands a file's lines to csv.reader, and remembers those that the present record took.

    Each is (line number, offset, bytes, whether the bytes need examining).
    """

    def __init__(self, blocks: Iterator[Block | Fault]):
        self._blocks = blocks
        self._ahead: deque[tuple[int, int, bytes, bool]] = deque()
        self.taken: list[tuple[int, int, bytes, bool]] = []
        self.faults: list[Fault] = []
        self._size = 0

    def __iter__(self) -> _Feeder:
        return self

    def __next__(self) -> str:
        while not self._ahead:
            block = next(self._blocks)
            if isinstance(block, Fault):
                self.faults.append(block)
                if self.taken:
                    # A line in the middle of a record could not be read: neither can the record.
                    raise _TooLongError
                continue
            offset = block.offset
            for number, content in enumerate(block.lines, block.number):
                self._ahead.append((number, offset, content, block.texts is None))
                offset += len(content) + 1
        line = self._ahead.popleft()
        self.taken.append(line)
        self._size += len(line[2])
        if self._size > MAX_LINE:
            raise _TooLongError
        return line[2].decode("utf-8", "surrogateescape") + "\n"

    def start_record(self) -> None:
        self.taken, self._size = [], 0

    def give_back(self) -> None:
        """Keep the record's first line as all of it, and read the others again."""
        self._ahead.extendleft(reversed(self.taken[1:]))
        del self.taken[1:]


def read(
    path: str,
    options: ReadOptions | None = None,
    *,
    on_bytes: Callable[[int], object] | None = None,
) -> Iterator[Row | Fault]:
    """Read one file. A label is the integer's canonical form ("01" is "1").

    Args:
        path: local path or URI of one file, plain or gzip.
        options: `label_prefix` counts: a word of a text that starts with it is no label.
        on_bytes: told how many bytes were read from storage, as they are read.
    """
    prefix = (options or ReadOptions()).label_prefix
    feeder = _Feeder(read_blocks(path, on_bytes=on_bytes))
    records = csv.reader(feeder, strict=True)
    while True:
        feeder.start_record()
        problem, record = "", None
        try:
            record = next(records, None)
        except csv.Error as error:
            problem = _explain(str(error))
        except _TooLongError:
            problem = f"a record of more than {MAX_LINE:,} bytes: is a closing quote missing?"
        yield from feeder.faults
        feeder.faults.clear()
        if problem:
            feeder.give_back()
            records = csv.reader(feeder, strict=True)
            number, _, content, _ = feeder.taken[0]
            yield Fault(FaultKind.BAD_CSV, path, number, problem, content)
        elif record is None:
            return
        else:
            yield from _read_record(path, record, feeder.taken, prefix)


def _read_record(
    path: str, record: list[str], lines: list[tuple[int, int, bytes, bool]], prefix: str
) -> Iterator[Row | Fault]:
    number, offset, content, suspicious = lines[0]
    if len(lines) > 1:
        content = b"\n".join([line[2] for line in lines])
        suspicious = any(line[3] for line in lines)
    if suspicious:
        faults = examine(content, path, number, offset)
        yield from faults
        if faults and faults[0].severity is Severity.ERROR:
            return

    def fault(kind: FaultKind, message: str) -> Fault:
        return Fault(kind, path, number, message, content)

    label = record[0].strip() if record else ""
    if len(record) < 2 and not label:
        yield fault(FaultKind.BLANK_LINE, "the line is blank: skipped")
    elif not _INTEGER.fullmatch(label):
        if number == 1 and all(_is_name(field) for field in record):
            message = (
                f"column 1 is {_shorten(label)}, not an integer: the file seems to start with a "
                "header line; remove it"
            )
            yield fault(FaultKind.HEADER, message)
        elif len(record) < 2:
            yield fault(FaultKind.ONE_COLUMN, _one_column(content))
        else:
            swapped = " (column 2 is one: swap them)" if _INTEGER.match(record[1].strip()) else ""
            message = (
                f"column 1 is {_shorten(label)}: expected an integer class label, 0 to n-1{swapped}"
            )
            yield fault(FaultKind.LABEL_NOT_INTEGER, message)
    elif len(record) < 2:
        yield fault(FaultKind.ONE_COLUMN, _one_column(content))
    elif not record[1].strip():
        yield fault(FaultKind.NO_TEXT, "column 2 is empty: expected a text")
    else:
        if len(record) > 2:
            message = (
                f"{len(record)} columns: only the second is read as text; if the text holds commas, "
                "quote it"
            )
            yield fault(FaultKind.EXTRA_COLUMNS, message)
        text = record[1]
        if prefix in text:
            text, changed = without_prefix(text, prefix)
            if changed:
                yield fault(FaultKind.PREFIX_IN_TEXT, changed)
        yield Row(path, number, (str(int(label)),), text.strip(), content)


def _is_name(field: str) -> bool:
    return len(field) <= 40 and not any(character.isdigit() for character in field)


def _one_column(content: bytes) -> str:
    for character, name in ((b"\t", "tabs"), (b";", "semicolons"), (b"|", "bars")):
        if character in content:
            return f"one column: expected label,text; the file seems to be separated by {name}"
    return "one column: expected an integer class label, a comma and the text"


def _explain(message: str) -> str:
    if "unexpected end of data" in message:
        return "a quote that is opened here is never closed"
    if "expected after" in message:
        return 'text after a closing quote: a quote inside a quoted field is written twice ("")'
    if "new-line character" in message:
        return "a carriage return alone inside the line: end lines with a line feed, or quote the field"
    return f"not CSV: {message}"


def _shorten(value: str) -> str:
    return repr(value if len(value) <= 40 else value[:37] + "...")
