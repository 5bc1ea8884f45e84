"""Every kind of model that fastText can make, read here: same predictions, same vectors, same bytes when written again."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from kftext.models import Classifier, WordVectors, load, read_model, write_model
from oracle import texts

pytestmark = pytest.mark.oracle

LABELS = 300  # a quantized output matrix needs at least 256
QUANTIZATIONS = {
    "bin": None,
    "ftz": {},
    "dsub3": {"dsub": 3},
    "qnorm": {"qnorm": True},
    "qout": {"qout": True, "qnorm": True},
    "cutoff": {"cutoff": 400},
    "words-only": {"cutoff": 256, "qnorm": True},
    "retrain": {"cutoff": 500, "retrain": True, "qnorm": True, "epoch": 1},
}
SUPERVISED = list(
    itertools.product(("softmax", "hs", "ns", "ova"), (1, 3), ((0, 0), (2, 4)), QUANTIZATIONS)
)
UNSUPERVISED = list(
    itertools.product(
        ("skipgram", "cbow"), ("ns", "hs", "softmax", "ova"), ((0, 0), (3, 6), (1, 3))
    )
)


@pytest.fixture(scope="module")
def labeled(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("labeled") / "train.txt"
    return texts.write_labeled(path, lines=900, labels=LABELS)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    return texts.write_corpus(tmp_path_factory.mktemp("corpus") / "corpus.txt", lines=400)


def assert_predictions(found, expected):
    """Same labels, probabilities to 1e-5; only labels whose probabilities agree to 1e-6 may change places."""
    for prediction, (labels, probabilities) in zip(found, expected, strict=True):
        np.testing.assert_allclose(prediction.probabilities, probabilities, atol=1e-5, rtol=0)
        ours = dict(zip(prediction.labels, prediction.probabilities, strict=True))
        assert len(ours) == len(labels)
        for label, probability in zip(labels, probabilities, strict=True):
            assert abs(ours.get(label, probabilities[-1]) - probability) < 1e-6, label


@pytest.mark.parametrize(("loss", "ngrams", "subwords", "quantization"), SUPERVISED)
def test_classifier(oracle, labeled, tmp_path, loss, ngrams, subwords, quantization):
    minn, maxn = subwords
    path = tmp_path / "model.bin"
    options = QUANTIZATIONS[quantization]
    arguments = {
        "input": str(labeled),
        "loss": loss,
        "wordNgrams": ngrams,
        "minn": minn,
        "maxn": maxn,
        "dim": 10,
        "bucket": 400 if ngrams > 1 or maxn else 0,
        "epoch": 2,
        "lr": 0.5,
    }
    if not arguments["bucket"]:
        # Without n-grams the input has as many rows as there are words: too few to leave some out.
        options = options and {k: v for k, v in options.items() if k not in ("cutoff", "retrain")}
        arguments["input"] = str(
            texts.write_labeled(tmp_path / "t", lines=900, labels=300, words=400)
        )
    if options and options.get("retrain"):
        options = {**options, "input": str(labeled), "lr": 0.1}
    oracle.train(mode="supervised", path=path, arguments=arguments, quantize=options)

    model = load(path)
    assert isinstance(model, Classifier)
    write_model(read_model(path), tmp_path / "again.bin")
    assert (tmp_path / "again.bin").read_bytes() == path.read_bytes()

    questions = texts.queries()
    for k, threshold in ((1, 0.0), (5, 0.0), (5, 0.01), (-1, 0.0), (3, 0.9)):
        answers = oracle.predict(path=path, texts=questions, k=k, threshold=threshold)
        assert_predictions(model.predict(questions, k, threshold), answers)
    vectors = WordVectors(model.model)
    np.testing.assert_allclose(
        [vectors.sentence_vector(text) for text in questions],
        oracle.sentence_vectors(path=path, texts=questions),
        atol=1e-5,
    )


@pytest.mark.parametrize(("mode", "loss", "subwords"), UNSUPERVISED)
def test_word_vectors(oracle, corpus, tmp_path, mode, loss, subwords):
    path = tmp_path / "model.bin"
    arguments = {
        "input": str(corpus),
        "loss": loss,
        "minn": subwords[0],
        "maxn": subwords[1],
        "dim": 10,
        "bucket": 500 if subwords[1] else 0,
        "epoch": 2,
        "minCount": 2,
    }
    oracle.train(mode=mode, path=path, arguments=arguments)
    model = load(path)
    assert isinstance(model, WordVectors)
    write_model(read_model(path), tmp_path / "again.bin")
    assert (tmp_path / "again.bin").read_bytes() == path.read_bytes()

    names, counts = oracle.words(path=path)
    assert model.words == names
    assert model.dictionary.counts.tolist() == counts
    asked = [*names[:60], "neverseen", "ünknöwn", "未知の", "é", "</s>", "x" * 50]
    expected = oracle.word_vectors(path=path, words=asked)
    np.testing.assert_allclose([model.vector(word) for word in asked], expected, atol=1e-5)
    np.testing.assert_allclose(model.vectors(asked), expected, atol=1e-5)
    for word in asked[-8:]:
        found = model.dictionary.subwords(word.encode())
        assert [[ngram.decode() for ngram in found[0]], found[1]] == oracle.subwords(
            path=path, word=word
        )
    questions = texts.queries(words=150)
    np.testing.assert_allclose(
        [model.sentence_vector(text) for text in questions],
        oracle.sentence_vectors(path=path, texts=questions),
        atol=1e-5,
    )
    for word in (names[0], names[5], "neverseen"):
        assert_neighbors(
            model.nearest_neighbors(word, 10), oracle.nearest_neighbors(path=path, word=word)
        )
    assert_neighbors(
        model.analogies(*names[3:6]),
        oracle.analogies(path=path, a=names[3], b=names[4], c=names[5]),
    )


def assert_neighbors(found, expected):
    np.testing.assert_allclose([c for _, c in found], [c for _, c in expected], atol=1e-5)
    # Cosines of a hardly trained model lie close together: words may change places within the tolerance.
    ours = dict(found)
    for name, cosine in expected[:-1]:
        assert name in ours or abs(cosine - expected[-1][1]) < 1e-5


@pytest.mark.parametrize(
    "text", ["", "a b", " a\tb\n", "x\0y\vz\f", "a </s> b", "\n\nc", "a\u00a0b"]
)
def test_tokens(oracle, text):
    from kftext.data.tokens import tokenize

    # fastText's tokens of a text hold an end of sentence for each newline.
    expected = [token for token in oracle.tokenize(text=text) if token != "</s>"]
    assert [t.decode() for t in tokenize(text.encode()) if t != b"</s>"] == expected
