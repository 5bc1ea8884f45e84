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
        self._seconds_per_unit: dict[Output, float] = {}
        self.loaded = loaded
        for output in outputs_of(loaded.predictor):
            # The first request's cost is known, too, since it may be a large one; the least of three is no accident.
            query = Query(["a first text"], output)
            self._seconds_per_unit[output] = min(
                _timed(loaded.predictor, query)[1] for _ in range(3)
            )
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
        """Seconds that the query will take, going by those before it."""
        return self._seconds_per_unit.get(query.output, 0.0) * _units(query)

    def ask(self, predictor: Predictor, query: Query) -> Answer:
        """Answer, and learn what it cost."""
        answer, seconds = _timed(predictor, query)
        known = self._seconds_per_unit.get(query.output, seconds)
        self._seconds_per_unit[query.output] = known + SMOOTHING * (seconds - known)
        return answer


def _timed(predictor: Predictor, query: Query) -> tuple[Answer, float]:
    """The answer, and the seconds that each unit of the query took."""
    started = time.perf_counter()
    answer = ask(predictor, query)
    return answer, (time.perf_counter() - started) / _units(query)


def _units(query: Query) -> int:
    return sum(map(len, query.texts)) + INSTANCE_UNITS * len(query.texts) or 1
