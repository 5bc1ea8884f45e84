"""Reading and training against the real fasttext: the same vocabulary from the same text, and models that mean the same in both."""

from __future__ import annotations

import numpy as np
import pytest

from blazingtext import texts
from kftext import cli, models
from kftext.blazingtext import train
from kftext.blazingtext.corpus import read_corpus, read_examples
from kftext.blazingtext.vocabulary import VocabularyRules
from kftext.data.formats import Format
from kftext.models import read_model

pytestmark = pytest.mark.oracle

TRICKY = (
    b"the cat  sat\ton the mat\nthe\vdog\fsat \r\n\n\n  \n"
    b"caf\xc3\xa9 \xe6\x97\xa5\xe6\x9c\xac\xc2\xa0nbsp \xe2\x80\x83em the\0cat\0\n"
    b"literal </s> in a line __label__a word __label__b\n__label__a the\n"
    + b"long" * 300
    + b" the "
    + b"long" * 300
    + b"\nno newline at the end: the cat"
)


def same_dictionary(ours, theirs):
    """Counts are the same; the order is fastText's but for words of equal counts, which std::sort leaves in any order."""
    words = dict(zip(ours.words, ours.counts.tolist(), strict=True))
    assert words == dict(zip(theirs.words, theirs.counts.tolist(), strict=True))
    assert ours.counts.tolist() == theirs.counts.tolist()


@pytest.mark.parametrize("min_count", [1, 2, 5])
def test_vocabulary_of_a_corpus(oracle, tmp_path, min_count):
    path = tmp_path / "corpus.txt"
    path.write_bytes(TRICKY * 3)
    arguments = {"input": str(path), "dim": 10, "minCount": min_count, "epoch": 1, "bucket": 100}
    oracle.train(mode="skipgram", path=tmp_path / "model.bin", arguments=arguments)
    theirs = read_model(tmp_path / "model.bin").dictionary
    vocabulary, encoded = read_corpus([str(path)], VocabularyRules(min_count))
    same_dictionary(vocabulary, theirs)
    assert encoded.token_count == theirs.token_count


def test_vocabulary_of_labelled_text(oracle, tmp_path):
    path = tmp_path / "train.txt"
    path.write_bytes(TRICKY + b"\n" + texts.labeled(200).encode())
    arguments = {"input": str(path), "dim": 10, "minCount": 2, "epoch": 1, "lr": 0.1}
    oracle.train(mode="supervised", path=tmp_path / "model.bin", arguments=arguments)
    theirs = read_model(tmp_path / "model.bin").dictionary
    vocabulary, encoded = read_examples([str(path)], Format.LABELED_TEXT, VocabularyRules(2))
    same_dictionary(vocabulary, theirs)
    assert encoded.token_count == theirs.token_count
    labels = dict(zip(vocabulary.labels, vocabulary.label_counts.tolist(), strict=True))
    assert labels == dict(zip(theirs.labels, theirs.label_counts.tolist(), strict=True))


@pytest.mark.parametrize(
    ("loss", "subwords"),
    [("softmax", ""), ("hs", ""), ("ns", ""), ("ova", ""), ("softmax", "2 5"), ("ova", "1 3")],
)
def test_classifiers_predict_the_same_there(oracle, tmp_path, loss, subwords):
    for name, count, seed in (("train.txt", 2000, 0), ("validation.txt", 300, 1)):
        text = texts.labeled(count, seed)
        # With character n-grams words tell something that training has never seen.
        unseen = subwords and name == "validation.txt"
        (tmp_path / name).write_text(text.replace("topic", "tópic") if unseen else text)
    paths = ["--train", "train.txt", "--validation", "validation.txt", "--model-dir", "model"]
    paths = [word if word.startswith("--") else str(tmp_path / word) for word in paths]
    flags = "--mode supervised --vector-dim 10 --min-count 3 --buckets 500 --epochs 2 --threads 1"
    if subwords:
        shortest, longest = subwords.split()
        flags += f" --subwords True --min-char {shortest} --max-char {longest}"
    assert cli.run(train.main, [*paths, *flags.split(), "--loss", loss]) == 0
    ours = models.load(tmp_path / "model")
    lines = (tmp_path / "validation.txt").read_text().splitlines()
    expected = oracle.predict(path=tmp_path / "model" / "model.bin", texts=lines, k=2)
    for prediction, (labels, probabilities) in zip(ours.predict(lines, k=2), expected, strict=True):
        assert prediction.labels == labels
        np.testing.assert_allclose(prediction.probabilities, probabilities, atol=2e-5)
    # What training calls accuracy is what fastText calls precision at one.
    tested = oracle.test(
        path=tmp_path / "model" / "model.bin", data=str(tmp_path / "validation.txt")
    )
    accuracy = models.ModelMetadata.read(tmp_path / "model").metrics["validation_accuracy"]
    assert tested[:2] == [300, accuracy]


@pytest.mark.parametrize("subwords", ["False", "True"])
def test_vectors_are_the_same_there(oracle, tmp_path, subwords):
    path = tmp_path / "corpus.txt"
    path.write_text(texts.corpus(1000))
    flags = "--mode cbow --vector-dim 10 --min-count 1 --epochs 1 --buckets 500 --evaluation False"
    where = ["--train", str(path), "--model-dir", str(tmp_path / "model"), "--subwords", subwords]
    assert cli.run(train.main, [*where, *flags.split()]) == 0
    ours = models.load(tmp_path / "model")
    words = [*ours.words, "unknown", "shared"]
    theirs = oracle.word_vectors(path=tmp_path / "model" / "vectors.bin", words=words)
    np.testing.assert_allclose(ours.vectors(words), theirs, atol=1e-6)
