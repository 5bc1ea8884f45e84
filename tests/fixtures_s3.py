"""A pytest plugin: a real S3 server on a free loopback port.

MinIO's server where one is found (KFTEXT_MINIO, PATH, or .cache/bin/minio, which `python tests/s3/build_minio.py` builds with
Go), and moto's server, from PyPI, with its checks of signatures and permissions switched on.

- `s3` points the AWS variables of the test at the best server there is, and gives `s3.uri("name")` in a bucket of the test's own;
- `every_s3` is the same, once for each kind of server: a test that asks for it runs on both.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import boto3
import httpx
import pytest
from botocore.config import Config
from minio import MinioAdmin
from minio.credentials import StaticProvider

KINDS = ("minio", "moto")
REPOSITORY = Path(__file__).resolve().parent.parent


def find_minio() -> str | None:
    """Return MinIO's server binary, if there is one."""
    named = os.environ.get("KFTEXT_MINIO")
    if named:
        assert Path(named).is_file(), f"KFTEXT_MINIO={named} is no file"
        return named
    built = REPOSITORY / ".cache" / "bin" / "minio"
    return shutil.which("minio") or (str(built) if built.is_file() else None)


def free_port() -> int:
    """Return a loopback port that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@dataclass
class S3Server:
    """A server process with one user who may do everything, and one who may do nothing."""

    kind: str
    folder: Path
    port: int = field(default_factory=free_port)
    access_key: str = "kftext-tests"
    secret_key: str = "correct-horse-battery-staple"
    powerless: tuple[str, str] = ("kftext-guest", "another-horse-battery")

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start, or start again on the same port; MinIO then still has its objects."""
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        if self.kind == "minio":
            binary = find_minio()
            assert binary, "no minio binary"
            environment |= {
                "MINIO_ROOT_USER": self.access_key,
                "MINIO_ROOT_PASSWORD": self.secret_key,
                "MINIO_UPDATE": "off",
                "MINIO_BROWSER": "off",
            }
            address = f"127.0.0.1:{self.port}"
            command = [binary, "server", "--quiet", "--address", address]
            command += ["--console-address", "127.0.0.1:0", str(self.folder / "data")]
        else:
            command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        self.log = self.folder / "log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, env=environment, stdout=log, stderr=log, cwd=self.folder
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.kill()
            raise
        (self._prepare_minio if self.kind == "minio" else self._prepare_moto)()

    def _wait_until_ready(self) -> None:
        path = "/minio/health/ready" if self.kind == "minio" else "/moto-api/data.json"
        end = time.monotonic() + 60
        while time.monotonic() < end:
            assert self.process.poll() is None, self.log.read_text(errors="replace")
            with suppress(httpx.TransportError):
                if httpx.get(self.endpoint + path, timeout=5).status_code == 200:
                    return
            time.sleep(0.05)
        raise TimeoutError(self.log.read_text(errors="replace"))

    def _prepare_minio(self) -> None:
        owner = StaticProvider(self.access_key, self.secret_key)
        admin = MinioAdmin(endpoint=f"127.0.0.1:{self.port}", credentials=owner, secure=False)
        admin.user_add(*self.powerless)

    def _prepare_moto(self) -> None:
        """Make two users, then have moto check every request: until then it takes any secret."""
        iam = boto3.client(
            "iam",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id="any",
            aws_secret_access_key="any",
        )
        keys = []
        for name in ("owner", "guest"):
            iam.create_user(UserName=name)
            key = iam.create_access_key(UserName=name)["AccessKey"]
            keys.append((key["AccessKeyId"], key["SecretAccessKey"]))
        everything = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}'
        iam.put_user_policy(UserName="owner", PolicyName="all", PolicyDocument=everything)
        (self.access_key, self.secret_key), self.powerless = keys
        httpx.post(self.endpoint + "/moto-api/reset-auth", content=b"0").raise_for_status()

    def kill(self) -> None:
        """Kill the server as a crash would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    @cached_property
    def boto3(self):
        """A second, independent client: what it sees is what is really stored."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}),
        )


