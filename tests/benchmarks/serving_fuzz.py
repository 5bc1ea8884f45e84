"""Mutations of good requests, sent to a real server: no answer may be a 500, no request may hang, the server must live.

    python tests/benchmarks/serving_fuzz.py                      # 50,000 requests
    python tests/benchmarks/serving_fuzz.py --requests 5000 --seed 7
    python -m venv /tmp/st && /tmp/st/bin/pip install schemathesis
    python tests/benchmarks/serving_fuzz.py --schemathesis /tmp/st/bin/schemathesis

Bodies are cut, spliced, bit-flipped, nested and replaced piece by piece with values that parsers stumble over; headers, methods and
paths are exchanged between requests. A part of the requests is mutated as raw bytes, so that HTTP itself is broken. Schemathesis then
makes requests from the OpenAPI page, right and wrong ones, and compares the answers with what the page promises.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import gzip
import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ALLOWED = {200, 307, 400, 401, 404, 405, 408, 411, 413, 415, 431, 503}
TENSOR = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["good"]}
PACKED = struct.pack("<I", 4) + b"good"
BINARY_HEAD = json.dumps(
    {
        "inputs": [
            {
                "name": "text",
                "shape": [1],
                "datatype": "BYTES",
                "parameters": {"binary_data_size": len(PACKED)},
            }
        ],
        "parameters": {"binary_data_output": True},
    }
).encode()
JSON = {"content-type": "application/json"}
GOOD: list[tuple[str, str, dict[str, str], bytes]] = [
    (
        "POST",
        "/v1/models/{}:predict",
        JSON,
        b'{"instances": ["good movie"], "configuration": {"k": 2}}',
    ),
    (
        "POST",
        "/v1/models/{}:predict",
        JSON,
        b'{"instances": ["king"], "configuration": {"output": "nearest_neighbors", "k": 3}}',
    ),
    ("POST", "/v2/models/{}/infer", JSON, json.dumps({"id": "1", "inputs": [TENSOR]}).encode()),
    (
        "POST",
        "/v2/models/{}/infer",
        {"inference-header-content-length": str(len(BINARY_HEAD))},
        BINARY_HEAD + PACKED,
    ),
    ("POST", "/invocations", JSON, b'{"instances": ["bad", "king"]}'),
    (
        "POST",
        "/endpoints/{}/invocations",
        {"content-type": "application/jsonlines"},
        b'{"source": "good", "k": 2}\n{"source": "bad"}\n',
    ),
    (
        "POST",
        "/invocations",
        {"content-type": "application/x-text; charset=utf-8", "accept": "application/json;verbose"},
        b"good movie",
    ),
    ("POST", "/invocations", {"content-type": "text/csv"}, b'"good, bad"\r\nking\r\n'),
    ("POST", "/invocations", {"content-type": "text/plain"}, b"good\nbad\n"),
    (
        "POST",
        "/v1/models/{}:predict",
        {**JSON, "content-encoding": "gzip"},
        gzip.compress(b'{"instances": ["good movie"]}', mtime=0),
    ),
    (
        "POST",
        "/v1/models/{}:predict",
        {**JSON, "ce-specversion": "1.0", "ce-id": "1", "ce-type": "t", "ce-source": "s"},
        b'{"instances": ["good"]}',
    ),
    (
        "POST",
        "/v1/models/{}:predict",
        {"content-type": "application/cloudevents+json"},
        b'{"specversion": "1.0", "id": "1", "type": "t", "source": "s", "data": {"instances": ["good"]}}',
    ),
    ("GET", "/v2/models/{}", {}, b""),
    ("GET", "/v1/models/{}", {}, b""),
    ("GET", "/v2/models/{}/versions/1/ready", {}, b""),
    ("GET", "/v2/health/ready", {}, b""),
    ("GET", "/metrics", {"accept": "text/plain"}, b""),
    ("GET", "/ui", {}, b""),
    ("GET", "/openapi.json", {}, b""),
    ("POST", "/v2/repository/models/{}/unload", {}, b""),
    ("GET", "/ping", {}, b""),
]
NAMES = ["sentiment", "vectors", "subwords", "nobody", "", "%00", "a/b", "%ff", "..", "x" * 300]
PIECES = [
    b"null", b"true", b"-1", b"0", b"1e999", b"1e-999", b"99999999999999999999", b'""', b"[]", b"{}", b'"\\ud800"',
    b'"\\u0000"', b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"NaN", b'{"instances": []}', b"[" * 2000, b'"good"',
    b'"x"' + b',"x"' * 2000, b"\n", b"\r\n", b",", b'"', b"\0", "ü€😀".encode(), b"a " * 2000,
]  # fmt: skip
VALUES = ["", "é", "utf-16", "0", "-1", "99999999", "application/json", "application/octet-stream", "a" * 5000, ";", ";;=", "text/csv;charset=", "*/*", "application/json;verbose", "multipart/form-data", "gzip", "text/plain; charset=utf-7", "application/json; charset=utf-16"]  # fmt: skip
METHODS = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE"]
HEADERS = ["content-type", "accept", "inference-header-content-length", "x-request-id", "content-encoding", "ce-specversion", "ce-id", "x-amzn-sagemaker-target-model", "authorization", "expect", "connection", "x-forwarded-for"]  # fmt: skip


def mutate_bytes(chance: random.Random, content: bytes) -> bytes:
    """One random change."""
    at = chance.randint(0, len(content))
    end = min(len(content), at + chance.randint(0, 12))
    match chance.randint(0, 5):
        case 0:
            return content[:at]
        case 1:
            return content[:at] + content[end:]
        case 2:
            return content[:at] + chance.choice(PIECES) + content[end:]
        case 3:
            return content[:at] + chance.randbytes(chance.randint(1, 4)) + content[end:]
        case 4:
            return content[:at] + content[at:end] * chance.randint(2, 40) + content[end:]
        case _:
            if not content:
                return b"\0"
            at = min(at, len(content) - 1)
            return (
                content[:at]
                + bytes([content[at] ^ (1 << chance.randint(0, 7))])
                + content[at + 1 :]
            )


def mutate_json(chance: random.Random, value: object) -> object:
    """A parsed body with one value somewhere replaced by another."""
    if isinstance(value, dict) and value and chance.random() < 0.8:
        key = chance.choice(list(value))
        if chance.random() < 0.15:
            return {name: one for name, one in value.items() if name != key}
        return {**value, key: mutate_json(chance, value[key])}
    if isinstance(value, list) and value and chance.random() < 0.7:
        index = chance.randrange(len(value))
        return [*value[:index], mutate_json(chance, value[index]), *value[index + 1 :]]
    return chance.choice(
        [None, True, 0, -1, 2, 1.5, 2**63, "", "good", "\0", "x" * 3000, [], [[]], {}, {"k": 1}, value, [value] * 3]
    )  # fmt: skip


def request(chance: random.Random) -> tuple[bytes, bool]:
    """A request's bytes, and whether its HTTP is still sound."""
    method, path, headers, body = chance.choice(GOOD)
    headers = dict(headers)
    path = path.replace("{}", chance.choice(NAMES[:3] if chance.random() < 0.8 else NAMES))
    kind = chance.random()
    if kind < 0.35 and body.startswith(b"{") and b"}\n{" not in body and body.endswith(b"}"):
        body = json.dumps(mutate_json(chance, json.loads(body))).encode()
    elif kind < 0.75:
        for _ in range(chance.randint(1, 3)):
            body = mutate_bytes(chance, body)
    if chance.random() < 0.25:
        headers[chance.choice(HEADERS)] = chance.choice(VALUES)
    if chance.random() < 0.05:
        method = chance.choice(METHODS)
    if chance.random() < 0.05:
        body = chance.choice(GOOD)[3]
    lines = [f"{method} {path or '/'} HTTP/1.1", "host: x", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines.append("connection: close")
    whole = "\r\n".join([*lines, "", ""]).encode() + body
    if chance.random() < 0.1:
        return mutate_bytes(chance, whole), False
    return whole, True


HOOKS = """
import schemathesis

@schemathesis.serializer("application/jsonlines")
def lines(context, value):
    return value.encode() if isinstance(value, str) else b""
"""
CHECKS = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")  # fmt: skip


def run_schemathesis(program: str, url: str, folder: Path, seed: int, examples: int) -> None:
    """Let Schemathesis test a server by its OpenAPI page; ends the process when it finds a fault."""
    (folder / "hooks.py").write_text(HOOKS)
    command = [program, "run", f"{url}/openapi.json", "--checks", ",".join(CHECKS)]
    command += ["--max-examples", str(examples), "--seed", str(seed)]
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(folder)}
    if subprocess.run(command, cwd=folder, env=environment, check=False).returncode:
        raise SystemExit("Schemathesis found a fault")


