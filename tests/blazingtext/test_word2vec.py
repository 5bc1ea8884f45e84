"""Word2Vec end to end on a small language whose structure is known: words of one topic occur together."""

import numpy as np
import pytest

from kftext.blazingtext import hogwild
from kftext.blazingtext.encoded import EncodedCorpus
from kftext.blazingtext.hogwild import Hooks, cut_slices
from kftext.blazingtext.huffman import build_paths
from kftext.blazingtext.hyperparameters import Word2VecHyperparameters
from kftext.blazingtext.matrices import Matrices, allocate_rows, compact, view
from kftext.blazingtext.subwords import compute_subwords
from kftext.blazingtext.word2vec import Word2VecTraining, train_word2vec
from kftext.errors import KftextError, UsageError
from kftext.models import hierarchical_softmax

TOPICS, WORDS_A_TOPIC = 8, 12
WORDS = TOPICS * WORDS_A_TOPIC


def language(lines=1200, length=20, seed=1) -> tuple[EncodedCorpus, np.ndarray]:
    """Return a corpus, each line on one topic, and its counts. Ids are by frequency; id % TOPICS is the topic."""
    generator = np.random.default_rng(seed)
    share = 1 / np.arange(1, WORDS_A_TOPIC + 1)
    topics = generator.integers(0, TOPICS, lines)
    places = generator.choice(WORDS_A_TOPIC, (lines, length), p=share / share.sum())
    ids = (places * TOPICS + topics[:, None]).astype(np.int32).ravel()
    counts = np.bincount(ids, minlength=WORDS)
    order = np.argsort(-counts, kind="stable")
    rank = np.empty(WORDS, np.int32)
    rank[order] = np.arange(WORDS)
    language.topic = (np.arange(WORDS) % TOPICS)[order]
    offsets = np.arange(0, lines * length + 1, length)
    return EncodedCorpus(rank[ids], offsets, len(ids)), counts[order]


def hyperparameters(**changes) -> Word2VecHyperparameters:
    defaults = {
        "mode": "skipgram", "vector_dim": 24, "epochs": 3, "learning_rate": 0.05, "window_size": 5,
        "sampling_threshold": 0.01, "buckets": 1000,
    }  # fmt: skip
    return Word2VecHyperparameters(**{**defaults, **changes})


