"""Micro-batching: what is asked of a model at the same time is predicted in one call.

A call into TensorFlow costs as much as many texts in it. Requests that arrive in one turn of the event loop go together, and so do
those that arrive while a call is under way. A call is put off for a moment, in proportion to what it will take, where more requests are
to be expected: as many as there were at the last call. A client that asks alone never waits.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from kftext.errors import KftextError
from kftext.models import Answer, Predictor
from kftext.serving.metrics import BATCH
from kftext.serving.model import ServedModel
from kftext.serving.query import Query

__all__ = ["PART_SECONDS", "Batcher"]

PART_SECONDS = 0.001
"""What takes less is done on the event loop: handing it to a thread would cost as much."""

_WAIT_SHARE = 0.5
"""How long a call is put off at most, as a share of the time that it will take."""


@dataclass(frozen=True, slots=True, eq=False)
class Waiting:
    """A query that nobody has answered yet."""

    predictor: Predictor
    query: Query
    answer: asyncio.Future[Answer]

    def goes_with(self, other: Waiting) -> bool:
        """Whether one call can answer both."""
        mine, theirs = self.query, other.query
        return (
            self.predictor is other.predictor
            and mine.output is theirs.output
            and mine.k == theirs.k
            and mine.threshold == theirs.threshold
        )


class Batcher:
    """Answers the queries of one model.

    Args:
        model: the model.
        run: makes a prediction; called in a thread where it will take more than `PART_SECONDS`.
        max_size: most instances in one call; one query may bring no more.
        max_wait: seconds that a call is put off at most.
    """

    def __init__(
        self,
        model: ServedModel,
        run: Callable[[ServedModel, Predictor, Query], Answer],
        max_size: int,
        max_wait: float,
    ):
        self._model, self._run = model, run
        self._max_size, self._max_wait = max_size, max_wait
        self._waiting: deque[Waiting] = deque()
        self._expected = 1
        self._enough = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None
        self._sizes = BATCH.labels(model.name)
        # One thread: TensorFlow itself uses all cores for a call.
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=f"predict-{model.name}")

    async def ask(self, predictor: Predictor, query: Query) -> Answer:
        """Answer a query together with others. Whoever gives up waiting is left out of the call.

        Raises:
            KftextError: the model's fault, with this query.
        """
        waiting = Waiting(predictor, query, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._worker is None:
            # It has its turn behind all requests that have arrived by now.
            self._worker = asyncio.create_task(self._work())
        elif self._is_enough():
            self._enough.set()
        return await waiting.answer

    def close(self) -> None:
        """Let go of the thread; what waits is dropped."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _work(self) -> None:
        try:
            while self._waiting:
                await self._gather()
                batch = self._take()
                if batch:
                    await self._answer(batch)
        finally:
            self._worker = None

    def _is_enough(self) -> bool:
        return (
            len(self._waiting) >= self._expected
            or sum(len(one.query.texts) for one in self._waiting) >= self._max_size
        )

    async def _gather(self) -> None:
        """Wait for those who are expected."""
        seconds = self._model.estimate(self._waiting[0].query)
        wait = min(self._max_wait, _WAIT_SHARE * seconds)
        if wait < PART_SECONDS:
            # The event loop's timers are coarser than that: it takes turns instead, in which requests come in.
            end = time.perf_counter() + wait
            while not self._is_enough() and time.perf_counter() < end:
                await asyncio.sleep(0)
            return
        if self._is_enough():
            return
        self._enough.clear()
        try:
            async with asyncio.timeout(wait):
                await self._enough.wait()
        except TimeoutError:
            pass

    def _take(self) -> list[Waiting]:
        """The queries of the next call: the oldest one, and those that go with it."""
        batch: list[Waiting] = []
        rest: deque[Waiting] = deque()
        size = 0
        for one in self._waiting:
            if one.answer.done():
                continue
            count = len(one.query.texts)
            if not batch or (one.goes_with(batch[0]) and size + count <= self._max_size):
                batch.append(one)
                size += count
            else:
                rest.append(one)
        self._waiting = rest
        self._expected = len(batch) + len(rest)
        return batch

    async def _answer(self, batch: list[Waiting]) -> None:
        texts = [text for one in batch for text in one.query.texts]
        call = asyncio.create_task(
            self._predict(batch[0].predictor, replace(batch[0].query, texts=texts))
        )
        await asyncio.wait([call])
        error = call.exception()
        if isinstance(error, KftextError) and len(batch) > 1:
            # Which of them the model can't answer shows when each is asked alone.
            for one in batch:
                await self._answer([one])
            return
        start = 0
        for one in batch:
            end = start + len(one.query.texts)
            if not one.answer.done():
                if error is None:
                    one.answer.set_result(call.result()[start:end])
                else:
                    one.answer.set_exception(error)
            start = end

    async def _predict(self, predictor: Predictor, query: Query) -> Answer:
        self._sizes.observe(len(query.texts))
        if self._model.estimate(query) < PART_SECONDS:
            return self._run(self._model, predictor, query)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._run, self._model, predictor, query)
