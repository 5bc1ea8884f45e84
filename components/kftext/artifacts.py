"""Small things that component bodies do with the artifacts KFP hands them; nothing here imports KFP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import orjson

from kftext import storage
from kftext.errors import DataError

__all__ = ["log_metrics", "read_json", "write_json"]


class MetricsArtifact(Protocol):
    """The part of `kfp.dsl.Metrics` that is used."""

    path: str

    def log_metric(self, metric: str, value: float) -> None:
        """Record one figure in the artifact's metadata."""
        ...


def log_metrics(artifact: MetricsArtifact, figures: Mapping[str, float]) -> None:
    """Show figures beside the run in the UI, and write them to the artifact's file.

    KFP keeps metrics in metadata alone and leaves the file away; but a task whose output file is missing never hits the
    cache.
    """
    for name, value in figures.items():
        artifact.log_metric(name, value)
    write_json(artifact.path, dict(figures))


def write_json(path: str, content: Any) -> None:
    """Write JSON for people and programs: indented, atomic."""
    with storage.open_writer(path) as stream:
        stream.write(orjson.dumps(content, option=orjson.OPT_INDENT_2))


def read_json(path: str) -> Any:
    """Read what `write_json` wrote.

    Raises:
        DataError: it is no JSON.
        StorageError: it can't be read.
    """
    with storage.open_reader(path) as stream:
        try:
            return orjson.loads(stream.read())
        except orjson.JSONDecodeError as error:
            raise DataError(f"expected JSON: {error}", file=path) from None
