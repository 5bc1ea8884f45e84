"""What training says while it runs: the lines that BlazingText prints, on stdout, and a line of progress on stderr.

The lines are read by people and by Katib alike: their wording is an interface.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from numba.core.event import Event, Listener, install_listener

from kftext.blazingtext.hogwild import Report
from kftext.progress import Progress

__all__ = ["Compilation", "TrainingLog", "say", "watch_compilation"]

_SECONDS_BETWEEN_LINES = 5.0


def say(line: str) -> None:
    """Print one line on stdout, at once: who watches a pod's log should see it when it happens."""
    print(line, flush=True)  # noqa: T201


class Compilation(Listener):
    """Watches Numba compile what it does not find in its cache, and says so the first time.

    Attributes:
        seconds: that went into it so far.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._depth, self._start = 0, 0.0

    def on_start(self, event: Event) -> None:
        """Numba begins to compile a function: only one thread does so at a time, but a function compiles those it calls."""
        self._depth += 1
        if self._depth == 1:
            if not self.seconds:
                say(
                    "Compiling kernels for this processor, once: the next run finds them in the cache"
                )
            self._start = time.monotonic()

    def on_end(self, event: Event) -> None:
        """The function is there."""
        self._depth -= 1
        if self._depth == 0:
            self.seconds += time.monotonic() - self._start


@contextmanager
def watch_compilation() -> Iterator[Compilation]:
    """Tell the user when time goes into compiling kernels."""
    compilation = Compilation()
    with install_listener("numba:compile", compilation):
        yield compilation


class TrainingLog:
    """Reports a run as the reference does.

    Args:
        token_count: tokens in the training data.
        epochs: passes over them.
        compilation: what goes into compiling does not count as training.
        done: share of the run that an earlier process did, 0 to 1.
    """

    def __init__(self, token_count: int, epochs: int, compilation: Compilation, done: float = 0.0):
        self._total, self._done, self._compilation = token_count * epochs, done, compilation
        self._compiled_before = compilation.seconds
        self._start = self._last_line = time.monotonic()
        self._progress = Progress(self._total, "words", "Training")
        self._progress.update(int(done * self._total))

    def on_report(self, report: Report) -> None:
        """Show how far training is. Called often, prints now and then."""
        words = int(report.progress * self._total)
        # There is no loss before the first slice is done; later, a nan is one to be seen.
        notes = {"loss": f"{report.loss:.4f}"} if report.progress > 0 else {}
        self._progress.update(words - self._progress.count, **notes)
        now = time.monotonic()
        if now - self._last_line >= _SECONDS_BETWEEN_LINES or report.progress >= 1:
            self._last_line = now
            say(
                f"Alpha: {report.learning_rate:.4f}  Progress: {report.progress:.2%}  "
                f"Million Words/sec: {self._rate(report.progress) / 1e6:.2f}"
            )

    def finish(self, done: float) -> dict[str, float]:
        """Print the summary.

        Args:
            done: share of the run that is done; below 1 where it stopped early.

        Returns:
            `words_per_second` (raw tokens x epochs / training seconds) and `training_seconds`, both of this process.
        """
        self._progress.close()
        seconds, rate = self._seconds(), self._rate(done)
        say(f"Average throughput in Million words/sec: {rate / 1e6:.2f}")
        say(f"Total training time in seconds: {seconds:.2f}")
        return {"words_per_second": rate, "training_seconds": seconds}

    def _seconds(self) -> float:
        compiling = self._compilation.seconds - self._compiled_before
        return max(time.monotonic() - self._start - compiling, 1e-9)

    def _rate(self, done: float) -> float:
        return (done - self._done) * self._total / self._seconds()
