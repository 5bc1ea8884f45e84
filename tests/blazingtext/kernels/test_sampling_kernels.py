"""The random draws: the right generator, and the right frequencies."""

import numba
import numpy as np
import pytest

from blazingtext.kernels import naive_kernels as naive
from kftext.blazingtext.kernels import sampling


@numba.njit
def draws(state, n, limit):
    return np.array([sampling.below(state, limit) for _ in range(n)])


@numba.njit
def alias_draws(state, n, table):
    return np.array([sampling.resolve(sampling.next_random(state), table) for _ in range(n)])


def test_generator_is_splitmix64():
    # First outputs for the seed 1234567, from the reference implementation (Vigna, splitmix64.c).
    reference = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    random = naive.Random(1234567)
    assert [random.next() for _ in reference] == reference
    state = np.array([1234567], np.uint64)
    expected = [(number >> 32) * 1000 >> 32 for number in reference]
    assert draws(state, 3, 1000).tolist() == expected
    assert state[0] == random.state


@pytest.mark.parametrize("n", [1, 2, 3, 1000])
def test_alias_table_has_the_probabilities_that_it_was_built_from(n):
    weights = np.random.default_rng(n).exponential(1, n) ** 3
    entries = sampling.build_alias_table(weights).entries
    kept = (entries & np.uint64(0xFFFFFFFF)).astype(np.float64) + 1
    alias = (entries >> np.uint64(32)).astype(np.int64)
    probability = kept / 2**32
    np.add.at(probability, alias, 1 - kept / 2**32)
    np.testing.assert_allclose(probability / n, weights / weights.sum(), atol=1e-8)


def test_alias_draws_follow_the_weights():
    weights = np.array([50.0, 20, 10, 10, 5, 3, 1, 1])
    n = 400_000
    state = np.array([3], np.uint64)
    found = np.bincount(
        alias_draws(state, n, sampling.build_alias_table(weights)), minlength=len(weights)
    )
    expected = n * weights / weights.sum()
    chi_squared = ((found - expected) ** 2 / expected).sum()
    assert chi_squared < 24.3  # 7 degrees of freedom: exceeded once in a thousand seeds


def test_keep_thresholds_are_word2vecs():
    counts = np.array([1_000_000, 10_000, 100, 0])
    keep = sampling.keep_thresholds(counts, 10_000_000, 1e-4) / 2**32
    f = 0.1
    assert keep[0] == pytest.approx(np.sqrt(1e-4 / f) + 1e-4 / f, rel=1e-6)
    assert keep[1] == pytest.approx(min(np.sqrt(0.1) + 0.1, 1), rel=1e-6)
    assert (keep[2:] > 1 - 1e-9).all()


@numba.njit
def kept_words(state, ids, keep, line):
    return sampling.keep_line(state, ids, 0, ids.size, keep, line)


def test_subsampling_keeps_the_share_it_should():
    counts = np.array([500_000, 400_000, 100_000])
    keep = sampling.keep_thresholds(counts, 1_000_000, 0.01)
    ids = np.repeat(np.arange(3, dtype=np.int32), [100_000] * 3)
    line = np.zeros(len(ids) + 1, np.int64)
    n = kept_words(np.array([5], np.uint64), ids, keep, line)
    share = np.bincount(line[:n]) / 100_000
    np.testing.assert_allclose(share, keep / 2**32, atol=0.006)  # four standard deviations
    assert (np.diff(line[:n]) >= 0).all(), "order was lost"
