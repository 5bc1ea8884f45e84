"""When and where predictions are made, so that none holds up the others for long, none waits for ever, and no queue grows without end.

fastText's predictions are short, and partly Python, which holds the interpreter's lock: two threads get less done than one, and one
thread beside the event loop less than the loop alone. Of requests of 100 texts, 0.3 ms each, one thread gets three quarters as many
answered as the loop alone, and three get half. So a prediction under about a millisecond is made on the event loop, where it costs
least; the shortest, of requests that came in together, one behind the other (`turn`). A longer one is made there as well, in parts of about a millisecond, taking turns with the other long ones; requests that
arrive meanwhile are answered between two parts. Only an instance that can't be divided (a very long text, the neighbours of a word
in a large vocabulary) goes to a thread.

TensorFlow's predictions have a high price for each call, and run without the lock: they are made for several requests together, in
a thread of each model's own (`batching`).
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor

from kftext.models import Answer, Predictor
from kftext.serving.batching import PART_SECONDS, Batcher
from kftext.serving.messages import RequestError
from kftext.serving.model import ServedModel
from kftext.serving.options import Options
from kftext.serving.query import Query, divide, join
from kftext.serving.turn import Turn

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
        """How long the longest prediction in a thread has run; 0.0 when none runs."""
        with self._lock:
            started = min(self._running.values(), default=None)
        return 0.0 if started is None else time.monotonic() - started

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
            if seconds < _SHORT_SECONDS and len(self.requests) > 1:
                return await self._short.ask(model, predictor, query)
            return model.ask(predictor, query)
        if self._pending >= self.options.max_queue:
            raise RequestError(
                503,
                f"the server is busy: {self._pending} long predictions are under way (--max_queue)",
                RETRY_AFTER,
            )
        deadline = self.options.deadline_seconds
        self._pending += 1
        try:
            async with asyncio.timeout(deadline - elapsed):
                if together:
                    return await self._together(model, predictor, query)
                return await self._in_parts(model, predictor, query, seconds)
        except TimeoutError:
            raise RequestError(
                503,
                f"not answered within {deadline:g} s (--deadline_seconds); send fewer instances a request",
                RETRY_AFTER,
            ) from None
        finally:
            self._pending -= 1

    def close(self) -> None:
        """Let go of the threads; what waits is dropped."""
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
        self, model: ServedModel, predictor: Predictor, query: Query, seconds: float
    ) -> Answer:
        size = max(1, int(len(query.texts) * PART_SECONDS / seconds))
        answers = []
        for part in divide(query, size):
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
        return join(query, answers)

    def _timed(self, model: ServedModel, predictor: Predictor, query: Query) -> Answer:
        thread = threading.get_ident()
        with self._lock:
            self._running[thread] = time.monotonic()
        try:
            return model.ask(predictor, query)
        finally:
            with self._lock:
                del self._running[thread]
