"""Augmented manifest: JSON Lines, `{"source": "text", "label": 1}` or `{"source": "text", "label": [1, 3]}`.

Labels are numbers or strings. As a label becomes one word of a fastText model, white space in it becomes `-`, and a label
prefix that it already has is not doubled. A whole number is the same label however it is written: 1, 1.0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import orjson

from kftext.data.formats import ReadOptions
from kftext.data.lines import Line, read_lines
from kftext.data.rows import Fault, FaultKind, Row

__all__ = ["read"]

_KINDS = {
    bool: "a boolean",
    dict: "an object",
    float: "a number",
    int: "a number",
    list: "a list",
    str: "a string",
    type(None): "null",
}


def read(
    path: str,
    options: ReadOptions | None = None,
    *,
    on_bytes: Callable[[int], object] | None = None,
) -> Iterator[Row | Fault]:
    """Read one file.

    Args:
        path: local path or URI of one file, plain or gzip.
        options: the names of the attributes, and the label prefix.
        on_bytes: told how many bytes were read from storage, as they are read.
    """
    options = options or ReadOptions()
    for line in read_lines(path, on_bytes=on_bytes):
        if isinstance(line, Fault):
            yield line
        else:
            yield from _read_line(line, options)


def _read_line(line: Line, options: ReadOptions) -> Iterator[Row | Fault]:
    def fault(kind: FaultKind, message: str) -> Fault:
        return Fault(kind, line.file, line.number, message, line.content)

    try:
        value = orjson.loads(line.content)
    except orjson.JSONDecodeError as error:
        if not line.content.strip():
            yield fault(FaultKind.BLANK_LINE, "the line is blank: skipped")
        else:
            yield fault(FaultKind.BAD_JSON, f"not JSON: {error.msg} at character {error.colno}")
        return
    if not isinstance(value, dict):
        message = f"expected a JSON object a line, found {_KINDS[type(value)]}"
        yield fault(FaultKind.BAD_JSON, message)
        return
    for name in (options.source_attribute, options.label_attribute):
        if name not in value:
            found = ", ".join(repr(key) for key in list(value)[:10]) or "none"
            message = f"the attribute {name!r} is missing; attributes found: {found}"
            yield fault(FaultKind.MISSING_ATTRIBUTE, message)
            return
    text, given = value[options.source_attribute], value[options.label_attribute]
    if not isinstance(text, str):
        message = (
            f"attribute {options.source_attribute!r}: expected a string, found {_KINDS[type(text)]}"
        )
        yield fault(FaultKind.WRONG_TYPE, message)
        return
    labels = []
    for item in given if isinstance(given, list) else [given]:
        if not isinstance(item, (int, float, str)) or isinstance(item, bool):
            message = (
                f"attribute {options.label_attribute!r}: expected a number, a string or a list of "
                f"them, found {'a list with ' if item is not given else ''}{_KINDS[type(item)]}"
            )
            yield fault(FaultKind.WRONG_TYPE, message)
            return
        name = _label_name(item, options.label_prefix)
        if not name.strip():
            message = f"attribute {options.label_attribute!r}: a label without a name"
            yield fault(FaultKind.EMPTY_LABEL, message)
            return
        labels.append("-".join(name.split()))
        if labels[-1] != name:
            message = f"white space in label {name!r}: it becomes {labels[-1]!r}"
            yield fault(FaultKind.SPACE_IN_LABEL, message)
    if not labels:
        message = f"attribute {options.label_attribute!r} is an empty list: no label"
        yield fault(FaultKind.UNLABELED, message)
    elif not text.strip():
        yield fault(
            FaultKind.NO_TEXT, f"attribute {options.source_attribute!r} is empty: expected a text"
        )
    else:
        if options.label_prefix in text:
            text, changed = without_prefix(text, options.label_prefix)
            if changed:
                yield fault(FaultKind.PREFIX_IN_TEXT, changed)
        yield Row(line.file, line.number, tuple(labels), text.strip(), line.content)


def _label_name(item: float | str, prefix: str) -> str:
    if isinstance(item, float) and item.is_integer():
        item = int(item)
    return item.removeprefix(prefix) if isinstance(item, str) else str(item)


def without_prefix(text: str, prefix: str) -> tuple[str, str]:
    """Make words of a text that look like labels plain words.

    Returns:
        The text, and a message that says what was changed, empty where nothing was.
    """
    words = text.split()
    found = [word for word in words if word.startswith(prefix)]
    if not found:
        return text, ""
    plain = " ".join(word.removeprefix(prefix) for word in words)
    return plain, (
        f"the text's word {found[0]!r} would be taken for a label: "
        f"it is read as {found[0].removeprefix(prefix)!r}"
    )
