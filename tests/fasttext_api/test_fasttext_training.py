"""Training under fastText's names, and the examples of its documentation with the import changed."""

from __future__ import annotations

import random
import re

import numpy as np
import pytest

from kftext import fasttext
from kftext.errors import DataError, MissingExtraError, StorageError, UsageError
from kftext.fasttext.__main__ import main
from kftext.fasttext.arguments import read_arguments
from kftext.fasttext.autotune import Strategy, parse_metric, parse_size
from kftext.fasttext.line_training import LineTraining, train_on_lines
from oracle import texts

LABELS = 6


@pytest.fixture(scope="module")
def labeled(tmp_path_factory):
    path = tmp_path_factory.mktemp("labeled") / "train.txt"
    return texts.write_labeled(path, lines=600, labels=LABELS, words=60)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return texts.write_corpus(tmp_path_factory.mktemp("corpus") / "c.txt", lines=500, words=60)


@pytest.mark.parametrize("loss", ["softmax", "hs", "ns", "ova"])
@pytest.mark.parametrize("subwords", [(0, 0), (2, 3)])
def test_supervised_learns(labeled, tmp_path, loss, subwords):
    model = fasttext.train_supervised(
        str(labeled), lr=0.5, dim=10, epoch=25, wordNgrams=2, bucket=500, loss=loss,
        minn=subwords[0], maxn=subwords[1], thread=2, verbose=0,
    )  # fmt: skip
    examples, precision, recall = model.test(labeled)
    assert examples == 600
    # Chance is a sixth; the first two words of a line tell its label.
    assert precision > 0.8
    assert recall > 0.6
    assert (model.lr, model.epoch, model.minn, model.label) == (0.5, 25, subwords[0], "__label__")
    model.save_model(tmp_path / "model.bin")
    again = fasttext.load_model(tmp_path / "model.bin")
    lines = texts.queries(words=60)[:-3]
    assert again.predict(lines)[0] == model.predict(lines)[0]


@pytest.mark.parametrize("maxn", [0, 3])
def test_one_thread_repeats(labeled, maxn):
    options = {
        "dim": 6,
        "epoch": 2,
        "thread": 1,
        "verbose": 0,
        "minn": 2 * bool(maxn),
        "maxn": maxn,
        "bucket": 300,
    }
    first, second = (fasttext.train_supervised(labeled, seed=3, **options) for _ in range(2))
    np.testing.assert_array_equal(first.get_input_matrix(), second.get_input_matrix())
    other = fasttext.train_supervised(labeled, seed=4, **options)
    assert not np.array_equal(first.get_input_matrix(), other.get_input_matrix())


def test_other_label_prefix(tmp_path):
    (tmp_path / "train.txt").write_text("#a red apple\n#b blue sky\n" * 50)
    model = fasttext.train_supervised(
        tmp_path / "train.txt", label_prefix="#", dim=5, epoch=20, lr=1.0, verbose=0
    )
    assert model.predict("blue #unknown")[0] == ("#b",)
    assert set(model.labels) == {"#a", "#b"}


def test_rare_labels_are_left_out(tmp_path):
    (tmp_path / "train.txt").write_text("__label__a red apple\n" * 20 + "__label__b blue sky\n")
    model = fasttext.train_supervised(tmp_path / "train.txt", minCountLabel=2, dim=5, verbose=0)
    assert model.labels == ["__label__a"]


@pytest.mark.parametrize("kind", ["skipgram", "cbow"])
@pytest.mark.parametrize("loss", ["ns", "hs", "softmax", "ova"])
def test_unsupervised(corpus, kind, loss):
    model = fasttext.train_unsupervised(
        str(corpus), model=kind, loss=loss, dim=12, minCount=2, bucket=500, epoch=2, verbose=0
    )
    assert np.isfinite(model.get_input_matrix()).all()
    assert model["neverseenword"].any()
    assert model.get_input_matrix().shape == (len(model.words) + 500, 12)
    plain = fasttext.train_unsupervised(str(corpus), kind, dim=12, minCount=2, maxn=0, verbose=0)
    assert not plain["neverseenword"].any()
    assert plain.get_input_matrix().shape == (len(plain.words), 12)


@pytest.mark.parametrize(
    ("kind", "loss", "lr"),
    [
        ("skipgram", "softmax", 0.2),
        ("cbow", "softmax", 0.05),
        ("skipgram", "ova", 0.1),
        ("cbow", "ova", 0.005),
    ],
)
def test_losses_over_the_whole_vocabulary(tmp_path, kind, loss, lr):
    """Words that are used alike get vectors that are alike."""
    rng = random.Random(0)
    groups = [[f"{letter}{i}" for i in range(6)] for letter in "abcd"]
    lines = [" ".join(rng.choices(rng.choice(groups), k=8)) for _ in range(400)]
    (tmp_path / "corpus.txt").write_text("\n".join(lines) + "\n")
    model = fasttext.train_unsupervised(
        tmp_path / "corpus.txt", model=kind, loss=loss, lr=lr, dim=8, maxn=0, epoch=5, t=1.0,
        minCount=1, verbose=0, thread=2,
    )  # fmt: skip
    for group in groups:
        for word in group:
            near = [name for _, name in model.get_nearest_neighbors(word, k=5)]
            assert sorted([word, *near]) == group


