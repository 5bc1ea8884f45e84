"""Evaluation of vectors with known cosines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import orjson
import pytest

from kftext import cli, models
from kftext.errors import UsageError
from kftext.evaluation.word_similarity import __main__ as command
from kftext.evaluation.word_similarity.evaluate import evaluate
from kftext.models.word2vec_text import write_text

VECTORS = {
    "king": (1.0, 0.0),
    "queen": (0.9, 0.1),
    "tiger": (0.0, 1.0),
    "cat": (0.2, 0.9),
    "dog": (0.5, 0.6),
}
PAIRS = "king\tqueen\t9\ntiger\tcat\t8\nking\ttiger\t1\ncat\tunicorn\t5\n"


@pytest.fixture
def model(tmp_path: Path) -> str:
    path = tmp_path / "vectors.txt"
    write_text(
        path, [word.encode() for word in VECTORS], np.array(list(VECTORS.values()), np.float32)
    )
    return str(path)


@pytest.fixture
def pairs(tmp_path: Path) -> str:
    path = tmp_path / "pairs.txt"
    path.write_text(PAIRS)
    return str(path)


def test_scores_and_neighbors(model: str, pairs: str) -> None:
    result = evaluate(model, [pairs], ["king", "yeti"])
    assert result.eval_json["pairs.txt"] == {
        "not_found": 1,
        "words_not_found": 1,
        "spearmans_rho": pytest.approx(1.0),
        "total_pairs": 4,
    }
    assert result.metrics == {
        "words": 5,
        "dimension": 2,
        "pairs": 4,
        "pairs_found": 3,
        "mean_rho": pytest.approx(1.0),
    }
    assert [word for word, _ in result.neighbors["king"][:2]] == ["queen", "dog"]
    assert result.neighbors["king"][0][1] == pytest.approx(0.9 / np.hypot(0.9, 0.1), abs=1e-6)
    assert result.unknown == ["yeti"]


def test_without_words_asked_for_the_judged_ones_come_first(model: str, pairs: str) -> None:
    assert list(evaluate(model, [pairs]).neighbors) == ["king", "queen", "tiger", "cat"]


def test_command(
    model: str, pairs: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, report = tmp_path / "eval.json", tmp_path / "report.html"
    flags = ["--model", model, "--pairs", pairs, "--output", str(output), "--report", str(report)]
    assert cli.run(command.main, [*flags, "--neighbors-of", "cat", "yeti"]) == 0
    assert capsys.readouterr().out == "#mean_rho: 1.0000\n"
    assert orjson.loads(output.read_bytes())["mean_rho"] == pytest.approx(1.0)
    page = report.read_text()
    assert "<svg" in page
    assert "tiger (" in page
    assert "No vector for: yeti." in page


def test_nothing_found_leaves_the_mean_out(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = tmp_path / "strange.txt"
    pairs.write_text("yeti\tunicorn\t3\nyeti\tcat\t4\n")
    output = tmp_path / "eval.json"
    assert (
        cli.run(command.main, ["--model", model, "--pairs", str(pairs), "--output", str(output)])
        == 0
    )
    assert capsys.readouterr().out == ""
    assert orjson.loads(output.read_bytes())["mean_rho"] is None


def test_a_classifier_is_refused_and_nothing_is_written(
    data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    classifier = data_dir / "fasttext_models" / "cooking.model.bin"
    assert isinstance(models.load(classifier), models.Classifier)
    with pytest.raises(UsageError):
        evaluate(str(classifier))
    output = tmp_path / "eval.json"
    assert cli.run(command.main, ["--model", str(classifier), "--output", str(output)]) == 2
    assert capsys.readouterr().err.endswith("expected word vectors, found a text classifier\n")
    assert not output.exists()
