"""KServe's server around our front: addresses, signals, draining, reloading."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Iterator, Sequence
from http import HTTPStatus

import uvicorn
from fastapi import Request
from fastapi.responses import JSONResponse
from grpc import aio
from kserve import model_server
from kserve.model_repository import ModelRepository
from kserve.protocol.rest.server import RESTServer, _RefreshingServer
from starlette.exceptions import HTTPException

from kftext.errors import KftextError, ResourceError, UsageError
from kftext.serving.connections import Connection, cut_stalled
from kftext.serving.flags import own_parser
from kftext.serving.front import BUFFERED_BODIES, Front, TextLoggingFront
from kftext.serving.grpc_v2 import Servicer, create_server
from kftext.serving.kserve_model import Extension, KServeModel, Plane
from kftext.serving.metrics import MODEL, QUEUE, RELOADS
from kftext.serving.model import ServedModel
from kftext.serving.options import Options

__all__ = ["Server"]

LOG = logging.getLogger(__name__)

# How long requests in progress may take once the port is closed, as KServe has it.
GRACE_SECONDS = 30

# How long connections without a request live on once the port is closed: one may be on its way.
LAST_REQUEST_SECONDS = 0.5


# The flags of KServe's that this server goes by.
FOLLOWED = frozenset(
    {
        "enable_grpc",
        "event_loop",
        "grpc_port",
        "http_port",
        "ssl_certfile",
        "ssl_keyfile",
        "timeout_keep_alive",
        "workers",
    }
)


class HttpServer(_RefreshingServer):
    """KServe's uvicorn server without handlers for signals: `Server` has them, since it closes more than HTTP."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield

    hurried = False
    """Whether to end at once, as a person at a terminal wants it."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close as uvicorn does, apart from two things.

        The connections of clients that came just before the port was closed may still bring a request; and no client is waited
        for that leaves the end of its TLS connection unanswered.
        """
        for server in self.servers:
            server.close()
        if not self.hurried:
            await asyncio.sleep(LAST_REQUEST_SECONDS)
        cutting = asyncio.create_task(self._cut_closed())
        await super().shutdown(sockets)
        cutting.cancel()

    async def _cut_closed(self) -> None:
        while True:
            await asyncio.sleep(1)
            for connection in list(self.server_state.connections):
                transport = connection.transport
                if transport.is_closing() and not transport.get_write_buffer_size():
                    transport.abort()