def test_pretrained_vectors(labeled, tmp_path):
    (tmp_path / "v.vec").write_text("2 4\nkato 1 2 3 4\nonlyhere 5 6 7 8\n")
    for maxn in (0, 2):
        model = fasttext.train_supervised(
            labeled, dim=4, lr=1e-6, epoch=1, pretrainedVectors=tmp_path / "v.vec",
            minn=maxn, maxn=maxn, bucket=100, verbose=0,
        )  # fmt: skip
        row = model.get_input_vector(model.get_word_id("onlyhere"))
        np.testing.assert_allclose(row, [5, 6, 7, 8], atol=1e-3)


def test_without_numba(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *rest: None)
    with pytest.raises(MissingExtraError, match=r"kftext\[blazingtext\]"):
        fasttext.train_supervised("train.txt")
    with pytest.raises(MissingExtraError, match="training a model"):
        fasttext.train_unsupervised("train.txt")


def test_tells_what_it_read(tmp_path, capsys):
    """In fastText's words, unless it is to be silent."""
    (tmp_path / "two.txt").write_text("__label__a x y\n__label__b x\n" * 3)
    fasttext.train_supervised(tmp_path / "two.txt", dim=2, verbose=1)
    assert capsys.readouterr().err == "Read 0M words\nNumber of words:  3\nNumber of labels: 2\n"
    fasttext.train_supervised(tmp_path / "two.txt", dim=2, verbose=0)
    assert capsys.readouterr().err == ""


def test_where_nothing_can_be_written(tmp_path):
    """Said before training, not after it."""
    (tmp_path / "file").write_text("")
    command = ["supervised", "-input", str(tmp_path / "missing.txt"), "-output"]
    with pytest.raises(StorageError, match="file/model: can't be written: no folder"):
        main([*command, str(tmp_path / "file" / "model")])


def test_bad_files(tmp_path):
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(DataError):
        fasttext.train_supervised(tmp_path / "empty.txt", verbose=0)
    (tmp_path / "unlabeled.txt").write_text("no label here\n")
    with pytest.raises(DataError, match="label"):
        fasttext.train_supervised(tmp_path / "unlabeled.txt", verbose=0)


def test_quantize_with_retraining(labeled, tmp_path):
    model = fasttext.train_supervised(
        labeled, lr=0.5, dim=8, epoch=15, wordNgrams=2, bucket=2000, verbose=0
    )
    exact = model.test(labeled)[1]
    model.quantize(labeled, cutoff=300, retrain=True, qnorm=True, dsub=1, epoch=10)
    assert model.is_quantized()
    assert model.test(labeled)[1] > exact - 0.05
    model.save_model(tmp_path / "model.ftz")
    assert fasttext.load_model(tmp_path / "model.ftz").test(labeled)[1] == model.test(labeled)[1]


def test_the_documentations_examples(data_dir, tmp_path, monkeypatch, capsys):
    """The tutorial on text classification and the page of the Python module, but for smaller numbers."""
    train, valid = (
        str(data_dir / "cooking" / f"cooking.{part}.txt") for part in ("train", "valid")
    )
    monkeypatch.chdir(tmp_path)

    model = fasttext.train_supervised(
        input=train, lr=1.0, epoch=10, wordNgrams=2, dim=10, bucket=50000, verbose=0
    )
    model.save_model("model_cooking.bin")
    model = fasttext.load_model("model_cooking.bin")
    labels, _ = model.predict("Which baking dish is best to bake a banana bread ?")
    assert labels[0] in ("__label__baking", "__label__bread", "__label__bananas")
    n, precision, recall = model.test(valid)
    assert n == 3000
    # The tutorial reaches 0.599 with 25 epochs on preprocessed text.
    assert precision > 0.45
    assert recall == pytest.approx(precision * 0.433, abs=0.02)
    assert len(model.predict("Why not put knives in the dishwasher?", k=5)[0]) == 5

    ova = fasttext.train_supervised(
        input=train, lr=0.5, epoch=10, wordNgrams=2, bucket=50000, dim=10, loss="ova", verbose=0
    )
    assert isinstance(ova.predict("Which baking dish is best ?", k=-1, threshold=0.5)[0], tuple)

    model.quantize(input=train, qnorm=True, retrain=True, cutoff=15000)
    model.save_model("model_cooking.ftz")
    assert model.test(valid)[1] > precision - 0.02


