"""The oracle: the real fasttext package, asked through a process of its own environment."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ENVIRONMENT = Path(__file__).resolve().parents[2] / ".oracle"


class Oracle:
    """Calls functions of worker.py: `oracle.predict(path=..., texts=[...])`."""

    def __init__(self) -> None:
        self.command = ENVIRONMENT / "bin" / "fasttext"
        self.process = subprocess.Popen(
            [ENVIRONMENT / "bin" / "python", Path(__file__).with_name("worker.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __getattr__(self, function: str):
        def call(**arguments):
            arguments = {k: str(v) if isinstance(v, Path) else v for k, v in arguments.items()}
            request = json.dumps({"function": function, "arguments": arguments})
            self.process.stdin.write(request + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
            assert answer, f"the oracle died on {request[:300]}"
            return json.loads(answer)["answer"]

        return call

    def run(self, *arguments: str | Path, stdin: str = "") -> str:
        """Run the fasttext command and return what it prints."""
        done = subprocess.run(
            [self.command, *arguments], input=stdin, capture_output=True, text=True, check=True
        )
        return done.stdout

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(timeout=30)
        self.process.stdout.close()


@pytest.fixture(scope="session")
def oracle() -> Iterator[Oracle]:
    """The real fasttext. Tests that ask for it are skipped where `make oracle` has not been run."""
    if not (ENVIRONMENT / ".complete").exists():
        pytest.skip("the oracle environment is missing: `make oracle` builds it")
    oracle = Oracle()
    yield oracle
    oracle.close()
