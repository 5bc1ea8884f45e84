"""Load on the model server, closed and open loop, against models that do nothing on the same server in the same run.

    python tests/benchmarks/serving_load.py                       # about 12 minutes
    python tests/benchmarks/serving_load.py --models classifier,vectors --connections 1 16 --batches 1 --rounds 10

One server process serves, at vector size 100, a classifier with word bigrams, word vectors with and without subwords, and a TensorFlow
classifier over word vectors, beside models that do nothing: they read the same bodies and return answers of the same size. In the
closed loop each connection sends its next request when the last is answered; in the open loop requests are due at a fixed rate,
whether or not the server keeps up, and latency counts from when a request was due. A model and its do-nothing twin take turns of a
quarter of a second; ratios are medians over pairs of turns, with their quartiles. `bert` is an encoder of BERT-base's size, once with micro-batching and once without, for texts of
4 words and of 12: the longer a text, the better it fills the processor by itself, and the less there is to gain. `kserve` is
a do-nothing model on KServe's own server and routes. Both have processes of their own.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import uvloop

sys.path.insert(0, str(Path(__file__).parent))

from serving_load_client import Outcome, Stretch, closed_loop, open_loop, request_bytes
from serving_load_models import (
    BERT,
    BERT_WORDS,
    DIM,
    FASTTEXT,
    TOGETHER,
    VECTOR_ENCODER,
    batching_gain,
    bodies,
    serve,
    serve_kserve,
    twin_of,
    write_bert,
    write_models,
    write_vector_encoder,
)

KSERVE = "kserve"
BERT_SECONDS, KSERVE_SECONDS = 6.0, 1.5
OPEN_SECONDS, OPEN_ROUNDS = 1.0, 3
HEAD = ("req/s", "nothing", "ratio", "p50 ms", "p99", "nothing", "ratio", "CPU us", "nothing", "ratio")  # fmt: skip


@dataclass(frozen=True)
class Server:
    """A server process under load."""

    process: int
    port: int

    def cpu_seconds(self) -> float:
        """CPU time that it has used."""
        threads = Path(f"/proc/{self.process}/task").glob("*/schedstat")
        return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9

    def closed(
        self, models: Sequence[str], texts: list[bytes], connections: int, stretch: Stretch
    ) -> list[list[Outcome]]:
        """Ask models in turns, each request when the one before it is answered; one turn more than told warms up."""
        requests = [[request_bytes(model, body) for body in texts] for model in models]
        turns = replace(stretch, turns=stretch.turns + 1)
        outcomes = uvloop.run(
            closed_loop(self.port, requests, connections, turns, self.cpu_seconds)
        )
        return [found[1:] for found in outcomes]

    def open(self, model: str, texts: list[bytes], rate: float, seconds: float) -> Outcome:
        """Ask a model at a fixed rate."""
        requests = [request_bytes(model, body) for body in texts]
        return uvloop.run(open_loop(self.port, requests, rate, seconds, self.cpu_seconds))


@contextlib.contextmanager
def server(arguments: argparse.Namespace, names: str, max_batch_size: int = 64) -> Iterator[Server]:
    """Start a server of some of the models, and stop it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [sys.executable, __file__, "--serve", "--port", str(port), "--names", names]
    command += ["--folder", arguments.folder, "--max_batch_size", str(max_batch_size)]
    command += ["--access_log"] if arguments.access_log else []
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 180
        while True:
            if process.poll() is not None or time.monotonic() > end:
                raise SystemExit("the server did not start")
            page = f"http://127.0.0.1:{port}/v1/models"
            with contextlib.suppress(OSError), urllib.request.urlopen(page, timeout=20):
                break
            time.sleep(0.1)
        yield Server(process.pid, port)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def middle(values: Iterable[float]) -> tuple[float, float, float]:
    """Median, lower and upper quartile."""
    low, median, high = np.percentile(list(values), (25, 50, 75))
    return float(median), float(low), float(high)


def show(name: str, real: Sequence[Outcome], nothing: Sequence[Outcome]) -> None:
    """Print the medians over the turns, and of the ratios between a model's turns and those of the model that does nothing."""
    pairs = list(zip(real, nothing, strict=True))
    rate, low, high = middle(one.rate / other.rate for one, other in pairs)
    cost, _, _ = middle(other.cpu / one.cpu for one, other in pairs)
    tails = [
        float(np.percentile(np.concatenate([one.milliseconds for one in outcomes]), 99))
        for outcomes in (real, nothing)
    ]
    figures = [
        (statistics.median(one.rate for one in outcomes), statistics.median(one.cpu for one in outcomes))
        for outcomes in (real, nothing)
    ]  # fmt: skip
    (real_rate, real_cpu), (nothing_rate, nothing_cpu) = figures
    half = statistics.median(one.percentile(50) for one in real)
    failures = sum(one.failures for outcomes in (real, nothing) for one in outcomes)
    print(
        f"{name:42} {real_rate:8.0f} {nothing_rate:8.0f} {rate:6.2f} ({low:.2f}-{high:.2f})   {half:7.2f}"
        f" {tails[0]:7.2f} {tails[1]:7.2f} {tails[0] / tails[1]:6.2f}   "
        f"{real_cpu:6.0f} {nothing_cpu:7.0f} {cost:6.2f}"
        + f"   {failures} FAILED"
        * bool(failures),
        flush=True,
    )


