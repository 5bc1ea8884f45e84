"""Load over HTTP: a closed loop and an open one, by a client that costs little itself."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import deque
from collections.abc import Callable
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


@dataclass
class Outcome:
    """What one stretch of load gave."""

    rate: float
    milliseconds: np.ndarray
    failures: int
    cpu: float = 0.0
    """Microseconds of the server's CPU time for each request: what a rate on a busy machine does not show."""

    def percentile(self, share: float) -> float:
        return float(np.percentile(self.milliseconds, share)) if len(self.milliseconds) else 0.0


async def closed_loop(
    port: int, requests: list[bytes], connections: int, seconds: float
) -> Outcome:
    """Each connection sends its next request when the last one is answered."""
    loop = asyncio.get_running_loop()
    latencies: list[float] = []
    sent: dict[Connection, float] = {}
    failures = 0
    position = 0
    running = True

    def send(connection: Connection) -> None:
        nonlocal position
        position += 1
        sent[connection] = time.perf_counter()
        connection.transport.write(requests[position % len(requests)])

    def answered(connection: Connection, status: int) -> None:
        nonlocal failures
        latencies.append(time.perf_counter() - sent[connection])
        failures += status != 200
        if running:
            send(connection)

    opened = []
    for _ in range(connections):
        _, connection = await loop.create_connection(
            lambda: Connection(answered), "127.0.0.1", port
        )
        opened.append(connection)
    started = time.perf_counter()
    for connection in opened:
        send(connection)
    await asyncio.sleep(seconds)
    running = False
    elapsed = time.perf_counter() - started
    count = len(latencies)
    await asyncio.sleep(0.2)
    for connection in opened:
        connection.transport.close()
    return Outcome(count / elapsed, np.array(latencies) * 1000, failures)


async def open_loop(port: int, requests: list[bytes], rate: float, seconds: float) -> Outcome:
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
    started = time.perf_counter()
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
    elapsed = time.perf_counter() - started
    for connection in free:
        connection.transport.close()
    return Outcome(len(latencies) / elapsed, np.array(latencies) * 1000, failures)
