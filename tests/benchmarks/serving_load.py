"""Load on the model server, closed and open loop, against models that do nothing on the same server in the same run.

    python tests/benchmarks/serving_load.py                       # about 2 minutes
    python tests/benchmarks/serving_load.py --connections 1 4 16 64 --seconds 5 --rounds 5

One server process serves, at vector size 100, a classifier with word bigrams, word vectors with and without subwords, and for each
of them a model that does nothing: it reads the same bodies and returns answers of the same size. In the closed loop each connection
sends its next request when the last is answered; in the open loop requests are due at a fixed rate, whether or not the server keeps
up, and latency counts from when a request was due. Rounds alternate between a model and its do-nothing twin; ratios are medians over
rounds. `kserve` is a do-nothing model on KServe's own server and routes, in a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

DIM = 100
WORDS = 50_000
BUCKETS = 200_000
LABELS = 4
TEXT_WORDS = 12
DISTINCT = 64
GRPC_OFF = ["--enable_grpc", "false"]


def words() -> list[bytes]:
    return [b"w%d" % index for index in range(WORDS)]


def write_models(folder: Path) -> dict[str, Path]:
    """Random models of the usual sizes; what they answer does not matter here, how long it takes does."""
    from kftext.models import (
        Args,
        DenseMatrix,
        Dictionary,
        FastTextModel,
        Loss,
        Model,
        write_model,
    )

    generator = np.random.default_rng(1)

    def matrix(rows: int) -> DenseMatrix:
        return DenseMatrix(generator.standard_normal((rows, DIM), dtype=np.float32) * 0.1)

    counts = np.arange(WORDS, 0, -1)
    supervised = Args(
        dim=DIM,
        loss=Loss.SOFTMAX,
        model=Model.SUPERVISED,
        bucket=BUCKETS,
        minn=0,
        maxn=0,
        word_ngrams=2,
    )
    labels = [b"__label__%d" % index for index in range(LABELS)]
    dictionary = Dictionary(supervised, words(), counts, labels, np.ones(LABELS, np.int64))
    models = {
        "classifier": FastTextModel(supervised, dictionary, matrix(WORDS + BUCKETS), matrix(LABELS))
    }
    for name, bucket in (("vectors", 0), ("subwords", BUCKETS)):
        arguments = Args(dim=DIM, bucket=bucket, minn=3 if bucket else 0, maxn=6 if bucket else 0)
        models[name] = FastTextModel(
            arguments,
            Dictionary(arguments, words(), counts),
            matrix(WORDS + bucket),
            matrix(WORDS),
        )
    paths = {}
    for name, model in models.items():
        paths[name] = folder / f"{name}.bin"
        write_model(model, paths[name])
    return paths


def bodies(model: str, batch: int) -> list[bytes]:
    """Different request bodies, so that no answer comes from a cache of one text."""
    generator = np.random.default_rng(2)
    count = TEXT_WORDS if model == "classifier" else 1
    # Words are drawn as in text, most from the front of the vocabulary.
    ids = np.minimum(generator.zipf(1.2, (DISTINCT, batch, count)) - 1, WORDS - 1)
    return [
        json.dumps(
            {"instances": [" ".join(f"w{index}" for index in text) for text in row]}
        ).encode()
        for row in ids
    ]


def serve(arguments: argparse.Namespace) -> None:
    """The server process: each model and its twin that does nothing."""
    from kserve import model_server

    from kftext.models import Classifier, Prediction, WordVectors
    from kftext.serving.model import ServedModel
    from kftext.serving.options import Options
    from kftext.serving.server import Server

    class NoClassifier(Classifier):
        def predict(self, texts, k=1, threshold=0.0, *, threads=None):
            return [ANSWER] * len(texts)

    class NoVectors(WordVectors):
        def vectors(self, words):
            words = list(words)
            return CONSTANT[: len(words)]

    ANSWER = Prediction(["__label__1"], [0.31234567165374756])
    CONSTANT = np.random.default_rng(3).standard_normal((1000, DIM), dtype=np.float32) * 0.1
    models = []
    for name in ("classifier", "vectors", "subwords"):
        path = Path(arguments.models) / f"{name}.bin"
        twin = ServedModel(f"no-{name}", path)
        predictor = twin.loaded.predictor
        kind = NoClassifier if isinstance(predictor, Classifier) else NoVectors
        object.__setattr__(twin.target, "predictor", kind(predictor.model))
        models += [ServedModel(name, path), twin]
    flags, _ = model_server.parser.parse_known_args(["--http_port", str(arguments.port), *GRPC_OFF])
    Server(models, Options(host="127.0.0.1", access_log=arguments.access_log), flags).start()


def serve_kserve(arguments: argparse.Namespace) -> None:
    """KServe's own server, unchanged, with a model that does nothing."""
    import logging

    import kserve

    class Nothing(kserve.Model):
        def __init__(self):
            super().__init__("no-classifier")
            self.ready = True

        def predict(self, payload, headers=None):
            answer = {"prob": [0.31234567165374756], "label": ["__label__1"]}
            return {"predictions": [answer] * len(payload["instances"])}

    logging.disable(logging.CRITICAL)
    kserve.ModelServer(
        http_port=arguments.port, enable_grpc=False, enable_latency_logging=False
    ).start([Nothing()])


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


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if process.poll() is not None:
            raise SystemExit("the server did not start")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the server did not start within 60 s")