@dataclass
class Bucket:
    """A bucket of one test's own, on a running server."""

    server: S3Server
    name: str

    @property
    def client(self):
        return self.server.boto3

    def uri(self, key: str = "", scheme: str = "s3") -> str:
        """Return the URI of a key in this bucket."""
        return f"{scheme}://{self.name}/{key}"

    def put(self, key: str, content: bytes, **more) -> None:
        """Store an object without the code under test."""
        self.client.put_object(Bucket=self.name, Key=key, Body=content, **more)

    def get(self, key: str) -> bytes:
        """Read an object without the code under test."""
        return self.client.get_object(Bucket=self.name, Key=key)["Body"].read()

    def keys(self) -> list[str]:
        """List all objects without the code under test."""
        answer = self.client.list_objects_v2(Bucket=self.name)
        return [item["Key"] for item in answer.get("Contents", [])]

    def unfinished_uploads(self, key: str) -> int:
        """Count the multipart uploads of a key that were started and neither completed nor aborted."""
        answer = self.client.list_multipart_uploads(Bucket=self.name, Prefix=key)
        return len(answer.get("Uploads", []))


class CuttingProxy:
    """A TCP proxy in front of a server, which cuts connections as a bad network does.

    Args:
        port: where the server listens.
        cuts: for each connection in turn, how many bytes may pass in `direction` before both ends are closed; None, and every
            connection after the last in the list: no limit.
        direction: "down" (what the server sends) or "up" (what the client sends).
    """

    def __init__(self, port: int, cuts: list[int | None], direction: str):
        self._port, self._cuts, self._direction = port, list(cuts), direction
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _accept(self) -> None:
        with suppress(OSError):  # the listener was closed
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                limit = self._cuts.pop(0) if self._cuts else None
                threading.Thread(target=self._serve, args=(client, limit), daemon=True).start()

    def _serve(self, client: socket.socket, limit: int | None) -> None:
        with client, socket.create_connection(("127.0.0.1", self._port)) as server:
            up = (client, server, limit if self._direction == "up" else None)
            down = (server, client, limit if self._direction == "down" else None)
            other = threading.Thread(target=self._pump, args=up, daemon=True)
            other.start()
            self._pump(*down)
            other.join()

    @staticmethod
    def _pump(source: socket.socket, target: socket.socket, allowed: int | None) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if allowed is not None:
                    data = data[:allowed]
                    allowed -= len(data)
                target.sendall(data)
                if allowed == 0:
                    break
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.close()


@pytest.fixture(scope="session")
def s3_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, S3Server]]:
    """Servers by kind, each started when the first test asks for it."""
    servers: dict[str, S3Server] = {}
    yield servers
    for server in servers.values():
        server.kill()


def _bucket(
    kind: str,
    servers: dict[str, S3Server],
    paths: pytest.TempPathFactory,
    patch: pytest.MonkeyPatch,
) -> Bucket:
    if kind == "minio" and find_minio() is None:
        pytest.skip("no MinIO server: `python tests/s3/build_minio.py` builds one with Go")
    if kind not in servers:
        servers[kind] = S3Server(kind, paths.mktemp(kind))
        servers[kind].start()
    server = servers[kind]
    point_at(server, patch)
    name = f"kftext-{uuid.uuid4().hex[:12]}"
    server.boto3.create_bucket(Bucket=name)
    return Bucket(server, name)


def point_at(
    server: S3Server, patch: pytest.MonkeyPatch, endpoint: str | None = None
) -> dict[str, str]:
    """Set the AWS variables of this process (and those it starts) to a server; returns them."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            patch.delenv(name)
    variables = {
        "AWS_ENDPOINT_URL": endpoint or server.endpoint,
        "AWS_ACCESS_KEY_ID": server.access_key,
        "AWS_SECRET_ACCESS_KEY": server.secret_key,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    for name, value in variables.items():
        patch.setenv(name, value)
    return variables


def best_kind() -> str:
    """Return the kind of server that tests run on which need one kind only."""
    return "minio" if find_minio() else "moto"


@pytest.fixture
def s3(s3_servers, tmp_path_factory, monkeypatch) -> Bucket:
    """A bucket on the best server there is."""
    return _bucket(best_kind(), s3_servers, tmp_path_factory, monkeypatch)


@pytest.fixture(params=KINDS)
def every_s3(request, s3_servers, tmp_path_factory, monkeypatch) -> Bucket:
    """A bucket on each kind of server in turn."""
    return _bucket(request.param, s3_servers, tmp_path_factory, monkeypatch)


@pytest.fixture
def own_s3(request, tmp_path_factory, monkeypatch) -> Iterator[Bucket]:
    """A bucket on a server of the test's own, which it may kill: the best there is, or a kind given by the test."""
    servers: dict[str, S3Server] = {}
    kind = getattr(request, "param", best_kind())
    try:
        yield _bucket(kind, servers, tmp_path_factory, monkeypatch)
    finally:
        for server in servers.values():
            server.kill()
