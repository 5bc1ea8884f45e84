"""Progress: lines in a log, a bar on a terminal."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
import termios

from kftext.progress import Progress


def test_lines_where_there_is_no_terminal():
    stream = io.StringIO()
    with Progress(200, "rows", "reading", interval=0, stream=stream) as progress:
        progress.update(50)
        progress.update(50, loss=0.43)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("reading:  25% 50.0/200 [00:00<00:00, ")
    assert "rows/s" in lines[0]
    assert lines[1].startswith("reading:  50% 100/200")
    assert "loss=0.43]" in lines[1]
    assert progress.count == 100


def test_few_lines_and_always_the_last():
    stream = io.StringIO()
    with Progress(1000, "rows", "reading", interval=60, stream=stream) as progress:
        for _ in range(1000):
            progress.update()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("reading: 100% 1.00k/1.00k")


def test_an_unknown_total():
    stream = io.StringIO()
    with Progress(None, "B", "reading", interval=0, stream=stream) as progress:
        progress.update(5_000_000)
    line = stream.getvalue().splitlines()[-1]
    assert line.startswith("reading: 5.00MB [")
    assert "%" not in line


def test_after_an_error_the_count_is_shown_and_the_error_goes_on():
    stream = io.StringIO()
    try:
        with Progress(10, "rows", "reading", stream=stream) as progress:
            progress.update(3)
            raise RuntimeError
    except RuntimeError:
        pass
    assert stream.getvalue().startswith("reading:  30% 3.00/10.0")


SHOW = """
import time
from kftext.progress import Progress
with Progress(20, "rows", "reading") as progress:
    for _ in range(20):
        progress.update(loss=0.5)
        time.sleep(0.02)
print("answer")
"""


def test_a_bar_on_a_terminal():
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, 100))
    process = subprocess.Popen(
        [sys.executable, "-c", SHOW], stderr=slave, stdout=subprocess.PIPE, text=True
    )
    os.close(slave)
    shown = b""
    while True:
        try:
            piece = os.read(master, 4096)
        except OSError:  # how Linux says that the other end is closed
            break
        if not piece:
            break
        shown += piece
    os.close(master)
    assert process.communicate()[0] == "answer\n"  # stdout holds the answer alone
    text = shown.decode()
    assert text.count("\r") > 3
    assert "100%|" in text
    assert "loss=0.5" in text
    assert "20.0/20.0" in text
