"""The Open Inference protocol (V2) over gRPC; `tensors` says what goes in and out.

KServe's servicer gives metadata and health; inference, errors, keys, TLS and the address to listen on are ours (KServe 0.21 listens
on every address, without TLS, and logs a traceback for a client's mistake).
"""

from __future__ import annotations

import asyncio
import hmac
import struct
from collections.abc import Mapping
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.unknown_fields import UnknownFieldSet
from grpc import aio
from kserve.errors import InvalidInput, ModelNotFound
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import add_GRPCInferenceServiceServicer_to_server
from kserve.protocol.grpc.servicer import InferenceServicer

from kftext.errors import KftextError
from kftext.serving.calls import MAX_REQUEST_ID, Call
from kftext.serving.front import Front
from kftext.serving.messages import RequestError, Target
from kftext.serving.query import Query
from kftext.serving.tensors import (
    Tensor,
    check_input,
    decode_utf8,
    read_query,
    select,
    tensors,
    unpack_bytes,
)

__all__ = ["Servicer", "create_server"]

CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
}

# `double_param` and `uint64_param` of the protocol's InferParameter, which the messages that KServe 0.21 ships don't have.
DOUBLE_PARAM, UINT64_PARAM = 4, 5


class Servicer(InferenceServicer):
    """KServe's V2 service over our models.

    Args:
        data_plane, extension: KServe's, for metadata, health and the repository.
        front: the models, workers and limits that HTTP uses, too.
    """

    def __init__(self, data_plane: Any, extension: Any, front: Front):
        super().__init__(data_plane, extension)
        self._front = front

    async def ModelInfer(self, request: pb.ModelInferRequest, context: aio.ServicerContext) -> Any:  # noqa: N802
        """Answer one inference request."""
        call = self._front.begin("POST", "/inference.GRPCInferenceService/ModelInfer", "grpc")
        try:
            self._front.admit()
            target, query = self._read(request, call)
            answer = await self._front.answer(call, self._front.models[target.name], target, query)
            outputs = select(tensors(query, answer), [output.name for output in request.outputs])
            reply = _reply(request, target, outputs)
            call.status, call.bytes_out = 200, reply.ByteSize()
            return reply
        except RequestError as error:
            call.status = error.status
            await context.abort(CODES.get(error.status, grpc.StatusCode.INTERNAL), str(error))
        except KftextError as error:
            await context.abort(grpc.StatusCode.INTERNAL, str(error))
        except asyncio.CancelledError:
            # The client has left, or its deadline has passed: no fault of the server's.
            call.status = 499
            raise
        finally:
            self._front.finish(call)

    def _read(self, request: pb.ModelInferRequest, call: Call) -> tuple[Target, Query]:
        call.request_id = request.id[:MAX_REQUEST_ID] or call.request_id
        call.bytes_in = request.ByteSize()
        call.model = request.model_name if request.model_name in self._front.models else ""
        target = self._target(request.model_name, request.model_version)
        first = request.inputs[0] if request.inputs else pb.ModelInferRequest.InferInputTensor()
        count = check_input(
            [tensor.name for tensor in request.inputs],
            first.datatype,
            first.shape,
            target.max_instances,
        )
        if len(request.raw_input_contents) > 1:
            raise RequestError(400, "raw_input_contents: expected one, for the one input")
        if request.raw_input_contents:
            texts = unpack_bytes(request.raw_input_contents[0], count)
        else:
            texts = [
                decode_utf8(content, index)
                for index, content in enumerate(first.contents.bytes_contents)
            ]
        return target, read_query(target.predictor, _parameters(request.parameters), texts, count)

    async def RepositoryModelLoad(self, request: Any, context: aio.ServicerContext) -> Any:  # noqa: N802
        """Refuse, and say why."""
        await self._refuse(request.model_name, context)

    async def RepositoryModelUnload(self, request: Any, context: aio.ServicerContext) -> Any:  # noqa: N802
        """Refuse, and say why."""
        await self._refuse(request.model_name, context)

    async def ModelReady(self, request: Any, context: aio.ServicerContext) -> Any:  # noqa: N802
        """Whether requests for the model should come here."""
        await self._find(request, context)
        return await super().ModelReady(request, context)

    async def ModelMetadata(self, request: Any, context: aio.ServicerContext) -> Any:  # noqa: N802
        """The model's version, inputs and outputs."""
        target = await self._find(request, context)
        described = await super().ModelMetadata(request, context)
        described.versions.append(target.version)
        return described

    async def _refuse(self, name: str, context: aio.ServicerContext) -> None:
        try:
            await self._mode_repository_extension.load(name)
        except InvalidInput as error:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        except ModelNotFound as error:
            await context.abort(grpc.StatusCode.NOT_FOUND, str(error))

    async def _find(self, request: Any, context: aio.ServicerContext) -> Target:
        """The model, and the version of it, that a request for metadata or readiness names."""
        try:
            return self._target(request.name, request.version)
        except RequestError as error:
            await context.abort(CODES[error.status], str(error))
            raise

    def _target(self, name: str, version: str) -> Target:
        model = self._front.models.get(name)
        if model is None:
            raise self._front.no_such_model()
        if version not in ("", model.target.version):
            raise self._front.no_such_version(model.target)
        return model.target


