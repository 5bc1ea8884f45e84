"""Real text for the pipelines that every machine has: documentation of the standard library."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import pytest

from demo.text import sentences_of

TOPICS = ("asyncio", "email", "unittest")


@pytest.fixture(scope="session")
def labeled_text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """About 1,500 sentences, labelled by the package they document."""
    root = Path(sysconfig.get_path("stdlib"))
    lines = [
        f"__label__{topic} {sentence}"
        for topic in TOPICS
        for file in sorted((root / topic).glob("*.py"))
        for sentence in sentences_of(file)
    ]
    assert len(lines) > 500
    path = tmp_path_factory.mktemp("text") / "labeled.txt"
    path.write_text("\n".join(dict.fromkeys(lines)) + "\n")
    return path


@pytest.fixture(scope="session")
def corpus(labeled_text: Path) -> Path:
    """The same sentences without labels."""
    path = labeled_text.with_name("corpus.txt")
    path.write_text("".join(line.split(" ", 1)[1] for line in labeled_text.open()))
    return path