def separation(vectors) -> float:
    """Return how much closer words of one topic are than words of two: difference of mean cosines."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine = unit @ unit.T
    same = language.topic[:, None] == language.topic[None, :]
    np.fill_diagonal(same, False)
    different = language.topic[:, None] != language.topic[None, :]
    return float(cosine[same].mean() - cosine[different].mean())


def subwords_of():
    letters = np.random.default_rng(8).integers(ord("a"), ord("z") + 1, (WORDS, 6), np.uint8)
    return compute_subwords([word.tobytes() for word in letters], 3, 6, 1000)


MODES = [
    {"mode": "skipgram"},
    {"mode": "skipgram", "exact": True},
    {"mode": "skipgram", "loss": "hs"},
    {"mode": "cbow"},
    {"mode": "cbow", "loss": "hs"},
    {"mode": "batch_skipgram"},
    {"mode": "batch_skipgram", "batch_size": 64},
]


@pytest.mark.parametrize("subwords", [False, True], ids=["words", "subwords"])
@pytest.mark.parametrize("mode", MODES, ids=str)
def test_objective_falls_and_topics_come_apart(mode, subwords):
    corpus, counts = language()
    matrices = train_word2vec(
        corpus,
        counts,
        hyperparameters(subwords=subwords, **mode),
        subwords_of() if subwords else None,
        seed=3,
    )
    losses = [record.loss for record in matrices.curve]
    assert losses[-1] < 0.97 * losses[0]
    assert matrices.input.shape == (WORDS + (1000 if subwords else 0), 24)
    assert matrices.output.shape == (WORDS, 24)
    assert matrices.input.flags.c_contiguous
    assert separation(matrices.input[:WORDS]) > 0.3


@pytest.mark.parametrize("mode", MODES[::2], ids=str)
def test_one_thread_repeats_bit_for_bit_and_the_seed_matters(mode):
    corpus, counts = language(lines=300)
    first, again, other = (
        train_word2vec(corpus, counts, hyperparameters(**mode), seed=seed) for seed in (5, 5, 6)
    )
    assert first.input.tobytes() == again.input.tobytes()
    assert first.output.tobytes() == again.output.tobytes()
    assert first.input.tobytes() != other.input.tobytes()


def test_batch_size_changes_the_result_and_the_mode_is_no_alias():
    corpus, counts = language(lines=300)
    results = [
        train_word2vec(
            corpus, counts, hyperparameters(mode="batch_skipgram", batch_size=size), seed=5
        )
        for size in (1, 8, 32)
    ]
    results.append(train_word2vec(corpus, counts, hyperparameters(mode="skipgram"), seed=5))
    for i, one in enumerate(results):
        for other in results[:i]:
            assert np.abs(one.input - other.input).max() > 1e-2


@pytest.mark.parametrize("mode", ["skipgram", "cbow", "batch_skipgram"])
def test_threads_reach_the_same_loss(mode):
    corpus, counts = language(lines=3000)
    one, four = (
        train_word2vec(corpus, counts, hyperparameters(mode=mode), threads=threads, seed=1)
        for threads in (1, 4)
    )
    # A corpus this small makes threads meet on the same rows all the time; a wrong one would be off by a factor.
    assert four.curve[-1].loss < 1.15 * one.curve[-1].loss
    assert separation(four.input) > separation(one.input) - 0.1


@pytest.mark.parametrize("threads", [1, 3])
def test_a_run_that_pauses_and_goes_on_elsewhere_is_the_same_run(threads):
    corpus, counts = language(lines=600)
    settings = hyperparameters(epochs=2)
    whole = train_word2vec(corpus, counts, settings, threads=threads, seed=9)

    class StopHereError(Exception):
        pass

    first = Word2VecTraining(corpus, counts, settings, threads=threads, seed=9)
    saved = {}

    def on_pause():
        saved["position"] = first.position
        saved["done"] = first.position.done.sum()
        raise StopHereError

    with pytest.raises(StopHereError):
        while first.position.epoch < settings.epochs:
            first.run_epoch(Hooks(on_pause=on_pause, pause_seconds=1e-9))
    assert 0 < saved["done"] < len(first.position.done)
    second = Word2VecTraining(corpus, counts, settings, threads=threads, seed=1234)
    second.input[:], second.output[:] = first.input, first.output
    second.position = saved["position"]
    while second.position.epoch < settings.epochs:
        second.run_epoch()
    resumed = second.finish()
    if threads == 1:
        assert resumed.input.tobytes() == whole.input.tobytes()
        assert resumed.curve[-1].loss == whole.curve[-1].loss
    assert resumed.curve[-1].loss == pytest.approx(
        whole.curve[-1].loss, rel=0.3
    )  # few windows are looked at


def test_learning_rate_falls_linearly_to_zero_and_reports_come():
    corpus, counts = language(lines=2000)
    reports = []
    matrices = train_word2vec(
        corpus, counts, hyperparameters(epochs=2), threads=2, hooks=Hooks(on_report=reports.append)
    )
    assert [record.learning_rate for record in matrices.curve] == pytest.approx([0.025, 0.0])
    assert [report.progress for report in reports][-1] == 1.0
    assert {report.epoch for report in reports} == {1, 2}
    for report in reports:
        assert report.learning_rate == pytest.approx(0.05 * (1 - report.progress))


def test_goes_on_from_matrices_that_are_written_over_its_own():
    corpus, counts = language(lines=300)
    first = train_word2vec(corpus, counts, hyperparameters(), seed=1)
    little = hyperparameters(epochs=1, learning_rate=1e-6)
    training = Word2VecTraining(corpus, counts, little, seed=2)
    training.input[:], training.output[:] = first.input, first.output
    training.run_epoch()
    more = training.finish()
    np.testing.assert_allclose(more.input, first.input, atol=1e-3)
    np.testing.assert_allclose(more.output, first.output, atol=1e-3)


@pytest.mark.parametrize(
    ("corpus", "match"),
    [
        (
            EncodedCorpus(np.array([0, 96], np.int32), np.array([0, 2]), 2),
            "ids: 0 to 96, expected 0 to 95",
        ),
        (EncodedCorpus(np.array([0, -1], np.int32), np.array([0, 2]), 2), "expected 0 to 95"),
        (EncodedCorpus(np.array([0, 1], np.int32), np.array([0, 3]), 2), "line_offsets"),
        (EncodedCorpus(np.array([0, 1], np.int32), np.array([0, 2, 1, 2]), 2), "line_offsets"),
        (EncodedCorpus(np.zeros(0, np.int32), np.array([0]), 0), "at least one word"),
    ],
)
def test_what_the_kernels_trust_is_checked(corpus, match):
    with pytest.raises(UsageError, match=match):
        train_word2vec(corpus, np.ones(WORDS, np.int64), hyperparameters())


def test_failure_in_a_thread_reaches_the_caller(monkeypatch):
    corpus, counts = language(lines=100)
    training = Word2VecTraining(corpus, counts, hyperparameters(), threads=2)

    def fail(index, rate, thread):
        raise MemoryError("no room")

    monkeypatch.setattr(training._job, "train_slice", fail)
    with pytest.raises(MemoryError, match="no room"):
        training.run_epoch()


def test_divergence_is_an_error():
    corpus, counts = language(lines=100)
    with pytest.raises(KftextError, match=r"diverged.*lower learning_rate \(here 1e\+06\)"):
        train_word2vec(corpus, counts, hyperparameters(learning_rate=1e6))


def test_slices_are_whole_lines_and_cover_all():
    generator = np.random.default_rng(1)
    for lines, longest in [(1, 5), (2, 1), (50, 3000), (3000, 40)]:
        offsets = np.concatenate([[0], np.cumsum(generator.integers(0, longest + 1, lines))])
        slices = cut_slices(offsets, epochs=1)
        assert slices[0] == 0
        assert slices[-1] == lines
        assert (np.diff(slices) > 0).all()
        tokens = np.diff(offsets[slices])
        assert tokens.max() <= 2 * hogwild._SMALLEST_SLICE + longest


def test_huffman_paths_are_those_of_the_readers_tree():
    counts = np.sort(np.random.default_rng(4).integers(1, 1000, 300))[::-1].astype(np.int64)
    paths = build_paths(counts)
    lengths = np.diff(paths.offsets)
    # A Huffman code's expected length is within one bit of the entropy.
    share = counts / counts.sum()
    entropy = -(share * np.log2(share)).sum()
    assert entropy <= (share * lengths).sum() < entropy + 1
    assert (0.5**lengths).sum() == pytest.approx(1.0)
    assert paths.nodes[paths.offsets[1:] - 1].tolist() == [298] * 300  # each ends at the root
    tree = hierarchical_softmax.HuffmanTree(counts)
    for word in range(300):
        node = 2 * 300 - 2
        path = slice(paths.offsets[word], paths.offsets[word + 1])
        for inner, turn in zip(paths.nodes[path][::-1], paths.turns[path][::-1], strict=True):
            assert inner == node - 300
            node = (tree.right if turn else tree.left)[node]
        assert node == word


def test_rows_are_aligned_and_compacted_in_place():
    for rows, dim, stride in [(7, 5, 16), (40_000, 100, 112), (3, 16, 16)]:
        flat = allocate_rows(rows, stride)
        assert flat.ctypes.data % 64 == 0
        matrix = view(flat, rows, dim, stride)
        matrix[:] = np.arange(rows * dim).reshape(rows, dim)
        closed = compact(flat, rows, dim, stride)
        assert closed.ctypes.data == flat.ctypes.data
        assert (closed == np.arange(rows * dim, dtype=np.float32).reshape(rows, dim)).all()


def test_matrices_name_the_epoch_that_they_are_from():
    assert Matrices(np.zeros((1, 1)), np.zeros((1, 1))).best_epoch == 0
    corpus, counts = language(lines=50)
    assert train_word2vec(corpus, counts, hyperparameters()).best_epoch == 3
