"""Each Word2Vec kernel against its naive twin: the same matrices after the same draws, for any dimension, window and negatives."""

from itertools import pairwise

import numpy as np
import pytest

from blazingtext.kernels import naive_kernels as naive
from kftext.blazingtext.huffman import build_paths
from kftext.blazingtext.kernels.batch_skipgram import allocate_batch, batch_skipgram
from kftext.blazingtext.kernels.cbow import cbow
from kftext.blazingtext.kernels.ring import allocate_ring
from kftext.blazingtext.kernels.sampling import build_alias_table, keep_thresholds
from kftext.blazingtext.kernels.skipgram import skipgram
from kftext.blazingtext.kernels.state import Lines, Sampling, Weights, allocate_worker, no_paths
from kftext.blazingtext.matrices import allocate_rows, stride_for, view

WORDS = 40
SEED = 12345
RATE = 0.05


class Case:
    """The same small corpus, as the kernels and as their twins take it."""

    def __init__(
        self,
        dim=20,
        window=3,
        negatives=5,
        *,
        exact=False,
        hs=False,
        subwords=False,
        batch=0,
        lines=12,
    ):
        generator = np.random.default_rng(7)
        lengths = generator.integers(0, 25, lines)
        share = 1 / np.arange(1, WORDS + 1)
        ids = generator.choice(WORDS, lengths.sum(), p=share / share.sum()).astype(np.int32)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        counts = np.maximum(np.bincount(ids, minlength=WORDS), 1)
        rows = WORDS + 60 if subwords else WORDS
        self.dim, self.rows, stride = dim, rows, stride_for(dim)
        self.stride = stride
        self.weights = Weights(
            allocate_rows(rows, stride), allocate_rows(WORDS + 1, stride), stride
        )
        self.input = view(self.weights.input, rows, dim, stride)
        self.output = view(self.weights.output, WORDS, dim, stride)
        self.input[:] = generator.normal(0, 0.3, self.input.shape)
        self.output[:] = generator.normal(0, 0.3, self.output.shape)
        if hs:
            self.output[-1] = 0  # a tree over n words has n - 1 inner nodes
        keep = keep_thresholds(counts, int(counts.sum()), 0.05)
        table = build_alias_table(counts**0.75)
        paths = build_paths(counts) if hs else no_paths()
        negatives = 0 if hs else negatives
        outputs = max(1 + negatives, int(np.diff(paths.offsets).max(initial=0)))
        self.lines = Lines(ids, offsets)
        self.sampling = Sampling(keep, table, paths, window, exact)
        self.worker = allocate_worker(
            SEED,
            longest_line=25,
            negatives=negatives,
            inputs=2 * window,
            outputs=outputs,
            stride=stride,
        )
        made_of = None
        self.ring = None
        if subwords:
            made_of = [
                [word, *generator.integers(WORDS, rows, generator.integers(0, 6))]
                for word in range(WORDS)
            ]
            self.ring = allocate_ring(
                np.cumsum([0] + [len(x) for x in made_of]),
                np.concatenate(made_of).astype(np.int32),
                2 * window + 1 + batch,
                stride,
            )
        self.batch = allocate_batch(batch, negatives, stride) if batch else None
        self.naive_lines = [ids[a:b].tolist() for a, b in pairwise(offsets)]
        self.trainer = naive.Trainer(
            self.input.astype(np.float64),
            self.output.astype(np.float64),
            keep,
            table.entries,
            window,
            negatives,
            RATE,
            SEED,
            exact=exact,
            paths=[
                list(zip(paths.nodes[a:b].tolist(), paths.turns[a:b].tolist(), strict=True))
                for a, b in pairwise(paths.offsets)
            ],
            subwords=made_of,
        )

    def check(self, kernel, twin, *extra):
        before = self.input.copy(), self.output.copy()
        arguments = (
            self.lines,
            self.weights,
            self.sampling,
            np.float32(RATE),
            self.worker,
            self.ring,
        )
        kernel(*arguments, *([self.batch] if self.batch else []))
        twin(self.trainer, self.naive_lines, *extra)
        for comp, ref, start in zip(
            (self.input, self.output),
            (self.trainer.words, self.trainer.outputs),
            before,
            strict=True,
        ):
            assert np.abs(ref - start).max() > 0.01, "nothing was trained"
            np.testing.assert_allclose(comp, ref, atol=2e-5, rtol=1e-4)
        assert int(self.worker.random[0]) == self.trainer.random.state
        for matrix in (self.weights.input, self.weights.output):
            assert not matrix.reshape(-1, self.stride)[:, self.dim :].any(), "padding was written"
        assert not self.weights.output[-self.stride :].any(), "the spare row was written"
        loss, pairs = self.worker.totals
        assert pairs > 0
        assert 0.5 < loss / pairs < 30


