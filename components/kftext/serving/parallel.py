"""Predictions in threads that never hold the interpreter's lock, awaited on the event loop."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from kftext.models import Classifier, Predictor
from kftext.serving.query import Query

if TYPE_CHECKING:
    from kftext.models.compiled.json_job import JsonJob
    from kftext.models.compiled.threads import PredictionThreads

__all__ = ["Parallel"]


class Parallel:
    """The threads, which start with the first query for them.

    Args:
        count: how many threads.
    """

    def __init__(self, count: int):
        self.count = count
        self._threads: PredictionThreads[JsonJob] | None = None
        self._waiting: dict[JsonJob, tuple[asyncio.Future[JsonJob], float]] = {}

    @property
    def stuck_seconds(self) -> float:
        """How long the query that waits longest has waited; 0.0 where none does."""
        _, asked = next(iter(self._waiting.values()), (None, None))
        return 0.0 if asked is None else time.monotonic() - asked

    def ask(self, predictor: Predictor, query: Query) -> asyncio.Future[JsonJob] | None:
        """Have a query answered in JSON.

        Returns:
            The job, once it is done; None where the query is not one for the threads, or they have too much to do.

        Raises:
            UsageError: as `Classifier.predict`.
        """
        if not query.separator or not isinstance(predictor, Classifier):
            return None
        job = predictor.json_job(query.texts, query.k, query.threshold, separator=query.separator)
        if job is None or not self._start().submit(job):
            return None
        done: asyncio.Future[JsonJob] = asyncio.get_running_loop().create_future()
        self._waiting[job] = done, time.monotonic()
        return done

    def close(self) -> None:
        """End the threads; what waits is dropped."""
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
            done, _ = self._waiting.pop(job)
            if not done.done():
                done.set_result(job)