def test_autotune(labeled):
    model = fasttext.train_supervised(
        labeled, autotuneValidationFile=str(labeled), autotuneDuration=2, dim=8, bucket=1000,
        epoch=3, verbose=0,
    )  # fmt: skip
    assert (model.dim, model.epoch) == (8, 3)
    # The default learning rate learns next to nothing in three epochs.
    default = fasttext.train_supervised(labeled, dim=8, epoch=3, verbose=0)
    assert model.test(labeled)[1] >= default.test(labeled)[1]


@pytest.mark.parametrize(
    "metric", ["f1:__label__1", "precisionAtRecall:60", "recallAtPrecision:40:__label__2"]
)
def test_autotune_returns_the_model_that_scored_best(labeled, metric, capsys):
    """Not one like it: what is returned scores at least what the first trial, with the caller's arguments, does."""
    options = {"dim": 6, "epoch": 2, "bucket": 500, "minn": 0, "maxn": 0, "thread": 1, "seed": 3}
    model = fasttext.train_supervised(
        labeled, autotuneValidationFile=labeled, autotuneDuration=1, autotuneMetric=metric,
        autotunePredictions=3, **options,
    )  # fmt: skip
    first = fasttext.train_supervised(labeled, verbose=0, **options)
    with_curves = not metric.startswith("f1")
    score = parse_metric(metric)
    found, least = (
        score(m, m.measure(labeled, 3, 0.0, with_curves=with_curves)) for m in (model, first)
    )
    assert found >= least
    shown = capsys.readouterr().err
    assert "Autotune" in shown
    best = re.findall(r"best=([\d.]+)", shown)[-1]
    assert float(best) == pytest.approx(found, abs=1e-4)


def test_an_interrupted_search_returns_its_best(labeled, monkeypatch):
    from kftext.fasttext import autotune

    asked = []

    def ask(self, elapsed):
        asked.append(elapsed)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return self.best

    monkeypatch.setattr(autotune.Strategy, "ask", ask)
    model = fasttext.train_supervised(
        labeled, autotuneValidationFile=labeled, dim=6, epoch=1, verbose=0
    )
    assert len(asked) == 3
    assert model.dim == 6
    asked.clear()
    monkeypatch.setattr(
        autotune.Strategy, "ask", lambda self, elapsed: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(KeyboardInterrupt):
        fasttext.train_supervised(labeled, autotuneValidationFile=labeled, dim=6, verbose=0)


def test_autotune_within_a_size(labeled, tmp_path):
    model = fasttext.train_supervised(
        labeled, autotuneValidationFile=labeled, autotuneDuration=2, autotuneModelSize="30k", epoch=5,
        wordNgrams=2, minn=0, maxn=0, bucket=5000, dim=8, verbose=0,
    )  # fmt: skip
    model.save_model(tmp_path / "model.ftz")
    assert model.is_quantized()
    assert (tmp_path / "model.ftz").stat().st_size <= 30_000
    with pytest.raises(UsageError, match="size constraint"):
        fasttext.train_supervised(
            labeled, autotuneValidationFile=labeled, autotuneDuration=1, autotuneModelSize="1k"
        )


def test_a_training_stopped_at_once_leaves_the_model_as_it_was(labeled):
    model = fasttext.train_supervised(labeled, epoch=1, dim=8, verbose=0).to_model()
    how = LineTraining(rate=0.5, epochs=3, threads=1, should_stop=lambda: True)
    trained = train_on_lines(model, labeled, how)
    np.testing.assert_array_equal(trained.input.values, model.input.values)


def test_autotune_strategy():
    arguments, given = read_arguments(["x"], {"dim": 7, "lr": 0.3}, supervised=True)
    strategy = Strategy(arguments, given, seed=1)
    assert strategy.ask(0.0).arguments == arguments
    asked = [strategy.ask(share / 50).arguments for share in range(50)]
    assert {(a.dim, a.lr) for a in asked} == {(7, 0.3)}
    assert len({a.epoch for a in asked}) > 10
    assert all(1 <= a.epoch <= 100 and 1 <= a.wordNgrams <= 5 for a in asked)
    assert {(a.minn, a.maxn) for a in asked} == {(0, 0), (2, 5), (3, 6)}


def test_autotune_sizes_and_metrics():
    assert [parse_size(text) for text in ("", "2M", "500k", "123", "1G")] == [
        None, 2_000_000, 500_000, 123, 10**9,
    ]  # fmt: skip
    for text in ("2MB", "x", "-1", "1.5M"):
        with pytest.raises(UsageError, match="autotuneModelSize"):
            parse_size(text)
    for text in ("f1", "f1:__label__a", "precisionAtRecall:30", "recallAtPrecision:30:__label__a"):
        parse_metric(text)
    for text in ("f2", "f1:", "precisionAtRecall:x", "recallAtPrecision", "accuracy"):
        with pytest.raises(UsageError, match="autotuneMetric"):
            parse_metric(text)