SHAPES = [
    {"dim": 1},
    {"dim": 15, "window": 1},
    {"dim": 16, "negatives": 1},
    {"dim": 17, "negatives": 4},
    {"dim": 100, "window": 5},
    {"dim": 33, "negatives": 6},
    {"dim": 48, "negatives": 11, "window": 8},
    {"dim": 300, "negatives": 25},
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_skipgram_equals_its_twin(shape):
    Case(**shape).check(skipgram, naive.skipgram)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_skipgram_with_exact_negatives_equals_its_twin(shape):
    Case(exact=True, **shape).check(skipgram, naive.skipgram)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_cbow_equals_its_twin(shape):
    Case(**shape).check(cbow, naive.cbow)


@pytest.mark.parametrize("batch_size", [1, 2, 11, 64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_batch_skipgram_equals_its_twin(shape, batch_size):
    Case(batch=batch_size, **shape).check(batch_skipgram, naive.batch_skipgram, batch_size)


@pytest.mark.parametrize("window", [1, 2, 5, 12])
def test_subwords_equal_their_twin(window):
    Case(window=window, subwords=True).check(skipgram, naive.skipgram)
    Case(window=window, subwords=True, exact=True).check(skipgram, naive.skipgram)
    Case(window=window, subwords=True).check(cbow, naive.cbow)
    for batch_size in (1, 11, 200):
        Case(window=window, subwords=True, batch=batch_size).check(
            batch_skipgram, naive.batch_skipgram, batch_size
        )


@pytest.mark.parametrize("subwords", [False, True])
def test_hierarchical_softmax_equals_its_twin(subwords):
    Case(hs=True, subwords=subwords).check(skipgram, naive.skipgram)
    Case(hs=True, subwords=subwords, exact=True).check(skipgram, naive.skipgram)
    Case(hs=True, subwords=subwords).check(cbow, naive.cbow)


def test_batch_of_one_pair_trains_one_pair_at_a_time():
    """Exact skip-gram with the roles of its two words exchanged: same pairs, one set of negatives each."""
    one, eleven = Case(batch=1), Case(batch=11)
    one.check(batch_skipgram, naive.batch_skipgram, 1)
    eleven.check(batch_skipgram, naive.batch_skipgram, 11)
    window = Case()
    window.check(skipgram, naive.skipgram)
    assert np.abs(one.input - eleven.input).max() > 1e-3
    assert np.abs(window.input - eleven.input).max() > 1e-3


def test_one_word_vocabulary_has_no_negatives_and_ends():
    ids = np.zeros(50, np.int32)
    weights = Weights(allocate_rows(1, 16), allocate_rows(2, 16), 16)
    weights.input[:] = 0.1
    sampling = Sampling(
        keep_thresholds(np.array([50]), 50, 1.0), build_alias_table([50]), no_paths(), 2, False
    )
    worker = allocate_worker(1, longest_line=50, negatives=5, inputs=4, outputs=6, stride=16)
    skipgram(Lines(ids, np.array([0, 50])), weights, sampling, np.float32(0.1), worker, None)
    assert weights.input[0] * weights.output[0] > 0  # it learnt that it occurs beside itself
    assert np.isfinite(weights.input).all()
