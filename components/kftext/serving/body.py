"""Reading request bodies: compressed ones, JSON with the place of a fault, characters by their declared encoding, lists of texts."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import orjson

from kftext.serving.messages import RequestError

__all__ = [
    "MediaType",
    "check_count",
    "describe",
    "gunzip",
    "parse_json",
    "parse_media_type",
    "read_texts",
    "to_text",
    "too_long",
]


class MediaType:
    """A `Content-Type` or one entry of `Accept`: `name` in lower case without blanks, parameters by lower-case name."""

    __slots__ = ("name", "parameters")

    def __init__(self, name: str, parameters: Mapping[str, str]):
        self.name, self.parameters = name, parameters


def parse_media_type(value: str) -> MediaType:
    """Split `application/json; charset=utf-8` into its name and parameters; a bare parameter (`;verbose`) has the value ""."""
    name, *parts = value.split(";")
    parameters = {}
    for part in parts:
        key, _, parameter = part.partition("=")
        parameters[key.strip().lower()] = parameter.strip().strip('"')
    return MediaType(name.strip().lower(), parameters)


def gunzip(body: bytes, limit: int) -> bytes:
    """Decompress a gzip body of one member, never to more than `limit` bytes.

    Raises:
        RequestError: 400 where it is not gzip, cut off, or followed by something else; 413 where it holds more.
    """
    member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        content = member.decompress(body, limit + 1)
    except zlib.error:
        raise RequestError(400, "content-encoding: the body is not gzip") from None
    if len(content) > limit:
        raise too_long(limit)
    if not member.eof:
        raise RequestError(400, "content-encoding: the gzip body is cut off")
    if member.unused_data:
        raise RequestError(400, "content-encoding: something follows the gzip body")
    return content


def too_long(limit: int) -> RequestError:
    """The 413 of a body over the limit."""
    return RequestError(413, f"the body is longer than {limit} bytes (--max_body_bytes)")


def to_text(body: bytes, media_type: MediaType) -> str:
    """Decode by the charset parameter, UTF-8 when there is none; a byte order mark is no part of the text.

    Raises:
        RequestError: 415 for a charset that is not known, 400 where the bytes are not of that charset.
    """
    charset = (media_type.parameters.get("charset") or "utf-8").lower()
    try:
        text = body.decode(charset)
        if charset != "utf-8":
            # Some encodings (utf-7) can spell half of a character, which no answer could hold.
            text.encode()
        return text.removeprefix("\ufeff")
    except UnicodeError as error:
        place = f" at byte {error.start}" if isinstance(error, UnicodeDecodeError) else ""
        raise RequestError(
            400,
            f"the body is not {charset}{place}; send utf-8, or name the charset in Content-Type",
        ) from None
    except (LookupError, ValueError):
        raise RequestError(415, "charset: no such encoding of text; send utf-8") from None


def parse_json(body: bytes, expected: str, *, line: int | None = None) -> dict[str, object]:
    """Parse a JSON object.

    Args:
        body: the bytes, UTF-8.
        expected: an example of what is expected, for error messages.
        line: number of the line in a JSON Lines body.

    Raises:
        RequestError: 400, naming line and column of broken JSON, or saying that the body was encoded twice, or what it is.
    """
    subject = "the body" if line is None else f"line {line}"
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if not body.strip():
            raise RequestError(400, f"{subject} is empty; expected {expected}") from None
        place = f"column {error.colno}"
        if line is None:
            place = f"line {error.lineno}, {place}"
        reason = str(error.msg).partition(": line")[0]
        raise RequestError(
            400, f"{subject} is not JSON: {reason} at {place}; expected {expected}"
        ) from None
    if type(value) is dict:
        return value
    if type(value) is str:
        raise RequestError(
            400,
            f"{subject} is a JSON string, as if it had been encoded twice (json.dumps of a str?); expected {expected}",
        )
    raise RequestError(400, f"{subject} is {describe(value)}; expected {expected}")


def read_texts(values: object, where: str, expected: str, limit: int) -> list[str]:
    """Check that `values` is a list of strings, no longer than `limit`.

    Raises:
        RequestError: 400 naming the index of the first that is not a string; 413 for a list over the limit.
    """
    if type(values) is not list:
        raise RequestError(
            400, f"{where}: expected a list of strings, got {describe(values)}; expected {expected}"
        )
    check_count(len(values), where, limit)
    for index, value in enumerate(values):
        if type(value) is not str:
            raise RequestError(400, f"{where}[{index}]: expected a string, got {describe(value)}")
    return values


def check_count(count: int, where: str, limit: int) -> None:
    """Raise the 413 of a request with more instances than one may hold."""
    if count > limit:
        raise RequestError(
            413, f"{where}: {count} instances; one request may hold {limit} (--max_instances)"
        )


def describe(value: object) -> str:
    """The JSON type of a parsed value, in words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a string"
    return "a list" if isinstance(value, list) else "an object"
