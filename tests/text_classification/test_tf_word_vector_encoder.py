"""The encoder made from word vectors, against the NumPy reader of the same file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from kftext import models
from kftext.errors import UsageError
from kftext.models import Model, WordVectors, write_model
from kftext.models.word2vec_text import write_text
from kftext.text_classification.encoder import Encoder, load_saved_model, wrap
from kftext.text_classification.export import save_encoder
from kftext.text_classification.ngrams import ngram_buckets
from kftext.text_classification.word_vector_encoder import word_vector_module
from models.making import WORDS, make_model


@pytest.mark.parametrize(("minn", "maxn"), [(3, 6), (1, 2), (2, 2)])
def test_ngrams_in_the_graph_are_fasttexts(minn: int, maxn: int) -> None:
    model = make_model(Model.SKIPGRAM, subwords=(minn, maxn), bucket=1009)
    words = ["überaus", "a", "映画", "🎬x", "internationalization", "naïve", "é"]
    found = ngram_buckets(tf.constant(words), minn, maxn, 1009).to_list()
    expected = [
        [bucket for _, bucket in model.dictionary.character_ngrams(word.encode())] for word in words
    ]
    assert found == expected
    assert ngram_buckets(tf.constant([], tf.string), minn, maxn, 7).shape[0] == 0


@pytest.fixture(params=[(0, 0), (3, 5)], ids=["words alone", "subwords"])
def vectors(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    write_model(make_model(Model.SKIPGRAM, subwords=request.param), tmp_path / "vectors.bin")
    return tmp_path / "vectors.bin"


TEXTS = ["the movie was good", "映画 \t überaus\x00bad", "", "</s> a", "unheard-of words, good!"]


def mean_of(vectors: WordVectors, words: list[str]) -> np.ndarray:
    """The definition: the mean of the vectors of those words that have one."""
    known = [word for word in words if word in vectors or vectors.has_subwords]
    return np.mean([vectors.vector(word) for word in known] or [np.zeros(vectors.dim)], axis=0)


def test_an_embedding_is_the_mean_of_the_words_vectors(vectors: Path, tmp_path: Path) -> None:
    encoder = Encoder(word_vector_module(vectors, tmp_path))
    reference = models.load(vectors)
    assert isinstance(reference, WordVectors)
    expected = [
        mean_of(reference, words)
        for words in (
            ["the", "movie", "was", "good"],
            ["映画", "überaus", "bad"],
            [],
            ["</s>", "a"],
            ["unheard", "of", "words", "good"],
        )
    ]
    found = encoder.module(tf.constant(TEXTS)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert encoder.dim == reference.dim


def test_raw_text_meets_a_tokenized_vocabulary(vectors: Path, tmp_path: Path) -> None:
    module = word_vector_module(vectors, tmp_path)
    plain = module(tf.constant(["the movie was good", "überaus bad"])).numpy()
    raw = module(tf.constant(["The MOVIE was 'good'.", "(ÜBERAUS/bad)"])).numpy()
    np.testing.assert_allclose(raw, plain, atol=1e-6)


def test_frequent_words_count_less(vectors: Path, tmp_path: Path) -> None:
    reference = models.load(vectors)
    assert isinstance(reference, WordVectors)
    counts = reference.dictionary.counts
    weights = {
        word: 1e-3 / (1e-3 + count / counts.sum())
        for word, count in zip(WORDS, counts, strict=True)
    }
    words = ["the", "movie", "bad"]
    expected = np.average(
        [reference.vector(word) for word in words], axis=0, weights=[weights[w] for w in words]
    )
    found = word_vector_module(vectors, tmp_path, "sif")(tf.constant(["the movie bad"]))
    np.testing.assert_allclose(found.numpy()[0], expected, rtol=1e-4)


def test_vectors_as_text_have_no_frequencies(tmp_path: Path) -> None:
    write_text(tmp_path / "a.vec", ["one", "two"], np.eye(2, dtype=np.float32))
    module = word_vector_module(tmp_path / "a.vec", tmp_path)
    np.testing.assert_allclose(module(tf.constant(["two two one"])), [[1 / 3, 2 / 3]], rtol=1e-6)
    with pytest.raises(UsageError, match="pooling=sif needs the words' frequencies"):
        word_vector_module(tmp_path / "a.vec", tmp_path, "sif")
    with pytest.raises(UsageError, match="pooling='max': expected one of mean, sif"):
        word_vector_module(tmp_path / "a.vec", tmp_path, "max")


def test_the_saved_encoder_has_the_hubs_interface(vectors: Path, tmp_path: Path) -> None:
    encoder = Encoder(word_vector_module(vectors, tmp_path))
    before = encoder.module(tf.constant(TEXTS)).numpy()
    save_encoder(encoder, tmp_path / "saved")
    # Nothing of where it was made is needed.
    (tmp_path / "vocabulary.txt").unlink()
    vectors.unlink()
    loaded = load_saved_model(tmp_path / "saved")
    assert loaded(tf.constant(TEXTS)).shape == (len(TEXTS), encoder.dim)
    np.testing.assert_array_equal(loaded(tf.constant(TEXTS)).numpy(), before)
    assert len(loaded.trainable_variables) == 1
    assert len(loaded.variables) == 2
    assert loaded.regularization_losses == []
    again = wrap(loaded, None, "saved")
    assert again.table is not None
    assert again.tokenizes
