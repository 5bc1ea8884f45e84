"""The demo, on a small file of one's own: three pipelines, three servers, predictions over HTTP."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from demo import text
from kftext.errors import ResourceError

DEMO = Path(__file__).parents[2] / "pipelines" / "demo"


def demo(*flags: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(DEMO), *map(str, flags)]
    return subprocess.run(command, capture_output=True, text=True, timeout=1800)


def test_the_whole_demo_on_ones_own_file(labeled_text: Path, tmp_path: Path) -> None:
    done = demo("--data", labeled_text, "--output", tmp_path / "out")
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout
    served = re.findall(r"POST http://127\.0\.0\.1:\d+/v1/models/(\S+):predict", said)
    assert served == ["word-vectors", "classifier", "tensorflow-classifier"]
    assert len(re.findall(r"-> \[[+-]\d\.\d{3}, .*numbers\]", said)) == 4
    assert re.search(r"WS-353: \d+ of 353 pairs found", said)
    assert re.search(
        r"-> (asyncio|email|unittest) \d\.\d\d, .*truth: (asyncio|email|unittest)", said
    )
    accuracies = re.findall(r"Accuracy (\S+) on \d+ held-out.*commonest label: (\S+)", said)
    assert len(accuracies) == 2
    for accuracy, floor in accuracies:
        assert float(accuracy) > float(floor)
    # Each path that is named is there, and no server is left behind.
    for path in re.findall(r"^  (?:model|archive|\w+ report) +(\S+)$", said, re.MULTILINE):
        assert Path(path).exists() or (Path.cwd() / path).exists()
    running = [
        path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if _readable(path)
    ]
    assert not [
        command
        for command in running
        if b"kftext.serving" in command and str(tmp_path).encode() in command
    ]


def _readable(path: Path) -> bool:
    try:
        path.read_bytes()
    except OSError:
        return False
    return True


def test_a_broken_file_ends_the_demo_at_the_first_step(tmp_path: Path) -> None:
    data = tmp_path / "data.txt"
    data.write_text("a line with no label\n" * 20)
    done = demo("--data", data, "--output", tmp_path / "out")
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"error: {data}:1: ")
    assert not list(tmp_path.rglob("model*"))


def test_the_text_is_real_labelled_and_split(tmp_path: Path) -> None:
    roots = {
        name: path
        for name, path in text.installed_packages().items()
        if name in ("gensim", "setuptools")
    }
    found = text.collect(tmp_path, roots, workers=1)
    training, validation = (
        file.read_text().splitlines() for file in (found.training, found.validation)
    )
    assert {line.split()[0] for line in training} == {"__label__gensim", "__label__setuptools"}
    assert len(training) > 1000
    assert not set(training) & set(validation)
    assert len(validation) == pytest.approx(len(training) / 9, rel=0.01)
    # The held-out tenth is a fair sample of the labels.
    share = [
        sum("__label__gensim" in line for line in lines) / len(lines)
        for lines in (training, validation)
    ]
    assert share[0] == pytest.approx(share[1], abs=0.06)
    sentences = set(found.corpus.read_text().splitlines())
    assert {line.split(" ", 1)[1] for line in (*training, *validation)} <= sentences
    again = text.collect(tmp_path / "again", roots, workers=2)
    assert again.training.read_bytes() == found.training.read_bytes()


def test_a_label_with_very_many_sentences_is_a_fair_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "SENTENCES_PER_LABEL", 500)
    roots = {
        name: path
        for name, path in text.installed_packages().items()
        if name in ("gensim", "setuptools")
    }
    found = text.collect(tmp_path, roots, workers=1)
    training, validation = (
        file.read_text().splitlines() for file in (found.training, found.validation)
    )
    assert (len(training), len(validation)) == (900, 100)
    assert sum("__label__gensim" in line for line in validation) == pytest.approx(50, abs=15)


def test_too_few_packages_are_said(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="only 1 is installed"):
        text.collect(tmp_path, {"python": tmp_path})
