"""What the tests of this folder share. Without TensorFlow the files test_tf_*.py are left out, and one test says so."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path

import pytest

INSTALLED = importlib.util.find_spec("tensorflow") is not None
collect_ignore_glob = [] if INSTALLED else ["test_tf_*.py"]

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@pytest.fixture(scope="module", autouse=True)
def tensorflow_where_it_is_needed(request: pytest.FixtureRequest) -> None:
    """Importing it takes seconds, which tests of other things do without."""
    if request.module.__name__.rpartition(".")[2].startswith("test_tf_"):
        request.getfixturevalue("two_threads")


@pytest.fixture(autouse=True)
def no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test depends on what this machine has cached, or on a network."""
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "hub"))
    monkeypatch.delenv("KFTEXT_MODEL_MIRROR", raising=False)


@pytest.fixture
def csv_folder(tmp_path: Path) -> Callable[..., str]:
    """Write a data folder and return its path."""

    def write(content: str | bytes, name: str = "data") -> str:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        data = content if isinstance(content, bytes) else content.encode()
        (folder / "data.csv").write_bytes(data)
        return str(folder)

    return write
