"""What the guides say is there, is there: links, commands, hyperparameters."""

import importlib.util
import re
from pathlib import Path

import pytest

from kftext.__main__ import COMMANDS
from kftext.blazingtext.hyperparameters import SupervisedHyperparameters, Word2VecHyperparameters
from kftext.hyperparameters import Hyperparameters

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path):
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_files_exist(page: Path):
    text = page.read_text()
    for name in re.findall(r"python -m kftext\.([\w.]+\w)", text):
        assert name in COMMANDS or importlib.util.find_spec(f"kftext.{name}"), name
    for path in re.findall(
        r"\b(?:tests|pipelines|images|manifests)/[\w/-]+\.(?:py|yaml|json)\b", text
    ):
        if not path.startswith("tests/benchmarks/results/"):
            assert (ROOT / path).exists(), path
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for target in re.findall(r"(?:^|`)make ([a-z]+)", text, re.MULTILINE):
        assert target in targets, target


@pytest.mark.parametrize("kind", [Word2VecHyperparameters, SupervisedHyperparameters])
def test_the_guide_of_blazingtext_holds_the_tables(kind: type[Hyperparameters]):
    assert kind.table() in (ROOT / "docs" / "blazingtext.md").read_text()
