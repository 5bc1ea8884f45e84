"""When and where predictions are made, so that none holds up the others for long, none waits for ever, and no queue grows without end.

What is short is predicted on the event loop, where it costs least: of requests that came in together, one behind the other (`turn`).
The labels of many texts, whose answers need no Python, are predicted in threads that never ask for the interpreter's lock
(`parallel`), where other requests want the event loop or a millisecond would not do. All else is partly Python, which holds the lock:
two threads get less done than one, and one beside the event loop less than the loop alone. So what takes more than about a
millisecond is divided into parts of that length, which take turns with those of others; requests that arrive meanwhile are answered
between two parts. Only an instance that can't be divided (a very long text, the neighbours of a word in a large vocabulary) goes to
one of Python's threads.

TensorFlow's predictions have a high price for each call, and run without the lock: they are made for several requests together, in
a thread of each model's own (`batching`).
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Collection, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from kftext.cores import available_cores
from kftext.models import Answer, Predictor
from kftext.serving.batching import PART_SECONDS, Batcher
from kftext.serving.messages import RequestError
from kftext.serving.model import ServedModel
from kftext.serving.options import Options
from kftext.serving.parallel import Parallel
from kftext.serving.query import Query, divide, join
from kftext.serving.turn import Turn

if TYPE_CHECKING:
    from kftext.models.compiled.json_job import JsonJob

__all__ = ["RETRY_AFTER", "Scheduler"]

RETRY_AFTER = (("retry-after", "1"),)

_SHORT_SECONDS = 0.00005
"""What takes less gains by being made behind another; all of a turn's are made before the first of them is answered."""


class Scheduler:
    """Makes predictions for all requests of a server.

    Args:
        options: `threads`, `max_queue`, `deadline_seconds`, `max_batch_size` and `max_batch_wait_seconds`.

    Attributes:
        requests: the requests that the HTTP server has taken on and not answered: more than one where a prediction is not alone.
    """

    def __init__(self, options: Options):
        self.options = options
        self.requests: Collection[object] = ()
        self._short = Turn()
        # With one core there is nothing to be gained.
        self._parallel = Parallel(min(options.threads, available_cores() - 1))
        self._pool = ThreadPoolExecutor(options.threads, thread_name_prefix="predict")
        self._batchers: dict[str, Batcher] = {}
        self._turn = asyncio.Lock()
        self._lock = threading.Lock()
        self._pending = 0
        self._running: dict[int, float] = {}

    @property
    def pending(self) -> int:
        """Predictions under way that are long, or wait for others to go with."""
        return self._pending

    def stuck_seconds(self) -> float:
        """How long the longest prediction in a thread has run or waited; 0.0 when there is none."""
        with self._lock:
            started = min(self._running.values(), default=None)
        seconds = 0.0 if started is None else time.monotonic() - started
        return max(seconds, self._parallel.stuck_seconds)

    async def predict(
        self, model: ServedModel, predictor: Predictor, query: Query, elapsed: float
    ) -> Answer:
        """Answer a query.

        Args:
            model: what to ask.
            predictor: the version of it that the request has taken.
            query: the question.
            elapsed: seconds of the deadline that the request has spent already.

        Raises:
            RequestError: 503 with Retry-After: too many long predictions, or the deadline passed.
        """
        together = model.loaded.on_tensorflow
        seconds = 0.0 if together else model.estimate(query)
        if not together and seconds < PART_SECONDS:
            if len(self.requests) < 2:
                return model.ask(predictor, query)
            if seconds < _SHORT_SECONDS:
                return await self._short.ask(model, predictor, query)
            asked = self._ask_threads(predictor, query, elapsed)
            if asked is None:
                return model.ask(predictor, query)
            return await self._from_thread(model, predictor, query, asked)
        if self._pending >= self.options.max_queue:
            raise RequestError(
                503,
                f"the server is busy: {self._pending} long predictions are under way (--max_queue)",
                RETRY_AFTER,
            )
        self._pending += 1
        try:
            if together:
                return await self._within(elapsed, self._together(model, predictor, query))
            return await self._within(
                elapsed, self._in_parts(model, predictor, query, seconds, elapsed)
            )
        finally:
            self._pending -= 1

    async def _within(self, elapsed: float, answer: Coroutine[Any, Any, Answer]) -> Answer:
        try:
            async with asyncio.timeout(self.options.deadline_seconds - elapsed):
                return await answer
        except TimeoutError:
            raise self._late() from None

    def _late(self) -> RequestError:
        return RequestError(
            503,
            f"not answered within {self.options.deadline_seconds:g} s (--deadline_seconds); send fewer instances a request",
            RETRY_AFTER,
        )

    def close(self) -> None:
        """Let go of the threads; what waits is dropped."""
        self._parallel.close()
        self._pool.shutdown(wait=False, cancel_futures=True)
        for batcher in self._batchers.values():
            batcher.close()

    async def _together(self, model: ServedModel, predictor: Predictor, query: Query) -> Answer:
        size = self.options.max_batch_size
        batcher = self._batchers.get(model.name)
        if batcher is None:
            wait = self.options.max_batch_wait_seconds
            batcher = self._batchers[model.name] = Batcher(model, self._timed, size, wait)
        if len(query.texts) <= size:
            return await batcher.ask(predictor, query)
        # One part after the other: a long request takes turns with short ones.
        parts = [await batcher.ask(predictor, part) for part in divide(query, size)]
        return join(query, parts)

    async def _in_parts(
        self,
        model: ServedModel,
        predictor: Predictor,
        query: Query,
        seconds: float,
        elapsed: float,
    ) -> Answer:
        size = max(1, int(len(query.texts) * PART_SECONDS / seconds))
        answers: list[Answer] = []
        asked: deque[tuple[Query, asyncio.Future[JsonJob]]] = deque()
        for part in divide(query, size):
            job = self._ask_threads(predictor, part, elapsed)
            if job is not None:
                asked.append((part, job))
            # No more at a time than there are threads: other requests want them, too.
            while asked and (job is None or len(asked) == self._parallel.count):
                answers.append(await self._from_thread(model, predictor, *asked.popleft()))
            if job is not None:
                continue
            if model.estimate(part) < 4 * PART_SECONDS:
                # The lock is fair: whoever has made a part goes to the end of the line.
                async with self._turn:
                    answers.append(model.ask(predictor, part))
                    await asyncio.sleep(0)
            else:
                loop = asyncio.get_running_loop()
                answers.append(
                    await loop.run_in_executor(self._pool, self._timed, model, predictor, part)
                )
        answers += [await self._from_thread(model, predictor, *one) for one in asked]
        return join(query, answers)

    def _ask_threads(
        self, predictor: Predictor, query: Query, elapsed: float
    ) -> asyncio.Future[JsonJob] | None:
        if self._parallel.count <= 0:
            return None
        return self._parallel.ask(predictor, query, self.options.deadline_seconds - elapsed)

    async def _from_thread(
        self, model: ServedModel, predictor: Predictor, query: Query, asked: asyncio.Future[JsonJob]
    ) -> Answer:
        try:
            job = await asked
        except TimeoutError:
            raise self._late() from None
        model.learn(query, job.seconds)
        answer = job.result()
        # What it does not write is written in another way.
        return model.ask(predictor, query) if answer is None else answer

    def _timed(self, model: ServedModel, predictor: Predictor, query: Query) -> Answer:
        thread = threading.get_ident()
        with self._lock:
            self._running[thread] = time.monotonic()
        try:
            return model.ask(predictor, query)
        finally:
            with self._lock:
                del self._running[thread]
