"""Vectors of words and sentences, neighbours, analogies: against plain arithmetic, and against recorded models."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from kftext.errors import ModelFormatError, UsageError
from kftext.models import Classifier, DenseMatrix, Loss, Model, WordVectors, load
from models import naive
from models.making import WORDS, make_model


def made(**options) -> WordVectors:
    options = {"kind": Model.SKIPGRAM, "loss": Loss.NS, **options}
    return WordVectors(make_model(**options))


def naive_vector(vectors: WordVectors, word: str) -> np.ndarray:
    model = vectors.model
    arguments = model.arguments
    rows = [WORDS.index(word)] if word in WORDS else []
    ngrams = naive.ngrams(word.encode(), arguments.minn, arguments.maxn)
    rows += [len(WORDS) + naive.fnv(ngram) % arguments.bucket for ngram in ngrams]
    if not rows:
        return np.zeros(arguments.dim)
    return np.mean([model.input.dense()[row].astype(float) for row in rows], axis=0)


@pytest.mark.parametrize("subwords", [(0, 0), (3, 6)])
@pytest.mark.parametrize("quantize", [False, True])
def test_vectors(subwords, quantize):
    vectors = made(subwords=subwords, quantize=quantize)
    asked = [*WORDS, "unseen", "映", "überausgut"]
    expected = [naive_vector(vectors, word) for word in asked]
    np.testing.assert_allclose([vectors.vector(word) for word in asked], expected, atol=1e-6)
    np.testing.assert_allclose(vectors.vectors(asked), expected, atol=1e-6)
    np.testing.assert_allclose(vectors.all_vectors(), expected[: len(WORDS)], atol=1e-6)
    assert vectors.vectors([]).shape == (0, 5)
    assert vectors.vector("x").dtype == np.float32
    if not subwords[1]:
        assert not vectors.vector("unseen").any()


def test_vocabulary():
    vectors = made()
    assert vectors.words == WORDS
    assert "movie" in vectors
    assert "unseen" not in vectors
    assert (vectors.dim, vectors.has_subwords) == (5, False)


def test_sentence_vector():
    vectors = made(subwords=(2, 3))
    words = ["the", "unseen", "movie"]
    units = [naive_vector(vectors, w) / np.linalg.norm(naive_vector(vectors, w)) for w in words]
    expected = np.mean(units, axis=0)
    np.testing.assert_allclose(vectors.sentence_vector("the unseen\tmovie"), expected, atol=1e-6)
    # A word without a vector does not count.
    without = made()
    one = naive_vector(without, "bad")
    np.testing.assert_allclose(
        without.sentence_vector("unseen bad"), one / np.linalg.norm(one), atol=1e-6
    )
    assert not without.sentence_vector("").any()


def test_sentence_vector_of_a_classifier_is_its_hidden_vector():
    model = make_model(word_ngrams=2)
    rows = naive.line_rows(model, b"the movie")
    expected = model.input.dense()[rows].mean(axis=0)
    np.testing.assert_allclose(WordVectors(model).sentence_vector("the movie"), expected, atol=1e-6)


def cosines(vectors: WordVectors, query: np.ndarray) -> dict[str, float]:
    result = {}
    for word in WORDS:
        v = naive_vector(vectors, word)
        result[word] = float(v @ query / np.linalg.norm(v) / np.linalg.norm(query))
    return result


def test_neighbors():
    vectors = made(subwords=(3, 4))
    for word in ("movie", "unseen"):
        expected = cosines(vectors, naive_vector(vectors, word))
        expected.pop(word, None)
        ranked = sorted(expected.items(), key=lambda pair: -pair[1])
        found = vectors.nearest_neighbors(word, 4)
        assert [w for w, _ in found] == [w for w, _ in ranked[:4]]
        np.testing.assert_allclose([c for _, c in found], [c for _, c in ranked[:4]], atol=1e-5)
    vector = vectors.vector("movie")
    assert vectors.nearest_neighbors(vector, 1)[0][0] == "movie"
    assert len(vectors.nearest_neighbors(vector, 1000)) == len(WORDS)


def test_analogies():
    vectors = made()
    query = np.zeros(5)
    for word, sign in (("good", 1), ("bad", -1), ("movie", 1)):
        v = naive_vector(vectors, word)
        query += sign * v / np.linalg.norm(v)
    expected = cosines(vectors, query)
    ranked = sorted((c, w) for w, c in expected.items() if w not in ("good", "bad", "movie"))
    found = vectors.analogies("good", "bad", "movie", k=3)
    assert [w for w, _ in found] == [w for _, w in ranked[::-1][:3]]


def test_wrong_questions():
    vectors = made()
    with pytest.raises(UsageError, match="k=0"):
        vectors.nearest_neighbors("movie", 0)
    with pytest.raises(UsageError, match=r"expected \(5,\)"):
        vectors.nearest_neighbors(np.ones(4))
    with pytest.raises(ModelFormatError, match="2 words"):
        WordVectors.from_matrix([b"a", b"b"], np.ones((3, 4), dtype=np.float32))


def test_numbers_that_are_not_finite_are_no_neighbors():
    model = make_model(Model.CBOW)
    values = model.input.values.copy()
    values[2] = np.nan
    values[3, 0] = np.inf
    vectors = WordVectors(dataclasses.replace(model, input=DenseMatrix(values)))
    names = [word for word, _ in vectors.nearest_neighbors("the", 20)]
    assert WORDS[2] not in names
    assert len(names) == len(set(names)) >= len(WORDS) - 3


def test_gensim_toy_model(data_dir):
    """Vectors that fastText wrote as text beside the binary: five significant digits of each."""
    folder = data_dir / "fasttext_models" / "gensim"
    model, text = load(folder / "toy-model.bin"), load(folder / "toy-model.vec")
    assert model.words == text.words
    assert len(model.words) == 22
    np.testing.assert_allclose(model.all_vectors(), text.all_vectors(), rtol=1e-4, atol=1e-8)
    assert model.has_subwords
    assert not text.has_subwords


def test_gensim_reads_the_same_vectors(data_dir):
    """gensim's own reader of the format, on a model with subwords: known and unknown words."""
    load_facebook_vectors = pytest.importorskip("gensim.models.fasttext").load_facebook_vectors
    path = data_dir / "fasttext_models" / "finalfusion_sg_subword.bin"
    theirs, ours = load_facebook_vectors(str(path)), load(path)
    assert ours.words == theirs.index_to_key
    # "</s>" apart: gensim gives it n-grams, fastText does not.
    for word in [*ours.words[1:40], "Tübingen", "unseenword"]:
        np.testing.assert_allclose(ours.vector(word), theirs[word], atol=1e-5)


