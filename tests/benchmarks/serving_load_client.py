"""Load over HTTP: a closed loop and an open one, by a client that costs little itself."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np


class Connection(asyncio.Protocol):
    """One keep-alive HTTP/1.1 connection; answers come in the order of the requests."""

    def __init__(self, on_answer: Callable[[Connection, int], None]):
        self.on_answer = on_answer
        self.buffer = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport):
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.transport = transport

    def data_received(self, data):
        self.buffer += data
        while True:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self.buffer[:end].lower()
            start = head.index(b"content-length:") + 15
            length = int(head[start : (head + b"\r\n").index(b"\r\n", start)])
            if len(self.buffer) < end + 4 + length:
                return
            self.buffer = self.buffer[end + 4 + length :]
            self.on_answer(self, int(head[9:12]))


def request_bytes(model: str, body: bytes) -> bytes:
    head = (
        f"POST /v1/models/{model}:predict HTTP/1.1\r\nhost: 127.0.0.1\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@dataclass(frozen=True)
class Stretch:
    """How long a model is asked before it is another's turn, in seconds, and how often it has its turn."""

    seconds: float
    turns: int


@dataclass(frozen=True)
class Outcome:
    """What one stretch of load gave."""

    rate: float
    milliseconds: np.ndarray
    failures: int
    cpu: float
    """Microseconds of the server's CPU time for each request: what a rate on a busy machine does not show."""

    def percentile(self, share: float) -> float:
        return float(np.percentile(self.milliseconds, share)) if len(self.milliseconds) else 0.0


async def closed_loop(
    port: int,
    models: Sequence[list[bytes]],
    connections: int,
    stretch: Stretch,
    cpu_seconds: Callable[[], float],
) -> list[list[Outcome]]:
    """Each connection sends its next request when the last one is answered.

    The models are asked in turns, a stretch of time each, over the same connections: what else happens on the machine in a second
    happens to all of them.

    Args:
        port: of the server, on this machine.
        models: requests for each model.
        connections: how many there are.
        stretch: seconds of a turn, and how many turns each model has.
        cpu_seconds: CPU time that the server has used.

    Returns:
        For each model, what each of its turns gave.
    """
    loop = asyncio.get_running_loop()
    sent: dict[Connection, float] = {}
    latencies: list[float] = []
    requests = models[0]
    failures = position = 0
    end = 0.0
    done = asyncio.Event()

    def send(connection: Connection) -> None:
        nonlocal position
        position += 1
        sent[connection] = time.perf_counter()
        connection.transport.write(requests[position % len(requests)])

    def answered(connection: Connection, status: int) -> None:
        nonlocal failures
        now = time.perf_counter()
        latencies.append(now - sent.pop(connection))
        failures += status != 200
        if now < end:
            send(connection)
        elif not sent:
            done.set()

    opened = []
    for _ in range(connections):
        _, connection = await loop.create_connection(
            lambda: Connection(answered), "127.0.0.1", port
        )
        opened.append(connection)
    outcomes: list[list[Outcome]] = [[] for _ in models]
    for _ in range(stretch.turns):
        for chosen, found in zip(models, outcomes, strict=True):
            requests, latencies, failures = chosen, [], 0
            done.clear()
            before, started = cpu_seconds(), time.perf_counter()
            end = started + stretch.seconds
            for connection in opened:
                send(connection)
            await done.wait()
            elapsed, spent = time.perf_counter() - started, cpu_seconds() - before
            found.append(
                Outcome(
                    len(latencies) / elapsed,
                    np.array(latencies) * 1000,
                    failures,
                    1e6 * spent / len(latencies),
                )
            )
    for connection in opened:
        connection.transport.close()
    return outcomes


async def open_loop(
    port: int,
    requests: list[bytes],
    rate: float,
    seconds: float,
    cpu_seconds: Callable[[], float],
) -> Outcome:
    """Requests are due at exponential intervals; a free connection takes the next, a new one is opened where none is free."""
    loop = asyncio.get_running_loop()
    gaps = np.random.default_rng(4).exponential(1 / rate, int(rate * seconds))
    due = np.cumsum(gaps)
    latencies: list[float] = []
    free: deque[Connection] = deque()
    waiting: dict[Connection, float] = {}
    failures = 0

    def answered(connection: Connection, status: int) -> None:
        nonlocal failures
        latencies.append(time.perf_counter() - waiting.pop(connection))
        failures += status != 200
        free.append(connection)

    for _ in range(64):
        _, connection = await loop.create_connection(
            lambda: Connection(answered), "127.0.0.1", port
        )
        free.append(connection)
    before, started = cpu_seconds(), time.perf_counter()
    for index, moment in enumerate(due):
        delay = started + moment - time.perf_counter()
        if delay > 0.0005:
            await asyncio.sleep(delay)
        while not free:
            await asyncio.sleep(0.001)
        connection = free.popleft()
        waiting[connection] = started + moment
        connection.transport.write(requests[index % len(requests)])
    while waiting:
        await asyncio.sleep(0.005)
    elapsed, spent = time.perf_counter() - started, cpu_seconds() - before
    for connection in free:
        connection.transport.close()
    return Outcome(
        len(latencies) / elapsed,
        np.array(latencies) * 1000,
        failures,
        1e6 * spent / len(latencies),
    )
