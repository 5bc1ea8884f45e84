"""Word vectors trained on unlabelled text, and a classifier that starts from them: the pipeline run by kfp.local on tiny data."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tarfile
from pathlib import Path

import orjson
import pytest

from kftext import models
from kftext.text_classification.artifact import CLASSES_FILE
from text_classification.texts import sentences, write_csv

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None, reason="TensorFlow is not installed"
)

PIPELINE = Path(__file__).parents[2] / "pipelines" / "vectors_to_classifier.py"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of everything that the run wrote."""
    root = tmp_path_factory.mktemp("pipeline")
    corpus = root / "corpus.txt"
    corpus.write_text("".join(text.lower() + "\n" for _, text in sentences(300, seed=3)))
    parameters = {
        "data_uri": write_csv(root / "data", sentences(200)),
        "corpus_uri": corpus,
        "min_count": 1,
        "vector_dim": 10,
        "epochs": 4,
        "learning_rate": 0.05,
    }
    flags = [f"--{name}={value}" for name, value in parameters.items()]
    command = [sys.executable, str(PIPELINE), "--local", "--root", str(root / "run"), *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800, cwd=root)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder,) = (root / "run").iterdir()
    return folder


def test_the_classifier_starts_from_the_vectors_of_the_run(run: Path) -> None:
    vectors = models.ModelMetadata.read(run / "train-blazingtext" / "model")
    trained = models.ModelMetadata.read(run / "train-text-classifier" / "model")
    assert vectors is not None
    assert trained is not None
    assert vectors.kind == "word-vectors"
    assert trained.encoder["kind"] == "word-vectors"
    assert trained.encoder["dim"] == 10


def test_evaluation_of_two_labels(run: Path) -> None:
    measured = orjson.loads((run / "evaluate-classifier" / "evaluation").read_bytes())
    assert measured["held_out"] is True
    assert measured["accuracy"] > measured["commonest_label_accuracy"] + 0.2
    assert measured["roc_auc"] > 0.8
    page = (run / "evaluate-classifier" / "report").read_text()
    assert "ROC curve" in page
    assert "Calibration" in page


def test_the_archive_holds_what_a_server_loads(run: Path) -> None:
    (archive,) = run.glob("package-model/archive/model.tar.gz")
    with tarfile.open(archive) as tar:
        names = set(tar.getnames())
    assert {"model.json", CLASSES_FILE, "1/saved_model.pb"} <= names
