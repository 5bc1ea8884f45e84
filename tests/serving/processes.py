"""Small models made on the spot, and server processes that serve them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import botocore.config
import httpx
import numpy as np

from kftext.models import (
    Args,
    DenseMatrix,
    Dictionary,
    FastTextModel,
    Loss,
    Model,
    write_model,
)

LABELS = ("__label__neg", "__label__pos", "__label__mixed")


def write_classifier(path: Path, weight: float = 2.0) -> Path:
    """A classifier with three labels: `good` votes for pos, `bad` for neg, `fine` for mixed, each by `weight`."""
    words = [b"</s>", b"good", b"bad", b"fine", b"movie"]
    arguments = Args(
        dim=3, loss=Loss.SOFTMAX, model=Model.SUPERVISED, bucket=0, minn=0, maxn=0, word_ngrams=1
    )
    dictionary = Dictionary(
        arguments,
        words,
        np.arange(5, 0, -1),
        [label.encode() for label in LABELS],
        np.array([3, 2, 1]),
        token_count=15,
    )
    rows = np.zeros((5, 3), np.float32)
    rows[2, 0] = rows[1, 1] = rows[3, 2] = weight
    model = FastTextModel(
        arguments, dictionary, DenseMatrix(rows), DenseMatrix(np.eye(3, dtype=np.float32))
    )
    path.mkdir(parents=True, exist_ok=True)
    write_model(model, path / "model.bin")
    return path


def write_vectors(path: Path, *, subwords: bool) -> Path:
    """Word vectors of dimension 4 for king, queen, apple, pear: the royals lie together, and so does the fruit."""
    words = [b"king", b"queen", b"apple", b"pear"]
    bucket = 20 if subwords else 0
    arguments = Args(
        dim=4, bucket=bucket, minn=3 if subwords else 0, maxn=4 if subwords else 0, min_count=1
    )
    dictionary = Dictionary(arguments, words, np.array([9, 8, 7, 6]), token_count=30)
    rows = np.zeros((4 + bucket, 4), np.float32)
    rows[:4] = [[1, 0.1, 0, 0], [0.9, 0.2, 0, 0], [0, 0, 1, 0.25], [0, 0, 0.75, 0.5]]
    rows[4:] = np.random.default_rng(1).normal(0, 0.01, (bucket, 4))
    output = DenseMatrix(np.zeros((4, 4), np.float32))
    path.mkdir(parents=True, exist_ok=True)
    write_model(
        FastTextModel(arguments, dictionary, DenseMatrix(rows), output), path / "vectors.bin"
    )
    return path


def sagemaker_client(url: str) -> Any:
    """boto3's client of SageMaker's runtime, pointed at a server."""
    return boto3.client(
        "sagemaker-runtime",
        endpoint_url=url,
        region_name="eu-west-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
        config=botocore.config.Config(retries={"max_attempts": 0}),
    )


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@dataclass
class Served:
    """A server process under test."""

    process: subprocess.Popen[bytes]
    port: int
    grpc_port: int
    log: Path
    scheme: str = "http"
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = httpx.Client(base_url=self.url, timeout=120, verify=False)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def wait_until_ready(self, seconds: float = 600) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert self.process.poll() is None, self.log.read_text()
            try:
                if self.client.get("/v2/health/ready").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.1)
        raise AssertionError(f"not ready within {seconds} s:\n{self.log.read_text()}")

    def predict(self, model: str, body: object, **kwargs: object) -> httpx.Response:
        return self.client.post(f"/v1/models/{model}:predict", json=body, **kwargs)

    def metric(self, line: str) -> float:
        """The value of one line of /metrics, 0.0 when it is not there."""
        for found in self.client.get("/metrics").text.splitlines():
            if found.startswith(line + " "):
                return float(found.rpartition(" ")[2])
        return 0.0

    def stop(self) -> int:
        self.client.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(300)


def spawn(log: Path, flags: list[str], environment: dict[str, str] | None = None) -> Served:
    """Start a server process on free loopback ports; it may not be ready yet."""
    port, grpc_port = free_port(), free_port()
    command = [sys.executable, "-m", "kftext.serving", "--host", "127.0.0.1"]
    command += ["--http_port", str(port), "--grpc_port", str(grpc_port), *flags]
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
        )
    return Served(process, port, grpc_port, log, "https" if "--ssl_certfile" in flags else "http")
