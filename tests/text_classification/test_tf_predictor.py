"""The model folder in use: through models.load, packed and unpacked, and where this package is not installed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import orjson
import pytest
import tensorflow as tf

from kftext import cli, models
from kftext.data.formats import Format
from kftext.errors import ModelFormatError, StorageError, UsageError
from kftext.evaluation.classification.evaluate import evaluate
from kftext.packaging import pack, unpack
from kftext.text_classification import export_encoder
from kftext.text_classification.artifact import CLASSES_FILE
from kftext.text_classification.catalogue import find
from kftext.text_classification.examples import Source
from kftext.text_classification.loading import find_model
from kftext.text_classification.predictor import SavedModelClassifier, open_encoder_as_it_is
from kftext.text_classification.training import TrainingRequest, train
from text_classification.saved_models import TextEmbedding, hub_transformer
from text_classification.texts import sentences, write_csv

TEXTS = ["A good film.", "the story was awful", "", "plot", "very very " * 70]


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fine-tuned transformer, with labels 3 and 7."""
    root = tmp_path_factory.mktemp("predictor")
    entry = find("albert-en-base")
    assert entry is not None
    rows = [(7 if label else 3, text) for label, text in sentences(160)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFHUB_CACHE_DIR", str(root / "hub"))
        hub_transformer(root / "hub", entry.handle, entry.preprocessing)
        chosen = {"epochs": 2, "learning_rate": 0.01, "optimizer": "adam"}
        data = Source(write_csv(root / "data", rows))
        train(TrainingRequest(data, str(root / "model"), entry.model_id, hyperparameters=(chosen,)))
    shutil.rmtree(root / "hub")
    return root / "model"


def test_models_load_gives_a_classifier(model_dir: Path) -> None:
    model = models.load(model_dir)
    assert isinstance(model, models.Classifier)
    assert model.labels == ["3", "7"]
    assert model.dim == 16
    assert model.warm_up()
    both = model.predict(TEXTS, k=-1)
    assert [len(found.labels) for found in both] == [2] * len(TEXTS)
    for found in both:
        assert sum(found.probabilities) == pytest.approx(1, abs=1e-5)
        assert found.probabilities == sorted(found.probabilities, reverse=True)
    (best,) = model.predict(TEXTS[:1])
    assert best.labels == both[0].labels[:1]
    (none,) = model.predict(TEXTS[:1], k=2, threshold=1.1)
    assert none == ([], [])
    assert model.predict([]) == []
    with pytest.raises(UsageError, match="k=0: expected an integer > 0"):
        model.predict(TEXTS, k=0)
    arrays = model.predict_arrays(TEXTS, k=2)
    assert arrays.labels.dtype == arrays.counts.dtype == np.int32
    assert [[model.labels[label] for label in row] for row in arrays.labels] == [
        found.labels for found in both
    ]


def test_a_text_alone_and_among_others_is_the_same(model_dir: Path) -> None:
    model = SavedModelClassifier(model_dir)
    together = model.probabilities(TEXTS)
    alone = np.concatenate([model.probabilities([text]) for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    assert model.probabilities(["\ud800 a lone surrogate"]).shape == (1, 2)


def test_evaluation_measures_it(model_dir: Path, tmp_path: Path) -> None:
    rows = [(7 if label else 3, text) for label, text in sentences(60, seed=2)]
    data = write_csv(tmp_path / "test", rows)
    result = evaluate(str(model_dir), [data], Format.CSV)
    predictions = SavedModelClassifier(model_dir).predict([text for _, text in rows])
    hits = sum(
        found.labels == [str(label)] for found, (label, _) in zip(predictions, rows, strict=True)
    )
    assert result.metrics["accuracy"] == pytest.approx(hits / 60)


def test_packed_and_unpacked_it_is_the_same(model_dir: Path, tmp_path: Path) -> None:
    archive = pack(model_dir, tmp_path / "model.tar.gz")
    assert {"1/saved_model.pb", "model.json"} <= set(archive.files)
    unpack(archive.uri, tmp_path / "unpacked")
    np.testing.assert_array_equal(
        SavedModelClassifier(tmp_path / "unpacked").probabilities(TEXTS),
        SavedModelClassifier(model_dir).probabilities(TEXTS),
    )


def test_the_signature_is_what_tensorflow_serving_expects(model_dir: Path) -> None:
    signature = tf.saved_model.load(str(model_dir / "1")).signatures["serving_default"]
    (spec,) = signature.structured_input_signature[1].values()
    assert (spec.name, spec.dtype, spec.shape.as_list()) == ("text", tf.string, [None])
    (output,) = signature.structured_outputs.items()
    assert output[0] == "probabilities"
    assert (output[1].dtype, output[1].shape.as_list()) == (tf.float32, [None, 2])


def test_another_savedmodel_with_the_same_signature(model_dir: Path, tmp_path: Path) -> None:
    """As TensorFlow Serving has it: versions side by side, no class file, no model.json."""
    for version in ("2", "10"):
        shutil.copytree(model_dir / "1", tmp_path / "served" / version)
    shutil.rmtree(tmp_path / "served" / "2" / "variables")
    foreign = models.load(tmp_path / "served")
    assert isinstance(foreign, SavedModelClassifier)
    assert foreign.labels == ["0", "1"]
    ours = SavedModelClassifier(model_dir)
    np.testing.assert_array_equal(foreign.probabilities(TEXTS), ours.probabilities(TEXTS))
    shutil.copy(model_dir / CLASSES_FILE, tmp_path / "served")
    named = models.load(tmp_path / "served")
    assert isinstance(named, SavedModelClassifier)
    assert named.labels == ours.labels


def test_an_encoder_of_the_hub_as_it_is(tmp_path: Path) -> None:
    module = TextEmbedding()
    tf.saved_model.save(module, str(tmp_path / "hub"))
    encoder = models.load(tmp_path / "hub")
    assert isinstance(encoder, models.TextEncoder)
    assert encoder.dim == 8
    assert encoder.warm_up()
    expected = module(tf.constant(TEXTS))
    np.testing.assert_allclose(encoder.embed(TEXTS), expected, rtol=1e-6)
    assert encoder.embed([]).shape == (0, 8)


def test_a_catalogue_model_as_it_is(tmp_path: Path) -> None:
    entry = find("electra-small-1")
    assert entry is not None
    hub_transformer(tmp_path / "hub", entry.handle, entry.preprocessing, length=128)
    encoder = open_encoder_as_it_is(entry.model_id)
    assert encoder.embed(TEXTS).shape == (len(TEXTS), 16)
    many = [f"{text} good" * (index % 3) for index, text in enumerate(TEXTS * 9)]
    alone = np.concatenate([encoder.embed([text]) for text in many])
    np.testing.assert_allclose(encoder.embed(many), alone, atol=1e-5)
    # Written as one folder, it needs neither hub nor mirror, and can be trained from.
    flags = ["--model-id", entry.model_id, "--model-dir", str(tmp_path / "folder")]
    assert cli.run(export_encoder.main, flags) == 0
    shutil.rmtree(tmp_path / "hub")
    archive = pack(tmp_path / "folder", tmp_path / "encoder.tar.gz")
    unpack(archive.uri, tmp_path / "unpacked")
    served = models.load(tmp_path / "unpacked")
    assert isinstance(served, models.TextEncoder)
    np.testing.assert_array_equal(served.embed(many), encoder.embed(many))
    assert find_model(str(tmp_path / "unpacked"), tmp_path).kind == "saved-model"


def test_what_takes_no_texts_is_no_predictor(tmp_path: Path) -> None:
    module = tf.Module()
    module.__call__ = tf.function(
        lambda numbers: numbers, input_signature=[tf.TensorSpec([None], tf.float32)]
    )
    tf.saved_model.save(module, str(tmp_path))
    with pytest.raises(ModelFormatError, match="does not take texts"):
        models.load(tmp_path)


ELSEWHERE = """
import json, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("kftext", "tensorflow_hub"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Blocked())
import tensorflow as tf, tensorflow_text
model = tf.saved_model.load(sys.argv[1])
found = model.signatures["serving_default"](text=tf.constant(json.loads(sys.argv[2])))
assert "kftext" not in sys.modules
print(json.dumps(found["probabilities"].numpy().tolist()))
"""


def test_where_this_package_is_not_installed(model_dir: Path) -> None:
    command = [sys.executable, "-c", ELSEWHERE, str(model_dir / "1"), json.dumps(TEXTS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stderr
    here = SavedModelClassifier(model_dir).probabilities(TEXTS)
    np.testing.assert_allclose(orjson.loads(done.stdout), here, atol=1e-6)


def test_damaged_folders(model_dir: Path, tmp_path: Path) -> None:
    copy = tmp_path / "model"
    shutil.copytree(model_dir, copy)
    classes = copy / "class_label_to_prediction_index.json"
    for content, message in (
        (b'{"3": 0, "7": 1, "9": 2}', "2 probabilities, but the class file names 3 labels"),
        (b'{"3": 0, "7": 5}', "expected a JSON object, label -> index from 0 to n-1"),
        (b"{", "not JSON"),
    ):
        classes.write_bytes(content)
        with pytest.raises(ModelFormatError, match=message):
            models.load(copy)
    classes.unlink()
    with pytest.raises(StorageError, match=r"class_label_to_prediction_index\.json"):
        models.load(copy)
    shutil.copy(model_dir / classes.name, classes)
    (copy / "1" / "saved_model.pb").write_bytes(b"x")
    with pytest.raises(ModelFormatError, match="not a SavedModel that can be loaded"):
        models.load(copy)