def _parameters(parameters: Mapping[str, pb.InferParameter]) -> dict[str, object]:
    values: dict[str, object] = {}
    for name, parameter in parameters.items():
        kind = parameter.WhichOneof("parameter_choice")
        value = _unknown_to_kserve(parameter) if kind is None else getattr(parameter, kind)
        if name == "threshold" and isinstance(value, str):
            value = _number(value)
        if value is not None:
            values[name] = value
    return values


def _unknown_to_kserve(parameter: pb.InferParameter) -> float | None:
    """The number in a parameter of a client whose messages have more kinds of them, as Triton's have."""
    for field in UnknownFieldSet(parameter):
        if field.field_number == DOUBLE_PARAM and type(field.data) is int:
            number: float = struct.unpack("<d", field.data.to_bytes(8, "little"))[0]
            return number
        if field.field_number == UINT64_PARAM and type(field.data) is int:
            return field.data
    return None


def _number(text: str) -> float | str:
    """The number in a string: KServe's client has no other way to send one that is not an integer."""
    try:
        return float(text)
    except ValueError:
        return text


def _reply(
    request: pb.ModelInferRequest, target: Target, outputs: list[Tensor]
) -> pb.ModelInferResponse:
    """The response; raw contents answer raw contents, as KServe and Triton do."""
    reply = pb.ModelInferResponse(
        model_name=target.name, model_version=target.version, id=request.id
    )
    for tensor in outputs:
        described = reply.outputs.add(
            name=tensor.name, datatype=tensor.datatype, shape=tensor.shape
        )
        if request.raw_input_contents:
            reply.raw_output_contents.append(tensor.raw())
        elif isinstance(tensor.data, list):
            described.contents.bytes_contents.extend(text.encode() for text in tensor.data)
        else:
            described.contents.fp32_contents.extend(tensor.data.tolist())
    return reply


class KeyInterceptor(aio.ServerInterceptor):
    """Asks for the API key in the metadata `authorization: Bearer KEY` or `x-api-key: KEY`, health apart."""

    def __init__(self, key: str):
        self._key = key.encode()

        async def refuse(_: Any, context: aio.ServicerContext) -> None:
            await context.abort(
                grpc.StatusCode.UNAUTHENTICATED,
                "send the key as metadata 'authorization: Bearer KEY'",
            )

        self._refuse = grpc.unary_unary_rpc_method_handler(refuse)

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        """Let a call with the key through."""
        if handler_call_details.method.endswith(("/ServerLive", "/ServerReady")):
            return await continuation(handler_call_details)
        given = ""
        for name, value in handler_call_details.invocation_metadata:
            if name == "x-api-key":
                given = value
            elif name == "authorization" and value[:7].lower() == "bearer ":
                given = value[7:]
        if not hmac.compare_digest(given.encode(), self._key):
            return self._refuse
        return await continuation(handler_call_details)


def create_server(
    servicer: Servicer,
    address: str,
    *,
    api_key: str,
    max_message_bytes: int,
    certificate: tuple[str, str] | None,
) -> aio.Server:
    """Make the gRPC server, bound to `address` and not yet started.

    Args:
        servicer: what answers.
        address: "host:port".
        api_key: the key that calls must bring, "" for none.
        max_message_bytes: the longest message received.
        certificate: paths of the TLS key and certificate chain (PEM); None for plain text.

    Raises:
        RuntimeError: the address can't be bound.
    """
    server = aio.server(
        futures.ThreadPoolExecutor(1),
        interceptors=[KeyInterceptor(api_key)] if api_key else [],
        options=[
            ("grpc.max_receive_message_length", max_message_bytes),
            ("grpc.max_send_message_length", -1),
            # Two servers on one port would each get half of the calls.
            ("grpc.so_reuseport", 0),
        ],
    )
    add_GRPCInferenceServiceServicer_to_server(servicer, server)
    if certificate is None:
        server.add_insecure_port(address)
    else:
        key, chain = (Path(file).read_bytes() for file in certificate)
        server.add_secure_port(address, grpc.ssl_server_credentials([(key, chain)]))
    return server
