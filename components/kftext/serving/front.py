"""The ASGI application in front of KServe's: limits, keys, request ids, access log and the prediction routes.

KServe 0.21 answers predictions through FastAPI's router, dependency injection and a timing middleware that matches every route
for its name; together they cost several times what a text prediction does, read any body into memory, and answer a malformed V2
body with 422 and the client's own text. So predictions are answered here, and everything else (metadata, health, metrics)
goes on to KServe's application.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from kftext.errors import KftextError
from kftext.models import Answer
from kftext.serving import cloud_events, pages, sagemaker, v1, v2
from kftext.serving.body import gunzip, too_long
from kftext.serving.calls import Call, log, read_headers
from kftext.serving.deadline import within
from kftext.serving.messages import Reply, Request, RequestError, Target, error_reply
from kftext.serving.metrics import Observer
from kftext.serving.model import Decode, ServedModel
from kftext.serving.options import Options
from kftext.serving.query import Query
from kftext.serving.scheduling import RETRY_AFTER, Scheduler

__all__ = ["BUFFERED_BODIES", "Front", "TextLoggingFront"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

LOG = logging.getLogger(__name__)

# Bodies being received take up no more than this many times `max_body_bytes`, and so do answers that clients don't read.
BUFFERED_BODIES = 32

# A longer compressed body is decompressed in a thread.
GUNZIP_INLINE_BYTES = 4096

# How long, and for how much of a body at most, a client that was answered before it had sent everything is listened to.
LINGER_SECONDS = 5.0
LINGER_BYTES = 64 << 20

# What a probe or a scraper asks has no key to bring, and holds no secret.
OPEN_PATHS = frozenset({"/", "/ping", "/metrics", "/v2/health/live", "/v2/health/ready", "/ui"})


class ClientGoneError(KftextError):
    """The client closed the connection before its request was complete."""


class Front:
    """The outermost ASGI application.

    Args:
        application: KServe's application, for what is not answered here.
        models: the models by name; the first one answers `/invocations`.
        options: limits and switches.
    """

    def __init__(self, application: Application, models: dict[str, ServedModel], options: Options):
        self.models, self.options = models, options
        self.scheduler = Scheduler(options)
        self.draining = False
        self._application = application
        self._default = next(iter(models.values()))
        self._observer = Observer()
        self._in_progress = 0
        self._buffered = 0
        self._key = options.api_key.encode()

    @property
    def ready(self) -> bool:
        """Whether new requests should be sent here."""
        return not self.draining and self.live

    @property
    def live(self) -> bool:
        """Whether no prediction has run for longer than any client waits."""
        return self.scheduler.stuck_seconds() < 2 * self.options.deadline_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer an ASGI event."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        call = Call(scope["method"], scope["path"], read_headers(scope["headers"]))
        self._in_progress += 1
        try:
            await self._answer(call, scope, receive, send)
        except ClientGoneError:
            call.status = 499
        finally:
            self.finish(call)

    def begin(self, method: str, path: str, protocol: str) -> Call:
        """Take on a request that came another way than HTTP; `finish` ends it."""
        self._in_progress += 1
        return Call(method, path, {}, protocol)

    def admit(self) -> None:
        """Refuse what is more than can be in progress at once.

        Raises:
            RequestError: 503.
        """
        if self._in_progress > self.options.max_concurrency:
            raise RequestError(
                503,
                f"the server is busy: {self._in_progress} requests (--max_concurrency)",
                RETRY_AFTER,
            )

    def finish(self, call: Call) -> None:
        """Count and log a request that was answered."""
        self._in_progress -= 1
        if call.protocol:
            self._observer.observe(
                call.model, call.protocol, call.status, call.elapsed, call.instances
            )
        if self.options.access_log:
            log(call)

    async def _answer(self, call: Call, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            reply = await self._reply(call, scope, receive, send)
        except RequestError as error:
            reply = error_reply(error)
            if call.protocol == "endpoints":
                reply = sagemaker.endpoint_error(error)
        except KftextError as error:
            # The request was sound: the model is at fault (numbers that are not finite, say).
            LOG.error("request %s: %s", call.request_id, error)
            reply = error_reply(RequestError(500, str(error)))
        if reply is not None:
            await self._send(call, reply, receive, send)

    async def _reply(self, call: Call, scope: Scope, receive: Receive, send: Send) -> Reply | None:
        """The reply, or None where KServe's application has sent it."""
        if call.path not in OPEN_PATHS:
            self.admit()
            self._check_key(call)
        route = self._route(call)
        if route is not None:
            decode, model = route
            body = await self._read(call, receive)
            return await self._predict(call, decode, model, body)
        page = pages.PAGES.get(call.path)
        if page is not None and call.method in ("GET", "HEAD"):
            return page(tuple(self.models))
        if call.path == "/ping":
            return self._ping(call)
        if call.path.endswith(":explain"):
            raise RequestError(404, "these models explain nothing; ask with :predict")
        scope = self._without_version(call, scope)
        await self._pass_on(call, scope, receive, send)
        return None

    def _without_version(self, call: Call, scope: Scope) -> Scope:
        """The request for a model's metadata without its version, which KServe answers with 501.

        Raises:
            RequestError: 404 for another model or version than is served.
        """
        head, given, tail = call.path.partition("/versions/")
        if not given or not head.startswith("/v2/models/"):
            return scope
        model = self.models.get(head.removeprefix("/v2/models/"))
        if model is None:
            raise self.no_such_model()
        version, slash, rest = tail.partition("/")
        if version != model.target.version:
            raise self.no_such_version(model.target)
        path = head + slash + rest
        return {**scope, "path": path, "raw_path": path.encode()}

    def _route(self, call: Call) -> tuple[Decode, ServedModel] | None:
        path = call.path
        version = ""
        decode: Decode
        if path.startswith("/v1/models/") and path.endswith(":predict"):
            call.protocol, decode, name = "v1", _v1_decoder(call), path[11:-8]
        elif path.startswith("/v2/models/") and path.endswith("/infer"):
            name, _, version = path[11:-6].partition("/versions/")
            call.protocol, decode = "v2", v2.decode
        elif path == "/invocations":
            name = call.headers.get("target_model") or self._default.name
            call.protocol, decode = "invocations", sagemaker.decode
        elif path.startswith("/endpoints/") and path.endswith("/invocations"):
            call.protocol, decode, name = "endpoints", sagemaker.decode, path[11:-12]
        else:
            return None
        if call.method != "POST":
            raise RequestError(405, "predictions are asked for with POST", (("allow", "POST"),))
        model = self.models.get(name)
        if model is None:
            raise self.no_such_model()
        call.model = name
        if version and version != model.target.version:
            raise self.no_such_version(model.target)
        return decode, model

    def no_such_model(self) -> RequestError:
        """The 404 that names the models there are."""
        return RequestError(
            404, f"no such model; models served here: {', '.join(sorted(self.models))}"
        )

    def no_such_version(self, target: Target) -> RequestError:
        """The 404 that names the version there is."""
        return RequestError(404, f"no such version; model {target.name} is at {target.version}")

    async def _read(self, call: Call, receive: Receive) -> bytes:
        """The whole body, decompressed.

        Raises:
            RequestError: 400, 408, 413, 415 or 503.
        """
        encoding = call.headers.get("content_encoding", "identity").strip().lower()
        if encoding not in ("identity", "gzip", "x-gzip"):
            raise RequestError(
                415,
                "content-encoding: expected gzip, or a body that is not compressed",
                (("accept-encoding", "gzip"),),
            )
        body = await self._receive_whole(call, receive)
        if encoding == "identity":
            return body
        limit = self.options.max_body_bytes
        if len(body) <= GUNZIP_INLINE_BYTES:
            return gunzip(body, limit)
        return await asyncio.to_thread(gunzip, body, limit)

    async def _receive_whole(self, call: Call, receive: Receive) -> bytes:
        limit = self.options.max_body_bytes
        length = call.headers.get("content_length", "")
        if length.isdecimal() and int(length) > limit:
            raise too_long(limit)
        message = await self._receive(call, receive)
        body: bytes = message.get("body", b"")
        call.bytes_in = len(body)
        if not message.get("more_body", False):
            if len(body) > limit:
                raise too_long(limit)
            return body
        chunks = [body]
        self._buffered += len(body)
        try:
            while message.get("more_body", False):
                message = await self._receive(call, receive)
                chunk = message.get("body", b"")
                chunks.append(chunk)
                call.bytes_in += len(chunk)
                self._buffered += len(chunk)
                if call.bytes_in > limit:
                    raise too_long(limit)
                if self._buffered > BUFFERED_BODIES * limit:
                    raise RequestError(503, "the server is busy receiving requests", RETRY_AFTER)
        finally:
            self._buffered -= call.bytes_in
        return b"".join(chunks)

    async def _receive(self, call: Call, receive: Receive) -> Message:
        try:
            message = await within(self.options.deadline_seconds - call.elapsed, receive())
        except TimeoutError:
            raise RequestError(
                408,
                f"the body did not arrive within {self.options.deadline_seconds:g} s (--deadline_seconds)",
                (("connection", "close"),),
            ) from None
        if message["type"] == "http.disconnect":
            raise ClientGoneError("the client closed the connection")
        call.body_ended = not message.get("more_body", False)
        return message

    async def _predict(self, call: Call, decode: Decode, model: ServedModel, body: bytes) -> Reply:
        request = Request(
            body,
            call.headers.get("content_type", ""),
            call.headers.get("accept", ""),
            call.headers.get("json_length", ""),
        )
        target = model.target
        exchange = decode(request, target)
        answer = await self.answer(call, model, target, exchange.query)
        return exchange.encode(answer)

    async def answer(self, call: Call, model: ServedModel, target: Target, query: Query) -> Answer:
        """Answer a query, whatever protocol it came by.

        Raises:
            RequestError: 413 for an instance that is too long; 503.
        """
        call.instances = len(query.texts)
        limit = self.options.max_characters
        if max(map(len, query.texts), default=0) > limit:
            index = next(i for i, text in enumerate(query.texts) if len(text) > limit)
            raise RequestError(
                413,
                f"instance {index}: {len(query.texts[index])} characters; one may hold {limit} (--max_characters)",
            )
        return await self.scheduler.predict(model, target.predictor, query, call.elapsed)

    def _check_key(self, call: Call) -> None:
        if not self._key:
            return
        scheme, _, token = call.headers.get("authorization", "").partition(" ")
        given = call.headers.get("api_key", "") or (token if scheme.lower() == "bearer" else "")
        if not hmac.compare_digest(given.encode(), self._key):
            raise RequestError(
                401,
                "send the key as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'",
                (("www-authenticate", "Bearer"),),
            )

    def _ping(self, call: Call) -> Reply:
        if call.method not in ("GET", "HEAD"):
            raise RequestError(405, "/ping is asked with GET", (("allow", "GET"),))
        if not self.ready:
            raise RequestError(503, "the server is shutting down or stuck", RETRY_AFTER)
        return Reply(b"{}")

    async def _pass_on(self, call: Call, scope: Scope, receive: Receive, send: Send) -> None:
        """Let KServe's application answer, with the body read under our limits first."""
        body = await self._read(call, receive)
        messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return messages.pop() if messages else await receive()

        async def forward(message: Message) -> None:
            if message["type"] == "http.response.start":
                call.status = message["status"]
                message["headers"] = [*message.get("headers", ()), *self._common_headers(call)]
            else:
                call.bytes_out += len(message.get("body", b""))
            await send(message)

        await self._application(scope, replay, forward)

    async def _send(self, call: Call, reply: Reply, receive: Receive, send: Send) -> None:
        call.status = reply.status
        call.bytes_out = len(reply.body)
        headers = [
            (b"content-type", reply.content_type.encode()),
            (b"content-length", str(len(reply.body)).encode()),
            *self._common_headers(call),
        ]
        for name, value in reply.headers:
            headers.append((name.encode(), value.encode()))
        lingers = not call.body_ended and reply.status not in (200, 408)
        if lingers and "expect" in call.headers:
            # The client waits for leave to send its body, and won't send it now.
            headers.append((b"connection", b"close"))
            lingers = False
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        body = b"" if call.method == "HEAD" else reply.body
        if lingers:
            await send({"type": "http.response.body", "body": body, "more_body": True})
            await self._linger(receive)
            body = b""
        await send({"type": "http.response.body", "body": body})

    async def _linger(self, receive: Receive) -> None:
        """Take in what is left of a body that was refused, and drop it.

        A connection that is closed while the client still sends is reset, and many clients then lose the answer that they were
        sent; while draining, every connection is closed behind its answer.
        """
        size, more = 0, True
        try:
            async with asyncio.timeout(LINGER_SECONDS):
                while more and size < LINGER_BYTES:
                    message = await receive()
                    size += len(message.get("body", b""))
                    more = message.get("more_body", False)
        except TimeoutError:
            pass

    def _common_headers(self, call: Call) -> list[tuple[bytes, bytes]]:
        headers = [(b"x-request-id", call.request_id.encode())]
        if self.draining:
            headers.append((b"connection", b"close"))
        return headers


class TextLoggingFront(Front):
    """A front whose access log holds the texts."""

    async def answer(self, call: Call, model: ServedModel, target: Target, query: Query) -> Answer:
        """Answer a query, and note its texts."""
        call.texts = query.texts
        return await super().answer(call, model, target, query)


def _v1_decoder(call: Call) -> Decode:
    if "cloud_event" in call.headers:
        return cloud_events.decode_binary
    if call.headers.get("content_type", "").lower().startswith(cloud_events.STRUCTURED):
        return cloud_events.decode_structured
    return v1.decode
