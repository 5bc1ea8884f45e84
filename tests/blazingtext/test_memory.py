"""How much memory training takes, measured on the process of the command."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from kftext import models

MEGABYTE = 1e6


def write_corpus(path, megabytes: int) -> None:
    """Write a text of 40,000 distinct words, about a megabyte of it over and over."""
    rng = np.random.default_rng(0)
    ids = np.minimum(rng.zipf(1.3, 180_000), 40_000)
    piece = " ".join(f"w{n}" if i % 12 else f"w{n}\n" for i, n in enumerate(ids, 1)).encode()
    with path.open("wb") as file:
        for _ in range(round(megabytes * MEGABYTE / len(piece))):
            file.write(piece)


MEASURE = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(done.returncode)
"""


def peak_memory(*flags) -> float:
    """Run the training command; return the most memory that was resident, in bytes.

    A small process in between starts it: Linux counts what the parent held until the child's exec, and a test run may hold much.
    """
    command = [sys.executable, "-c", MEASURE, sys.executable, "-m", "kftext.blazingtext.train"]
    done = subprocess.run([*command, *map(str, flags)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout) * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux alone")
def test_ids_that_do_not_fit_are_not_held(tmp_path):
    flags = "--mode cbow --epochs 1 --vector-dim 16 --window-size 3 --negative-samples 3"
    small = flags.split()
    small += ["--evaluation", "0", "--threads", "2"]
    small += ["--memory-limit", "0", "--work-dir", tmp_path / "work", "--model-dir", tmp_path / "m"]
    peaks = []
    # The first run compiles what is not in the cache.
    for megabytes in (2, 2, 100):
        write_corpus(tmp_path / "corpus.txt", megabytes)
        peaks.append(peak_memory("--train", tmp_path / "corpus.txt", *small))
    tokens = models.read_model(tmp_path / "m" / "vectors.bin").dictionary.token_count
    # The text is 100 MB, its ids are as much: neither is held. What a large corpus takes more is less than a third of it.
    assert 4 * tokens > 100 * MEGABYTE
    assert 3 * (peaks[2] - peaks[1]) < 100 * MEGABYTE
    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux alone")
def test_training_holds_the_matrices_and_the_ids(tmp_path):
    write_corpus(tmp_path / "corpus.txt", 6)
    shape = "--mode skipgram --subwords 1 --buckets 1000000 --epochs 1 --threads 2"
    flags = shape.split()
    flags += ["--train", tmp_path / "corpus.txt", "--model-dir", tmp_path / "m"]
    peak = min(peak_memory(*flags) for _ in range(2))
    model = models.read_model(tmp_path / "m" / "vectors.bin")
    matrices = 4 * sum(matrix.shape[0] * matrix.shape[1] for matrix in (model.input, model.output))
    ids = 4 * int(model.dictionary.counts.sum())
    assert peak < 1.15 * (matrices + ids) + 300 * MEGABYTE
