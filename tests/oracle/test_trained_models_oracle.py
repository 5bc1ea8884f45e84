"""Models that are trained here, in every mode and by every loss: the real package, and gensim where it reads such a model, answer as we do."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from kftext import cli, fasttext, models
from kftext.blazingtext import train
from oracle import texts

pytestmark = pytest.mark.oracle

LOSSES = ("softmax", "hs", "ns", "ova")
KINDS = {
    "bin": None,
    "ftz": {"dsub": 2},
    "qnorm": {"qnorm": True},
    "cutoff": {"cutoff": 400, "qnorm": True},
    "retrain": {"cutoff": 400, "retrain": True, "epoch": 1},
}


@pytest.fixture(scope="module")
def labeled(tmp_path_factory):
    path = tmp_path_factory.mktemp("labeled") / "train.txt"
    return texts.write_labeled(path, lines=500, labels=8, words=200)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return texts.write_corpus(tmp_path_factory.mktemp("corpus") / "c.txt", lines=300, words=300)


@pytest.mark.parametrize(
    ("loss", "ngrams", "subwords"), list(itertools.product(LOSSES, (1, 3), ((0, 0), (2, 4))))
)
def test_classifiers(oracle, labeled, tmp_path, loss, ngrams, subwords):
    hashed = ngrams > 1 or subwords[1]
    questions = texts.queries(words=200)
    for name, options in KINDS.items():
        if options and not hashed:
            continue  # fewer rows than a quantized matrix needs
        model = fasttext.train_supervised(
            labeled, loss=loss, wordNgrams=ngrams, minn=subwords[0], maxn=subwords[1], dim=10,
            bucket=500, epoch=2, lr=0.3, verbose=0,
        )  # fmt: skip
        if options is not None:
            again = {"input": labeled} if options.get("retrain") else {}
            model.quantize(**options, **again)
        path = tmp_path / f"{name}.bin"
        model.save_model(path)
        expected = oracle.predict(path=path, texts=questions, k=3)
        for text, (labels, probabilities) in zip(questions, expected, strict=True):
            found, numbers = model.predict(text, k=3)
            np.testing.assert_allclose(numbers, probabilities, atol=1e-5)
            if min(np.diff(sorted(probabilities)), default=1) > 2e-5:
                assert list(found) == labels


@pytest.mark.parametrize(
    ("kind", "loss", "subwords"),
    list(itertools.product(("skipgram", "cbow"), LOSSES, ((0, 0), (3, 6), (1, 2)))),
)
def test_word_vectors(oracle, corpus, tmp_path, kind, loss, subwords):
    minn, maxn = subwords
    model = fasttext.train_unsupervised(
        corpus, model=kind, loss=loss, minn=minn, maxn=maxn, dim=10, bucket=500, epoch=1, lr=0.01,
        minCount=2, verbose=0,
    )  # fmt: skip
    model.save_model(tmp_path / "vectors.bin")
    assert_same_vectors(oracle, tmp_path / "vectors.bin", model.to_model().arguments.maxn > 0)


def test_batch_skipgram(oracle, corpus, tmp_path):
    flags = "--mode batch_skipgram --vector-dim 10 --min-count 2 --epochs 1 --evaluation False"
    where = ["--train", str(corpus), "--model-dir", str(tmp_path / "model")]
    assert cli.run(train.main, [*where, *flags.split()]) == 0
    assert_same_vectors(oracle, tmp_path / "model" / "vectors.bin", has_subwords=False)


def assert_same_vectors(oracle, path, has_subwords):
    ours = models.load(path)
    assert isinstance(ours, models.WordVectors)
    asked = [*ours.words[:80], "neverseen", "ünknöwn", "未知の"]
    np.testing.assert_allclose(
        ours.vectors(asked), oracle.word_vectors(path=path, words=asked), atol=1e-5
    )
    near = ours.nearest_neighbors(ours.words[3], 5)
    expected = oracle.nearest_neighbors(path=path, word=ours.words[3], k=5)
    np.testing.assert_allclose([c for _, c in near], [c for _, c in expected], atol=1e-5)
    fasttext_of_gensim = pytest.importorskip("gensim.models.fasttext")
    theirs = fasttext_of_gensim.load_facebook_vectors(str(path))
    known = [word for word in asked if word in ours and word != "</s>"]
    # gensim knows no vector of an unknown word where there are no n-grams, and gives "</s>" some.
    asked = [word for word in asked if word != "</s>"] if has_subwords else known
    np.testing.assert_allclose(
        ours.vectors(asked), np.stack([theirs[word] for word in asked]), atol=1e-5
    )
    word = known[3]
    similar = dict(theirs.most_similar(word, topn=5))
    cosines = dict(ours.nearest_neighbors(word, len(ours.words)))
    np.testing.assert_allclose(
        [cosines[name] for name in similar if name != "</s>"],
        [cosine for name, cosine in similar.items() if name != "</s>"],
        atol=1e-5,
    )