class Server(model_server.ModelServer):
    """KServe's model server with our front before its application.

    It differs from `ModelServer` where KServe 0.21 leaves no choice: the address to listen on, the event loop (KServe builds one that
    it does not use, so that uvloop is never on), and a shutdown that first says so.

    Args:
        models: what to serve; the first is the one that `/invocations` asks.
        options: limits and switches.
        flags: KServe's own flags, as its parser returns them.

    Raises:
        UsageError: a flag of KServe's that this server can't follow, or TLS files that can't be used.
    """

    def __init__(self, models: Sequence[ServedModel], options: Options, flags: argparse.Namespace):
        if flags.workers != 1:
            raise UsageError(
                "--workers: expected 1; scale with replicas, each with its own model and queue"
            )
        for name in ("http_port", "grpc_port"):
            port = getattr(flags, name)
            if not 0 <= port < 1 << 16:
                raise UsageError(f"--{name} {port}: expected a number from 0 to 65535")
        if bool(flags.ssl_certfile) != bool(flags.ssl_keyfile):
            raise UsageError("--ssl_certfile and --ssl_keyfile: expected both or neither")
        self.options, self.flags = options, flags
        self._grpc: aio.Server | None = None
        self._grpc_stopped: asyncio.Task[None] | None = None
        _warn_of_flags_without_effect(flags)
        super().__init__(
            http_port=flags.http_port,
            grpc_port=flags.grpc_port,
            registered_models=ModelRepository(),
            enable_latency_logging=False,
            timeout_keep_alive=flags.timeout_keep_alive,
            grace_period=GRACE_SECONDS,
            ssl_certfile=flags.ssl_certfile,
            ssl_keyfile=flags.ssl_keyfile,
        )
        self.extension = Extension(self.registered_models)
        for model in models:
            self.register_model(KServeModel(model))
            MODEL.labels(model.name, model.loaded.kind, model.target.version).set(1)
        front = TextLoggingFront if options.log_texts else Front
        self.front = front(model_server.app, {model.name: model for model in models}, options)
        self.dataplane = Plane(self.registered_models, self.front)
        QUEUE.set_function(lambda: self.front.scheduler.pending)
        config = uvicorn.Config(
            self.front,
            log_config=None,
            access_log=False,
            loop=flags.event_loop,
            http=Connection,
            timeout_graceful_shutdown=self.grace_period,
            timeout_keep_alive=self.timeout_keep_alive,
            ssl_certfile=self.ssl_certfile,
            ssl_keyfile=self.ssl_keyfile,
            ws="none",
        )
        try:
            config.load()
        except OSError as error:
            raise UsageError(
                f"--ssl_certfile {self.ssl_certfile}, --ssl_keyfile {self.ssl_keyfile}: can't be used: {error}"
            ) from None
        self._http = HttpServer(config)
        self.front.scheduler.requests = self._http.server_state.tasks

    def start(self, models: Sequence[object] = ()) -> None:
        """Serve until a signal ends it.

        Raises:
            ResourceError: a port can't be had.
        """
        with (
            _listen(self.options.host, self.http_port) as listener,
            asyncio.Runner(loop_factory=self._http.config.get_loop_factory()) as runner,
        ):
            RESTServer(
                "kserve.model_server:app", self.dataplane, self.extension, self.http_port
            ).create_application()
            model_server.app.add_exception_handler(HTTPException, _http_error)
            runner.run(self._run(listener))

    async def _run(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._drain, self.options.drain_seconds)
        loop.add_signal_handler(signal.SIGINT, self._drain, 0.0)
        if self.flags.enable_grpc:
            self._grpc = self._create_grpc_server()
            await self._grpc.start()
        helpers = [
            asyncio.create_task(self._watch()),
            asyncio.create_task(
                cut_stalled(
                    self._http.server_state.connections,
                    self.options.deadline_seconds,
                    BUFFERED_BODIES * self.options.max_body_bytes,
                )
            ),
        ]
        LOG.info(
            "serving %s on %s://%s:%d",
            ", ".join(self.front.models),
            "https" if self.ssl_certfile else "http",
            self.options.host,
            listener.getsockname()[1],
        )
        await self._http.serve(sockets=[listener])
        if self._grpc_stopped is not None:
            await self._grpc_stopped
        for helper in helpers:
            helper.cancel()
        self.front.scheduler.close()
        LOG.info("stopped")

    def _create_grpc_server(self) -> aio.Server:
        host = f"[{self.options.host}]" if ":" in self.options.host else self.options.host
        certificate = None
        if self.ssl_certfile and self.ssl_keyfile:
            certificate = (self.ssl_keyfile, self.ssl_certfile)
        try:
            return create_server(
                Servicer(self.dataplane, self.extension, self.front),
                f"{host}:{self.grpc_port}",
                api_key=self.options.api_key,
                max_message_bytes=self.options.max_body_bytes,
                certificate=certificate,
            )
        except RuntimeError as error:
            raise ResourceError(
                f"gRPC can't listen on {host}:{self.grpc_port}: {error}; choose another --grpc_port,"
                " or --enable_grpc false"
            ) from None

    def _drain(self, seconds: float) -> None:
        """Say that new requests should go elsewhere, and close the port `seconds` later; a second signal closes it now."""
        if self.front.draining or not seconds:
            self._http.hurried = True
        if self.front.draining:
            self._close()
            return
        LOG.info("stopping: not ready from now on, closing the port in %g s", seconds)
        self.front.draining = True
        asyncio.get_running_loop().call_later(seconds, self._close)

    def _close(self) -> None:
        """Close both ports; requests in progress go on, HTTP's and gRPC's for the same time."""
        self._http.should_exit = True
        if self._grpc is not None and self._grpc_stopped is None:
            self._grpc_stopped = asyncio.create_task(self._grpc.stop(self.grace_period))

    async def _watch(self) -> None:
        """Reload models whose files have changed and then stayed the same from one look to the next."""
        if not self.options.reload_seconds:
            return
        while True:
            await asyncio.sleep(self.options.reload_seconds)
            for model in self.front.models.values():
                if await asyncio.to_thread(model.settled):
                    await self._reload(model)

    async def _reload(self, model: ServedModel) -> None:
        before = model.target.version
        (task,), _ = await asyncio.wait([asyncio.create_task(asyncio.to_thread(model.reload))])
        error = task.exception()
        if error is not None:
            # Whatever the new files did to the loader, the old model is whole and goes on.
            trace = None if isinstance(error, KftextError) else error
            LOG.error("model %s: kept version %s: %s", model.name, before, error, exc_info=trace)
            RELOADS.labels(model.name, "failed").inc()
        elif task.result():
            MODEL.remove_by_labels({"model": model.name})
            MODEL.labels(model.name, model.loaded.kind, model.target.version).set(1)
            RELOADS.labels(model.name, "loaded").inc()
            LOG.info(
                "model %s: version %s replaced by %s", model.name, before, model.target.version
            )


async def _http_error(request: Request, error: HTTPException) -> JSONResponse:
    """Errors of KServe's router in the form of all others."""
    message = error.detail
    if error.status_code == HTTPStatus.NOT_FOUND:
        message = f"no such page; see {request.base_url}openapi.json"
    return JSONResponse({"error": message}, error.status_code, headers=error.headers)


def _warn_of_flags_without_effect(flags: argparse.Namespace) -> None:
    """Flags that KServe's parser knows are no error, so that a runtime's may be passed on; but nobody should wait for their effect."""
    own = vars(own_parser().parse_args([]))
    for name, default in vars(model_server.parser.parse_args([])).items():
        if name not in own and name not in FOLLOWED and getattr(flags, name, default) != default:
            LOG.warning("--%s has no effect on this server", name)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise ResourceError(f"HTTP can't listen on {host}:{port}: {error.strerror}") from None