def measure(arguments: argparse.Namespace, ours: Server, models: list[str]) -> None:
    """All loads on the models that have a twin."""
    first, *rest = HEAD
    print(f"{'':42} {first:>8} {rest[0]:>8} {rest[1]:>6} (quartiles)   {rest[2]:>7} {rest[3]:>7} {rest[4]:>7}"
          f" {rest[5]:>6}   {rest[6]:>6} {rest[7]:>7} {rest[8]:>6}")  # fmt: skip
    for model, batch in itertools.product(models, arguments.batches):
        texts = bodies(model, batch)
        pair = (model, twin_of(model))
        for connections in arguments.connections:
            stretch = Stretch(arguments.seconds, arguments.rounds)
            real, nothing = ours.closed(pair, texts, connections, stretch)
            show(f"{model}, {batch} a request, {connections} connections", real, nothing)
        rate = 0.5 * statistics.median(one.rate for one in nothing)
        turns = [
            [ours.open(name, texts, rate, OPEN_SECONDS) for name in pair]
            for _ in range(OPEN_ROUNDS)
        ]
        show(f"{model}, {batch} a request, open, {rate:.0f}/s", *zip(*turns, strict=True))


def measure_batching(arguments: argparse.Namespace) -> None:
    """BERT with micro-batching and without, and what batching gives at most: the same calls without a server."""
    cases = [(words, connections) for words in BERT_WORDS for connections in arguments.connections]
    found: dict[int, list[Outcome]] = {}
    for size in (64, 1):
        with server(arguments, BERT, size) as one:
            found[size] = []
            for words, connections in cases:
                texts = bodies(BERT, 1, words)
                ((outcome,),) = one.closed([BERT], texts, connections, Stretch(BERT_SECONDS, 1))
                found[size].append(outcome)
    for (words, connections), together, alone in zip(cases, found[64], found[1], strict=True):
        print(
            f"bert, {words:2} words, {connections:3} connections: {together.rate:6.1f} req/s with micro-batching, p99"
            f" {together.percentile(99):.0f} ms; {alone.rate:6.1f} and {alone.percentile(99):.0f} ms without:"
            f" {together.rate / alone.rate:.1f} x" + f"   {together.failures + alone.failures} FAILED"
            * bool(together.failures + alone.failures),
            flush=True,
        )  # fmt: skip
    for words in BERT_WORDS:
        alone, each = batching_gain(Path(arguments.folder), words)
        print(
            f"bert, {words:2} words, without a server: {1e3 * alone:.1f} ms for a text alone,"
            f" {1e3 * each:.1f} ms for one of {TOGETHER} in a call: {alone / each:.1f} x",
            flush=True,
        )


def measure_kserve(arguments: argparse.Namespace, ours: Server) -> None:
    """The do-nothing model on this server and on KServe's own."""
    texts = bodies("classifier", 1)
    with server(arguments, KSERVE) as theirs:
        for connections in arguments.connections:
            there, here = (
                one.closed(["no-classifier"], texts, connections, Stretch(KSERVE_SECONDS, 1))[0][0]
                for one in (theirs, ours)
            )
            print(
                f"nothing on KServe's own server, {connections:3} connections: {there.rate:6.0f} req/s, p99 "
                f"{there.percentile(99):.2f} ms; here {here.rate:6.0f}, {here.percentile(99):.2f} ms "
                f"({here.rate / there.rate:.1f} x); CPU {there.cpu:.0f} and {here.cpu:.0f} us a request",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 100])
    parser.add_argument("--seconds", type=float, default=0.25, help="of a turn")
    parser.add_argument("--rounds", type=int, default=20, help="turns of each model")
    parser.add_argument("--models", default=",".join([*FASTTEXT, VECTOR_ENCODER, BERT, KSERVE]))
    parser.add_argument("--access_log", action="store_true")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    for name, kind in {"port": int, "names": str, "folder": str, "max_batch_size": int}.items():
        parser.add_argument(f"--{name}", type=kind, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        (serve_kserve if arguments.names == KSERVE else serve)(arguments)
        return
    print(
        f"{len(os.sched_getaffinity(0))} cores, Python {sys.version.split()[0]}, vector size {DIM}"
    )
    wanted = arguments.models.split(",")
    with tempfile.TemporaryDirectory() as arguments.folder:
        folder = Path(arguments.folder)
        vectors = write_models(folder)["vectors"]
        names = list(FASTTEXT)
        if VECTOR_ENCODER in wanted:
            write_vector_encoder(folder, vectors)
            names.append(VECTOR_ENCODER)
        with server(arguments, ",".join(names)) as ours:
            measure(arguments, ours, [name for name in wanted if name in names])
            if KSERVE in wanted:
                measure_kserve(arguments, ours)
        if BERT in wanted:
            write_bert(folder)
            measure_batching(arguments)


if __name__ == "__main__":
    main()
