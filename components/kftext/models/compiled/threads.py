"""Threads that do jobs without ever holding the interpreter's lock.

A thread of Python's that predicts lets go of the lock while it does, and needs it again for every answer; so does an event loop for
every request, and the two hinder each other more than a second core gains. Here a thread is one call of a compiled function: it
reads the address of a job from a pipe, does the job, and writes the address to another pipe, at which an event loop can wait.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from enum import IntEnum
from typing import Generic, TypeVar

import numpy as np
from numba import carray, types
from numba.core.types import ExternalFunction

from kftext.models.compiled.compilation import compiled, entry
from kftext.models.compiled.memory import call, data_pointer, pointer

__all__ = ["Job", "PredictionThreads", "run"]


class Slot(IntEnum):
    """Index of the first numbers of a job; what follows is its own."""

    FUNCTION = 0  # address of the function that does it, which is called with the job's own address
    NANOSECONDS = 1  # that it took


FUNCTION, NANOSECONDS = int(Slot.FUNCTION), int(Slot.NANOSECONDS)
_SLOTS = len(Slot)

_ADDRESS_BYTES = 8
CLOSING_SECONDS = 2.0

_read = ExternalFunction("read", types.int64(types.int32, types.voidptr, types.uint64))
_write = ExternalFunction("write", types.int64(types.int32, types.voidptr, types.uint64))
_clock_gettime = ExternalFunction("clock_gettime", types.int32(types.int32, types.voidptr))
_MONOTONIC = int(time.CLOCK_MONOTONIC)


@compiled
def _now():
    """Nanoseconds of a clock that only goes forward."""
    time_spec = np.empty(2, np.int64)
    _clock_gettime(_MONOTONIC, data_pointer(time_spec))
    return time_spec[0] * 1_000_000_000 + time_spec[1]


@entry
def _work(asked, done):
    """Do jobs until the address 0 comes.

    Args:
        asked: descriptor of the pipe to read addresses of jobs from.
        done: descriptor of the pipe to write them to.
    """
    current = np.zeros(1, np.int64)
    where = data_pointer(current)
    while True:
        if _read(asked, where, _ADDRESS_BYTES) != _ADDRESS_BYTES or current[0] == 0:
            return
        job = carray(pointer(current[0]), _SLOTS, np.int64)
        started = _now()
        call(job[FUNCTION], current[0])
        job[NANOSECONDS] = _now() - started
        _write(done, where, _ADDRESS_BYTES)


class Job:
    """What a thread does: a call of a compiled function with the address of some numbers.

    Args:
        function: the function's address.
        slots: how many numbers there are, those of `Slot` among them.

    Attributes:
        numbers: int64[slots].
        address: where they lie.
    """

    __slots__ = ("address", "numbers")

    def __init__(self, function: int, slots: int):
        self.numbers = np.zeros(slots, np.int64)
        self.numbers[FUNCTION] = function
        self.address = 0

    @property
    def seconds(self) -> float:
        """How long it took, once it is done."""
        return float(self.numbers[NANOSECONDS]) * 1e-9


AnyJob = TypeVar("AnyJob", bound=Job)


class PredictionThreads(Generic[AnyJob]):
    """Threads that do jobs, the first that was asked for first.

    Args:
        count: how many threads.
    """

    def __init__(self, count: int):
        self._asked, self._ask = os.pipe()
        self._finished, self._finish = os.pipe()
        os.set_blocking(self._ask, False)
        os.set_blocking(self._finished, False)
        self._jobs: dict[int, AnyJob] = {}
        self._threads = [
            # A prediction under way must not hold up the end of the process.
            threading.Thread(target=self._run, name=f"predict-{index}", daemon=True)
            for index in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def descriptor(self) -> int:
        """A file descriptor that can be read from when a job is done; `finished` reads it."""
        return self._finished

    def submit(self, job: AnyJob) -> bool:
        """Have a job done. Returns False where so many wait already that no more can be taken."""
        try:
            os.write(self._ask, job.address.to_bytes(_ADDRESS_BYTES, sys.byteorder))
        except BlockingIOError:
            return False
        self._jobs[job.address] = job
        return True

    def finished(self) -> list[AnyJob]:
        """Return the jobs that were done since the last call."""
        try:
            addresses = os.read(self._finished, _ADDRESS_BYTES << 9)
        except BlockingIOError:
            return []
        return [self._jobs.pop(address) for address in memoryview(addresses).cast("q").tolist()]

    def close(self) -> None:
        """End the threads once the jobs before are done; one that takes long is not waited for."""
        os.set_blocking(self._ask, True)
        os.write(self._ask, bytes(_ADDRESS_BYTES * len(self._threads)))
        for thread in self._threads:
            thread.join(CLOSING_SECONDS)
        if not any(thread.is_alive() for thread in self._threads):
            for descriptor in (self._asked, self._ask, self._finished, self._finish):
                os.close(descriptor)

    def _run(self) -> None:
        # A signal would interrupt the reading; the main thread has them all.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        _work(self._asked, self._finish)


def run(job: Job) -> None:
    """Do a job in a thread of its own, and wait until it is done; the first time compiles what the threads run."""
    threads: PredictionThreads[Job] = PredictionThreads(1)
    try:
        threads.submit(job)
        select.select([threads.descriptor], [], [])
        threads.finished()
    finally:
        threads.close()
