"""Threads that predict without ever holding the interpreter's lock.

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

import numpy as np
from numba import carray, types
from numba.core.types import ExternalFunction

from kftext.errors import ResourceError
from kftext.models.compiled.compilation import compiled, entry
from kftext.models.compiled.memory import Field, address, data_pointer, pointer
from kftext.models.compiled.predict import CompiledClassifier, predict_json, written

__all__ = ["Job", "PredictionThreads", "run"]


class _Slot(IntEnum):
    """Index of each number in a job; addresses as in `Field`."""

    STATE = 0
    TEXT = 1
    LENGTH = 2
    COUNT = 3
    K = 4
    THRESHOLD = 5  # the bits of a float64
    SEPARATOR = 6
    OUT = 7
    ROOM = 8
    RESULT = 9  # what `predict_json` returns
    NANOSECONDS = 10  # that it took


STATE, TEXT, LENGTH, COUNT, K = (
    int(_Slot.STATE),
    int(_Slot.TEXT),
    int(_Slot.LENGTH),
    int(_Slot.COUNT),
    int(_Slot.K),
)
THRESHOLD, SEPARATOR, OUT = int(_Slot.THRESHOLD), int(_Slot.SEPARATOR), int(_Slot.OUT)
ROOM, RESULT, NANOSECONDS = int(_Slot.ROOM), int(_Slot.RESULT), int(_Slot.NANOSECONDS)

_SLOTS, _FIELDS = len(_Slot), len(Field)
_ADDRESS_BYTES = 8
UNDONE = -3
"""The result of a job until it is done."""

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
def _describe(job, state, text, count, k, threshold, separator, out):
    """Fill in a job, int64[slots]; return its address."""
    job[STATE] = address(data_pointer(state))
    job[TEXT], job[LENGTH] = address(data_pointer(text)), len(text)
    job[COUNT], job[K], job[SEPARATOR] = count, k, separator
    job.view(np.float64)[THRESHOLD] = threshold
    job[OUT], job[ROOM] = address(data_pointer(out)), len(out)
    job[RESULT] = UNDONE
    return address(data_pointer(job))


@entry
def _work(asked, done, current):
    """Do jobs until the address 0 comes.

    Args:
        asked: descriptor of the pipe to read addresses of jobs from.
        done: descriptor of the pipe to write them to.
        current: int64[1], written: the address of the job that is being done.
    """
    where = data_pointer(current)
    while True:
        if _read(asked, where, _ADDRESS_BYTES) != _ADDRESS_BYTES or current[0] == 0:
            return
        job = carray(pointer(current[0]), _SLOTS, np.int64)
        started = _now()
        state = carray(pointer(job[STATE]), _FIELDS, np.int64)
        out = carray(pointer(job[OUT]), job[ROOM], np.uint8)
        text = pointer(job[TEXT]), job[LENGTH]
        threshold = job.view(np.float64)[THRESHOLD]
        job[RESULT] = predict_json(state, text, job[COUNT], job[K], threshold, job[SEPARATOR], out)
        job[NANOSECONDS] = _now() - started
        _write(done, where, _ADDRESS_BYTES)


class Job:
    """A prediction in JSON, for one of the threads. It holds what the thread uses, so that all of it lives until the job is done.

    Args:
        classifier: what predicts.
        text, count, k, threshold, separator: as for `CompiledClassifier.predict_json`.
    """

    __slots__ = ("_classifier", "_numbers", "_out", "_text", "address")

    def __init__(
        self,
        classifier: CompiledClassifier,
        text: bytes,
        count: int,
        k: int,
        threshold: float,
        separator: int,
    ):
        self._classifier, self._text = classifier, text
        self._out = np.empty(classifier.json_room(count, k), np.uint8)
        self._numbers = np.empty(_SLOTS, np.int64)
        self.address: int = _describe(
            self._numbers, classifier.state, text, count, k, threshold, separator, self._out
        )

    @property
    def seconds(self) -> float:
        """How long it took, once it is done."""
        return float(self._numbers[NANOSECONDS]) * 1e-9

    def result(self) -> bytes | None:
        """What `CompiledClassifier.predict_json` returns, and raises, once it is done.

        Raises:
            ResourceError: there was not enough memory.
        """
        size = int(self._numbers[RESULT])
        if size == UNDONE:
            raise ResourceError("not enough memory to predict; send fewer or shorter instances")
        return written(self._out, size)


class PredictionThreads:
    """Threads that do jobs, the first that was asked for first.

    Args:
        count: how many threads.
    """

    def __init__(self, count: int):
        self._asked, self._ask = os.pipe()
        self._finished, self._finish = os.pipe()
        os.set_blocking(self._ask, False)
        os.set_blocking(self._finished, False)
        self._jobs: dict[int, Job] = {}
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

    def submit(self, job: Job) -> bool:
        """Have a job done. Returns False where so many wait already that no more can be taken."""
        try:
            os.write(self._ask, job.address.to_bytes(_ADDRESS_BYTES, sys.byteorder))
        except BlockingIOError:
            return False
        self._jobs[job.address] = job
        return True

    def finished(self) -> list[Job]:
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
        current = np.zeros(1, np.int64)
        while True:
            try:
                _work(self._asked, self._finish, current)
                return
            except MemoryError:
                # The job says so itself: it has no result.
                os.write(self._finish, current.tobytes())


def run(job: Job) -> bytes | None:
    """Do a job in a thread of its own, and return its result; the first time compiles what the threads run."""
    threads = PredictionThreads(1)
    try:
        threads.submit(job)
        select.select([threads.descriptor], [], [])
        threads.finished()
        return job.result()
    finally:
        threads.close()
