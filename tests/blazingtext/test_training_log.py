"""What training prints."""

from __future__ import annotations

import numba
import pytest

from kftext.blazingtext import log
from kftext.blazingtext.hogwild import Report


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is moved."""
    now = [100.0]
    monkeypatch.setattr(log.time, "monotonic", lambda: now[0])
    return now


def test_compilation_is_announced_once(capsys):
    with log.watch_compilation() as compilation:
        for number in (1, 1.5):
            function = numba.njit(lambda x: x + 1)
            assert function(number) == number + 1
        assert compilation.seconds > 0
        before = compilation.seconds
        assert function(2.5) == 3.5
        assert compilation.seconds == before
    numba.njit(lambda x: x - 1)(1)
    assert capsys.readouterr().out.count("Compiling kernels") == 1


def test_lines_of_the_reference(clock, capsys):
    compilation = log.Compilation()
    training = log.TrainingLog(2_000_000, 5, compilation)
    clock[0] += 6
    compilation.seconds = 2.0
    training.on_report(Report(epoch=1, progress=0.1, learning_rate=0.045, loss=2.5))
    # Reports come often, lines do not.
    training.on_report(Report(epoch=1, progress=0.11, learning_rate=0.0445, loss=2.5))
    clock[0] += 16
    training.on_report(Report(epoch=5, progress=1.0, learning_rate=0.0, loss=2.0))
    metrics = training.finish(1.0)
    # What went into compiling is not training: 10M words in 20 of 22 seconds.
    assert capsys.readouterr().out == (
        "Alpha: 0.0450  Progress: 10.00%  Million Words/sec: 0.25\n"
        "Alpha: 0.0000  Progress: 100.00%  Million Words/sec: 0.50\n"
        "Average throughput in Million words/sec: 0.50\n"
        "Total training time in seconds: 20.00\n"
    )
    assert metrics == {"words_per_second": 500_000, "training_seconds": 20}


def test_a_run_that_goes_on_counts_its_own_part(clock, capsys):
    training = log.TrainingLog(1_000_000, 10, log.Compilation(), done=0.8)
    clock[0] += 2
    assert training.finish(1.0)["words_per_second"] == pytest.approx(1_000_000)
