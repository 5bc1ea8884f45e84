"""Plain corpus: one sentence a line, tokens separated by white space."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from kftext.data.formats import ReadOptions
from kftext.data.lines import examined_lines, read_blocks
from kftext.data.rows import Fault, Row

__all__ = ["read"]

_TRIMMED = " \t\v\f\r"


def read(
    path: str,
    options: ReadOptions | None = None,
    *,
    on_bytes: Callable[[int], object] | None = None,
) -> Iterator[Row | Fault]:
    """Read one file: a row for each line that is not blank (blank lines part paragraphs; they are no fault).

    A line longer than `lines.BLOCK` bytes gives several rows of the same line number.

    Args:
        path: local path or URI of one file, plain or gzip.
        options: has nothing for this format.
        on_bytes: told how many bytes were read from storage, as they are read.
    """
    for block in read_blocks(path, pieces=True, on_bytes=on_bytes):
        if isinstance(block, Fault):
            yield block
        elif block.texts is None:
            for line in examined_lines(block):
                if isinstance(line, Fault):
                    yield line
                elif text := line.text.strip(_TRIMMED):
                    yield Row(path, line.number, (), text, line.content)
        else:
            # Nothing to examine: the short way, as most of a large corpus comes here.
            numbers = range(block.number, block.number + len(block.lines))
            for number, content, text in zip(numbers, block.lines, block.texts, strict=True):
                if text := text.strip(_TRIMMED):
                    yield Row(path, number, (), text, content)
