"""Deploying with no cluster: the model is served on this machine, asked, and stopped."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import urllib3

from kftext.deployment.probe import probe
from kftext.deployment.request import DeployRequest
from kftext.errors import DeploymentError

__all__ = ["serve_once"]

LOG = logging.getLogger(__name__)


def serve_once(request: DeployRequest) -> str:
    """Start the server that the cluster would run, ask it, and stop it.

    Returns:
        The command that starts it for good.

    Raises:
        DeploymentError: it does not start, or its answer is wrong.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    words = ["-m", "kftext.serving", "--model_name", request.name, "--model_dir", request.model_uri]
    flags = ["--host", "127.0.0.1", "--http_port", str(port), "--enable_grpc", "false"]
    with tempfile.TemporaryDirectory(prefix="kftext-") as folder:
        log = Path(folder, "log")
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, *words, *flags],
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=os.environ,
            )
        try:
            url = f"http://127.0.0.1:{port}"
            _wait(process, url, log, request.timeout)
            probe(url, request.name, request.texts, expected_label=request.expected_label)
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    return f"python {' '.join(words)}"


def _wait(process: subprocess.Popen[bytes], url: str, log: Path, timeout: float) -> None:
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if process.poll() is not None:
            lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            last = lines[-1].removeprefix("error: ") if lines else f"exit code {process.returncode}"
            raise DeploymentError(f"the server does not start: {last}")
        try:
            if (
                urllib3.request("GET", f"{url}/v2/health/ready", timeout=5, retries=False).status
                == 200
            ):
                return
        except urllib3.exceptions.HTTPError:
            pass
        time.sleep(0.2)
    raise DeploymentError(f"the server is not ready after {timeout:g} s")
