"""One request on its way through the server, and the line that the access log has for it."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterable, Mapping

import orjson

__all__ = ["MAX_REQUEST_ID", "Call", "log", "read_headers"]

ACCESS = logging.getLogger("kftext.access")

MAX_REQUEST_ID = 128

HEADERS = {
    b"accept": "accept",
    b"authorization": "authorization",
    b"content-encoding": "content_encoding",
    b"content-length": "content_length",
    b"content-type": "content_type",
    b"ce-specversion": "cloud_event",
    b"expect": "expect",
    b"inference-header-content-length": "json_length",
    b"x-amzn-sagemaker-target-model": "target_model",
    b"x-api-key": "api_key",
    b"x-request-id": "request_id",
}


def read_headers(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """The headers that matter here, by their names in `HEADERS`."""
    return {HEADERS[name]: value.decode("latin-1") for name, value in headers if name in HEADERS}


class Call:
    """One request on its way, and what the access log will say of it.

    Args:
        method, path: as in HTTP.
        headers: those of `HEADERS`, by their names there.
        protocol: "v1", "v2", "grpc", "invocations", "endpoints"; "" for what is no prediction.

    Attributes:
        body_ended: whether the whole body was received.
        texts: the instances, where the log is to hold them.
    """

    __slots__ = (
        "body_ended",
        "bytes_in",
        "bytes_out",
        "headers",
        "instances",
        "method",
        "model",
        "path",
        "protocol",
        "request_id",
        "started",
        "status",
        "texts",
    )

    def __init__(self, method: str, path: str, headers: Mapping[str, str], protocol: str = ""):
        self.started = time.perf_counter()
        self.method, self.path, self.headers, self.protocol = method, path, headers, protocol
        given = headers.get("request_id", "")
        valid = given.isascii() and given.isprintable() and 0 < len(given) <= MAX_REQUEST_ID
        self.request_id = given if valid else f"{random.getrandbits(128):032x}"
        self.model = ""
        self.body_ended = False
        self.texts: list[str] | None = None
        self.status = 500
        self.instances = self.bytes_in = self.bytes_out = 0

    @property
    def elapsed(self) -> float:
        """Seconds since the request's head arrived."""
        return time.perf_counter() - self.started


def log(call: Call) -> None:
    """One line a request: never its texts unless `call.texts` has them, nor the query string, nor headers beside the id."""
    texts = {} if call.texts is None else {"texts": call.texts}
    ACCESS.info(
        orjson.dumps(
            {
                "time": round(time.time(), 6),
                "request_id": call.request_id,
                "method": call.method,
                "path": call.path[:200],
                "protocol": call.protocol,
                "model": call.model,
                "status": call.status,
                "instances": call.instances,
                "bytes_in": call.bytes_in,
                "bytes_out": call.bytes_out,
                "ms": round(call.elapsed * 1000, 3),
                **texts,
            }
        ).decode()
    )
