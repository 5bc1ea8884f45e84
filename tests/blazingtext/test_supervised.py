"""The classifier end to end: it learns, it stops early, it keeps the best epoch."""

import io
from dataclasses import replace

import numpy as np
import pytest

from kftext.blazingtext import best_epoch
from kftext.blazingtext.encoded import EncodedExamples
from kftext.blazingtext.hogwild import Hooks
from kftext.blazingtext.hyperparameters import SupervisedHyperparameters
from kftext.blazingtext.supervised import SupervisedTraining, train_supervised
from kftext.blazingtext.supervised_data import SupervisedData
from kftext.errors import UsageError

LABELS, WORDS = 5, 60
BUCKETS = 500


def texts(count=600, seed=2, *, labels_each=1) -> EncodedExamples:
    """Each label has words of its own, and half of a text is noise."""
    generator = np.random.default_rng(seed)
    labels = np.stack([generator.choice(LABELS, labels_each, replace=False) for _ in range(count)])
    own = labels[:, generator.integers(0, labels_each, 5)] + LABELS * generator.integers(
        0, 4, (count, 5)
    )
    noise = generator.integers(4 * LABELS, WORDS, (count, 5))
    ids = np.hstack([own, noise]).astype(np.int32)
    return EncodedExamples(
        ids.ravel(),
        np.arange(0, ids.size + 1, 10),
        labels.astype(np.int32).ravel(),
        np.arange(0, labels.size + 1, labels_each),
        np.random.default_rng(0).integers(0, 1 << 32, WORDS).astype(np.uint32),
        ids.size + labels.size,
    )


def label_counts(examples):
    return np.bincount(examples.labels, minlength=LABELS)


def data_of(examples) -> SupervisedData:
    return SupervisedData(examples, WORDS, label_counts(examples))


def hyperparameters(**changes) -> SupervisedHyperparameters:
    defaults = {
        "mode": "supervised", "vector_dim": 10, "epochs": 6, "learning_rate": 0.3, "buckets": BUCKETS,
    }  # fmt: skip
    return SupervisedHyperparameters(**{**defaults, **changes})


def scores(examples, matrix, output):
    words = examples.ids.reshape(-1, 10)
    return matrix[words].mean(axis=1) @ output.T


def accuracy(examples, matrix, output) -> float:
    """By words alone: n-grams add little here."""
    return float((scores(examples, matrix, output).argmax(axis=1) == examples.labels).mean())


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("loss", ["softmax", "ova", "ns", "hs"])
def test_learns(loss, threads):
    train, held_out = texts(), texts(200, seed=77)
    matrices = train_supervised(data_of(train), hyperparameters(loss=loss), threads=threads, seed=1)
    losses = [record.loss for record in matrices.curve]
    assert losses[-1] < 0.7 * losses[0]
    assert matrices.input.shape == (WORDS + BUCKETS, 10)
    assert matrices.output.shape == (LABELS, 10)
    if loss != "hs":
        assert accuracy(held_out, matrices.input, matrices.output) > 0.9


@pytest.mark.parametrize("loss", ["softmax", "ova", "ns", "hs"])
def test_one_thread_repeats_bit_for_bit(loss):
    train = texts(100)
    first, again = (
        train_supervised(data_of(train), hyperparameters(loss=loss), seed=3) for _ in "12"
    )
    assert first.input.tobytes() == again.input.tobytes()
    assert first.output.tobytes() == again.output.tobytes()


def test_ova_gives_each_label_a_probability_of_its_own():
    train, held_out = texts(1500, labels_each=2), texts(200, seed=77, labels_each=2)
    matrices = train_supervised(data_of(train), hyperparameters(loss="ova", epochs=15), seed=1)
    probability = 1 / (1 + np.exp(-scores(held_out, matrices.input, matrices.output)))
    assert np.median(probability.sum(axis=1)) == pytest.approx(2, abs=0.3)
    truth = np.zeros_like(probability, bool)
    np.put_along_axis(truth, held_out.labels.reshape(-1, 2), True, axis=1)
    assert ((probability > 0.5) == truth).mean() > 0.85


def test_examples_without_words_are_passed_over():
    examples = EncodedExamples(
        np.array([0, 1, 0], np.int32),
        np.array([0, 0, 2, 2, 3, 3]),
        np.array([0, 1, 0, 0, 1], np.int32),
        np.arange(6),
        np.array([5, 6], np.uint32),
        8,
    )
    training = SupervisedTraining(
        SupervisedData(examples, 2, np.array([3, 2])), hyperparameters(word_ngrams=1)
    )
    training.run_epoch()
    assert training.position.epoch == 1
    assert np.isfinite(training.curve[0].loss)
    assert np.isfinite(training.input).all()


class Scripted:
    """Says given accuracies and remembers what it was shown."""

    def __init__(self, *accuracies):
        self.accuracies, self.seen = list(accuracies), []

    def __call__(self, matrix, output):
        self.seen.append((matrix.copy(), output.copy()))
        return self.accuracies[len(self.seen) - 1]


def test_early_stopping_keeps_the_best_epochs_weights(monkeypatch):
    monkeypatch.setattr(best_epoch, "_COPIED_FLOATS", 100)  # a few rows at a time
    train = texts(100)
    validate = Scripted(0.5, 0.8, 0.7, 0.8, 0.6, 0.9, 0.9)
    matrices = train_supervised(
        data_of(train),
        hyperparameters(early_stopping=True, min_epochs=3, patience=3, epochs=20),
        validate=validate,
    )  # fmt: skip
    # Asked from epoch 3 on; the fourth is the best; the fifth, sixth and seventh are no better.
    assert [record.epoch for record in matrices.curve] == [1, 2, 3, 4, 5, 6, 7]
    asked = [record.validation_accuracy for record in matrices.curve]
    assert asked == [None, None, 0.5, 0.8, 0.7, 0.8, 0.6]
    assert matrices.best_epoch == 4
    best_input, best_output = validate.seen[1]
    assert (matrices.input == best_input).all()
    assert (matrices.output == best_output).all()
    assert (matrices.input != validate.seen[-1][0]).any()


