"""What a line of the input asks: a text, and how many labels or neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import orjson

from kftext.errors import UsageError

__all__ = ["InputFormat", "Records", "format_of", "read_records"]

EXPECTED = '{"source": "text", "k": 1}'

_KINDS = {bool: "a boolean", dict: "an object", float: "a number", int: "a number", list: "a list"}
_JSON_SUFFIXES = (".jsonl", ".json", ".ndjson", ".manifest")


class InputFormat(StrEnum):
    """Format of the input, by the name that the command and the step take."""

    AUTO = "auto"
    """By each file's name: JSON Lines where it ends in .jsonl, .json, .ndjson or .manifest (then perhaps .gz), else text."""
    JSON_LINES = "jsonlines"
    """A JSON object a line: `source` is the text, `k` (optional) overrides the command's; other attributes are ignored."""
    TEXT = "text"
    """One text a line."""

    @classmethod
    def parse(cls, name: str) -> InputFormat:
        """Return the format of that name.

        Raises:
            UsageError: for another name.
        """
        try:
            return cls(name)
        except ValueError:
            raise UsageError(
                f"input format {name!r}: expected one of {', '.join(member.value for member in cls)}"
            ) from None


def format_of(file: str, wanted: InputFormat) -> InputFormat:
    """Return the format that a file is read in, never `AUTO`."""
    if wanted is not InputFormat.AUTO:
        return wanted
    is_json = file.lower().removesuffix(".gz").endswith(_JSON_SUFFIXES)
    return InputFormat.JSON_LINES if is_json else InputFormat.TEXT


@dataclass
class Records:
    """The lines of a block, taken apart.

    Attributes:
        count: how many lines there are.
        by_k: k -> indexes of the lines that ask for so many, and their texts.
        faults: index of a line that can't be predicted -> what is wrong with it.
    """

    count: int
    by_k: dict[int, tuple[list[int], list[str]]] = field(default_factory=dict)
    faults: dict[int, str] = field(default_factory=dict)

    def add(self, index: int, text: str, k: int) -> None:
        """Count a line in."""
        indexes, texts = self.by_k.setdefault(k, ([], []))
        indexes.append(index)
        texts.append(text)


def read_records(lines: Sequence[bytes], form: InputFormat, k: int) -> Records:
    """Take lines apart.

    Args:
        lines: without their endings.
        form: JSON_LINES or TEXT.
        k: for lines that don't say.
    """
    records = Records(len(lines))
    for index, line in enumerate(lines):
        if form is InputFormat.TEXT:
            _add_text(records, index, line, k)
        else:
            _add_json(records, index, line, k)
    return records


def _add_text(records: Records, index: int, line: bytes, k: int) -> None:
    try:
        records.add(index, line.decode().removesuffix("\r"), k)
    except UnicodeDecodeError as error:
        at = error.start
        records.faults[index] = (
            f"byte 0x{line[at]:02x} at byte {at + 1} of the line is not UTF-8 ({error.reason})"
        )


def _add_json(records: Records, index: int, line: bytes, default_k: int) -> None:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        said = f"not JSON: {error.msg} at character {error.colno}" if line.strip() else "blank"
        records.faults[index] = f"{said}; expected {EXPECTED}"
        return
    if type(value) is not dict:
        records.faults[index] = f"expected an object like {EXPECTED}, found {_describe(value)}"
        return
    text = value.get("source")
    if type(text) is not str:
        found = f"found {_describe(text)}" if "source" in value else "it is missing"
        records.faults[index] = f"source: expected a string, {found}; expected {EXPECTED}"
        return
    k = value.get("k", default_k)
    if type(k) is not int or k < 1:
        records.faults[index] = f"k: expected an integer of 1 or more, found {_describe(k)}"
        return
    records.add(index, text, k)


def _describe(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, (int, float)):
        return orjson.dumps(value).decode()
    return _KINDS.get(type(value), "a string")
