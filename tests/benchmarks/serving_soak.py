"""Two servers behind a client that spreads its requests over both: valid and invalid traffic, reloads, and a SIGTERM in the middle.

    python tests/benchmarks/serving_soak.py                       # 20 minutes
    python tests/benchmarks/serving_soak.py --minutes 2 --reload_every 5

Each answer is checked against what one of the two models that take turns would answer. In the middle one server gets a SIGTERM while
requests are in flight, drains, and is started again. Fails on a wrong answer, on a 5xx other than 503, on a request lost to a server
that said it was ready, and when memory grows by more than 5 % from a quarter of the time to its end.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import httpx

TEXTS = [
    "good movie",
    "bad",
    "fine movie good",
    "nothing known",
    "",
    "good " * 50,
    "bad fine " * 400,
]


class Soak:
    """The state of a run."""

    def __init__(self, folder: Path, weights: tuple[float, float]):
        from kftext.models import load
        from serving.processes import write_classifier

        self.folder = folder
        self.versions = [write_classifier(folder / f"{weight}", weight) for weight in weights]
        predictors = [load(path) for path in self.versions]
        self.expected = [
            {
                text: [
                    {"prob": one.probabilities, "label": one.labels}
                    for one in predictor.predict([text], k=3)
                ]
                for text in TEXTS
            }
            for predictor in predictors
        ]
        self.model = folder / "model"
        self.model.mkdir()
        self.current = 0
        self.place()
        self.counts: Counter[str] = Counter()
        self.latencies: list[float] = []
        self.draining: set[int] = set()
        self.servers: list[object] = []
        self.running = True
        self.started = time.monotonic()

    def place(self) -> None:
        """Put the other model where the servers look, by renaming."""
        self.current = 1 - self.current
        temporary = self.folder / "new.bin"
        shutil.copy(self.versions[self.current] / "model.bin", temporary)
        temporary.rename(self.model / "model.bin")

    def start(self):
        """A server process that looks for changes each second."""
        from serving.processes import spawn

        flags = ["--model_name", "m", "--model_dir", str(self.model), "--reload_seconds", "0.5"]
        log = self.folder / f"log-{time.monotonic_ns()}"
        served = spawn(log, [*flags, "--no_access_log", "--drain_seconds", "5"])
        served.wait_until_ready()
        return served

    def right(self, texts: list[str], predictions: list[object]) -> bool:
        """Whether all predictions of one answer come from one and the same model."""
        return any(
            predictions == [one for text in texts for one in expected[text]]
            for expected in self.expected
        )


async def worker(soak: Soak, chance: random.Random) -> None:
    """Ask until the end."""
    async with httpx.AsyncClient(timeout=40) as client:
        while soak.running:
            ready = [one for one in range(2) if one not in soak.draining]
            index = chance.choice(ready)
            served = soak.servers[index]
            url = f"{served.url}/v1/models/m:predict"
            started = time.perf_counter()
            try:
                if chance.random() < 0.2:
                    bad = chance.choice(
                        [b"", b"{", b'{"instances": [1]}', b'"x"', b" " * 9_000_000]
                    )
                    answer = await client.post(url, content=bad)
                    valid = False
                else:
                    texts = chance.choices(TEXTS, k=chance.choice([1, 1, 1, 10, 200]))
                    body = {"instances": texts, "configuration": {"k": 3}}
                    answer = await client.post(url, json=body)
                    valid = True
            except httpx.TransportError as error:
                # A connection that the server closed while idle, or one to the port that a drained server has closed.
                kind = "closed by a draining server" if index in soak.draining else "lost"
                soak.counts[kind] += 1
                if kind == "lost":
                    print(
                        f"lost: {type(error).__name__} from server {index} at {time.monotonic() - soak.started:.1f} s",
                        flush=True,
                    )
                continue
            soak.latencies.append(time.perf_counter() - started)
            soak.counts[str(answer.status_code)] += 1
            if valid and answer.status_code == 200:
                if not soak.right(texts, answer.json()["predictions"]):
                    soak.counts["WRONG"] += 1
                    print("wrong:", texts[:3], json.dumps(answer.json())[:500], flush=True)
            elif (valid and answer.status_code != 503) or (
                not valid and answer.status_code not in (400, 413, 503)
            ):
                soak.counts["WRONG"] += 1


def memory(served) -> int:
    """Resident bytes."""
    return int(Path(f"/proc/{served.process.pid}/statm").read_text().split()[1]) * 4096


async def run(soak: Soak, minutes: float, reload_every: float, connections: int) -> None:
    """The whole run."""
    soak.servers = [await asyncio.to_thread(soak.start) for _ in range(2)]
    tasks = [asyncio.create_task(worker(soak, random.Random(seed))) for seed in range(connections)]
    started = time.monotonic()
    reloaded = started
    at_quarter = 0
    stopped = False
    while (elapsed := time.monotonic() - started) < minutes * 60:
        await asyncio.sleep(0.2)
        if time.monotonic() - reloaded > reload_every:
            soak.place()
            reloaded = time.monotonic()
            soak.counts["reloads"] += 1
        if not at_quarter and elapsed > minutes * 15:
            at_quarter = memory(soak.servers[0])
        if not stopped and elapsed > minutes * 30:
            stopped = True
            tasks.append(asyncio.create_task(replace(soak)))
    soak.running = False
    await asyncio.gather(*tasks)
    now = memory(soak.servers[0])
    rates = sum(1 for _ in soak.latencies) / (minutes * 60)
    latencies = sorted(soak.latencies)
    print(dict(soak.counts))
    print(
        f"{rates:.0f} req/s, p50 {1000 * latencies[len(latencies) // 2]:.1f} ms, p99 {1000 * latencies[len(latencies) * 99 // 100]:.1f} ms;"
        f" memory {at_quarter / 2**20:.1f} MiB at a quarter, {now / 2**20:.1f} MiB at the end ({now / at_quarter - 1:+.1%})"
    )
    server_errors = [code for code in soak.counts if code.startswith("5") and code != "503"]
    for served in soak.servers:
        assert "Traceback" not in served.log.read_text(), served.log.read_text()[-3000:]
    assert not soak.counts["WRONG"] and not soak.counts["lost"] and not server_errors
    assert now < 1.05 * at_quarter
    print("passed")


async def replace(soak: Soak) -> None:
    """End the second server as a cluster does, and start another in its place."""
    served = soak.servers[1]
    # What a cluster's endpoints do: the readiness probe fails, and traffic goes elsewhere a moment later.
    async with httpx.AsyncClient() as client:
        served.process.send_signal(signal.SIGTERM)
        while (await client.get(served.url + "/v2/health/ready")).status_code != 503:
            await asyncio.sleep(0.1)
    await asyncio.sleep(0.5)
    soak.draining.add(1)
    assert await asyncio.to_thread(served.process.wait, 60) == 0
    soak.servers[1] = await asyncio.to_thread(soak.start)
    soak.draining.discard(1)
    soak.counts["restarts"] += 1


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--reload_every", type=float, default=10, help="seconds")
    parser.add_argument("--connections", type=int, default=8)
    arguments = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parents[1]))
    with tempfile.TemporaryDirectory() as name:
        soak = Soak(Path(name), (2.0, 6.0))
        try:
            asyncio.run(run(soak, arguments.minutes, arguments.reload_every, arguments.connections))
        finally:
            for served in soak.servers:
                served.stop()


if __name__ == "__main__":
    main()
