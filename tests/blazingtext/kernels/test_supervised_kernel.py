"""The classifier's kernel against its naive twin: every loss, any dimension, number of labels and length of n-grams."""

from itertools import pairwise

import numpy as np
import pytest

from blazingtext.kernels import naive_kernels as naive
from kftext.blazingtext.encoded import EncodedExamples
from kftext.blazingtext.hyperparameters import SupervisedHyperparameters
from kftext.blazingtext.kernels.features import mark_rows
from kftext.blazingtext.kernels.replica import Replica, Replicas
from kftext.blazingtext.supervised import SupervisedTraining
from kftext.blazingtext.supervised_data import SupervisedData
from kftext.blazingtext.supervised_job import COPIED_WORDS

WORDS, UNKNOWN, BUCKETS = 30, 5, 50


def examples_of(labels, *, count=40, seed=11):
    generator = np.random.default_rng(seed)
    lengths = generator.integers(0, 9, count)
    label_lengths = generator.integers(1, min(3, labels) + 1, count)
    label_ids = [generator.choice(labels, n, replace=False) for n in label_lengths]
    return EncodedExamples(
        generator.integers(0, WORDS + UNKNOWN, lengths.sum()).astype(np.int32),
        np.concatenate([[0], np.cumsum(lengths)]),
        np.concatenate(label_ids).astype(np.int32),
        np.concatenate([[0], np.cumsum(label_lengths)]),
        generator.integers(0, 1 << 32, WORDS + UNKNOWN).astype(np.uint32),
        int(lengths.sum() + label_lengths.sum()),
    )


def train_both(loss, labels, dim, ngrams, negatives=5, *, replica=False, threads=1):
    examples = examples_of(labels)
    counts = np.maximum(np.bincount(examples.labels, minlength=labels), 1)
    counts = np.sort(counts)[::-1].astype(np.int64)
    hyperparameters = SupervisedHyperparameters(
        mode="supervised",
        loss=loss,
        vector_dim=dim,
        word_ngrams=ngrams,
        buckets=BUCKETS,
        negative_samples=negatives,
        epochs=1,
        learning_rate=0.3,
    )
    training = SupervisedTraining(
        SupervisedData(examples, WORDS, counts), hyperparameters, threads=threads, seed=4
    )
    assert len(training.position.done) == 1, "the twin knows one slice only"
    if replica:
        size = training._job._weights[0].output.size
        (replicas,) = training._job._replicas
        output = Replica(np.zeros(size, np.float32), np.zeros(size, np.float32))
        training._job._replicas = [Replicas(output, replicas.words)]
    training.output[:] = np.random.default_rng(5).normal(0, 0.5, training.output.shape)
    if loss == "hs":
        training.output[-1] = 0
    words, outputs = training.input.astype(np.float64), training.output.astype(np.float64)
    sampling = training._job._sampling
    paths = sampling.paths
    buckets = BUCKETS if ngrams > 1 else 1
    texts = [
        (
            naive.ngram_rows(examples.ids[a:b], examples.word_hashes, WORDS, buckets, ngrams),
            examples.labels[c:d].tolist(),
        )
        for (a, b), (c, d) in zip(
            pairwise(examples.line_offsets), pairwise(examples.label_offsets), strict=True
        )
    ]
    total = naive.supervised(
        texts,
        words,
        outputs,
        0.3,
        training.position.random[0],
        loss,
        negatives=negatives if loss == "ns" else 0,
        entries=sampling.negatives.entries,
        paths=[
            list(zip(paths.nodes[a:b].tolist(), paths.turns[a:b].tolist(), strict=True))
            for a, b in pairwise(paths.offsets)
        ],
    )
    record = training.run_epoch()
    return training, words, outputs, record, total / sum(1 for rows, _ in texts if rows)


@pytest.mark.parametrize("loss", ["softmax", "ova", "ns", "hs"])
@pytest.mark.parametrize(
    ("labels", "dim", "ngrams"), [(2, 10, 1), (4, 100, 2), (9, 1, 3), (37, 16, 2), (100, 33, 5)]
)
def test_equals_its_twin(loss, labels, dim, ngrams):
    training, words, outputs, record, loss_of_twin = train_both(loss, labels, dim, ngrams)
    np.testing.assert_allclose(training.input, words, atol=1e-5)
    np.testing.assert_allclose(training.output, outputs, atol=1e-5)
    if loss != "ns":
        assert record.loss == pytest.approx(loss_of_twin, rel=1e-4)


@pytest.mark.parametrize("loss", ["softmax", "ova", "ns", "hs"])
def test_a_copy_of_the_output_matrix_changes_nothing_where_nobody_shares_it(loss):
    training, words, outputs, _, _ = train_both(loss, 37, 16, 2, replica=True)
    np.testing.assert_allclose(training.input, words, atol=1e-5)
    np.testing.assert_allclose(training.output, outputs, atol=1e-5)
    assert (training._job._replicas[0].output.own != 0).any(), "the copy was not used"


@pytest.mark.parametrize(("labels", "dim", "ngrams"), [(2, 10, 1), (4, 100, 2), (9, 1, 3)])
def test_copies_of_words_change_nothing_where_one_of_two_threads_does_all_the_work(
    labels, dim, ngrams
):
    # ova draws nothing at random, so that it does not matter which thread that is.
    training, words, outputs, _, _ = train_both("ova", labels, dim, ngrams, threads=2)
    np.testing.assert_allclose(training.input, words, atol=1e-5)
    np.testing.assert_allclose(training.output, outputs, atol=1e-5)
    copies = [replicas.words.own for replicas in training._job._replicas]
    assert not any(np.shares_memory(own, training.input) for own in copies)


@pytest.mark.parametrize("thread", [0, 1])
def test_a_thread_trains_its_copies_of_words_in_place_of_their_rows(thread):
    training, *_ = train_both("ova", 4, 100, 2, threads=2)
    weights = training._job._weights[thread]
    used = np.zeros(weights.input.size // weights.stride, np.bool_)
    # A word a text: the thread has room for the rows of its own texts only.
    ids, offsets = np.arange(WORDS, dtype=np.int32), np.arange(WORDS + 1)
    features = training._job._features[thread]
    mark_rows(ids, offsets, features, weights.input, weights.stride, used)
    copies = len(used) - (2 - thread) * COPIED_WORDS
    expected = [*range(COPIED_WORDS, WORDS), *range(copies, copies + COPIED_WORDS)]
    assert np.flatnonzero(used).tolist() == expected


def test_one_thread_and_many_labels_have_no_copies_of_words():
    training, *_ = train_both("ova", 4, 10, 2)
    assert training._job._replicas[0].words.own.size == 0
    training, *_ = train_both("ova", 37, 10, 2, threads=2)
    assert [replicas.words.own.size for replicas in training._job._replicas] == [0, 0]


def test_one_label_is_trained_too():
    training, words, outputs, _, _ = train_both("ova", 1, 10, 2)
    np.testing.assert_allclose(training.output, outputs, atol=1e-5)
    training, words, outputs, _, _ = train_both("ns", 1, 10, 2)  # no other label to draw
    np.testing.assert_allclose(training.output, outputs, atol=1e-5)
    training, words, outputs, _, _ = train_both("hs", 1, 10, 2)  # no inner node: nothing to learn
    np.testing.assert_allclose(training.input, words, atol=1e-6)