@pytest.mark.parametrize("subwords", [(0, 0), (3, 6)])
def test_gensim_reads_what_is_written_here(tmp_path, subwords):
    load_facebook_vectors = pytest.importorskip("gensim.models.fasttext").load_facebook_vectors
    from kftext.models import write_model

    model = make_model(Model.SKIPGRAM, Loss.NS, subwords=subwords, bucket=50 if subwords[1] else 0)
    write_model(model, tmp_path / "vectors.bin")
    theirs, ours = load_facebook_vectors(str(tmp_path / "vectors.bin")), WordVectors(model)
    assert theirs.index_to_key == WORDS
    for word in WORDS[1:] + (["unseen"] if subwords[1] else []):
        np.testing.assert_allclose(ours.vector(word), theirs[word], atol=1e-5)


@pytest.mark.parametrize("options", [{}, {"max_n": 0}, {"sg": 1, "hs": 1, "negative": 0}])
def test_models_that_gensim_wrote(tmp_path, options):
    gensim = pytest.importorskip("gensim.models.fasttext")
    sentences = [WORDS[1:5], WORDS[3:8], WORDS[2:9]] * 5
    theirs = gensim.FastText(
        sentences, vector_size=12, min_count=1, bucket=300, epochs=1, workers=1, **options
    )
    gensim.save_facebook_model(theirs, str(tmp_path / "gensim.bin"))
    ours = load(tmp_path / "gensim.bin")
    for word in WORDS[1:9] + ([] if options.get("max_n") == 0 else ["unseen"]):
        np.testing.assert_allclose(ours.vector(word), theirs.wv[word], atol=1e-6)


def test_long_texts_are_summed_in_parts(monkeypatch):
    """A text of any length takes memory for some rows at a time, and the sum is that of all of them."""
    text = " ".join(WORDS[1:] * 40)
    models = [make_model(Model.SKIPGRAM, Loss.NS, subwords=(2, 4)), make_model(subwords=(2, 4))]
    expected = [WordVectors(model).sentence_vector(text) for model in models]
    label = Classifier(models[1]).predict([text])
    monkeypatch.setattr("kftext.models.matrix._ROWS_AT_A_TIME", 7)
    monkeypatch.setattr("kftext.models.word_vectors._CHUNK", 5)
    monkeypatch.setattr("kftext.models.word_vectors._MOST_ROWS", 10)
    for model, vector in zip(models, expected, strict=True):
        np.testing.assert_allclose(WordVectors(model).sentence_vector(text), vector, atol=1e-6)
    assert Classifier(models[1]).predict([text]) == label
