"""SageMaker's inference contract: `POST /invocations` with the content types of BlazingText and Text Classification.

=================================  ===============================================  ==========================================
Content-Type                       request                                          response
=================================  ===============================================  ==========================================
application/json                   {"instances": [...], "configuration": {...}}     a JSON list, one object an instance
application/jsonlines              {"source": "text", "k": 2} a line                one object a line
application/x-text                 one text                                         {"probabilities": [...]}; with the Accept
                                                                                    application/json;verbose also "labels" and
                                                                                    "predicted_label"
text/plain                         one text a line                                  a JSON list, or JSON Lines by Accept
text/csv                           one text a row, one column, RFC 4180 quoting     a JSON list, or JSON Lines by Accept
=================================  ===============================================  ==========================================

As in the reference, Accept is ignored where it differs from the content type of a JSON or JSON Lines request.
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Callable
from typing import cast

from kftext.errors import UsageError
from kftext.models import Answer, Classifier, Output, Prediction, Predictor
from kftext.serving import v1
from kftext.serving.body import (
    MediaType,
    check_count,
    describe,
    parse_json,
    parse_media_type,
    to_text,
)
from kftext.serving.messages import JSON, Exchange, Reply, Request, RequestError, Target
from kftext.serving.query import Query, as_json, read_configuration

__all__ = ["SUPPORTED", "decode", "endpoint_error"]

JSON_LINES = "application/jsonlines"
EXPECTED_LINE = '{"source": "text", "k": 1}'

# The module's own limit on a field stands in the way of `max_characters`, which says what is too long.
csv.field_size_limit(sys.maxsize)

Decoder = Callable[[Request, MediaType, Target], Exchange]


def decode(request: Request, target: Target) -> Exchange:
    """Read an invocation by its content type.

    Raises:
        RequestError: 400, 413, or 415 naming the supported content types.
    """
    media_type = parse_media_type(request.content_type)
    decoder = _DECODERS.get(media_type.name)
    if decoder is None:
        got = f"content type {media_type.name!r}" if media_type.name else "no content type"
        raise RequestError(415, f"{got}: set Content-Type to one of {', '.join(SUPPORTED)}")
    return decoder(request, media_type, target)


def _json(request: Request, _: MediaType, target: Target) -> Exchange:
    query = v1.read_query(v1.json_bytes(request, frozenset({JSON})), target)
    return _list(query)


def _list(query: Query) -> Exchange:
    query.separator = b","
    return Exchange(query, lambda answer: Reply(b"[%b]" % as_json(query, answer)))


def _json_lines(request: Request, media_type: MediaType, target: Target) -> Exchange:
    body = request.body
    if "charset" in media_type.parameters:
        body = to_text(body, media_type).encode()
    lines = body.split(b"\n")
    if not lines[-1].strip():
        lines.pop()
    check_count(len(lines), "the body", target.max_instances)
    if not lines:
        raise RequestError(400, f"the body is empty; expected {EXPECTED_LINE} on each line")
    queries = [_line_query(line, number, target.predictor) for number, line in enumerate(lines, 1)]
    first = queries[0]
    for number, query in enumerate(queries, 1):
        if (query.output, query.threshold) != (first.output, first.threshold):
            raise RequestError(
                400, f"line {number}: output and threshold must be the same on every line"
            )
    joint = Query(
        [query.texts[0] for query in queries],
        first.output,
        max(query.k for query in queries),
        first.threshold,
    )

    if all(query.k == joint.k for query in queries):
        return _lines(joint)

    def encode(answer: Answer) -> Reply:
        rows = zip(v1.predictions(joint, answer), queries, strict=True)
        lines = [v1.dumps(_shorten(row, query.k)) + b"\n" for row, query in rows]
        return Reply(b"".join(lines), JSON_LINES)

    return Exchange(joint, encode)


def _lines(query: Query) -> Exchange:
    query.separator = b"\n"
    return Exchange(query, lambda answer: Reply(as_json(query, answer) + b"\n", JSON_LINES))


def _line_query(line: bytes, number: int, predictor: Predictor) -> Query:
    payload = parse_json(line, EXPECTED_LINE, line=number)
    source = payload.pop("source", None)
    if type(source) is not str:
        raise RequestError(
            400,
            f"line {number}: source: expected a string, got {describe(source)}; expected {EXPECTED_LINE}",
        )
    try:
        return read_configuration(predictor, payload, [source])
    except UsageError as error:
        raise RequestError(400, f"line {number}: {error}") from None


def _shorten(row: dict[str, object], k: int) -> dict[str, object]:
    """The first k of a row's ranked lists; the lists are sorted, so that a smaller k is a prefix of a larger one."""
    return {name: value[:k] if isinstance(value, list) else value for name, value in row.items()}


