"""The OpenAPI document of the prediction, metadata and health routes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import kftext
from kftext.models import Output
from kftext.serving.sagemaker import SUPPORTED
from kftext.serving.tensors import OUTPUT_TENSORS

__all__ = ["document"]

Schema = dict[str, Any]

STRING: Schema = {"type": "string"}
STRINGS: Schema = {"type": "array", "items": STRING}
NUMBERS: Schema = {"type": "array", "items": {"type": "number"}}
REQUEST_ID: Schema = {
    "name": "X-Request-Id",
    "in": "header",
    "description": "echoed in the response and in the access log; made up when absent or longer than 128 characters",
    "schema": STRING,
}


def _object(properties: Schema, required: tuple[str, ...] = ()) -> Schema:
    return {"type": "object", "properties": properties, "required": list(required)}


def _reference(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(schema: Schema, example: object = None) -> Schema:
    content: Schema = {"schema": schema}
    if example is not None:
        content["example"] = example
    return {"application/json": content}


SCHEMAS: dict[str, Schema] = {
    "Error": _object({"error": STRING}, ("error",)),
    "Configuration": _object(
        {
            "k": {
                "type": "integer",
                "minimum": 1,
                "description": "labels (default 1) or neighbours (default 10) for each instance",
            },
            "threshold": {
                "type": "number",
                "minimum": 0,
                "maximum": 1,
                "default": 0,
                "description": "labels below this probability are left out",
            },
            "output": {
                "enum": [str(output) for output in Output],
                "description": "classifiers: labels; word vectors: the others, vectors by default",
            },
        }
    ),
    "Instances": _object(
        {"instances": STRINGS, "configuration": _reference("Configuration")}, ("instances",)
    ),
    "Prediction": {
        "oneOf": [
            _object({"prob": NUMBERS, "label": STRINGS}, ("prob", "label")),
            _object({"vector": NUMBERS, "word": STRING}, ("vector",)),
            _object(
                {
                    "word": STRING,
                    "neighbors": {
                        "type": "array",
                        "items": _object({"word": STRING, "similarity": {"type": "number"}}),
                    },
                },
                ("word", "neighbors"),
            ),
        ]
    },
    "Predictions": {"type": "array", "items": _reference("Prediction")},
    "InferenceRequest": _object(
        {
            "id": STRING,
            "parameters": _reference("Configuration"),
            "inputs": {
                "type": "array",
                "minItems": 1,
                "maxItems": 1,
                "items": _object(
                    {
                        "name": STRING,
                        "shape": {
                            "type": "array",
                            "items": {"type": "integer", "minimum": 0},
                            "minItems": 1,
                            "maxItems": 2,
                        },
                        "datatype": {"const": "BYTES"},
                        "data": STRINGS,
                    },
                    ("shape", "datatype", "data"),
                ),
            },
            "outputs": {
                "type": "array",
                "items": _object({"name": {"enum": list(OUTPUT_TENSORS)}}, ("name",)),
            },
        },
        ("inputs",),
    ),
    "InferenceResponse": _object(
        {
            "model_name": STRING,
            "model_version": STRING,
            "id": STRING,
            "outputs": {
                "type": "array",
                "items": _object(
                    {
                        "name": STRING,
                        "shape": {"type": "array", "items": {"type": "integer"}},
                        "datatype": {"enum": ["BYTES", "FP32"]},
                        "data": {"type": "array"},
                    },
                    ("name", "shape", "datatype"),
                ),
            },
        },
        ("model_name", "id", "outputs"),
    ),
}

ERRORS: Schema = {
    status: {"description": text, "content": _json(_reference("Error"))}
    for status, text in {
        "400": "the body is not what is expected; the message says where and what is",
        "401": "the API key is missing or wrong",
        "404": "no such model",
        "408": "the body did not arrive in time",
        "413": "the body or the list of instances is too long",
        "415": "the content type is not supported; the message names those that are",
        "503": "busy or shutting down: try again after Retry-After seconds",
    }.items()
}


def _prediction(
    summary: str, request: Schema, response: Schema, parameters: list[Schema]
) -> Schema:
    return {
        "post": {
            "summary": summary,
            "parameters": [*parameters, REQUEST_ID],
            "requestBody": {"required": True, "content": request},
            "responses": {"200": {"description": "answered", "content": response}, **ERRORS},
        }
    }


def _get(
    summary: str, schema: Schema, parameters: tuple[Schema, ...] = (), *failures: str
) -> Schema:
    failed = {status: ERRORS[status] for status in failures}
    return {
        "get": {
            "summary": summary,
            "parameters": list(parameters),
            "responses": {"200": {"description": "yes", "content": _json(schema)}, **failed},
        }
    }


def _invocation(parameters: list[Schema]) -> Schema:
    instances: dict[str, Schema] = {
        "application/json": {"schema": _reference("Instances")},
        "application/jsonlines": {"schema": STRING, "example": '{"source": "text", "k": 2}\n'},
    }
    request = {name: instances.get(name, {"schema": STRING}) for name in SUPPORTED}
    response = {
        "application/json": {"schema": {"anyOf": [_reference("Predictions"), {"type": "object"}]}},
        "application/jsonlines": {"schema": STRING},
        "application/json;verbose": {"schema": {"type": "object"}},
    }
    return _prediction("Predict as a SageMaker endpoint does", request, response, parameters)


def document(models: Sequence[str]) -> dict[str, Any]:
    """The document of a server of these models, OpenAPI 3.1."""
    name: Schema = {
        "name": "model",
        "in": "path",
        "required": True,
        "description": "a name given with --model_name",
        "schema": {"enum": list(models)},
    }
    example = {"instances": ["the movie was excellent"], "configuration": {"k": 2}}
    ready = _object({"name": STRING, "ready": {"type": "boolean"}})
    paths = {
        "/v1/models/{model}:predict": _prediction(
            "Predict, KServe V1",
            _json(_reference("Instances"), example),
            _json(_object({"predictions": _reference("Predictions")}, ("predictions",))),
            [name],
        ),
        "/v1/models/{model}": _get("Whether a model is ready", ready, (name,), "404", "503"),
        "/v1/models": _get("Names of the models", _object({"models": STRINGS})),
        "/v2/models/{model}/infer": _prediction(
            "Predict, Open Inference (V2); also with the binary tensor extension",
            _json(_reference("InferenceRequest")),
            _json(_reference("InferenceResponse")),
            [name],
        ),
        "/v2/models/{model}": _get(
            "A model's inputs and outputs", {"type": "object"}, (name,), "404"
        ),
        "/v2/health/ready": _get(
            "Whether requests should come here", _object({"ready": {"type": "boolean"}}), (), "503"
        ),
        "/v2/health/live": _get(
            "Whether the server is healthy", _object({"live": {"type": "boolean"}}), (), "503"
        ),
        "/ping": _get(
            "Whether requests should come here, SageMaker", {"type": "object"}, (), "503"
        ),
        "/invocations": _invocation([]),
        "/endpoints/{model}/invocations": _invocation([name]),
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "kftext model server",
            "version": kftext.__version__,
            "description": "KServe V1 and V2 and SageMaker's inference contract, for text classifiers and word vectors.",
        },
        # With no key in the server's environment, none is asked for.
        "security": [{}, {"bearer": []}, {"key": []}],
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }
