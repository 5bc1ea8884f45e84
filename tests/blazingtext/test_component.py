"""The pipeline step: the form has the algorithm's defaults, and its body trains."""

from __future__ import annotations

import inspect
from pathlib import Path

import orjson
import pytest
from kfp import dsl

from blazingtext import texts
from kftext import models
from kftext.blazingtext.component import train_blazingtext
from kftext.blazingtext.hyperparameters import SupervisedHyperparameters, Word2VecHyperparameters
from kftext.data.dataset import Dataset
from kftext.data.formats import Format


def test_defaults_are_the_hyperparameters():
    parameters = inspect.signature(train_blazingtext.python_func).parameters
    for kind in (Word2VecHyperparameters, SupervisedHyperparameters):
        for name, field in kind.model_fields.items():
            if name not in ("mode", "loss"):
                assert parameters[name].default == field.default, name
                assert parameters[name].annotation is type(field.default), name


@pytest.fixture
def run(tmp_path):
    """Call the step's body with artifacts in a folder."""
    folder = tmp_path / "dataset"
    folder.mkdir()
    (folder / "train.txt").write_text(texts.labeled(500))
    (folder / "validation.txt").write_text(texts.labeled(100, seed=1))
    Dataset(Format.LABELED_TEXT, "train.txt", "validation.txt").write(folder)

    def call(**arguments):
        artifacts = {
            "dataset": dsl.Dataset(uri=str(folder)),
            "model": dsl.Model(uri=str(tmp_path / "model")),
            "metrics": dsl.Metrics(uri=str(tmp_path / "metrics")),
        }
        train_blazingtext.python_func(**artifacts, min_count=1, vector_dim=8, **arguments)
        return artifacts["model"], artifacts["metrics"]

    return call


def test_classifier(run):
    model, metrics = run(mode="supervised", buckets=500, learning_rate=0.5, early_stopping=True)
    assert model.metadata["kind"] == "text-classifier"
    assert isinstance(models.load(model.path), models.Classifier)
    assert metrics.metadata["validation_accuracy"] > 0.9
    assert orjson.loads(Path(metrics.path).read_bytes()) == metrics.metadata


def test_word_vectors_of_labelled_data_have_no_labels(run):
    model, metrics = run(mode="skipgram", epochs=1, threads=2)
    assert model.metadata == {
        "kind": "word-vectors",
        "algorithm": "blazingtext",
        "mode": "skipgram",
    }
    assert not any(word.startswith("__label__") for word in models.load(model.path).words)
    assert metrics.metadata["words"] == 500 * 12


def test_hyperparameter_of_another_mode(run, capsys):
    with pytest.raises(SystemExit) as end:
        run(mode="supervised", window_size=9)
    assert end.value.code == 2
    assert "window_size=9" in capsys.readouterr().err
