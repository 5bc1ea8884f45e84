"""What the training benchmarks share: rivals run in turns with ours, CPU and wall seconds, medians and spread."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FASTTEXT = ROOT / ".oracle" / "bin" / "fasttext"


@dataclass(frozen=True)
class Cost:
    """Seconds of one run."""

    cpu: float
    wall: float

    def __sub__(self, other: Cost) -> Cost:
        return Cost(max(self.cpu - other.cpu, 1e-3), max(self.wall - other.wall, 1e-3))


def need_fasttext() -> None:
    if not FASTTEXT.exists():
        sys.exit(f"error: {FASTTEXT} is not there: build it with `make oracle`")


def need_data() -> Path:
    name = os.environ.get("KFTEXT_DATA")
    if not name:
        sys.exit("error: KFTEXT_DATA names the folder of the real data sets (docs/data.md)")
    return Path(name)


def run_command(*command: str | Path) -> Cost:
    """Run a command and return what it cost, start and end of the process included."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"error: {command} failed:\n{errors.decode()[-2000:]}")
    return Cost(usage.ru_utime + usage.ru_stime, time.perf_counter() - start)


class Contestant:
    """A Python process that answers tasks: it reads its data and compiles its kernels once, before anything is measured."""

    def __init__(self, script: str, name: str):
        self._process = subprocess.Popen(
            [sys.executable, script, "--contestant", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )

    def ask(self, **task: Any) -> dict[str, Any]:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            sys.exit(f"error: a contestant ended at the task {task}")
        return json.loads(answer)

    def cost(self, **task: Any) -> Cost:
        answer = self.ask(**task)
        return Cost(answer["cpu"], answer["wall"])

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()


def answer_tasks(handlers: dict[str, Any]) -> None:
    """Be a contestant: call handlers[task["do"]] for each line of stdin."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    for line in sys.stdin:
        task = json.loads(line)
        answers.write(json.dumps(handlers[task.pop("do")](**task)) + "\n")
        answers.flush()


class Stopwatch:
    def __enter__(self) -> Stopwatch:
        self._cpu, self._wall = time.process_time(), time.perf_counter()
        return self

    def __exit__(self, *error: object) -> None:
        self.seconds = {
            "cpu": time.process_time() - self._cpu,
            "wall": time.perf_counter() - self._wall,
        }


@dataclass
class Row:
    """One line of the table: rounds of ours and a rival's, run in turns."""

    name: str
    unit: str
    """What is counted a second: "cpu" for one thread, "wall" for many."""
    amount: float
    target: float | None = None
    ours: list[Cost] = field(default_factory=list)
    rival: list[Cost] = field(default_factory=list)

    def line(self) -> str:
        ours, rival = (
            [self.amount / getattr(cost, self.unit) / 1e6 for cost in costs]
            for costs in (self.ours, self.rival)
        )
        ratios = [a / b for a, b in zip(ours, rival, strict=True)]
        target = "" if self.target is None else f"{self.target:g} x"
        return f"| {self.name} | {self.unit} | {spread(rival)} | {spread(ours)} | {spread(ratios)} | {target} |"


def spread(
    values: Sequence[float], middle: Callable[[Sequence[float]], float] = statistics.median
) -> str:
    """Return "median (least to greatest)", or another middle."""
    if len(values) == 1:
        return f"{values[0]:.3g}"
    return f"{middle(values):.3g} ({min(values):.3g} to {max(values):.3g})"


TABLE_HEAD = (
    "| | seconds | rival, M/s | kftext, M/s | ratio | to reach |\n|---|---|---|---|---|---|"
)


def thread_rows(threads: int, one: float, many: float) -> list[tuple[int, float]]:
    """Return (threads, ratio to reach) of the rows with one thread and, unless that is all there is, with many."""
    return [(1, one), (threads, many)] if threads > 1 else [(1, one)]


def machine() -> str:
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        "unknown CPU",
    )  # fmt: skip
    load = os.getloadavg()[0]
    return f"{model}, {len(os.sched_getaffinity(0))} cores, load {load:.1f} at the start"
