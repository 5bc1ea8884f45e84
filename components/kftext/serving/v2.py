"""The Open Inference protocol (V2) over REST, with its binary tensor extension; `tensors` says what goes in and out."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import numpy as np

from kftext.models import Answer
from kftext.serving.body import describe, parse_json
from kftext.serving.messages import JSON, Exchange, Reply, Request, RequestError, Target
from kftext.serving.tensors import Tensor, check_input, read_query, select, tensors, unpack_bytes
from kftext.serving.v1 import JSON_TYPES, dumps, json_bytes

__all__ = ["EXPECTED", "decode"]

EXPECTED = (
    '{"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["text"]}],'
    ' "parameters": {"k": 1}}'
)
OCTETS = "application/octet-stream"


def decode(request: Request, target: Target) -> Exchange:
    """Read a V2 inference request, its strings in JSON or in the binary part behind it.

    Raises:
        RequestError: 400, 413 or 415.
    """
    body, binary = request.body, b""
    if request.json_length:
        length = int(request.json_length) if request.json_length.isdecimal() else -1
        if not 0 < length <= len(body):
            raise RequestError(
                400,
                f"Inference-Header-Content-Length: expected 1 to {len(body)}, the length of the body",
            )
        body, binary = body[:length], body[length:]
    else:
        body = json_bytes(request, JSON_TYPES, EXPECTED)
    payload = parse_json(body, EXPECTED)
    request_id = payload.get("id")
    if request_id is None or request_id == "":
        request_id = uuid.uuid4().hex
    if type(request_id) is not str:
        raise RequestError(400, f"id: expected a string, got {describe(request_id)}")
    parameters = _object(payload, "parameters", "parameters")
    inputs = payload.get("inputs")
    if type(inputs) is not list or not all(type(one) is dict for one in inputs):
        raise RequestError(400, f"inputs: expected a list of tensors: {EXPECTED}")
    texts, count = _read_input(inputs, binary, target.max_instances)
    query = read_query(target.predictor, parameters, texts, count)
    wanted = _read_outputs(payload)
    binary_default = parameters.get("binary_data_output") is True

    def encode(answer: Answer) -> Reply:
        outputs = select(tensors(query, answer), list(wanted))
        head = {
            "model_name": target.name,
            "model_version": target.version,
            "id": request_id,
        }
        return _encode(head, outputs, wanted, binary_default)

    return Exchange(query, encode)


def _object(holder: Mapping[str, Any], key: str, where: str) -> dict[str, Any]:
    value = holder.get(key)
    if value is None:
        return {}
    if type(value) is not dict:
        raise RequestError(400, f"{where}: expected an object, got {describe(value)}")
    return value


def _read_input(
    inputs: list[dict[str, Any]], binary: bytes, max_instances: int
) -> tuple[list[str], int]:
    first = inputs[0] if inputs else {}
    shape = first.get("shape")
    if type(shape) is not list or not all(type(size) is int for size in shape):
        shape = ()
    count = check_input([""] * len(inputs), first.get("datatype", ""), shape, max_instances)
    size = _object(first, "parameters", "inputs[0].parameters").get("binary_data_size")
    if size is not None:
        if type(size) is not int or size != len(binary):
            raise RequestError(
                400,
                f"inputs[0].parameters.binary_data_size: {len(binary)} bytes follow the JSON part",
            )
        return unpack_bytes(binary, count), count
    data = first.get("data")
    if type(data) is not list:
        raise RequestError(400, f"inputs[0].data: expected a list, got {describe(data)}")
    if len(shape) == 2:
        # A column's rows may each be a list of one, as in the protocol's example of nested data.
        data = [row[0] if type(row) is list and len(row) == 1 else row for row in data]
    for index, text in enumerate(data):
        if type(text) is not str:
            raise RequestError(
                400, f"inputs[0].data[{index}]: expected a string, got {describe(text)}"
            )
    return data, count


def _read_outputs(payload: Mapping[str, Any]) -> dict[str, bool | None]:
    """The outputs asked for, by name, each with its `binary_data` parameter."""
    outputs = payload.get("outputs")
    if outputs is None:
        return {}
    wanted: dict[str, bool | None] = {}
    for index, output in enumerate(outputs if type(outputs) is list else [None]):
        name = output.get("name") if type(output) is dict else None
        if type(name) is not str:
            raise RequestError(400, f'outputs[{index}]: expected an object {{"name": "..."}}')
        wanted[name] = _object(output, "parameters", f"outputs[{index}].parameters").get(
            "binary_data"
        )
    return wanted


def _encode(
    head: dict[str, Any],
    outputs: list[Tensor],
    wanted: Mapping[str, bool | None],
    binary_default: bool,
) -> Reply:
    described: list[dict[str, Any]] = []
    raw: list[bytes] = []
    for tensor in outputs:
        entry: dict[str, Any] = {
            "name": tensor.name,
            "datatype": tensor.datatype,
            "shape": list(tensor.shape),
        }
        own = wanted.get(tensor.name)
        if binary_default if own is None else own is True:
            raw.append(tensor.raw())
            entry["parameters"] = {"binary_data_size": len(raw[-1])}
        else:
            data = tensor.data
            entry["data"] = np.ascontiguousarray(data) if isinstance(data, np.ndarray) else data
        described.append(entry)
    content = dumps({**head, "outputs": described})
    if not raw:
        return Reply(content, JSON)
    return Reply(
        b"".join([content, *raw]),
        OCTETS,
        headers=(("inference-header-content-length", str(len(content))),),
    )
