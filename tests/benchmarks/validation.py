"""Validation: megabytes a second of each format, on one core.

    python tests/benchmarks/validation.py [--megabytes 100] [--corpus FILE]

Without a corpus, text is made of words drawn by Zipf's law from 200,000. The rate of a plain Python loop on the same
machine is printed beside, as machines (and their other users) differ.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import orjson

from kftext.data.formats import Format
from kftext.validation.request import ValidationRequest
from kftext.validation.scan import scan


def make_lines(megabytes: int) -> list[str]:
    """Make about that many megabytes of lines of about 300 bytes."""
    generator = np.random.default_rng(1)
    lines = []
    for _ in range(megabytes):
        words = np.minimum(generator.zipf(1.2, 150_000), 200_000)
        text = [format(word, "x") + "tion"[: word % 5] for word in words.tolist()]
        lines += [" ".join(text[start : start + 45]) for start in range(0, len(text), 45)]
    return lines


def render(line: str, number: int, form: Format) -> bytes:
    """Write a line in a format."""
    label = number % 10
    if form is Format.LABELED_TEXT:
        return f"__label__{label} {line}\n".encode()
    if form is Format.MANIFEST:
        return orjson.dumps({"source": line, "label": label}) + b"\n"
    if form is Format.CSV:
        quoted = line.replace('"', '""')
        return f'{label},"{quoted}"\n'.encode()
    return line.encode() + b"\n"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", type=int, default=100, help="of text to make")
    parser.add_argument("--corpus", type=Path, help="a text file to use instead")
    arguments = parser.parse_args()
    lines = (
        arguments.corpus.read_text(encoding="utf-8").split("\n")
        if arguments.corpus
        else make_lines(arguments.megabytes)
    )
    lines = [line for line in lines if line.strip()]
    start = time.process_time()
    total = 0
    for number in range(10_000_000):
        total += number
    print(f"plain Python loop: {10 / (time.process_time() - start):.1f} M iterations/s")
    stderr = sys.stderr
    with tempfile.TemporaryDirectory() as folder:
        for form in Format:
            path = Path(folder, "data")
            with path.open("wb") as stream:
                stream.writelines(render(line, number, form) for number, line in enumerate(lines))
            sys.stderr = io.StringIO()  # progress lines
            cpu, wall = time.process_time(), time.monotonic()
            report = scan(ValidationRequest(str(path), form))
            cpu, wall = time.process_time() - cpu, time.monotonic() - wall
            sys.stderr = stderr
            size = path.stat().st_size / 1e6
            print(
                f"{form.value:13} {size / cpu:6.1f} MB/s of CPU time, {size / wall:6.1f} MB/s by the clock, "
                f"{report.train.rows / cpu / 1e3:6.0f} k rows/s, {report.train.tokens / cpu / 1e6:5.1f} M tokens/s"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
