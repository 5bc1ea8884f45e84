"""Connections of clients that do less, or ask for more, than HTTP/1.1 provides for."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import time
from collections.abc import Callable

import pytest

from serving.processes import Served

BODY = b'{"instances": ["good"]}'
HEAD = b"POST /v1/models/sentiment:predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n" % len(
    BODY
)
# What java.net.http.HttpClient sends with the first request to an address.
HTTP2_WISH = (
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    b"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n"
)


def receive(connection: socket.socket, count: int = 1) -> list[tuple[int, object]]:
    """The next answers' statuses and JSON."""
    answers = []
    with connection.makefile("rb") as stream:
        for _ in range(count):
            status = int(stream.readline().split()[1])
            length = 0
            while line := stream.readline().strip().lower():
                if line.startswith(b"content-length:"):
                    length = int(line.split()[1])
            answers.append((status, json.loads(stream.read(length))))
    return answers


def ask(server: Served, *parts: bytes, count: int = 1) -> list[tuple[int, object]]:
    """Send a request in parts, and receive the answers."""
    with socket.create_connection(("127.0.0.1", server.port), 120) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in parts:
            connection.sendall(part)
            time.sleep(0.01)
        return receive(connection, count)


@pytest.mark.parametrize("wish", [HTTP2_WISH, b"Connection: upgrade\r\nUpgrade: websocket\r\n"])
def test_a_body_arrives_though_its_client_asks_for_another_protocol(server: Served, wish):
    request = HEAD + wish + b"\r\n" + BODY
    chunked = request.replace(b"Content-Length: %d" % len(BODY), b"Transfer-Encoding: chunked")
    chunked = chunked.replace(BODY, b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY))
    ordinary = HEAD + b"\r\n" + BODY
    for parts, count in (
        ([request], 1),
        ([request[:30], request[30:150], request[150:-5], request[-5:]], 1),
        ([chunked], 1),
        ([request + ordinary + request], 3),
    ):
        answers = ask(server, *parts, count=count)
        for status, answer in answers:
            assert status == 200, answer
            assert answer["predictions"][0]["label"] == ["__label__pos"]
    assert "WebSocket" not in server.log.read_text()


@pytest.mark.parametrize(
    ("request_bytes", "status", "message"),
    [
        (b"nonsense\r\n\r\n", 400, "not an HTTP/1.1 request"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", 400, "not an HTTP/1.1 request"),
        (b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n", 400, "not a proxy"),
        (b"GET /ping HTTP/1.1\r\nX: " + b"x" * 70_000, 431, "longer than 65536 bytes"),
        (b"GET /" + b"x" * 70_000, 431, "longer than 65536 bytes"),
        (b"GET /ping HTTP/1.1\r\n" + b"X: y\r\n" * 12_000, 431, "longer than 65536 bytes"),
    ],
)
def test_what_is_no_request_is_refused_in_json(server: Served, request_bytes, status, message):
    ((found, answer),) = ask(server, request_bytes)
    assert found == status
    assert message in answer["error"]


DEADLINE = 3


@pytest.fixture(scope="module")
def impatient(serve, models) -> Served:
    """A server with a short deadline, and little room for answers that nobody reads: 32 bodies."""
    return serve(
        *("--model_dir", str(models["sentiment"])),
        *("--deadline_seconds", str(DEADLINE), "--max_body_bytes", "20000"),
    )


def connect_narrowly(server: Served) -> socket.socket:
    """A connection that lets through little that isn't read: short segments keep the kernel's buffers small."""
    connection = socket.socket()
    connection.settimeout(120)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
    connection.connect(("127.0.0.1", server.port))
    return connection


LONG_ANSWER = 500_000


def ask_for_much(connection: socket.socket) -> None:
    """Ask for an answer of more than `LONG_ANSWER` bytes."""
    body = json.dumps(
        {"instances": ["a"] * 4900, "configuration": {"k": 3}}, separators=(",", ":")
    ).encode()
    head = "POST /v1/models/model:predict HTTP/1.1\r\nHost: x\r\nContent-Length: "
    connection.sendall(f"{head}{len(body)}\r\n\r\n".encode() + body)


def test_a_client_that_reads_slowly_gets_its_answer(impatient: Served):
    with connect_narrowly(impatient) as connection:
        ask_for_much(connection)
        size, started = 0, time.monotonic()
        while size < LONG_ANSWER:
            size += len(connection.recv(4096))
            if time.monotonic() < started + 2 * DEADLINE and size < LONG_ANSWER - 100_000:
                time.sleep(0.05)
    assert "cut" not in impatient.log.read_text()


def test_clients_that_do_nothing_are_let_go(impatient: Served):
    with (
        socket.create_connection(("127.0.0.1", impatient.port), 120) as silent,
        socket.create_connection(("127.0.0.1", impatient.port), 120) as halting,
        connect_narrowly(impatient) as deaf,
    ):
        halting.sendall(b"POST /v1/mod")
        ask_for_much(deaf)
        assert silent.recv(1) == b""
        ((status, answer),) = receive(halting)
        assert status == 408
        assert "did not arrive" in answer["error"]
        wait_for(lambda: logged(impatient, f"did nothing for {DEADLINE} s") == 3)
        with contextlib.suppress(ConnectionResetError):
            size = 0
            while received := deaf.recv(1 << 20):
                size += len(received)
        assert size < LONG_ANSWER


def logged(server: Served, reason: str) -> int:
    """How many connections the server has cut for a reason."""
    cuts = re.findall(r"connections cut: (\d+), since (.*)", server.log.read_text())
    return sum(int(count) for count, found in cuts if reason in found)


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def test_answers_that_nobody_reads_do_not_pile_up(impatient: Served):
    """Each is within the limits; together they are more than the server keeps, and it doesn't wait for their deadline."""
    reason = "more than 640000 bytes of answers are not read"

    def cut() -> bool:
        with contextlib.ExitStack() as stack:
            for _ in range(10):
                ask_for_much(stack.enter_context(connect_narrowly(impatient)))
            time.sleep(2.5)
        return logged(impatient, reason) > 0

    wait_for(cut)
    assert impatient.predict("model", {"instances": ["good"]}).status_code == 200
