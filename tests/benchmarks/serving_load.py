"""Load on the model server, closed and open loop, against models that do nothing on the same server in the same run.

    python tests/benchmarks/serving_load.py                       # about 12 minutes
    python tests/benchmarks/serving_load.py --models classifier,vectors --connections 1 16 --batches 1 --rounds 5

One server process serves, at vector size 100, a classifier with word bigrams, word vectors with and without subwords, and a TensorFlow
classifier over word vectors, beside models that do nothing: they read the same bodies and return answers of the same size. In the
closed loop each connection sends its next request when the last is answered; in the open loop requests are due at a fixed rate,
whether or not the server keeps up, and latency counts from when a request was due. Rounds alternate between a model and its do-nothing
twin; ratios are medians over rounds. `bert` is an encoder of BERT-base's size, once with micro-batching and once without, for texts of
4 words and of 12: the longer a text, the better it fills the processor by itself, and the less there is to gain. `kserve` is
a do-nothing model on KServe's own server and routes. Both have processes of their own.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).parent))

from serving_load_client import Outcome, closed_loop, open_loop, request_bytes
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
HEAD = ("req/s", "nothing", "ratio", "p50 ms", "p99", "nothing", "ratio", "CPU us", "nothing", "ratio")  # fmt: skip


@dataclass(frozen=True)
class Server:
    """A server process under load."""

    process: int
    port: int

    def cpu_seconds(self) -> float:
        """CPU time that it has used."""
        fields = Path(f"/proc/{self.process}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def load(self, kind: Callable[..., object], model: str, texts: list[bytes], *rest: float):
        """Ask a model, and note what it cost the server."""
        requests = [request_bytes(model, body) for body in texts]
        before = self.cpu_seconds()
        outcome: Outcome = uvloop.run(kind(self.port, requests, *rest))
        spent = self.cpu_seconds() - before
        outcome.cpu = 1e6 * spent / max(1, len(outcome.milliseconds))
        return outcome


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


def compare(name: str, model: str, run: Callable[[str], Outcome], rounds: int) -> Outcome:
    """Alternate between the model and its twin, and print the medians of the ratios; return the twin's last outcome."""
    rates, tails, costs = [], [], []
    failures = 0
    for _ in range(rounds):
        real, nothing = run(model), run(twin_of(model))
        rates.append(real.rate / nothing.rate)
        tails.append(real.percentile(99) / nothing.percentile(99))
        costs.append(nothing.cpu / real.cpu)
        failures += real.failures + nothing.failures
    rate, tail, cost = map(statistics.median, (rates, tails, costs))
    print(
        f"{name:42} {real.rate:8.0f} {nothing.rate:8.0f} {rate:6.2f}   {real.percentile(50):7.2f}"
        f" {real.percentile(99):7.2f} {nothing.percentile(99):7.2f} {tail:6.2f}   "
        f"{real.cpu:6.0f} {nothing.cpu:7.0f} {cost:6.2f}"
        + f"   {failures} FAILED"
        * bool(failures),
        flush=True,
    )
    return nothing


def measure(arguments: argparse.Namespace, ours: Server, models: list[str]) -> None:
    """All loads on the models that have a twin."""
    first, *rest = HEAD
    print(f"{'':42} {first:>8} {rest[0]:>8} {rest[1]:>6}   {rest[2]:>7} {rest[3]:>7} {rest[4]:>7}"
          f" {rest[5]:>6}   {rest[6]:>6} {rest[7]:>7} {rest[8]:>6}")  # fmt: skip
    seconds = arguments.seconds
    for model in models:
        for batch in arguments.batches:
            texts = bodies(model, batch)
            for connections in arguments.connections:
                run = partial(_closed, ours, texts, connections, seconds)
                run(model)
                name = f"{model}, {batch} a request, {connections} connections"
                nothing = compare(name, model, run, arguments.rounds)
            rate = 0.5 * nothing.rate
            run = partial(_open, ours, texts, rate, seconds)
            compare(f"{model}, {batch} a request, open, {rate:.0f}/s", model, run, arguments.rounds)


def _closed(
    ours: Server, texts: list[bytes], connections: int, seconds: float, model: str
) -> Outcome:
    return ours.load(closed_loop, model, texts, connections, seconds)


def _open(ours: Server, texts: list[bytes], rate: float, seconds: float, model: str) -> Outcome:
    return ours.load(open_loop, model, texts, rate, seconds)


def measure_batching(arguments: argparse.Namespace) -> None:
    """BERT with micro-batching and without, and what batching gives at most: the same calls without a server."""
    cases = [(words, connections) for words in BERT_WORDS for connections in arguments.connections]
    found: dict[int, list[Outcome]] = {}
    for size in (64, 1):
        with server(arguments, BERT, size) as one:
            found[size] = []
            for words, connections in cases:
                texts = bodies(BERT, 1, words)
                one.load(closed_loop, BERT, texts, connections, 2 * arguments.seconds)
                found[size].append(
                    one.load(closed_loop, BERT, texts, connections, 4 * arguments.seconds)
                )
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
                one.load(closed_loop, "no-classifier", texts, connections, arguments.seconds)
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
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--rounds", type=int, default=3)
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
