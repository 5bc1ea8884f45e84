"""Calibration and the ROC curve, against their definitions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from kftext.metrics.calibration import Calibration
from kftext.metrics.roc import RocScores


def test_bins_and_expected_error_by_hand() -> None:
    calibration = Calibration()
    calibration.add([0.9, 0.92, 0.5], [True, False, True])
    # fastText's probabilities exceed 1 by 1e-5.
    calibration.add([1.00001], [True])
    low, high, highest = calibration.bins
    assert (low.confidence, low.accuracy, low.examples) == (0.5, 1, 1)
    assert (high.confidence, high.accuracy, high.examples) == (pytest.approx(0.91), 0.5, 2)
    assert (highest.confidence, highest.accuracy, highest.examples) == (1, 1, 1)
    assert calibration.expected_error == pytest.approx((0.5 * 1 + 0.41 * 2 + 0) / 4)
    assert Calibration().bins == []
    assert Calibration().expected_error == 0


def test_probabilities_that_mean_what_they_say_have_a_small_error() -> None:
    random = np.random.default_rng(0)
    said = random.uniform(0.5, 1, 20_000)
    honest, sure = Calibration(), Calibration()
    hits = random.uniform(size=20_000) < said
    honest.add(said, hits)
    sure.add(np.minimum(said + 0.2, 1), hits)
    assert honest.expected_error < 0.02
    assert sure.expected_error == pytest.approx(np.mean(np.minimum(said + 0.2, 1) - said), abs=0.02)


@pytest.mark.parametrize("distinct", [1000, 5, 1], ids=["few ties", "ties", "all equal"])
def test_the_area_is_the_share_of_pairs_in_order(distinct: int) -> None:
    random = np.random.default_rng(distinct)
    positive = random.uniform(size=60) < 0.4
    scores = (random.integers(distinct, size=60) + (distinct / 3) * positive) / (2 * distinct)
    roc = RocScores()
    roc.add(scores[:20], positive[:20])
    roc.add(scores[20:], positive[20:])
    curve = roc.curve()
    assert curve is not None
    pairs = list(itertools.product(scores[positive], scores[~positive]))
    expected = np.mean([(a > b) + 0.5 * (a == b) for a, b in pairs])
    assert curve.area == pytest.approx(expected, abs=1e-6)
    for false, true, threshold in zip(
        curve.false_positive_rates, curve.true_positive_rates, curve.thresholds, strict=True
    ):
        reached = scores.astype(np.float32) >= threshold
        assert true == pytest.approx(reached[positive].mean())
        assert false == pytest.approx(reached[~positive].mean())


def test_few_points_keep_both_ends_and_the_area() -> None:
    random = np.random.default_rng(0)
    roc = RocScores()
    positive = random.uniform(size=1000) < 0.5
    roc.add(random.normal(size=1000) + positive, positive)
    short, long = roc.curve(10), roc.curve(10_000)
    assert short is not None
    assert long is not None
    assert (len(short.thresholds), len(long.thresholds)) == (10, 1001)
    assert short.area == long.area
    assert (short.false_positive_rates[0], short.true_positive_rates[-1]) == (0, 1)


def test_one_label_has_no_curve() -> None:
    roc = RocScores()
    assert roc.curve() is None
    roc.add([0.1, 0.9], [True, True])
    assert roc.curve() is None
