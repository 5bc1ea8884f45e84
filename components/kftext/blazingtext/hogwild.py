"""Stochastic gradient descent by threads that share their matrices without locks (Niu et al., "Hogwild!", 2011).

An epoch is cut into slices of whole lines. Each thread owns a stretch of them, far from the others' so that they seldom train the same
words at the same time, and takes slices of the one most behind when its own are done. The learning rate falls linearly with the tokens
trained and is set anew for each slice. Between slices Python decides: report, pause for a checkpoint, stop.

With one thread everything repeats bit for bit, after a checkpoint too: what is random is a function of the seed and of the slices done.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from kftext.blazingtext.encoded import Int64Array
from kftext.blazingtext.kernels.state import Worker
from kftext.errors import KftextError

__all__ = [
    "EpochRecord",
    "Hooks",
    "Job",
    "Position",
    "Report",
    "cut_slices",
    "run_epoch",
    "slice_size",
]

_LARGEST_SLICE = 1 << 16
_SMALLEST_SLICE = 1 << 10
_SLICES_A_RUN = 400
_REPORT_SECONDS = 0.5


@dataclass(frozen=True)
class EpochRecord:
    """One point of the learning curve.

    Attributes:
        epoch: 1 for the first.
        loss: mean loss of the examples looked at during the epoch.
        learning_rate: at its end.
        seconds: that it took, validation left out.
        validation_accuracy: what `validate` said of the matrices at its end, None where it was not asked.
    """

    epoch: int
    loss: float
    learning_rate: float
    seconds: float
    validation_accuracy: float | None = None


@dataclass(frozen=True)
class Report:
    """How far training is.

    Attributes:
        epoch: the epoch at hand, 1 for the first.
        progress: share of the run that is done, 0 to 1.
        learning_rate: now.
        loss: mean loss since the epoch began, NaN before the first is known.
    """

    epoch: int
    progress: float
    learning_rate: float
    loss: float


@dataclass
class Position:
    """Where a run stands: with the matrices, all that is needed to go on from there.

    Attributes:
        epoch: epochs that are complete.
        done: bool[slices], the slices of the epoch at hand that are complete.
        random: uint64[threads], states of the generators.
        totals: float64[threads, 2], sum and number of the losses of the epoch at hand.
    """

    epoch: int
    done: np.ndarray
    random: np.ndarray
    totals: np.ndarray


@dataclass(frozen=True)
class Hooks:
    """What a run calls between slices, on the thread that started it.

    Attributes:
        on_report: called about twice a second and at the end of each epoch.
        on_pause: called every `pause_seconds` while all threads stand still, so that matrices and position belong together; never
            where `pause_seconds` is None.
        pause_seconds: seconds between two pauses.
    """

    on_report: Callable[[Report], None] | None = None
    on_pause: Callable[[], None] | None = None
    pause_seconds: float | None = None


class Job(Protocol):
    """What is trained, in slices."""

    tokens: Int64Array
    """int64[slices + 1], tokens before each slice."""

    @property
    def workers(self) -> Sequence[Worker]:
        """One a thread."""

    def train_slice(self, index: int, rate: np.float32, thread: int) -> None:
        """Train slice `index`; the kernel lets go of the GIL."""


def slice_size(tokens: int, epochs: int) -> int:
    """Return the tokens of a slice, of so many in all: few enough that the learning rate falls in small steps."""
    return min(max(tokens * epochs // _SLICES_A_RUN, _SMALLEST_SLICE), _LARGEST_SLICE)


def cut_slices(line_offsets: Int64Array, epochs: int) -> Int64Array:
    """Cut the lines into slices of about `slice_size` tokens each.

    Args:
        line_offsets: int64[lines + 1], tokens before each line.
        epochs: passes over the lines.

    Returns:
        int64[slices + 1], the first line of each slice, and the number of lines.
    """
    total = int(line_offsets[-1])
    wanted = np.arange(0, total, slice_size(total, epochs))
    firsts = np.unique(np.searchsorted(line_offsets[:-1], wanted, side="left"))
    return np.append(firsts[firsts < len(line_offsets) - 1], len(line_offsets) - 1).astype(np.int64)


@dataclass
class _Epoch:
    """Slices of an epoch, given out to threads."""

    job: Job
    position: Position
    epochs: int
    initial_rate: float
    lock: threading.Lock = field(default_factory=threading.Lock)
    pause_at: float = float("inf")
    failure: BaseException | None = None

    def __post_init__(self) -> None:
        open_slices = np.flatnonzero(~self.position.done)
        self._open = [
            part.tolist()[::-1] for part in np.array_split(open_slices, len(self.job.workers))
        ]
        sizes = np.diff(self.job.tokens)
        self._done_tokens = int(sizes[self.position.done].sum())
        self._total = max(int(self.job.tokens[-1]), 1)

    @property
    def progress(self) -> float:
        return min((self.position.epoch + self._done_tokens / self._total) / self.epochs, 1.0)

    @property
    def rate(self) -> float:
        return self.initial_rate * (1.0 - self.progress)

    @property
    def loss(self) -> float:
        loss, examples = np.sum([worker.totals for worker in self.job.workers], axis=0)
        return float(loss / examples) if examples else float("nan")

    def take(self, thread: int) -> tuple[int, np.float32] | None:
        """Return the next slice for a thread and its learning rate, or None when there is none."""
        with self.lock:
            if self.failure:
                return None
            mine = self._open[thread] or max(self._open, key=len)
            if not mine:
                return None
            # One's own from the front, another's from the back: the lists are reversed.
            index = mine.pop() if mine is self._open[thread] else mine.pop(0)
            return index, np.float32(self.rate)

    def finish(self, index: int) -> None:
        with self.lock:
            self.position.done[index] = True
            self._done_tokens += int(self.job.tokens[index + 1] - self.job.tokens[index])

    def work(self, thread: int) -> None:
        try:
            while (taken := self.take(thread)) is not None:
                index, rate = taken
                self.job.train_slice(index, rate, thread)
                self.finish(index)
                # After a slice at least, so that a run gets on however often it pauses.
                if time.monotonic() >= self.pause_at:
                    return
        except BaseException as error:
            self.failure = error


def run_epoch(
    job: Job, position: Position, epochs: int, learning_rate: float, hooks: Hooks
) -> float:
    """Train what is left of the epoch that `position` is in, and move `position` to the start of the next.

    Args:
        job: what is trained.
        position: where to begin; kept up to date whenever a hook is called.
        epochs: of the whole run, for the learning rate.
        learning_rate: at the start of the run.
        hooks: called on the way.

    Returns:
        The mean loss of the epoch, NaN where there was no example.

    Raises:
        KftextError: the loss is no longer a number.
    """
    for worker, state, totals in zip(job.workers, position.random, position.totals, strict=True):
        worker.random[0] = state
        worker.totals[:] = totals
    epoch = _Epoch(job, position, epochs, learning_rate)
    while True:
        if hooks.on_pause and hooks.pause_seconds is not None:
            epoch.pause_at = time.monotonic() + hooks.pause_seconds
        _run_threads(epoch, hooks)
        for thread, worker in enumerate(job.workers):
            position.random[thread] = worker.random[0]
            position.totals[thread] = worker.totals
        if position.done.all():
            break
        if hooks.on_pause:
            hooks.on_pause()
    loss = epoch.loss
    _check_finite(job, epoch)
    _report(epoch, hooks)
    position.epoch += 1
    position.done[:] = False
    position.totals[:] = 0
    return loss


def _check_finite(job: Job, epoch: _Epoch) -> None:
    if not all(np.isfinite(worker.totals).all() for worker in job.workers):
        raise KftextError(
            f"training has diverged: in epoch {epoch.position.epoch + 1} the loss is no longer a number; "
            f"lower learning_rate (here {epoch.initial_rate:g})"
        )


def _report(epoch: _Epoch, hooks: Hooks) -> None:
    if hooks.on_report:
        hooks.on_report(Report(epoch.position.epoch + 1, epoch.progress, epoch.rate, epoch.loss))


def _run_threads(epoch: _Epoch, hooks: Hooks) -> None:
    """Let the threads work until the epoch is done or a pause is due."""
    threads = [
        threading.Thread(target=epoch.work, args=(thread,), name=f"train-{thread}", daemon=True)
        for thread in range(len(epoch.job.workers))
    ]
    for thread in threads:
        thread.start()
    try:
        report_at = time.monotonic() + _REPORT_SECONDS
        for thread in threads:
            while thread.is_alive():
                thread.join(max(report_at - time.monotonic(), 0.0))
                if time.monotonic() >= report_at:
                    _report(epoch, hooks)
                    report_at = time.monotonic() + _REPORT_SECONDS
    finally:
        # A failed report or an interrupt ends the run: no thread may go on writing to the matrices.
        epoch.pause_at = 0.0
        for thread in threads:
            thread.join()
    if epoch.failure:
        raise epoch.failure