def test_the_best_epoch_is_kept_without_the_rows_that_no_text_uses():
    train = texts(100)
    settings = hyperparameters(early_stopping=True, min_epochs=1, epochs=1, buckets=200_000)
    training = SupervisedTraining(data_of(train), settings, validate=Scripted(0.5))
    training.run_epoch()
    kept = io.BytesIO()
    training.best.copy_to(kept)
    # 100 texts of 10 words have 900 bigrams; a row is 16 floats.
    assert 4 * 16 * 500 < len(kept.getvalue()) < 4 * 16 * (WORDS + 900 + 2 * LABELS)


def test_early_stopping_runs_all_epochs_while_accuracy_rises():
    train = texts(100)
    validate = Scripted(0.1, 0.2, 0.3)
    settings = hyperparameters(early_stopping=True, min_epochs=2, patience=1, epochs=4)
    matrices = train_supervised(data_of(train), settings, validate=validate)
    assert matrices.best_epoch == 4
    assert (matrices.input == validate.seen[-1][0]).all()


def test_fewer_epochs_than_min_epochs_still_validate_the_last():
    train = texts(100)
    settings = hyperparameters(early_stopping=True, min_epochs=5, epochs=2)
    matrices = train_supervised(data_of(train), settings, validate=Scripted(0.4))
    assert [record.validation_accuracy for record in matrices.curve] == [None, 0.4]


def test_validation_without_early_stopping_draws_the_curve():
    train = texts(100)
    validate = Scripted(0.9, 0.1, 0.1)
    matrices = train_supervised(data_of(train), hyperparameters(epochs=3), validate=validate)
    assert [record.validation_accuracy for record in matrices.curve] == [0.9, 0.1, 0.1]
    assert matrices.best_epoch == 3
    assert (matrices.input == validate.seen[-1][0]).all()


def test_pause_and_go_on_is_the_same_run():
    train = texts(2000)
    data = data_of(train)
    settings = hyperparameters(epochs=2)
    whole = train_supervised(data, settings, seed=5)
    first = SupervisedTraining(data, settings, seed=5)

    class StopHereError(Exception):
        pass

    def stop():
        raise StopHereError

    with pytest.raises(StopHereError):
        while not first.over:
            first.run_epoch(Hooks(on_pause=stop, pause_seconds=1e-9))
    second = SupervisedTraining(data, settings, seed=6)
    second.input[:], second.output[:] = first.input, first.output
    second.position = first.position
    while not second.over:
        second.run_epoch()
    assert second.finish().input.tobytes() == whole.input.tobytes()


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"ids": np.full(10, WORDS, np.int32)}, "ids: 60 to 60, expected 0 to 59"),
        ({"labels": np.array([LABELS], np.int32)}, "labels: 5 to 5, expected 0 to 4"),
        ({"line_offsets": np.array([0, 11])}, "line_offsets"),
        (
            {"label_offsets": np.array([0, 1, 1])},
            "line_offsets of 1 examples and label_offsets of 2",
        ),
    ],
)
def test_what_the_kernel_trusts_is_checked(changes, match):
    fields = {
        "ids": np.zeros(10, np.int32), "line_offsets": np.array([0, 10]), "labels": np.zeros(1, np.int32),
        "label_offsets": np.array([0, 1]), "word_hashes": np.zeros(WORDS, np.uint32), "token_count": 11,
    }  # fmt: skip
    with pytest.raises(UsageError, match=match):
        train_supervised(
            SupervisedData(
                EncodedExamples(**{**fields, **changes}), WORDS, np.ones(LABELS, np.int64)
            ),
            hyperparameters(),
        )


def test_early_stopping_needs_something_to_validate_on():
    train = texts(20)
    with pytest.raises(UsageError, match="validation"):
        train_supervised(data_of(train), hyperparameters(early_stopping=True))


def test_each_slice_is_of_all_parts_of_the_file():
    """Of a file sorted by label too, whatever the order of slices and threads: no label is trained last, or alone."""
    train = texts(2000)
    train = replace(train, labels=np.sort(train.labels))
    training = SupervisedTraining(data_of(train), hyperparameters())
    shares = np.array([label_counts(part) for part in slices_of(training)])
    assert len(shares) > 10
    whole = label_counts(train) / len(train.labels)
    assert abs(shares / shares.sum(axis=1, keepdims=True) - whole).max() < 0.15


def slices_of(training):
    """Yield the examples of each slice."""
    job, examples = training._job, training._data.examples
    for firsts, stops in zip(job._firsts, job._stops, strict=True):
        labels = [examples.labels[a:b] for a, b in zip(firsts, stops, strict=True)]
        yield replace(examples, labels=np.concatenate(labels))


@pytest.mark.parametrize("count", [1, 2, 15, 17, 1000])
def test_each_example_is_trained_once_an_epoch(count):
    train = texts(count)
    training = SupervisedTraining(
        SupervisedData(train, WORDS, label_counts(train) + 1), hyperparameters()
    )
    job = training._job
    blocks = zip(job._firsts.ravel(), job._stops.ravel(), strict=True)
    trained = np.concatenate([np.arange(first, stop) for first, stop in blocks])
    assert sorted(trained) == list(range(count))
    assert job.tokens[-1] == 11 * count
    for index in range(len(job.tokens) - 1):
        job.train_slice(index, np.float32(0.1), 0)
    assert job.workers[0].totals[1] == count
