"""The methods of a model: names, shapes and values of the fasttext package's, on small models made by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kftext import fasttext
from kftext.errors import HyperparameterError, ModelFormatError, UsageError
from kftext.fasttext.meter import Meter
from kftext.models import Loss, Model, WordVectors, write_model
from models.making import LABELS, WORDS, make_model


@pytest.fixture
def classifier(tmp_path):
    write_model(make_model(word_ngrams=2, subwords=(2, 3)), tmp_path / "model.bin")
    return fasttext.load_model(tmp_path / "model.bin")


@pytest.fixture
def vectors(tmp_path):
    write_model(make_model(Model.SKIPGRAM, Loss.NS, subwords=(3, 4)), tmp_path / "model.bin")
    return fasttext.load_model(str(tmp_path / "model.bin"))


def test_predict_a_text(classifier):
    labels, probabilities = classifier.predict("the movie was good", k=3)
    assert isinstance(labels, tuple)
    assert len(labels) == len(probabilities) == 3
    assert isinstance(probabilities, np.ndarray)
    assert probabilities.tolist() == sorted(probabilities, reverse=True)
    labels, probabilities = classifier.predict("the movie", threshold=2.0)
    assert (labels, probabilities.shape) == ((), (0,))


def test_predict_a_list(classifier):
    texts = ["the movie was good", "", "bad"]
    labels, probabilities = classifier.predict(texts, k=2)
    assert [len(row) for row in labels] == [2, 2, 2]
    assert all(p.dtype == np.float32 for p in probabilities)
    for text, row, numbers in zip(texts, labels, probabilities, strict=True):
        one, alone = classifier.predict(text, k=2)
        assert list(one) == row
        np.testing.assert_allclose(alone, numbers)


def test_predict_all_labels(classifier):
    assert set(classifier.predict("a", k=-1)[0]) == set(LABELS)


@pytest.mark.parametrize("method", ["predict", "get_sentence_vector", "get_line"])
def test_newlines_are_refused(classifier, method):
    with pytest.raises(ValueError, match="one line at a time"):
        getattr(classifier, method)("a\nb")


def test_word_vectors_predict_nothing(vectors):
    with pytest.raises(ValueError, match="supervised"):
        vectors.predict("a")


def test_vocabulary(classifier, vectors):
    assert classifier.words == WORDS
    assert classifier.labels == classifier.get_labels() == LABELS
    words, counts = classifier.get_words(include_freq=True)
    assert (words[1], counts[1]) == ("the", 90)
    labels, counts = classifier.get_labels(include_freq=True)
    assert dict(zip(labels, counts, strict=True)) == dict(zip(LABELS, (20, 15, 10, 5), strict=True))
    assert vectors.labels == WORDS
    assert "movie" in vectors
    assert "unseen" not in vectors
    assert (vectors.dim, vectors.get_dimension(), vectors.minn, vectors.maxn) == (5, 5, 3, 4)


def test_lists_are_made_once(classifier, tmp_path):
    """A script that asks for `model.words[i]` in a loop pays for the list once."""
    assert classifier.words is classifier.words
    assert classifier.labels is classifier.labels
    other = fasttext.load_model(tmp_path / "model.bin")
    other.words.append("new")
    assert classifier.words == WORDS


@pytest.fixture
def damaged(tmp_path):
    """Models with a label and a word that are no UTF-8."""
    for name, model in (
        ("classifier.bin", make_model()),
        ("vectors.bin", make_model(Model.SKIPGRAM, Loss.NS)),
    ):
        write_model(model, tmp_path / name)
        data = (tmp_path / name).read_bytes()
        data = data.replace(b"__label__neg", b"__label__n\xffg").replace(b"movie", b"mo\xfeie")
        (tmp_path / name).write_bytes(data)
    return tmp_path


def test_names_that_are_no_utf8(damaged):
    classifier = fasttext.load_model(damaged / "classifier.bin")
    neighbors = fasttext.load_model(damaged / "vectors.bin")
    for asked in (
        lambda how: classifier.predict("the", -1, 0.0, how)[0],
        lambda how: classifier.predict(["the", "bad"], -1, 0.0, how)[0][1],
        lambda how: classifier.get_labels(on_unicode_error=how),
    ):
        assert "__label__n\ufffdg" in asked("replace")
        assert "__label__ng" in asked("ignore")
        with pytest.raises(UnicodeDecodeError):
            asked("strict")
    for asked in (
        lambda how: neighbors.get_nearest_neighbors("the", 9, how),
        lambda how: neighbors.get_analogies("the", "a", "bad", 7, how),
    ):
        assert "mo\ufffdie" in [word for _, word in asked("replace")]
        assert "moie" in [word for _, word in asked("ignore")]
        with pytest.raises(UnicodeDecodeError):
            asked("strict")


def test_lists_compiled_and_not(classifier, damaged):
    """The same objects come back however a list is predicted."""
    pytest.importorskip("numba")
    texts = ["the movie was good", "", "bad", "nothing known", "映画 the"]
    for model in (classifier, fasttext.load_model(damaged / "classifier.bin")):
        for k, threshold in ((1, 0.0), (2, 0.0), (-1, 0.0), (3, 0.25), (1, 2.0)):
            model.__dict__.pop("_classifier", None)
            expected = model.predict(texts, k, threshold, "replace")
            model._classifier.warm_up()
            labels, probabilities = model.predict(texts, k, threshold, "replace")
            assert labels == expected[0]
            for ours, theirs in zip(probabilities, expected[1], strict=True):
                assert (ours.dtype, ours.shape) == (np.float32, theirs.shape)
                np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_the_module_of_the_class(classifier, tmp_path):
    module = fasttext.FastText
    assert isinstance(classifier, module._FastText)
    assert module.load_model is fasttext.load_model
    assert module._FastText(str(tmp_path / "model.bin")).labels == LABELS


def test_util_test_and_nearest():
    assert fasttext.util.test([["a", "b"], ["a"]], [["b"], ["b", "c"]], k=2) == (1 / 4, 1 / 3)
    with pytest.raises(UsageError, match="at least one true label"):
        fasttext.util.test([], [])
    vectors = np.eye(3, dtype=np.float32)
    assert fasttext.util.find_nearest_neighbor(vectors[1] + vectors[2] / 2, vectors, {1}) == 2
    with pytest.raises(UsageError, match="not banned"):
        fasttext.util.find_nearest_neighbor(vectors[0], vectors, {0, 1, 2})


def test_ids(classifier):
    assert classifier.get_word_id("movie") == 2
    assert classifier.get_word_id("unseen") == -1
    assert classifier.get_label_id("__label__neg") == 1
    assert classifier.get_label_id("movie") == -1


def test_subwords(vectors):
    names, rows = vectors.get_subwords("bad")
    assert names[0] == "bad"
    assert rows[0] == vectors.get_word_id("bad")
    assert [vectors.get_subword_id(name) for name in names[1:]] == rows[1:].tolist()
    expected = np.mean([vectors.get_input_vector(row) for row in rows], axis=0)
    np.testing.assert_allclose(vectors.get_word_vector("bad"), expected, atol=1e-6)
    np.testing.assert_array_equal(vectors["bad"], vectors.get_word_vector("bad"))
    with pytest.raises(UsageError, match="rows 0 to 59"):
        vectors.get_input_vector(60)


def test_get_line(classifier):
    words, labels = classifier.get_line("__label__pos the unseen __label__unknown movie")
    assert words == ["the", "unseen", "movie", "</s>"]
    assert labels == ["__label__pos"]
    many = classifier.get_line(["the", "__label__neg a </s> b"])
    assert many == ([["the", "</s>"], ["a", "</s>"]], [[], ["__label__neg"]])


def test_neighbors_and_analogies(vectors):
    found = vectors.get_nearest_neighbors("movie", k=3)
    assert [len(pair) for pair in found] == [2, 2, 2]
    assert all(isinstance(cosine, float) and word in WORDS for cosine, word in found)
    assert "movie" not in [word for _, word in found]
    assert len(vectors.get_analogies("good", "bad", "movie", k=4)) == 4


def test_matrices(vectors):
    input, output = vectors.get_input_matrix(), vectors.get_output_matrix()
    assert (input.shape, output.shape) == ((60, 5), (10, 5))
    before = vectors["movie"].copy()
    vectors.set_matrices(input * 2, output)
    np.testing.assert_allclose(vectors["movie"], before * 2, rtol=1e-6)
    with pytest.raises(ModelFormatError, match="rows"):
        vectors.set_matrices(input[:30], output)


def test_reduce_model(vectors):
    before = vectors.get_nearest_neighbors("movie", k=2)
    assert fasttext.util.reduce_model(vectors, 5) is vectors
    # As many components as dimensions turn the space and change no angle.
    for (a, word), (b, other) in zip(
        before, vectors.get_nearest_neighbors("movie", k=2), strict=True
    ):
        assert word == other
        assert a == pytest.approx(b, abs=1e-5)
    fasttext.util.reduce_model(vectors, 2)
    assert vectors.get_dimension() == vectors.dim == vectors["movie"].shape[0] == 2
    with pytest.raises(UsageError, match="target_dim=3"):
        fasttext.util.reduce_model(vectors, 3)


def test_save_model(vectors, tmp_path):
    vectors.save_model(tmp_path / "again.bin")
    assert (tmp_path / "again.bin").read_bytes() == (tmp_path / "model.bin").read_bytes()


def test_quantize_in_place(tmp_path):
    write_model(make_model(word_ngrams=2, bucket=400), tmp_path / "model.bin")
    model = fasttext.load_model(tmp_path / "model.bin")
    assert not model.is_quantized()
    model.quantize(dsub=1, qnorm=True)
    assert model.is_quantized()
    with pytest.raises(ValueError, match="quantized"):
        model.get_input_matrix()
    model.save_model(tmp_path / "model.ftz")
    assert fasttext.load_model(tmp_path / "model.ftz").is_quantized()
    with pytest.raises(ValueError, match="Need input file"):
        model.quantize(retrain=True)


def test_tokenize():
    assert fasttext.tokenize("a b\tc") == ["a", "b", "c"]
    assert fasttext.tokenize("a\nb") == ["a", "</s>", "b"]
    assert (fasttext.EOS, fasttext.BOW, fasttext.EOW) == ("</s>", "<", ">")


def test_test(classifier, tmp_path):
    texts = ["the movie was good", "bad", "a überaus"]
    best = [classifier.predict(text)[0][0] for text in texts]
    wrong = next(label for label in LABELS if label != best[1])
    (tmp_path / "test.txt").write_text(
        f"{best[0]} {texts[0]}\n{wrong} {texts[1]}\n{best[2]} {wrong} {texts[2]}\n\nno label\n"
    )
    assert classifier.test(tmp_path / "test.txt") == (3, 2 / 3, 2 / 4)
    by_label = classifier.test_label(tmp_path / "test.txt")
    assert by_label[wrong]["recall"] == 0.0
    assert set(by_label) == set(LABELS)


def test_meter_by_hand():
    meter = Meter(with_curves=True)
    meter.log([0], [0, 1], [0.9, 0.6])
    meter.log([1], [1], [0.8])
    meter.log([1, 0], [0], [0.6])
    assert meter.examples == 3
    assert (meter.precision(), meter.recall()) == (3 / 4, 3 / 4)
    assert meter.f1_score(0) == 2 * 2 / (2 + 2)
    np.testing.assert_allclose(meter.score_vs_true(1), [[-1, 1], [0.6, 0], [0.8, 1]])
    # From the highest score down: 0.9 right, 0.8 right, two at 0.6 of which one is right.
    assert meter.precision_recall_curve() == [
        (1.0, 1 / 4),
        (1.0, 2 / 4),
        (3 / 4, 3 / 4),
        (1.0, 0.0),
    ]
    assert meter.precision_at_recall(0.6) == 3 / 4
    assert meter.recall_at_precision(0.9) == 2 / 4
    assert meter.recall_at_precision(1.1) == 0.0
    assert math.isnan(Meter().precision())


def test_get_meter(classifier, tmp_path):
    (tmp_path / "test.txt").write_text("__label__pos the movie\n__label__neg bad\n")
    meter = classifier.get_meter(tmp_path / "test.txt")
    precision, recall = meter.precision_recall_curve()
    assert precision.shape == recall.shape
    scores, truths = meter.score_vs_true("__label__pos")
    assert (scores.shape, sorted(truths.tolist())) == ((2,), [0.0, 1.0])
    assert 0 < meter.precision_at_recall(0.5, "__label__pos") <= 1


def test_arguments_are_checked():
    with pytest.raises(UsageError, match="unexpected keyword argument 'dims'"):
        fasttext.train_supervised("x", dims=3)
    with pytest.raises(TypeError, match="multiple values for argument 'lr'"):
        fasttext.train_supervised("x", 0.5, lr=0.1)
    with pytest.raises(UsageError, match="missing argument 'input'"):
        fasttext.train_unsupervised(model="cbow")
    with pytest.raises(HyperparameterError, match="loss='hinge'"):
        fasttext.train_supervised("x", loss="hinge")
    with pytest.raises(HyperparameterError, match="dim=0"):
        fasttext.train_unsupervised("x", dim=0)


def test_vectors_of_the_model_folder(vectors):
    assert isinstance(WordVectors(vectors.to_model()), WordVectors)
