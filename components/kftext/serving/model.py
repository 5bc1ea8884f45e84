"""A model under the name it is served by: which version answers, what a prediction costs, and when the files have changed."""

from __future__ import annotations

import time
from collections.abc import Callable

from kftext.errors import StorageError
from kftext.models import Answer, Output, Predictor, outputs_of
from kftext.serving.loading import LoadedModel, fingerprint, load_model
from kftext.serving.messages import Exchange, Request, Target
from kftext.serving.query import Query, ask
from kftext.storage import StrPath

__all__ = ["Decode", "ServedModel"]

Decode = Callable[[Request, Target], Exchange]
"""A protocol's reader."""

# What an instance costs beside its characters, in characters: the overhead of a call and the smallest answer.
INSTANCE_UNITS = 16
SMOOTHING = 0.1

SHORT, LONG = "a first text", "a longer text to measure with, as long as a usual sentence is " * 2


class ServedModel:
    """A model that can be replaced while it serves.

    `target` is swapped in one assignment: a request that took the old one finishes with it.

    Args:
        name: the name in the URL.
        location: model folder, file or archive.
        max_instances: the most that one request may hold.
        reloads: whether `reload` will be used, so that the files may change under the model; only local ones are watched.

    Raises:
        StorageError: there is nothing at `location`.
        ModelFormatError: what is there can't be served.
    """

    def __init__(
        self, name: str, location: StrPath, *, max_instances: int = 10_000, reloads: bool = False
    ):
        self.name, self.location = name, location
        self._max_instances, self._private = max_instances, reloads
        self._fingerprint = self._seen = fingerprint(location)
        self._serve(load_model(location, private=reloads))

    def _serve(self, loaded: LoadedModel) -> None:
        # The first request's cost is known, too, since it may be a large one.
        costs = {output: Cost.measure(loaded, output) for output in outputs_of(loaded.predictor)}
        self.loaded, self._costs = loaded, costs
        self.target = Target(self.name, loaded.version, loaded.predictor, self._max_instances)

    def settled(self) -> bool:
        """Whether the files differ from what was last loaded or tried, and have not changed since the last look."""
        now = fingerprint(self.location)
        last, self._seen = self._seen, now
        return now != self._fingerprint and now == last

    def reload(self) -> bool:
        """Load what is there now and serve it from the next request on.

        Returns:
            Whether the model is another one than before.

        Raises:
            StorageError, ModelFormatError: the new one can't be served; the old one stays.
        """
        self._fingerprint = fingerprint(self.location)
        loaded = load_model(self.location, private=self._private)
        if fingerprint(self.location) != self._fingerprint:
            raise StorageError(f"{self.location}: changed while it was read")
        if loaded.version == self.target.version:
            return False
        self._serve(loaded)
        return True

    def estimate(self, query: Query) -> float:
        """Seconds that the query will take, going by those before it; 0.0 where a reload has left no model that answers it."""
        cost = self._costs.get(query.output)
        return 0.0 if cost is None else cost.estimate(query)

    def ask(self, predictor: Predictor, query: Query) -> Answer:
        """Answer, and learn what it cost."""
        started = time.perf_counter()
        answer = ask(predictor, query)
        self.learn(query, time.perf_counter() - started)
        return answer

    def learn(self, query: Query, seconds: float) -> None:
        """Take note of what a query took."""
        cost = self._costs.get(query.output)
        if cost is not None:
            cost.learn(query, seconds)


class Cost:
    """What predictions cost, which grows with their texts.

    Args:
        call_units: what a call costs beside its texts, in units; a unit is about a character.
        seconds: of a unit, to begin with.
    """

    __slots__ = ("_call_units", "_seconds")

    def __init__(self, call_units: float, seconds: float):
        self._call_units, self._seconds = call_units, seconds

    @classmethod
    def measure(cls, loaded: LoadedModel, output: Output) -> Cost:
        """Find out what the model costs; the least of three times is no accident."""
        short, long = Query([SHORT], output), Query([LONG] * 16, output)
        seconds = min(_seconds(loaded, short) for _ in range(3))
        if not loaded.on_tensorflow and output is not Output.LABELS:
            return cls(0.0, seconds / _units(short))
        more = max(0.0, min(_seconds(loaded, long) for _ in range(3)) - seconds)
        unit = max(more / (_units(long) - _units(short)), 1e-9)
        return cls(max(0.0, seconds / unit - _units(short)), unit)

    def estimate(self, query: Query) -> float:
        """Seconds that the query will take."""
        return self._seconds * (self._call_units + _units(query))

    def learn(self, query: Query, seconds: float) -> None:
        """Take note of what a query took."""
        found = seconds / (self._call_units + _units(query))
        self._seconds += SMOOTHING * (found - self._seconds)


def _seconds(loaded: LoadedModel, query: Query) -> float:
    started = time.perf_counter()
    ask(loaded.predictor, query)
    return time.perf_counter() - started


def _units(query: Query) -> int:
    texts = query.texts
    characters = len(texts[0]) if len(texts) == 1 else sum(map(len, texts))
    return characters + INSTANCE_UNITS * len(texts) or 1
