"""Prediction against a naive version, and against answers that fastText itself gave."""

from __future__ import annotations

import dataclasses
import json
import math
import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from kftext.errors import ModelFormatError, UsageError
from kftext.models import Classifier, DenseMatrix, Loss, Model, load
from kftext.models.top_k import BestHeap, top_k
from models import naive
from models.making import LABELS, WORDS, make_model

VARIANTS = [
    {},
    {"word_ngrams": 3, "subwords": (2, 4)},
    {"quantize": True, "dim": 7},
    {"quantize": True, "norms": True, "qout": True, "pruned": True, "word_ngrams": 2},
]
QUESTIONS = ["", "the movie was good", "überaus bad unseen 映画", "__label__pos a", "x"]


@pytest.mark.parametrize("loss", Loss)
@pytest.mark.parametrize("variant", VARIANTS)
def test_probabilities(loss, variant):
    model = make_model(loss=loss, **variant)
    for text, prediction in zip(QUESTIONS, Classifier(model).predict(QUESTIONS, k=-1), strict=True):
        expected = naive.probabilities(model, text.encode())
        found = dict(zip(prediction.labels, prediction.probabilities, strict=True))
        # Hierarchical softmax leaves out what is less probable than 1e-5, which is where its logarithm ends.
        assert len(found) == len(LABELS) or loss == Loss.HS
        assert prediction.probabilities == sorted(prediction.probabilities, reverse=True)
        for label, probability in zip(LABELS, expected, strict=True):
            # fastText shifts probabilities by 1e-5, once for each turn of the tree.
            assert found.get(label, 0.0) == pytest.approx(probability, abs=5e-5)


@pytest.mark.parametrize("loss", Loss)
def test_k_and_threshold(loss):
    classifier = Classifier(make_model(loss=loss))
    everything = classifier.predict(QUESTIONS, k=-1)
    for k in (1, 2, 3, 4, 100):
        for all_of_it, some in zip(everything, classifier.predict(QUESTIONS, k=k), strict=True):
            assert some.labels == all_of_it.labels[:k]
            assert some.probabilities == all_of_it.probabilities[:k]
    for all_of_it, some in zip(everything, classifier.predict(QUESTIONS, -1, 0.25), strict=True):
        kept = [p for p in all_of_it.probabilities if p > 0.25]
        assert some.probabilities == kept
    assert all(p.labels == [] for p in classifier.predict(QUESTIONS, 1, 1.5))


@pytest.mark.parametrize("k", [0, -2])
def test_impossible_k(k):
    with pytest.raises(UsageError, match=f"k={k}"):
        Classifier(make_model()).predict(["x"], k=k)


def test_nothing_known_gives_no_label():
    model = make_model()
    dictionary = model.dictionary
    dictionary.words[0] = b"no-end-of-sentence"
    dictionary.__dict__.pop("word_ids", None)
    assert Classifier(model).predict(["unseen words"])[0].labels == []


def test_newlines_are_white_space():
    classifier = Classifier(make_model(word_ngrams=2))
    assert classifier.predict(["the\nmovie\r\nwas good\n"]) == classifier.predict(
        ["the movie was good"]
    )


def test_lone_surrogates_are_no_crash():
    assert Classifier(make_model()).predict(["bad \ud800 text"])[0].labels


def test_numbers_that_are_not_finite():
    model = make_model()
    values = model.output.values.copy()
    values[1, 1] = np.nan
    broken = dataclasses.replace(model, output=DenseMatrix(values))
    with pytest.raises(ModelFormatError, match="finite"):
        Classifier(broken).predict(["the movie"])


def test_word_vectors_are_no_classifier():
    with pytest.raises(ModelFormatError, match="no classifier"):
        Classifier(make_model(Model.CBOW))


def test_threads_agree():
    classifier = Classifier(make_model(word_ngrams=2, subwords=(2, 3)))
    rng = random.Random(1)
    texts = [" ".join(rng.choices([*WORDS, "new", "unseen"], k=6)) for _ in range(300)]
    expected = classifier.predict(texts, k=2)
    fresh = Classifier(make_model(word_ngrams=2, subwords=(2, 3)))
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda t: fresh.predict([t], k=2)[0], texts)) == expected


def test_language_identification(data_dir):
    """The official lid.176.ftz (hierarchical softmax, quantized, pruned) and what fastText answered."""
    folder = data_dir / "fasttext_models"
    classifier = load(folder / "lid.176.ftz")
    for case in json.loads((folder / "lid.176.oracle.json").read_text()):
        (prediction,) = classifier.predict([case["text"]], k=5)
        assert prediction.labels == case["labels"]
        np.testing.assert_allclose(prediction.probabilities, case["probs"], atol=1e-5, rtol=0)


def test_cooking_accuracy(data_dir):
    """A softmax model that someone trained with fastText, on the validation lines of its data set."""
    classifier = load(data_dir / "fasttext_models" / "cooking.model.bin")
    right = lines = 0
    for line in (data_dir / "cooking" / "cooking.valid.txt").read_text().splitlines():
        labels = [word for word in line.split() if word.startswith("__label__")]
        right += classifier.predict([line])[0].labels[0] in labels
        lines += 1
    # The real package's `predict` on the same lines.
    assert (lines, right) == (3000, 1447)


def naive_heap(scores, k):
    """What the C++ heap keeps when no two scores are equal: the best, in order."""
    return sorted(((s, i) for i, s in enumerate(scores)), reverse=True)[:k]


def test_top_k_without_ties():
    rng = np.random.default_rng(0)
    for size in (1, 2, 5, 30, 300):
        scores = rng.permutation(size * 10)[:size].astype(np.float32)
        for k in (1, 2, 3, size, size + 5):
            assert top_k(scores, k) == naive_heap(scores.tolist(), k)


def test_top_k_with_ties_is_the_heaps():
    rng = np.random.default_rng(0)
    for size in (1, 2, 5, 30, 300):
        scores = rng.integers(0, 4, size).astype(np.float32)
        for k in (1, 2, 3, 7, size):
            heap = BestHeap(min(k, size))
            for index, score in enumerate(scores.tolist()):
                heap.offer(score, index)
            expected = heap.sorted()
            assert top_k(scores, k) == expected
            assert [s for s, _ in expected] == sorted(scores.tolist(), reverse=True)[:k]
    # By hand: of equals a heap of one keeps the last.
    assert top_k(np.array([1, 1, 0, 1], dtype=np.float32), 1) == [(1.0, 3)]


def test_top_k_leaves_out_minus_infinity():
    scores = np.array([-math.inf, 1.0, -math.inf, 1.0], dtype=np.float32)
    assert {i for _, i in top_k(scores, 4)} == {1, 3}
    assert top_k(np.full(3, -math.inf, dtype=np.float32), 1) == []
