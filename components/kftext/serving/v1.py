"""KServe's V1 protocol: `{"instances": [...], "configuration": {...}}` in, `{"predictions": [...]}` out."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from kftext.errors import UsageError
from kftext.models import Answer, answer_objects
from kftext.serving.body import describe, parse_json, parse_media_type, read_texts, to_text
from kftext.serving.messages import JSON, Exchange, Reply, Request, RequestError, Target
from kftext.serving.query import Query, as_json, read_configuration

__all__ = ["EXPECTED", "decode", "dumps", "predictions", "read_payload", "read_query"]

EXPECTED = '{"instances": ["text", ...], "configuration": {"k": 1}}'

# KServe takes application/octet-stream for JSON; `curl -d` says that it sends a form when nobody says what it sends.
JSON_TYPES = frozenset(
    {
        "",
        JSON,
        "application/ld+json",
        "application/octet-stream",
        "application/x-www-form-urlencoded",
    }
)


def decode(request: Request, target: Target) -> Exchange:
    """Read a V1 prediction request.

    Raises:
        RequestError: 400, 413 or 415.
    """
    query = read_query(json_bytes(request, JSON_TYPES), target)
    query.separator = b","

    def encode(answer: Answer) -> Reply:
        return Reply(b'{"predictions":[%b]}' % as_json(query, answer))

    return Exchange(query, encode)


def json_bytes(request: Request, types: frozenset[str], expected: str = EXPECTED) -> bytes:
    """The body as UTF-8 JSON, once its content type was checked against `types`."""
    if request.content_type == JSON:
        return request.body
    media_type = parse_media_type(request.content_type)
    if media_type.name not in types:
        raise RequestError(
            415,
            f"content type {media_type.name!r} is not supported here: send 'Content-Type: {JSON}' and {expected}",
        )
    if media_type.parameters.get("charset", "utf-8").lower() in ("utf-8", "utf8"):
        return request.body
    return to_text(request.body, media_type).encode()


def read_query(body: bytes, target: Target) -> Query:
    """Read `instances` and `configuration` from a JSON body."""
    return read_payload(parse_json(body, EXPECTED), target)


def read_payload(payload: dict[str, object], target: Target) -> Query:
    """Read `instances` and `configuration` from a parsed body."""
    if "instances" not in payload:
        raise RequestError(400, f"the body has no 'instances'; expected {EXPECTED}")
    texts = read_texts(payload["instances"], "instances", EXPECTED, target.max_instances)
    configuration = payload.get("configuration")
    if configuration is None:
        configuration = {}
    if type(configuration) is not dict:
        raise RequestError(400, f"configuration: expected an object, got {describe(configuration)}")
    try:
        return read_configuration(target.predictor, configuration, texts)
    except UsageError as error:
        raise RequestError(400, f"configuration.{error}") from None


def predictions(query: Query, answer: Answer) -> list[dict[str, object]]:
    """One object an instance, named as the reference names them."""
    return answer_objects(query.output, query.texts, answer)


def dumps(value: dict[str, object] | Sequence[object]) -> bytes:
    """JSON bytes; float32 arrays are written with the fewest digits that read back the same."""
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
