"""How time and memory of a whole training command grow with the corpus, the vocabulary and the threads.

    python tests/benchmarks/corpus_growth.py                    # about 3 minutes
    python tests/benchmarks/corpus_growth.py --megabytes 100 --mode cbow

The text is drawn from Zipf's law over a vocabulary of a given size; a token's rank is its name. Each line of the table is one run of
`python -m kftext.blazingtext.train`, one epoch at dimension 100: seconds until the vocabulary is there (start of the process
included), seconds of training, seconds in all, and the most memory that was resident, beside what the matrices and the ids take. The
last lines hold no ids in memory. The first run, which may compile kernels, is not shown.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from contest import machine

DIM, MIN_COUNT, WORDS_A_LINE = 100, 1, 25


@dataclass(frozen=True)
class Case:
    """One line of the table."""

    megabytes: int
    vocabulary: int
    threads: int
    spill: bool = False


def write_text(path: Path, megabytes: int, vocabulary: int) -> None:
    """Write about so many megabytes, in which each word of the vocabulary stands at least once."""
    rng = np.random.default_rng(vocabulary)
    chances = np.cumsum(1.0 / np.arange(1, vocabulary + 1))
    names = np.array([b"%x" % (n * 7919) for n in range(vocabulary)], object)
    size = 0
    with path.open("wb") as file:
        ids = np.arange(vocabulary)
        while size < megabytes * 1e6 and len(ids):
            lines = np.array_split(names[ids], max(len(ids) // WORDS_A_LINE, 1))
            size += file.write(b"".join(b" ".join(line) + b"\n" for line in lines))
            ids = np.searchsorted(chances, rng.random(200_000) * chances[-1])


def run(case: Case, mode: str, folder: Path) -> str:
    text, model_dir = folder / "text.txt", folder / "model"
    command = [
        sys.executable,
        "-m",
        "kftext.blazingtext.train",
        "--train",
        str(text),
        "--mode",
        mode,
    ]
    command += f"--min-count {MIN_COUNT} --vector-dim {DIM} --epochs 1 --evaluation 0".split()
    command += ["--model-dir", str(model_dir), "--threads", str(case.threads)]
    if case.spill:
        command += ["--memory-limit", "0", "--work-dir", str(folder)]
    start = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    read = 0.0
    for line in process.stdout:
        if line.startswith("Number of words"):
            read = time.perf_counter() - start
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"error: {' '.join(command)} ended with {process.returncode}")
    metrics = json.loads((model_dir / "model.json").read_bytes())["metrics"]
    matrices = 2 * 4 * DIM * metrics["vocabulary"] / 1e6
    ids = 0 if case.spill else 4 * metrics["words"] / 1e6
    return (
        f"| {text.stat().st_size / 1e6:.0f} | {metrics['words'] / 1e6:.1f} | {metrics['vocabulary']:,} | {case.threads} | "
        f"{read:.1f} | {metrics['training_seconds']:.1f} | {wall:.1f} | {usage.ru_maxrss * 1024 / 1e6:.0f} | "
        f"{matrices + ids:.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", type=int, default=50, help="of the middle corpus")
    parser.add_argument(
        "--mode", default="skipgram", choices=["skipgram", "cbow", "batch_skipgram"]
    )
    options = parser.parse_args()
    size, cores = options.megabytes, len(os.sched_getaffinity(0))
    cases = [
        *(Case(size * factor, 50_000, cores) for factor in (1, 2, 4)),
        *(Case(size, vocabulary, cores) for vocabulary in (5_000, 50_000, 500_000)),
        *(Case(size, 50_000, threads) for threads in (1, 2, 4, 8) if threads <= cores),
        *(Case(size * factor, 50_000, cores, spill=True) for factor in (1, 2, 4)),
    ]
    print(machine())
    print(
        "| MB of text | M tokens | words | threads | s to read | s to train | s in all | MB at most | matrices + ids |"
    )
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory(prefix="kftext-bench-") as name:
        folder = Path(name)
        write_text(folder / "text.txt", 2, 5_000)
        run(Case(2, 5_000, cores), options.mode, folder)
        for case in cases:
            write_text(folder / "text.txt", case.megabytes, case.vocabulary)
            print(run(case, options.mode, folder), flush=True)


if __name__ == "__main__":
    sys.exit(main())
