"""Evaluation of a classifier whose answers are known: each word votes for one label."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import orjson
import pytest

from kftext import cli
from kftext.data.formats import Format
from kftext.errors import DataError, UsageError
from kftext.evaluation.classification import __main__ as command
from kftext.evaluation.classification.evaluate import evaluate
from kftext.evaluation.classification.report import write_report
from kftext.models import Args, DenseMatrix, Dictionary, FastTextModel, Loss, Model, write_model

LABELS = ("red", "green", "blue")


def write_classifier(path: Path, labels: tuple[str, ...]) -> str:
    """Word i is the unit vector i, label i the same times five: a text goes to the label of most of its words."""
    size = len(labels)
    arguments = Args(
        dim=size,
        loss=Loss.SOFTMAX,
        model=Model.SUPERVISED,
        word_ngrams=1,
        minn=0,
        maxn=0,
        bucket=0,
        t=1e-4,
    )
    words = [label.encode() for label in labels]
    falling = list(range(size, 0, -1))
    dictionary = Dictionary(
        arguments, words, falling, [b"__label__" + word for word in words], falling, token_count=24
    )
    unit = np.eye(size, dtype=np.float32)
    write_model(
        FastTextModel(arguments, dictionary, DenseMatrix(unit), DenseMatrix(5 * unit)), path
    )
    return str(path)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_classifier(tmp_path_factory.mktemp("model") / "model.bin", LABELS)


ROWS = """__label__red red red green
__label__red green green
__label__green green
__label__blue __label__green blue
"""


@pytest.fixture
def data(tmp_path: Path) -> str:
    path = tmp_path / "data.txt"
    path.write_text(ROWS)
    return str(path)


def expected_error() -> float:
    """Three right answers at two probabilities, and one wrong one: each probability has a bin of its own."""
    certain = np.exp(5) / (np.exp(5) + 2)
    two_of_three = np.exp(10 / 3) / (np.exp(10 / 3) + np.exp(5 / 3) + 1)
    return float(abs(3 * certain - 2) + abs(two_of_three - 1)) / 4


def test_counts_and_mistakes(model: str, data: str) -> None:
    result = evaluate(model, [data], Format.LABELED_TEXT)
    assert result.metrics == {
        "accuracy": 0.75,
        "commonest_label_accuracy": 0.5,
        "macro_f1": pytest.approx((2 / 3 + 1 / 2 + 1) / 3),
        "precision_at_1": 0.75,
        "recall_at_1": pytest.approx(3 / 5),
        "examples": 4,
        "labels": 3,
        "expected_calibration_error": pytest.approx(expected_error(), abs=1e-4),
    }
    (mistake,) = result.mistakes
    assert (mistake.text, mistake.true, mistake.predicted) == ("green green", ("red",), "green")
    assert mistake.probability == pytest.approx(np.exp(5) / (np.exp(5) + 2), abs=1e-4)


def test_two_labels_have_a_roc_curve(tmp_path: Path) -> None:
    two = write_classifier(tmp_path / "two.bin", ("no", "yes"))
    data = tmp_path / "data.txt"
    # Probabilities of yes: 1, 2/3, 1/3 and 0 of the words; the third is the one that is out of order.
    data.write_text(
        "__label__yes yes\n__label__no yes yes no\n__label__yes yes no no\n__label__no no\n"
    )
    result = evaluate(two, [str(data)], Format.LABELED_TEXT)
    assert result.positive_label == "yes"
    assert result.metrics["roc_auc"] == 0.75
    assert result.metrics["precision_at_1"] == result.metrics["accuracy"] == 0.5
    curve = result.roc_curve
    assert curve is not None
    assert curve.false_positive_rates == [0, 0, 0.5, 0.5, 1]
    assert curve.true_positive_rates == [0, 0.5, 0.5, 1, 1]
    write_report(result, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "For label yes; area under the curve 0.750" in page
    assert page.count("<svg") == 3
    assert [one["examples"] for one in result.evaluation_json["reliability"]] == [2, 2]


def test_k_asks_for_more_labels(model: str, data: str) -> None:
    metrics = evaluate(model, [data], Format.LABELED_TEXT, k=3).metrics
    assert metrics["recall_at_3"] == 1
    assert metrics["precision_at_3"] == pytest.approx(5 / 12)
    assert metrics["accuracy"] == 0.75


def test_a_manifest_of_several_files_is_measured_alike(model: str, tmp_path: Path) -> None:
    folder = tmp_path / "manifest"
    folder.mkdir()
    (folder / "1.jsonl").write_text('{"source": "red red green", "label": "red"}\n')
    (folder / "2.jsonl").write_text('{"source": "blue", "label": ["blue", "green"]}\n')
    assert evaluate(model, [str(folder)], Format.MANIFEST).metrics["accuracy"] == 1


def test_command_writes_json_and_report(
    model: str, data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, report = tmp_path / "evaluation.json", tmp_path / "report.html"
    flags = ["--model", model, "--data", data, "--output", str(output), "--report", str(report)]
    assert cli.run(command.main, flags) == 0
    assert capsys.readouterr().out == "#accuracy: 0.7500\n"
    content = orjson.loads(output.read_bytes())
    assert content["accuracy"] == 0.75
    assert content["per_label"]["red"] == {
        "precision": 1.0,
        "recall": 0.5,
        "f1": pytest.approx(2 / 3),
        "examples": 2,
    }
    page = report.read_text()
    assert "Accuracy 0.750 on 4 examples with 3 labels" in page
    assert "<svg" in page
    assert "green green" in page


def test_the_page_says_when_nothing_was_held_out(model: str, data: str, tmp_path: Path) -> None:
    result = evaluate(model, [data], Format.LABELED_TEXT)
    result.held_out = False
    write_report(result, tmp_path / "report.html")
    assert "trained on" in (tmp_path / "report.html").read_text()
    assert result.evaluation_json["held_out"] is False


def test_text_cant_break_out_of_the_page(model: str, tmp_path: Path) -> None:
    data = tmp_path / "data.txt"
    data.write_text("__label__<script> red <script>alert(1)</script>\n")
    write_report(evaluate(model, [str(data)], Format.LABELED_TEXT), tmp_path / "report.html")
    assert "<script" not in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("content", ["", "no label here\n", "__label__red\n"])
def test_data_at_fault_is_named(model: str, tmp_path: Path, content: str) -> None:
    data = tmp_path / "data.txt"
    data.write_text(content)
    with pytest.raises(DataError) as error:
        evaluate(model, [str(data)], Format.LABELED_TEXT)
    assert str(error.value).startswith(str(data))


def test_wrong_use_is_said(model: str, data: str) -> None:
    with pytest.raises(UsageError, match="k=0: expected an integer > 0"):
        evaluate(model, [data], Format.LABELED_TEXT, k=0)
    with pytest.raises(UsageError, match="measured on labelled data"):
        evaluate(model, [data], Format.CORPUS)
