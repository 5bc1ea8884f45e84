"""What a token is: fastText's rule, on bytes.

White space is the ASCII set that fastText's `Dictionary::readWord` knows. Other Unicode spaces (a no-break space, an
ideographic space) belong to a token, as they do there; that is why tokens are cut from bytes and not from `str`.
"""

from __future__ import annotations

__all__ = ["END_OF_SENTENCE", "LABEL_PREFIX", "WHITESPACE", "tokenize"]

WHITESPACE = b" \t\n\v\f\r\0"
END_OF_SENTENCE = "</s>"
LABEL_PREFIX = "__label__"


def tokenize(line: bytes) -> list[bytes]:
    """Cut a line into tokens at white space."""
    # bytes.split() cuts at the same characters, all but NUL.
    return line.replace(b"\0", b" ").split() if b"\0" in line else line.split()