async def send(port: int, content: bytes, sound: bool, seconds: float) -> int:
    """Send a request and return the status of the answer; 0 when the connection was closed without one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(content)
        if not sound:
            writer.write_eof()
        async with asyncio.timeout(seconds):
            answer = await reader.read()
    except ConnectionError:
        return 0
    finally:
        writer.transport.abort()
    return int(answer[9:12]) if answer[:5] == b"HTTP/" else 0


async def fuzz(port: int, count: int, seed: int, connections: int = 16) -> collections.Counter[int]:
    """Send `count` requests and count the statuses of the answers.

    Raises:
        AssertionError: an answer with a status that no request may get, none to a sound request, or none in time.
    """
    chance = random.Random(seed)
    statuses: collections.Counter[int] = collections.Counter()
    left = iter(range(count))

    async def worker() -> None:
        for _ in left:
            content, sound = request(chance)
            try:
                status = await send(port, content, sound, 20)
            except TimeoutError:
                raise AssertionError(f"no answer within 20 s to {content!r}") from None
            assert status in ALLOWED or (status == 0 and not sound), f"{status} to {content!r}"
            statuses[status] += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(worker())
    return statuses


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--schemathesis", metavar="PROGRAM", help="run this as well")
    parser.add_argument("--examples", type=int, default=200, help="Schemathesis' for each route")
    arguments = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from serving.processes import spawn, write_classifier, write_vectors

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        flags = ["--model_name", "sentiment", "--model_dir", str(write_classifier(folder / "c"))]
        for model, subwords in (("vectors", False), ("subwords", True)):
            path = write_vectors(folder / model, subwords=subwords)
            flags += ["--model_name", model, "--model_dir", str(path)]
        served = spawn(folder / "log", flags)
        try:
            served.wait_until_ready()
            print(f"seed {arguments.seed}")
            started = time.monotonic()
            statuses = asyncio.run(fuzz(served.port, arguments.requests, arguments.seed))
            seconds = time.monotonic() - started
            if arguments.schemathesis:
                run_schemathesis(
                    arguments.schemathesis, served.url, folder, arguments.seed, arguments.examples
                )
            assert served.client.get("/ping").status_code == 200
            assert "Traceback" not in (log := served.log.read_text()), log[
                log.index("Traceback") - 500 :
            ][:3000]
            print(f"{sum(statuses.values())} requests in {seconds:.0f} s, none answered wrongly:")
            print(
                ", ".join(
                    f"{count} x {status or 'closed'}" for status, count in statuses.most_common()
                )
            )
        finally:
            served.stop()


if __name__ == "__main__":
    main()
