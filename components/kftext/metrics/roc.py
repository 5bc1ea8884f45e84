"""The receiver operating characteristic of a classifier with two labels: Fawcett, "An introduction to ROC analysis", 2006."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

__all__ = ["RocCurve", "RocScores"]


@dataclass(frozen=True)
class RocCurve:
    """The curve from (0, 0) to (1, 1); all lists have one value a point.

    Attributes:
        false_positive_rates: share of the negative examples at or above the threshold.
        true_positive_rates: share of the positive examples at or above it.
        thresholds: falling; above 1 for the first point, which no example reaches.
        area: under the whole curve, 0.5 for chance: the share of pairs of a positive and a negative example in which the
            positive one scores higher, pairs of equal scores by half.
    """

    false_positive_rates: list[float]
    true_positive_rates: list[float]
    thresholds: list[float]
    area: float


class RocScores:
    """The positive label's probability for each example: 5 bytes an example."""

    def __init__(self) -> None:
        self._scores, self._positive = array("f"), array("b")

    def add(self, scores: Iterable[float], positive: Iterable[bool]) -> None:
        """Add examples: the positive label's probability, and whether that label is theirs."""
        self._scores.extend(scores)
        self._positive.extend(map(int, positive))

    def curve(self, most: int = 200) -> RocCurve | None:
        """Return the curve; None where all examples have the same label.

        Args:
            most: points at most; the area is that of all of them.
        """
        scores = np.frombuffer(self._scores, np.float32)
        positive = np.frombuffer(self._positive, np.int8).astype(np.int64)
        positives = int(positive.sum())
        negatives = len(positive) - positives
        if not positives or not negatives:
            return None
        order = np.argsort(-scores, kind="stable")
        scores, hits = scores[order], np.cumsum(positive[order])
        # Examples of equal scores are one point: no threshold lies between them.
        ends = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
        rising = np.concatenate([[0], hits[ends]]) / positives
        false = np.concatenate([[0], ends + 1 - hits[ends]]) / negatives
        thresholds = np.concatenate([[float(scores[0]) + 1], scores[ends]])
        area = float(np.trapezoid(rising, false))
        kept = np.unique(np.linspace(0, len(rising) - 1, min(most, len(rising))).round())
        points = kept.astype(np.int64)
        return RocCurve(
            false[points].tolist(), rising[points].tolist(), thresholds[points].tolist(), area
        )
