"""Word vectors without the graph, against the graph of the same SavedModel."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path

import numpy as np
import orjson
import pytest

from kftext.batch import transform
from kftext.errors import ModelFormatError, UsageError
from kftext.models import Model, ModelMetadata, Output, Prediction, answer_json, write_model
from kftext.models.compiled.threads import run
from kftext.serving.loading import load_model
from kftext.text_classification import word_vector_lookup
from kftext.text_classification.artifact import ALGORITHM, write_classes
from kftext.text_classification.encoder import Encoder, load_saved_model
from kftext.text_classification.export import save_classifier, save_encoder
from kftext.text_classification.predictor import (
    SavedModelClassifier,
    SavedModelEncoder,
    open_predictor,
)
from kftext.text_classification.word_vector_encoder import word_vector_module
from kftext.text_classification.word_vector_lookup import WordVectorLookup, open_lookup
from models.making import make_model
from text_classification.lookup_texts import VOCABULARY, random_texts

TEXTS = [
    "the movie was good",
    "映画 \t überaus\x00bad",
    "",
    "</s> a",
    "Unheard-of WORDS, (good)! ÜBERAUS. x",
    "... --- ...",
    "a\u00a0movie good\u3000bad 映画。",
    "MOVIE ΣΊΣΥΦΟΣ İ \ud800 good",
]
COMPILED = importlib.util.find_spec("numba") is not None
numba_only = pytest.mark.skipif(not COMPILED, reason="Numba is not installed")
LABELS = ["down", "even", "up"]
CASES = {"words alone": ((0, 0), "mean"), "weighted subwords": ((2, 3), "sif")}


@pytest.fixture(scope="module", params=CASES.values(), ids=CASES)
def encoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    subwords, pooling = request.param
    folder = tmp_path_factory.mktemp("encoder")
    vectors = make_model(Model.SKIPGRAM, subwords=subwords, words=VOCABULARY)
    write_model(vectors, folder / "vectors.bin")
    return Encoder(word_vector_module(folder / "vectors.bin", folder, pooling))


@pytest.fixture(scope="module")
def classifier(encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classifier")
    generator = np.random.default_rng(3)
    kernel = generator.standard_normal((encoder.dim, len(LABELS)), np.float32)
    save_classifier(
        encoder, kernel, generator.standard_normal(len(LABELS), np.float32), folder / "1"
    )
    write_classes(folder, LABELS)
    ModelMetadata(kind="text-classifier", algorithm=ALGORITHM).write(folder)
    return folder


def assert_same(found: list[Prediction], expected: list[Prediction], but: int = 0):
    """The same labels, but for some, and the same probabilities."""
    differing = [
        index
        for index, (one, other) in enumerate(zip(found, expected, strict=True))
        if one.labels != other.labels
    ]
    assert len(differing) <= but
    for one, other in zip(found, expected, strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)


def test_a_classifier_answers_the_same_without_its_graph(classifier: Path):
    model = open_predictor(classifier)
    assert isinstance(model, SavedModelClassifier)
    by_graph = model.probabilities(TEXTS)
    assert model.on_tensorflow
    ranked, best = model.predict(TEXTS, 2, 0.2), model.predict(TEXTS, threshold=0.5)
    model.warm_up()
    assert not model.on_tensorflow
    np.testing.assert_allclose(model.probabilities(TEXTS), by_graph, atol=1e-6)
    for found, expected in (
        (model.predict(TEXTS, 2, 0.2), ranked),
        ([model.predict([text], 2, 0.2)[0] for text in TEXTS], ranked),
        (model.predict(TEXTS, threshold=0.5), best),
        ([model.predict([text], threshold=0.5)[0] for text in TEXTS], best),
    ):
        assert_same(found, expected)
    assert model.probabilities([]).shape == (0, len(LABELS))
    assert model.predict([]) == []
    for k in (0, -2):
        with pytest.raises(UsageError, match=f"k={k}"):
            model.predict(TEXTS[:1], k)
    assert [len(model.predict(TEXTS[:1], k)[0].labels) for k in (2, 3, 4, -1)] == [2, 3, 3, 3]


def test_any_text_is_answered_as_by_the_graph(classifier: Path):
    """One by one and together, compiled and not."""
    texts = random_texts(1000, seed=7)
    model = SavedModelClassifier(classifier)
    by_graph, best = model.probabilities(texts), model.predict(texts)
    model.warm_up()
    compiled = model._function.compiled
    assert (compiled is not None) == COMPILED
    np.testing.assert_allclose(model.probabilities(texts), by_graph, atol=1e-5)
    for found in (model.predict(texts), [model.predict([text])[0] for text in texts]):
        # Two labels that are as probable as each other to the last digits may be taken for each other.
        assert_same(found, best, but=2)
    if compiled is not None:
        oracle = compiled._oracle
        np.testing.assert_allclose(oracle(texts), by_graph, atol=1e-5)
        alone = np.concatenate([oracle([text]) for text in texts])
        np.testing.assert_allclose(alone, by_graph, atol=1e-5)


def test_without_numba(classifier: Path, monkeypatch: pytest.MonkeyPatch):
    model = SavedModelClassifier(classifier)
    by_graph, best = model.probabilities(TEXTS), model.predict(TEXTS, threshold=0.5)
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "numba" else find_spec(name, *rest),
    )
    model.warm_up()
    assert not model.on_tensorflow
    assert model._function.compiled is None
    assert_same(model.predict(TEXTS, threshold=0.5), best)
    assert_same([model.predict([text], threshold=0.5)[0] for text in TEXTS], best)
    # In many gatherings, with texts of nothing at their ends.
    monkeypatch.setattr(word_vector_lookup, "_ROWS_AT_ONCE", 5)
    np.testing.assert_allclose(model.probabilities(TEXTS * 3), np.tile(by_graph, (3, 1)), atol=1e-6)


@numba_only
def test_numbers_that_are_not_finite(classifier: Path):
    model = SavedModelClassifier(classifier)
    model.warm_up()
    compiled = model._function.compiled
    assert compiled is not None
    compiled._oracle.lookup.table[1 + VOCABULARY.index("movie")] = np.nan
    for texts in (["the movie"], ["good", "the movie"], ["movie ☃"], ["movie ☃", "good"]):
        for k in (1, 2):
            with pytest.raises(ModelFormatError, match="not finite"):
                model.predict(texts, k)
    assert len(model.predict(["good", "bad"])) == 2


def test_a_classifier_writes_json_without_its_graph(classifier: Path):
    model = open_predictor(classifier)
    assert isinstance(model, SavedModelClassifier)
    texts = ["the movie was good", "bad", "", "unheard-of WORDS, (good)!", "two\nlines"]
    assert model.predict_json(texts) is None
    assert model.json_job(texts) is None
    assert model.warm_up()
    objects = model.predict(texts, threshold=0.4)
    assert any(one.labels for one in objects)
    rows = model.predict_json(texts, threshold=0.4)
    assert rows == answer_json(Output.LABELS, texts, objects)
    job = model.json_job(texts, threshold=0.4)
    run(job)
    assert job.result() == rows
    # More than the best label comes as objects.
    assert model.predict_json(texts, 2) is None
    assert model.json_job(texts, 2) is None


def test_a_server_does_not_batch_it(classifier: Path):
    loaded = load_model(classifier)
    assert (loaded.kind, loaded.on_tensorflow) == ("text-classifier", False)


def test_a_large_batch_is_predicted_without_the_graph(classifier: Path, tmp_path, monkeypatch):
    texts = ["the movie was good", "unheard-of words", "x"]
    by_graph = SavedModelClassifier(classifier).predict(texts)
    (tmp_path / "texts.txt").write_text("".join(f"{text}\n" for text in texts))
    monkeypatch.setattr(transform, "_WORTH_PROCESSES", 1)
    warmed = []
    original = SavedModelClassifier.warm_up
    monkeypatch.setattr(
        SavedModelClassifier, "warm_up", lambda self: warmed.append(self) or original(self)
    )
    request = transform.BatchRequest(
        str(classifier), str(tmp_path / "texts.txt"), str(tmp_path / "out.jsonl")
    )
    transform.transform(request)
    assert [model.on_tensorflow for model in warmed] == [False]
    rows = [orjson.loads(line) for line in (tmp_path / "out.jsonl").read_bytes().splitlines()]
    assert [row["label"] for row in rows] == [one.labels for one in by_graph]
    for row, one in zip(rows, by_graph, strict=True):
        assert row["prob"] == pytest.approx(one.probabilities, abs=1e-6)


def test_an_encoder_as_it_is_answers_the_same_without_its_graph(encoder: Encoder, tmp_path: Path):
    save_encoder(encoder, tmp_path / "1")
    model = open_predictor(tmp_path)
    assert isinstance(model, SavedModelEncoder)
    by_graph = model.embed(TEXTS)
    model.warm_up()
    assert not model.on_tensorflow
    np.testing.assert_allclose(model.embed(TEXTS), by_graph, atol=1e-6)


def test_the_graph_is_run_where_it_answers_otherwise(
    classifier: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    by_graph = SavedModelClassifier(classifier).probabilities(TEXTS)
    # As if the graph took only words that stand as they are.
    monkeypatch.setattr(WordVectorLookup, "_look_closer", lambda self, tokens: ([], []))
    model = SavedModelClassifier(classifier)
    with caplog.at_level(logging.WARNING):
        model.warm_up()
    assert model.on_tensorflow
    assert "has another answer" in caplog.text
    np.testing.assert_array_equal(model.probabilities(TEXTS), by_graph)


@numba_only
@pytest.mark.parametrize("way", ["first", "firsts", "__call__"])
def test_the_graph_is_run_where_a_compiled_way_answers_otherwise(
    classifier: Path, way: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    from kftext.text_classification.compiled_lookup import CompiledLookup

    original = getattr(CompiledLookup, way)
    # As if a symbol counted as a word.
    monkeypatch.setattr(CompiledLookup, way, lambda self, texts: original(self, _replaced(texts)))
    model = SavedModelClassifier(classifier)
    with caplog.at_level(logging.WARNING):
        model.warm_up()
    assert model.on_tensorflow
    assert "has another answer" in caplog.text


def _replaced(texts):
    return texts.replace(".", " bad") if isinstance(texts, str) else list(map(_replaced, texts))


def test_what_is_no_encoder_of_word_vectors_has_none(encoder: Encoder, tmp_path: Path):
    save_encoder(encoder, tmp_path / "saved")
    module = load_saved_model(tmp_path / "saved")
    lookup = open_lookup(tmp_path / "saved", module)
    assert lookup is not None
    assert lookup.words == [word.encode() for word in VOCABULARY]
    assert open_lookup(tmp_path, module) is None
    assert open_lookup(tmp_path / "saved", object()) is None
    vocabulary = tmp_path / "saved" / "assets" / "vocabulary.txt"
    vocabulary.write_bytes(vocabulary.read_bytes() + b"another\n")
    assert open_lookup(tmp_path / "saved", module) is None
