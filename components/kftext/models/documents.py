"""Documents as bytes, one or many in one buffer, as the compiled functions take them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["encode_document", "join_documents", "join_lines"]


def encode_document(text: str) -> bytes:
    """Return a document's bytes.

    Bytes that were no UTF-8 and came in as `surrogateescape` come out as they were; any other lone surrogate, which UTF-8
    can't hold, becomes a question mark.
    """
    try:
        return text.encode()
    except UnicodeEncodeError:
        pass
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")


def join_lines(texts: Sequence[str], encode: Callable[[str], bytes] = encode_document) -> bytes:
    """Return the documents' bytes with a newline between each two; one alone stays as it is."""
    if len(texts) == 1:
        return encode(texts[0])
    joined = "\n".join(texts)
    if joined.count("\n") >= len(texts):
        joined = "\n".join([text.replace("\n", " ") for text in texts])
    return encode(joined)


def join_documents(
    texts: Sequence[str], encode: Callable[[str], bytes] = encode_document
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the documents' bytes, one after the other, and where each starts and ends."""
    text = np.frombuffer(encode("\n".join([*texts, ""])), dtype=np.uint8)
    ends = np.flatnonzero(text == ord("\n"))
    if len(ends) != len(texts):
        # A document with newlines in it: its length in bytes says where it ends.
        lengths = np.fromiter((len(encode(t)) for t in texts), np.int64, len(texts))
        ends = np.cumsum(lengths + 1) - 1
    starts = np.zeros(len(texts), dtype=np.int64)
    starts[1:] = ends[:-1] + 1
    return text, starts, ends.astype(np.int64)
