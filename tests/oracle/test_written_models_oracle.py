"""Models that are written here, read by the real package: same predictions and vectors there; quantization as good as its own."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from kftext.models import Classifier, Loss, Model, WordVectors, read_model, write_model
from kftext.models.quantization import Quantization, quantize
from models.making import WORDS, make_model
from oracle import texts

pytestmark = pytest.mark.oracle

VARIANTS = {
    "plain": {"bucket": 0},
    "ngrams": {"word_ngrams": 3, "subwords": (2, 4)},
    "quantized": {"quantize": True, "word_ngrams": 2, "dim": 7},
    "everything": {
        "quantize": True, "norms": True, "qout": True, "pruned": True,
        "word_ngrams": 2, "subwords": (3, 5), "dim": 9,
    },
}  # fmt: skip
QUESTIONS = ["", "the movie was good", "überaus bad unseen 映画", "__label__pos a", "a </s> b"]


@pytest.mark.parametrize(("loss", "variant"), list(itertools.product(Loss, VARIANTS)))
def test_classifier(oracle, tmp_path, loss, variant):
    model = make_model(loss=loss, **VARIANTS[variant])
    path = tmp_path / "model.bin"
    write_model(model, path)
    for k, threshold in ((1, 0.0), (-1, 0.0), (3, 0.2)):
        answers = oracle.predict(path=path, texts=QUESTIONS, k=k, threshold=threshold)
        for prediction, (labels, probabilities) in zip(
            Classifier(model).predict(QUESTIONS, k, threshold), answers, strict=True
        ):
            assert prediction.labels == labels
            np.testing.assert_allclose(prediction.probabilities, probabilities, atol=1e-5)


@pytest.mark.parametrize("kind", [Model.SKIPGRAM, Model.CBOW])
@pytest.mark.parametrize("subwords", [(0, 0), (3, 6)])
@pytest.mark.parametrize("quantized", [False, True])
def test_word_vectors(oracle, tmp_path, kind, subwords, quantized):
    model = make_model(
        kind, Loss.NS, subwords=subwords, bucket=300 if subwords[1] or quantized else 0
    )
    if quantized:
        # The real package can't do this to word vectors, but reads what comes of it.
        model = quantize(model, Quantization(qnorm=True))
    path = tmp_path / "vectors.bin"
    write_model(model, path)
    vectors, asked = WordVectors(model), [*WORDS, "unseen", "未知"]
    np.testing.assert_allclose(
        vectors.vectors(asked), oracle.word_vectors(path=path, words=asked), atol=1e-5
    )
    assert oracle.words(path=path) == [WORDS, model.dictionary.counts.tolist()]
    neighbors = oracle.nearest_neighbors(path=path, word="movie", k=5)
    assert [word for word, _ in neighbors] == [w for w, _ in vectors.nearest_neighbors("movie", 5)]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"qnorm": True, "qout": True},
        {"cutoff": 4000, "qnorm": True},
        {"dsub": 4},
    ],
)
def test_quantization_is_as_good(oracle, data_dir, cooking, tmp_path, options):
    """One model, quantized by both: accuracy within half a point, size within 5 %.

    Asked of the lines that the model was trained on and of 3,000 others, so that what the lines happen to be weighs less.
    """
    theirs, ours = tmp_path / "theirs.ftz", tmp_path / "ours.ftz"
    oracle.quantize(path=cooking, output=theirs, **options)
    write_model(quantize(read_model(cooking), Quantization(**options)), ours)
    assert abs(ours.stat().st_size / theirs.stat().st_size - 1) < 0.05
    lines, expected, found = 0, 0.0, 0.0
    for part in ("train", "valid"):
        data = str(data_dir / "cooking" / f"cooking.{part}.txt")
        count, precision, _ = oracle.test(path=theirs, data=data)
        assert oracle.test(path=ours, data=data)[0] == count
        lines += count
        expected += count * precision
        found += count * oracle.test(path=ours, data=data)[1]
    assert lines == 15404
    assert found / lines > expected / lines - 0.005


@pytest.fixture(scope="module")
def cooking(oracle, data_dir, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("cooking") / "cooking.bin"
    arguments = {
        "input": str(data_dir / "cooking" / "cooking.train.txt"),
        "lr": 1.0,
        "epoch": 10,
        "wordNgrams": 2,
        "dim": 10,
        "bucket": 10000,
    }
    oracle.train(mode="supervised", path=path, arguments=arguments)
    return path


def test_corpus_is_read_the_same(oracle, tmp_path):
    """Rows of lines with everything in them: the mean of their input rows agrees."""
    model = make_model(word_ngrams=2, subwords=(2, 3))
    write_model(model, tmp_path / "model.bin")
    questions = texts.queries()
    np.testing.assert_allclose(
        [WordVectors(model).sentence_vector(text) for text in questions],
        oracle.sentence_vectors(path=tmp_path / "model.bin", texts=questions),
        atol=1e-5,
    )
