"""Predictions in threads that never hold the interpreter's lock, awaited on the event loop."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING, NamedTuple

from kftext.models import Classifier, Predictor
from kftext.serving.query import Query

if TYPE_CHECKING:
    from kftext.models.compiled.json_job import JsonJob
    from kftext.models.compiled.threads import PredictionThreads

__all__ = ["Parallel"]


class Waiting(NamedTuple):
    """Who waits for a job, since when, and until when, by the clock of `time.monotonic`."""

    done: asyncio.Future[JsonJob]
    asked: float
    deadline: float


class Parallel:
    """The threads, which start with the first query for them.

    Args:
        count: how many threads.
    """

    def __init__(self, count: int):
        self.count = count
        self._threads: PredictionThreads[JsonJob] | None = None
        self._waiting: dict[JsonJob, Waiting] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._next = math.inf

    @property
    def stuck_seconds(self) -> float:
        """How long the query that waits longest has waited; 0.0 where none does."""
        first = next(iter(self._waiting.values()), None)
        return 0.0 if first is None else time.monotonic() - first.asked

    def ask(
        self, predictor: Predictor, query: Query, seconds: float
    ) -> asyncio.Future[JsonJob] | None:
        """Have a query answered in JSON.

        Args:
            predictor: the model.
            query: the question.
            seconds: how long it may take.

        Returns:
            The job, once it is done, or TimeoutError; None where the query is not one for the threads, or they have too much to do.
        """
        if not query.separator or not isinstance(predictor, Classifier):
            return None
        job = predictor.json_job(query.texts, query.k, query.threshold, separator=query.separator)
        if job is None or not self._start().submit(job):
            return None
        done: asyncio.Future[JsonJob] = asyncio.get_running_loop().create_future()
        now = time.monotonic()
        self._waiting[job] = Waiting(done, now, now + seconds)
        if now + seconds < self._next:
            self._wait_until(now + seconds, now)
        return done

    def close(self) -> None:
        """End the threads; what waits is dropped."""
        if self._timer is not None:
            self._timer.cancel()
        if self._threads is not None:
            asyncio.get_running_loop().remove_reader(self._threads.descriptor)
            self._threads.close()
            self._threads = None

    def _start(self) -> PredictionThreads[JsonJob]:
        if self._threads is None:
            from kftext.models.compiled.threads import PredictionThreads

            self._threads = PredictionThreads(self.count)
            asyncio.get_running_loop().add_reader(self._threads.descriptor, self._wake)
        return self._threads

    def _wake(self) -> None:
        if self._threads is None:
            return
        for job in self._threads.finished():
            done = self._waiting.pop(job).done
            if not done.done():
                done.set_result(job)

    def _wait_until(self, deadline: float, now: float) -> None:
        # One timer for all: each request's own would cost as much as handing it over does.
        if self._timer is not None:
            self._timer.cancel()
        self._next = deadline
        self._timer = asyncio.get_running_loop().call_later(deadline - now, self._expire)

    def _expire(self) -> None:
        now, self._timer, self._next = time.monotonic(), None, math.inf
        for waiting in self._waiting.values():
            if waiting.deadline <= now and not waiting.done.done():
                waiting.done.set_exception(TimeoutError())
                # Of several parts of one request only the first is waited for then; asyncio would complain of the others.
                waiting.done.exception()
        left = [one.deadline for one in self._waiting.values() if not one.done.done()]
        if left:
            self._wait_until(min(left), now)