def _single_text(request: Request, media_type: MediaType, target: Target) -> Exchange:
    text = to_text(request.body, media_type).removesuffix("\n").removesuffix("\r")
    predictor = target.predictor
    if not isinstance(predictor, Classifier):
        query = Query([text], Output.SENTENCE_VECTORS)
        return Exchange(query, lambda answer: Reply(v1.dumps({"embedding": answer[0]})))
    labels = predictor.labels
    verbose = any(
        accepted.name == JSON and "verbose" in accepted.parameters
        for accepted in map(parse_media_type, request.accept.split(","))
    )

    def encode(answer: Answer) -> Reply:
        prediction = cast(Prediction, answer[0])
        by_label = dict(zip(prediction.labels, prediction.probabilities, strict=True))
        reply: dict[str, object] = {"probabilities": [by_label.get(label, 0.0) for label in labels]}
        if verbose:
            reply["labels"] = labels
            reply["predicted_label"] = prediction.labels[0] if prediction.labels else None
        content_type = f"{JSON};verbose" if verbose else JSON
        return Reply(v1.dumps(reply), content_type)

    return Exchange(Query([text], Output.LABELS, k=len(labels)), encode)


def _plain_text(request: Request, media_type: MediaType, target: Target) -> Exchange:
    lines = to_text(request.body, media_type).removesuffix("\n").split("\n")
    check_count(len(lines), "the body", target.max_instances)
    return _texts([line.removesuffix("\r") for line in lines], request.accept, target.predictor)


def _csv(request: Request, media_type: MediaType, target: Target) -> Exchange:
    texts = []
    # newline="" leaves line ends inside quotes to the csv module, as its documentation asks.
    reader = csv.reader(io.StringIO(to_text(request.body, media_type), newline=""), strict=True)
    try:
        for number, row in enumerate(reader, 1):
            if len(row) != 1:
                raise RequestError(
                    400,
                    f"row {number}: expected one column with the text, got {len(row)}; quote a text that holds a comma",
                )
            texts.append(row[0])
    except csv.Error as error:
        raise RequestError(400, f"line {reader.line_num}: not CSV: {error}") from None
    check_count(len(texts), "the body", target.max_instances)
    return _texts(texts, request.accept, target.predictor)


def _texts(texts: list[str], accept: str, predictor: Predictor) -> Exchange:
    query = read_configuration(predictor, {}, texts)
    if any(parse_media_type(one).name == JSON_LINES for one in accept.split(",")):
        return _lines(query)
    return _list(query)


def endpoint_error(error: RequestError) -> Reply:
    """An error as the SageMaker runtime's clients read it: boto3 raises `ModelError` with the container's status and message.

    An endpoint that isn't there is a `ValidationError`, as in the reference.
    """
    message = str(error)
    body = {
        "error": message,
        "message": message,
        "OriginalStatusCode": error.status,
        "OriginalMessage": message,
    }
    code = "ValidationError" if error.status == 404 else "ModelError"
    return Reply(
        v1.dumps(body), status=error.status, headers=(*error.headers, ("x-amzn-errortype", code))
    )


_DECODERS: dict[str, Decoder] = {
    JSON: _json,
    JSON_LINES: _json_lines,
    "application/x-text": _single_text,
    "text/plain": _plain_text,
    "text/csv": _csv,
}
SUPPORTED = tuple(_DECODERS)
