"""KServe's Python server with one model, on a free port of the loopback interface, for as long as a `with` lasts."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from kftext.errors import ResourceError

__all__ = ["Client", "serve"]

_START_SECONDS = 90


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Client:
    """Asks one served model, by KServe's V1 protocol."""

    def __init__(self, name: str, port: int):
        self.url = f"http://127.0.0.1:{port}/v1/models/{name}"
        # Proxies of the environment are for other hosts than this one.
        self._http = httpx.Client(timeout=30, trust_env=False)

    def is_ready(self) -> bool:
        """Whether the model answers."""
        try:
            return self._http.get(self.url).status_code == 200
        except httpx.TransportError:
            return False

    def predict(self, instances: list[str], **configuration: Any) -> list[dict[str, Any]]:
        """Send one request and return its predictions, in the order of the instances."""
        body: dict[str, Any] = {"instances": instances}
        if configuration:
            body["configuration"] = configuration
        answer = self._http.post(f"{self.url}:predict", json=body)
        if answer.status_code != 200:
            raise ResourceError(f"{self.url}:predict answered {answer.status_code}: {answer.text}")
        return list(answer.json()["predictions"])


@contextmanager
def serve(name: str, archive: Path, log: Path) -> Iterator[Client]:
    """Start the server on a model archive, wait until it is ready, and stop it at the end.

    Raises:
        ResourceError: the server ended or was not ready in time; the message shows the end of its log.
    """
    port = _free_port()
    command = [
        sys.executable,
        "-m",
        "kftext.serving",
        "--model_name",
        name,
        "--model_dir",
        str(archive),
    ]
    command += ["--host", "127.0.0.1", "--http_port", str(port), "--enable_grpc", "false"]
    with log.open("wb") as output:
        server = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        try:
            client = Client(name, port)
            deadline = time.monotonic() + _START_SECONDS
            while not client.is_ready():
                if server.poll() is not None or time.monotonic() > deadline:
                    said = log.read_text(encoding="utf-8", errors="replace")[-2000:]
                    raise ResourceError(f"the server of {name} is not ready:\n{said}")
                time.sleep(0.1)
            yield client
        finally:
            server.terminate()
            try:
                server.wait(timeout=20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
