"""Labelled text: one example a line, its labels the words that start with a prefix, anywhere on the line.

fastText's own format: `__label__baking __label__bread why is my crust soft ?`
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache

from kftext.data.formats import ReadOptions
from kftext.data.lines import Line, read_lines
from kftext.data.rows import Fault, FaultKind, Row
from kftext.data.tokens import tokenize

__all__ = ["read"]

_HEADER_WORDS = frozenset(
    b"category class content description document id index label labels question review sentence "
    b"sentences sentiment source tag tags target text texts title y".split()
)


def read(
    path: str,
    options: ReadOptions | None = None,
    *,
    on_bytes: Callable[[int], object] | None = None,
) -> Iterator[Row | Fault]:
    """Read one file. A row's text is its words without the labels, joined by single spaces.

    Args:
        path: local path or URI of one file, plain or gzip.
        options: `label_prefix` counts.
        on_bytes: told how many bytes were read from storage, as they are read.
    """
    prefix = (options or ReadOptions()).label_prefix.encode()
    at_start = re.compile(rb"(?:%b[^ \t\v\f\r]+[ \t\v\f\r]+)+" % re.escape(prefix))
    for line in read_lines(path, on_bytes=on_bytes):
        if isinstance(line, Fault):
            yield line
            continue
        file, number, content, _ = line
        # The short way, for most lines: labels at the start, then words with single spaces.
        found = at_start.match(content)
        if found:
            text = content[found.end() :].rstrip()
            if text and prefix not in text and _has_single_spaces(text):
                yield Row(file, number, _names(found.group(), prefix), text.decode(), content)
                continue
        tokens = tokenize(content)
        labels = _names(b" ".join([token for token in tokens if token.startswith(prefix)]), prefix)
        words = [token for token in tokens if not token.startswith(prefix)]
        if labels and words and "" not in labels:
            yield Row(file, number, labels, b" ".join(words).decode(), content)
        else:
            yield _fault(line, labels, tokens, prefix)


def _has_single_spaces(text: bytes) -> bool:
    return not (b"  " in text or b"\t" in text or b"\r" in text or b"\v" in text or b"\f" in text)


def _names(labels: bytes, prefix: bytes) -> tuple[str, ...]:
    """Return the names of labels that are separated by white space."""
    return _remembered(labels, prefix) if len(labels) <= 256 else _split(labels, prefix)


def _split(labels: bytes, prefix: bytes) -> tuple[str, ...]:
    return tuple([label[len(prefix) :].decode() for label in tokenize(labels)])


# Few combinations of labels make up most of a file.
_remembered = lru_cache(4096)(_split)


def _fault(line: Line, labels: tuple[str, ...], tokens: list[bytes], prefix: bytes) -> Fault:
    name = prefix.decode()
    if not tokens:
        kind, message = FaultKind.BLANK_LINE, "the line is blank: skipped"
    elif not labels and line.number == 1 and _is_header(line.content):
        kind = FaultKind.HEADER
        message = "the file starts with what looks like a header line: remove it"
    elif not labels:
        kind = FaultKind.UNLABELED
        message = f"no label: expected a word that starts with {name}{_hint(line.text)}"
    elif "" in labels:
        kind, message = FaultKind.EMPTY_LABEL, f"the label {name} has no name behind its prefix"
    else:
        kind, message = FaultKind.NO_TEXT, "labels and no text: expected words beside the labels"
    return Fault(kind, line.file, line.number, message, line.content)


def _is_header(content: bytes) -> bool:
    words = [word for word in re.split(rb"[^a-z]+", content.lower()) if word]
    return 0 < len(words) <= 8 and _HEADER_WORDS.issuperset(words)


def _hint(text: str) -> str:
    if text.lstrip().startswith("{"):
        return "; the line looks like JSON: is the format manifest?"
    if re.match(r'"?[0-9]+"?,', text):
        return "; the line looks like CSV: is the format csv?"
    return ""
