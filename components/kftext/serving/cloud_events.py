"""V1 requests and answers inside CloudEvents 1.0, as Knative Eventing sends them.

In the binary mode the attributes are headers (`ce-id`, ...) and the body is the V1 body; in the structured mode
(`application/cloudevents+json`) the body is the event with the V1 body as its `data`. The answer has the mode of the request and, as
KServe's answers, the type `io.kserve.inference.response`.
"""

from __future__ import annotations

import uuid

from kftext.models import Answer
from kftext.serving import v1
from kftext.serving.body import describe, parse_json, parse_media_type, to_text
from kftext.serving.messages import Exchange, Reply, Request, RequestError, Target

__all__ = ["STRUCTURED", "decode_binary", "decode_structured"]

STRUCTURED = "application/cloudevents+json"
EXPECTED = (
    '{"specversion": "1.0", "id": "1", "source": "...", "type": "...", "data": ' + v1.EXPECTED + "}"
)


def decode_binary(request: Request, target: Target) -> Exchange:
    """Read a V1 body that came with an event's attributes as headers.

    Raises:
        RequestError: 400, 413 or 415.
    """
    exchange = v1.decode(request, target)

    def encode(answer: Answer) -> Reply:
        headers = tuple((f"ce-{name}", value) for name, value in _attributes(target).items())
        return Reply(exchange.encode(answer).body, headers=headers)

    return Exchange(exchange.query, encode)


def decode_structured(request: Request, target: Target) -> Exchange:
    """Read a V1 body that is the data of an event in JSON.

    Raises:
        RequestError: 400, 413 or 415.
    """
    media_type = parse_media_type(request.content_type)
    event = parse_json(to_text(request.body, media_type).encode(), EXPECTED)
    data = event.get("data")
    if type(data) is not dict:
        raise RequestError(
            400, f"data: expected an object, got {describe(data)}; expected {EXPECTED}"
        )
    query = v1.read_payload(data, target)

    def encode(answer: Answer) -> Reply:
        data = {"predictions": v1.predictions(query, answer)}
        return Reply(v1.dumps({**_attributes(target), "data": data}), STRUCTURED)

    return Exchange(query, encode)


def _attributes(target: Target) -> dict[str, str]:
    return {
        "specversion": "1.0",
        "id": str(uuid.uuid4()),
        "source": f"io.kserve.inference.{target.name}",
        "type": "io.kserve.inference.response",
    }
