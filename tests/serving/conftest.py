"""Fixtures: the small models, and real servers that serve them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from serving.processes import Served, spawn, write_classifier, write_vectors


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The small models by name."""
    root = tmp_path_factory.mktemp("models")
    return {
        "sentiment": write_classifier(root / "sentiment"),
        "vectors": write_vectors(root / "vectors", subwords=False),
        "subwords": write_vectors(root / "subwords", subwords=True),
    }


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Served]]:
    """Start servers that are ready and are stopped after the tests."""
    started: list[Served] = []

    def start(*flags: str, environment: dict[str, str] | None = None) -> Served:
        log = tmp_path_factory.mktemp("server") / "log"
        served = spawn(log, list(flags), environment)
        started.append(served)
        served.wait_until_ready()
        return served

    yield start
    for served in started:
        served.stop()


@pytest.fixture(scope="session")
def server(serve: Callable[..., Served], models: dict[str, Path]) -> Served:
    """One server with all small models and small limits."""
    flags = []
    for name, path in models.items():
        flags += ["--model_name", name, "--model_dir", str(path)]
    return serve(
        *flags,
        "--max_body_bytes",
        "200000",
        "--max_instances",
        "1000",
        "--max_characters",
        "180000",
    )
