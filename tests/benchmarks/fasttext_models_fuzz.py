"""Mutated model files: each is refused with an error of ours or works; none crashes, hangs, or takes memory it has no use for.

    python tests/benchmarks/fasttext_models_fuzz.py [--files 100000] [--seed 0] [--start 0] [--processes 1] [FILE ...]

Every file is read by a child process with a limit on memory and time: a crash of the interpreter or of compiled code ends the
child, and the file that did it is kept. File n of a seed is always the same one, so that a run that was ended goes on with
`--start`. Without FILEs small models of every kind are mutated.
"""

from __future__ import annotations

import argparse
import faulthandler
import random
import resource
import struct
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kftext.models import FastTextModel

FILES_A_CHILD = 1000
CPU_SECONDS_A_FILE, SECONDS_A_FILE = 5.0, 120.0
SPARE_BYTES = 64 << 10  # what a model costs whatever its size
NUMBERS = (-1, 0, 1, 2, 255, 256, 2**31 - 1, -(2**31))


def write_models(folder: Path) -> list[Path]:
    """Write a small model of every kind."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from kftext.models import Loss, Model, write_model
    from models.making import make_model

    kinds = {
        "softmax": {},
        "tree": {"loss": Loss.HS, "subwords": (2, 4)},
        "ngrams": {"word_ngrams": 3, "subwords": (1, 3), "loss": Loss.OVA},
        "quantized": {"quantize": True, "word_ngrams": 2},
        "norms": {"quantize": True, "norms": True, "qout": True, "dim": 7},
        "pruned": {"quantize": True, "pruned": True, "word_ngrams": 2, "norms": True},
        "skipgram": {"kind": Model.SKIPGRAM, "loss": Loss.NS, "subwords": (3, 6)},
        "cbow": {"kind": Model.CBOW, "loss": Loss.NS, "dim": 3},
    }
    for name, options in kinds.items():
        write_model(make_model(**options), folder / f"{name}.bin")
    return sorted(folder.glob("*.bin"))


def mutate(original: bytes, rng: random.Random) -> bytes:
    """Change some bytes: most of a file is numbers that may be anything, so half of the changes go to its head."""
    content = bytearray(original)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        end = len(content) if rng.random() < 0.5 else min(len(content), 420)
        if not end:
            break
        position, action = rng.randrange(end), rng.randrange(6)
        if action == 0:
            content[position] ^= 1 << rng.randrange(8)
        elif action == 1:
            content[position : position + 4] = struct.pack("<i", rng.choice(NUMBERS))
        elif action == 2:
            content[position : position + 8] = struct.pack(
                "<q", rng.choice((*NUMBERS, 2**62, 2**40))
            )
        elif action == 3:
            del content[position : position + rng.randrange(1, 40)]
        elif action == 4:
            content[position:position] = rng.randbytes(rng.randrange(1, 40))
        else:
            del content[position:]
    return bytes(content)


def use(path: Path) -> FastTextModel:
    """Do with a model what a server and a command would; return it."""

    from kftext.models import Classifier, WordVectors, load

    model = load(path)
    if isinstance(model, Classifier):
        model.predict(["the movie was good überaus", "unseen 映画", ""], k=3)
        model.predict(["the bad"], k=-1, threshold=0.1)
        if model.warm_up():
            model.predict(["the movie was good überaus", "unseen 映画"], k=2)
        WordVectors(model.model).vector("movies")
    else:
        model.sentence_vector("the movie was bad")
        model.nearest_neighbors("movie", 3)
    return model.model


def work(files: list[Path], seed: int, numbers: range, kept: Path) -> None:
    """Read the mutated files of these numbers; say how many were refused."""
    from kftext.errors import KftextError
    from kftext.models import write_model

    contents = [file.read_bytes() for file in files]
    for file in files:
        use(file)  # what is compiled or imported once is no cost of a file
    refused, again = 0, kept.with_suffix(".again")
    # Once, and not for each file: Python crashes where tracing starts or stops while another thread, the watchdog, allocates.
    tracemalloc.start()
    for number in numbers:
        rng = random.Random(f"{seed} {number}")
        kept.write_bytes(mutate(rng.choice(contents), rng))
        model = None
        # Compiled code hears no signal of Python's: this ends the process from a thread of C.
        faulthandler.dump_traceback_later(SECONDS_A_FILE, exit=True)
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        start = time.process_time()
        try:
            model = use(kept)
        except KftextError:
            refused += 1
        seconds = time.process_time() - start
        peak = tracemalloc.get_traced_memory()[1] - before
        if model is not None:
            write_model(model, again)
        faulthandler.cancel_dump_traceback_later()
        limit = 10 * kept.stat().st_size + SPARE_BYTES
        if seconds > CPU_SECONDS_A_FILE or peak > limit:
            sys.exit(f"file {number}: {seconds:.1f} s, {peak:,} bytes where {limit:,} are allowed")
    again.unlink(missing_ok=True)
    print(refused)


def run_children(models: list[Path], arguments: argparse.Namespace) -> Iterator[tuple[int, int]]:
    """Yield how many files were read and refused, each time that a child ends; end with its message where one fails."""
    end = arguments.start + arguments.files

    def run(first: int) -> tuple[int, int]:
        last = min(first + FILES_A_CHILD, end)
        kept = Path(tempfile.gettempdir()) / f"fuzz-{arguments.seed}-{first}.bin"
        command = [sys.executable, __file__, "--worker", str(kept), "--seed", str(arguments.seed)]
        command += ["--start", str(first), "--files", str(last - first), *map(str, models)]
        child = subprocess.run(command, capture_output=True, text=True)
        if child.returncode:
            sys.exit(
                f"exit {child.returncode} at {kept}:\n{child.stdout}{child.stderr[-3000:]}\n"
                f"go on with --seed {arguments.seed} --start {first}"
            )
        kept.unlink(missing_ok=True)
        return last - first, int(child.stdout)

    with ThreadPoolExecutor(arguments.processes) as pool:
        try:
            yield from pool.map(run, range(arguments.start, end, FILES_A_CHILD))
        finally:
            pool.shutdown(cancel_futures=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=int, default=0, help="number of the first file")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("models", nargs="*", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    if arguments.worker:
        resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
        numbers = range(arguments.start, arguments.start + arguments.files)
        work(arguments.models, arguments.seed, numbers, arguments.worker)
        return
    from kftext.progress import Progress

    refused = 0
    with (
        tempfile.TemporaryDirectory() as name,
        Progress(arguments.files, " files", "Model files") as progress,
    ):
        for count, turned_down in run_children(
            arguments.models or write_models(Path(name)), arguments
        ):
            refused += turned_down
            progress.update(count, refused=f"{refused:,}")
    print(f"{arguments.files:,} files, {refused:,} of them refused, the others used: clean")


if __name__ == "__main__":
    main()
