"""Files larger than memory are streamed: the process stays within a limit that the file would break."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import resource, sys
from kftext.data.formats import Format
from kftext.validation.request import ValidationRequest
from kftext.validation.step import validate
import numpy

def used():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmPeak")).split()[1]) << 10

baseline = used()
resource.setrlimit(resource.RLIMIT_AS, (baseline + int(sys.argv[1]),) * 2)
report = validate(ValidationRequest(sys.argv[2], Format(sys.argv[3]), texts_in_memory=200_000,
    output=sys.argv[4], max_error_fraction=0.5))
print(report.train.rows, report.train.rejected, report.train.tokens, report.train.duplicates)
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def limited(limit: int, path: Path, format: str) -> list[int]:
    output = path.with_name("dataset")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(limit), str(path), format, str(output)],
        capture_output=True, text=True, timeout=1200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return [int(number) for number in done.stdout.split()]


def test_many_lines(tmp_path: Path):
    path = tmp_path / "train.txt"
    text = b"text " * 40
    rows = 0
    with path.open("wb") as stream:
        for start in range(0, 500_000, 10_000):
            stream.write(
                b"".join(
                    b"__label__%d %d %s\n" % (n % 7, n, text)
                    for n in range(start, start + 10_000, 10)
                )
            )
            stream.write(b"no label\n" + b"__label__1 same\n")
            rows += 1000
        stream.write(b"__label__1 " + b"word " * 20_000_000 + b"\n")
    assert path.stat().st_size > 100_000_000
    assert limited(90 << 20, path, "labeled-text") == [rows + 50, 51, rows * 41 + 50, 49]


def test_one_gigantic_corpus_line(tmp_path: Path):
    path = tmp_path / "corpus.txt"
    with path.open("wb") as stream:
        for number in range(60):
            stream.write(b"%d " % number + b"word " * 400_000)
    assert path.stat().st_size > 110_000_000
    rows, rejected, tokens, _ = limited(90 << 20, path, "corpus")
    assert (rejected, tokens) == (0, 60 * 400_001)
    assert 110 <= rows <= 130


@pytest.mark.parametrize("format", ["manifest", "csv"])
def test_one_gigantic_record(tmp_path: Path, format: str):
    path = tmp_path / "train"
    start, row, end = {
        "manifest": (b'{"label": 1, "source": "', b'{"label": %d, "source": "text %d"}\n', b'"}\n'),
        "csv": (b'1,"', b"%d,text %d\n", b'"\n'),
    }[format]
    with path.open("wb") as stream:
        stream.write(row % (0, 0) + row % (1, 1) + start)
        for _ in range(100):
            stream.write(b"word " * (1 << 18))
        stream.write(end + row % (0, 2))
    assert limited(100 << 20, path, format)[:2] == [3, 1]
