"""Character n-grams in a classifier: the rows that fastText has, also of unknown words, from training to the written model."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from blazingtext import texts
from kftext import cli, models
from kftext.blazingtext import train
from kftext.blazingtext.checkpoint import CheckpointOptions, Checkpoints, describe_run
from kftext.blazingtext.corpus import read_examples
from kftext.blazingtext.hyperparameters import SupervisedHyperparameters
from kftext.blazingtext.kernels.compilation import kernel
from kftext.blazingtext.kernels.features import collect_rows
from kftext.blazingtext.subwords import compute_subwords
from kftext.blazingtext.supervised import SupervisedTraining
from kftext.blazingtext.supervised_data import SupervisedData, features_of
from kftext.blazingtext.vocabulary import VocabularyRules
from kftext.blazingtext.warm_start import from_earlier_model
from kftext.data.formats import Format
from kftext.errors import UsageError
from kftext.models import Args, Dictionary, Loss, Model

BUCKETS = 300
SETTINGS = {
    "mode": "supervised", "subwords": True, "min_char": 2, "max_char": 4, "vector_dim": 8, "min_count": 2, "buckets": BUCKETS,
    "learning_rate": 0.5, "epochs": 3,
}  # fmt: skip


def hyperparameters(**changes) -> SupervisedHyperparameters:
    return SupervisedHyperparameters(**{**SETTINGS, **changes})


def prepare(path, settings):
    rules = VocabularyRules(settings.min_count, keep_unknown=True)
    vocabulary, examples = read_examples([str(path)], Format.LABELED_TEXT, rules)
    lengths = settings.min_char, settings.max_char
    unknown = examples.unknown_words
    subwords = compute_subwords(vocabulary.words, *lengths, settings.buckets, unknown)
    data = SupervisedData(examples, len(vocabulary.words), vocabulary.label_counts, subwords)
    return vocabulary, data


@kernel
def rows_of(ids, offsets, features, matrix, lengths, rows):
    n = 0
    for i in range(offsets.size - 1):
        lengths[i] = collect_rows(
            ids, offsets[i], offsets[i + 1], features, matrix, 16, features.rows
        )
        for k in range(lengths[i]):
            rows[n] = features.rows[k] // 16
            n += 1


@pytest.mark.parametrize("ngrams", [1, 2, 3])
@pytest.mark.parametrize("lines", [1, 7])  # with one line `</s>` is not in the vocabulary
def test_rows_are_those_of_prediction(tmp_path, ngrams, lines):
    text = (
        "__label__a frequent frequent words café 日本 </s>\n"
        "__label__b rare wörter x frequent 日本 seldom \xff once\n"
    )
    path = tmp_path / "train.txt"
    path.write_text(("".join(text) * lines).removesuffix("\n"))
    with path.open("a") as file:
        file.write(" onlyhere alsohere")
    settings = hyperparameters(word_ngrams=ngrams, min_count=1 if lines == 1 else 5)
    vocabulary, data = prepare(path, settings)
    arguments = Args(
        dim=8, model=Model.SUPERVISED, loss=Loss.SOFTMAX, word_ngrams=ngrams, bucket=BUCKETS, minn=2, maxn=4,
    )  # fmt: skip
    dictionary = Dictionary(
        arguments, vocabulary.words, vocabulary.counts, vocabulary.labels, vocabulary.label_counts
    )
    expected = [
        sorted(dictionary.line(line.encode(), end_of_line=ends)[0])
        for line, ends in _labelled_lines(path.read_text())
    ]
    features, examples = features_of(data, settings)(), data.examples
    matrix = np.zeros(16 * (len(vocabulary.words) + BUCKETS), np.float32)
    lengths = np.zeros(examples.example_count, np.int64)
    rows = np.zeros(len(features.rows) * examples.example_count, np.int64)
    rows_of(examples.ids, examples.line_offsets, features, matrix, lengths, rows)
    ends = [0, *np.cumsum(lengths)]
    assert [sorted(rows[first:stop].tolist()) for first, stop in pairwise(ends)] == expected
    assert max(lengths) <= len(features.rows)


def _labelled_lines(content: str):
    """Yield each line that has a label, without its end, and whether it has an end: a newline or `</s>`."""
    for line in content.replace("</s>", "\n").splitlines(keepends=True):
        if "__label__" in line:
            yield line.removesuffix("\n"), line.endswith("\n")


def run(*arguments) -> int:
    return cli.run(train.main, [str(argument) for argument in arguments])


def flags(**changes):
    return [
        part for name, value in {**SETTINGS, **changes}.items() for part in (f"--{name}", value)
    ]


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("subwords")
    (folder / "train.txt").write_text(texts.labeled(1000))
    # Words that training has never seen, of n-grams that it has.
    unseen = texts.labeled(300, 1).replace("topic", "atopic")
    (folder / "validation.txt").write_text(unseen)
    paths = ["--train", folder / "train.txt", "--validation", folder / "validation.txt"]
    assert run(*paths, "--model-dir", folder / "m", "--threads", 1, *flags(word_ngrams=2)) == 0
    return folder / "m"


def test_unknown_words_tell_the_label(model_dir):
    metrics = models.ModelMetadata.read(model_dir).metrics
    classifier = models.load(model_dir)
    assert (classifier.model.arguments.minn, classifier.model.arguments.maxn) == (2, 4)
    lines = (model_dir.parent / "validation.txt").read_text().splitlines()
    right = [p.labels[0] in line.split() for p, line in zip(classifier.predict(lines), lines, strict=True)]  # fmt: skip
    assert np.mean(right) == metrics["validation_accuracy"] > 0.9


def test_goes_on_from_an_earlier_model(model_dir, tmp_path):
    (tmp_path / "more.txt").write_text("__label__new entirely other words\n" * 3)
    still = flags(word_ngrams=2, learning_rate=1e-12, epochs=1)
    paths = ["--train", tmp_path / "more.txt", "--initial-model", model_dir]
    assert run(*paths, "--model-dir", tmp_path / "second", *still) == 0
    before, after = models.load(model_dir), models.load(tmp_path / "second")
    lines = (model_dir.parent / "validation.txt").read_text().splitlines()
    assert [p.labels for p in after.predict(lines)] == [p.labels for p in before.predict(lines)]
    assert b"entirely" in after.dictionary.words


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"subwords": False}, "subwords=False: .* was trained with True"),
        ({"max_char": 5}, "max_char=5"),
        ({"min_char": 3}, "min_char=3"),
        ({"buckets": 301}, "buckets=301"),
    ],
)
def test_an_earlier_model_must_have_the_same_ngrams(model_dir, changes, message):
    with pytest.raises(UsageError, match=message):
        from_earlier_model(str(model_dir), hyperparameters(word_ngrams=2, **changes))


def test_a_checkpoint_is_taken_up(model_dir, tmp_path):
    settings = hyperparameters(word_ngrams=1)
    vocabulary, data = prepare(model_dir.parent / "train.txt", settings)

    def start() -> tuple[SupervisedTraining, Checkpoints]:
        training = SupervisedTraining(data, settings, seed=3)
        described = describe_run(settings, 3, vocabulary, data.examples.token_count)
        return training, Checkpoints(CheckpointOptions(str(tmp_path)), described, training)

    whole, _ = start()
    while not whole.over:
        whole.run_epoch()
    first, checkpoints = start()
    first.run_epoch()
    checkpoints.save()
    second, restored = start()
    assert restored.restore()
    while not second.over:
        second.run_epoch()
    assert second.input.tobytes() == whole.input.tobytes()
    assert second.output.tobytes() == whole.output.tobytes()


def test_what_belongs_together_is_asked_for(model_dir):
    settings = hyperparameters()
    _, data = prepare(model_dir.parent / "train.txt", settings)
    with pytest.raises(UsageError, match="subwords=True needs"):
        SupervisedTraining(replace(data, subwords=None), settings)
    with pytest.raises(UsageError, match="False has none"):
        SupervisedTraining(data, hyperparameters(subwords=False))
    words = len(data.examples.word_hashes)
    cut = replace(data.subwords, offsets=data.subwords.offsets[:-1])
    with pytest.raises(UsageError, match=f"subwords of {words - 1} words, expected {words}"):
        SupervisedTraining(replace(data, subwords=cut), settings)
