"""What every protocol shares: a request's parts, a response, and the error that becomes one.

What is made for every request is not frozen: that would take three times as long.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import orjson

from kftext.errors import KftextError
from kftext.models import Answer, Predictor
from kftext.serving.query import Query

__all__ = ["Exchange", "Reply", "Request", "RequestError", "Target", "error_reply"]

JSON = "application/json"


class RequestError(KftextError):
    """A request that can't be answered.

    Args:
        status: HTTP status code: 400, 401, 404, 405, 408, 413, 415 or 503.
        message: what was wrong and what is expected; never the client's text itself, since it may be logged.
        headers: further response headers (`Retry-After`), lower-case names.
    """

    def __init__(self, status: int, message: str, headers: tuple[tuple[str, str], ...] = ()):
        self.status, self.headers = status, headers
        super().__init__(message)


@dataclass(slots=True)
class Request:
    """The parts of an HTTP request that a protocol reads. Header values are "" when the header is absent."""

    body: bytes
    content_type: str = ""
    accept: str = ""
    json_length: str = ""
    """The V2 binary extension's header `Inference-Header-Content-Length`."""


@dataclass(frozen=True, slots=True)
class Target:
    """The version of a model that a request is for: taken once, so that a reload in between changes nothing for it."""

    name: str
    version: str
    predictor: Predictor
    max_instances: int


@dataclass(slots=True)
class Reply:
    """An HTTP response; header names are lower case."""

    body: bytes
    content_type: str = JSON
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class Exchange:
    """A request that was understood: what it asks, and how its answer is written in the same protocol."""

    query: Query
    encode: Callable[[Answer], Reply]


def error_reply(error: RequestError) -> Reply:
    """The error as every protocol sends it: `{"error": "what was wrong and what is expected"}`."""
    return Reply(orjson.dumps({"error": str(error)}), status=error.status, headers=error.headers)