def cpu_seconds(process: int) -> float:
    """CPU time that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def with_cpu(process: int, run: Callable[[], Outcome]) -> Outcome:
    """Run a load, and note what it cost the server."""
    before = cpu_seconds(process)
    outcome = run()
    outcome.cpu = 1e6 * (cpu_seconds(process) - before) / max(1, len(outcome.milliseconds))
    return outcome


def compare(
    run: Callable[[str], Outcome], model: str, rounds: int
) -> tuple[Outcome, Outcome, float, float, float]:
    """Alternate between the model and its twin; the medians of the ratios of rate, p99 and CPU time, with the last outcomes."""
    rates, tails, costs = [], [], []
    for _ in range(rounds):
        real, nothing = run(model), run(f"no-{model}")
        rates.append(real.rate / nothing.rate)
        tails.append(real.percentile(99) / nothing.percentile(99))
        costs.append(nothing.cpu / real.cpu)
    return (
        real,
        nothing,
        statistics.median(rates),
        statistics.median(tails),
        statistics.median(costs),
    )


def report(
    name: str, real: Outcome, nothing: Outcome, rate: float, tail: float, cost: float
) -> None:
    print(
        f"{name:42} {real.rate:8.0f} {nothing.rate:8.0f} {rate:6.2f}   "
        f"{real.percentile(50):6.2f} {real.percentile(99):6.2f} {nothing.percentile(99):6.2f} {tail:6.2f}   "
        f"{real.cpu:6.0f} {nothing.cpu:6.0f} {cost:6.2f}"
        + (
            f"   {real.failures + nothing.failures} FAILED"
            if real.failures + nothing.failures
            else ""
        ),
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 100])
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--models", default="classifier,vectors,subwords")
    parser.add_argument("--access_log", action="store_true")
    parser.add_argument("--serve", choices=["ours", "kserve"], help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=18180, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        (serve if arguments.serve == "ours" else serve_kserve)(arguments)
        return
    with tempfile.TemporaryDirectory() as folder:
        write_models(Path(folder))
        processes = []
        try:
            for index, kind in enumerate(("ours", "kserve")):
                command = [sys.executable, __file__, "--serve", kind]
                command += ["--port", str(arguments.port + index), "--models", folder]
                command += ["--access_log"] if arguments.access_log else []
                processes.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))
            for index, process in enumerate(processes):
                wait_for(arguments.port + index, process)
            measure(arguments, [process.pid for process in processes])
        finally:
            for process in processes:
                process.send_signal(signal.SIGINT)
                process.wait(20)


def measure(arguments: argparse.Namespace, processes: list[int]) -> None:
    """All loads, and the table; `processes` are our server's and KServe's."""
    runner = asyncio.run
    if sys.platform != "win32":
        import uvloop

        runner = uvloop.run
    port, seconds = arguments.port, arguments.seconds
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}, vector size {DIM}")
    print(
        f"{'':42} {'req/s':>8} {'nothing':>8} {'ratio':>6}   {'p50 ms':>6} {'p99':>6} {'noth.':>6} {'ratio':>6}   {'CPU us':>6} {'noth.':>6} {'ratio':>6}"
    )
    for model in arguments.models.split(","):
        for batch in arguments.batches:
            texts = bodies(model, batch)
            for connections in arguments.connections:

                def closed(name: str) -> Outcome:
                    requests = [request_bytes(name, body) for body in texts]  # noqa: B023
                    load = closed_loop(port, requests, connections, seconds)  # noqa: B023
                    return with_cpu(processes[0], lambda: runner(load))

                closed(model)
                outcome = compare(closed, model, arguments.rounds)
                report(f"{model}, {batch} a request, {connections} connections", *outcome)
            rate = 0.5 * outcome[1].rate

            def opened(name: str) -> Outcome:
                requests = [request_bytes(name, body) for body in texts]  # noqa: B023
                load = open_loop(port, requests, rate, seconds)  # noqa: B023
                return with_cpu(processes[0], lambda: runner(load))

            outcome = compare(opened, model, arguments.rounds)
            report(f"{model}, {batch} a request, open at {rate:.0f}/s", *outcome)
    requests = [request_bytes("no-classifier", body) for body in bodies("classifier", 1)]
    for connections in arguments.connections:
        ours, theirs = (
            with_cpu(
                process, partial(runner, closed_loop(port + index, requests, connections, seconds))
            )
            for index, process in enumerate(processes)
        )
        print(
            f"nothing on KServe's own server, {connections:3} connections: {theirs.rate:6.0f} req/s, "
            f"p99 {theirs.percentile(99):.2f} ms; here {ours.rate:6.0f}, {ours.percentile(99):.2f} ms "
            f"({ours.rate / theirs.rate:.1f} x); CPU {theirs.cpu:.0f} and {ours.cpu:.0f} us a request"
        )


if __name__ == "__main__":
    main()
