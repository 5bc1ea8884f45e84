"""Precision, recall and their curves over a labelled file, as fastText's meter counts them."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["Meter"]

_NEVER_PREDICTED = -1.0


class Meter:
    """Counts of predicted and true labels.

    Args:
        with_curves: whether scores are kept, for the curves; a true label that was not predicted then counts with score -1.
    """

    def __init__(self, *, with_curves: bool = False):
        self.examples = 0
        self._with_curves = with_curves
        self._gold: Counter[int] = Counter()
        self._predicted: Counter[int] = Counter()
        self._right: Counter[int] = Counter()
        self._scores: defaultdict[int, list[tuple[float, float]]] = defaultdict(list)

    def log(
        self, gold: Sequence[int], predicted: Sequence[int], probabilities: Sequence[float]
    ) -> None:
        """Count one example: ids of its labels, and what was predicted."""
        self.examples += 1
        self._gold.update(gold)
        self._predicted.update(predicted)
        self._right.update(label for label in predicted if label in gold)
        if self._with_curves:
            for label, probability in zip(predicted, probabilities, strict=True):
                self._scores[label].append((min(probability, 1.0), float(label in gold)))
            for label in gold:
                if label not in predicted:
                    self._scores[label].append((_NEVER_PREDICTED, 1.0))

    def _counts(self, label: int | None) -> tuple[int, int, int]:
        counters = (self._right, self._predicted, self._gold)
        if label is None:
            right, predicted, gold = (sum(counter.values()) for counter in counters)
        else:
            right, predicted, gold = (counter[label] for counter in counters)
        return right, predicted, gold

    def precision(self, label: int | None = None) -> float:
        """Share of predicted labels that are true; NaN where none was predicted."""
        right, predicted, _ = self._counts(label)
        return right / predicted if predicted else math.nan

    def recall(self, label: int | None = None) -> float:
        """Share of true labels that were predicted; NaN where there is none."""
        right, _, gold = self._counts(label)
        return right / gold if gold else math.nan

    def f1_score(self, label: int | None = None) -> float:
        """Harmonic mean of precision and recall; NaN where there is nothing to count."""
        right, predicted, gold = self._counts(label)
        return 2 * right / (predicted + gold) if predicted + gold else math.nan

    def score_vs_true(self, label: int | None = None) -> npt.NDArray[np.float64]:
        """Return float64[n, 2], score and truth (0 or 1) of each prediction of a label, or of all, by rising score."""
        if label is None:
            pairs = [pair for scores in self._scores.values() for pair in scores]
        else:
            pairs = self._scores[label]
        return np.array(sorted(pairs), dtype=np.float64).reshape(-1, 2)

    def precision_recall_curve(self, label: int | None = None) -> list[tuple[float, float]]:
        """Return (precision, recall) for each threshold, from the highest down, and (1, 0) at the end."""
        scores = self.score_vs_true(label)
        scores = scores[scores[:, 0] >= 0][::-1]
        if not len(scores):
            return []
        # Equal scores are one threshold: the last of them holds the counts.
        last = np.append(scores[1:, 0] != scores[:-1, 0], True)
        right = np.cumsum(scores[:, 1])[last]
        predicted = np.flatnonzero(last) + 1
        gold = self._counts(label)[2]
        # Behind full recall nothing is gained any more.
        full = np.searchsorted(right, gold)
        points = range(min(len(right), int(full) + 1))
        curve = [
            (float(right[i] / predicted[i]), float(right[i] / gold) if gold else math.nan)
            for i in points
        ]
        return [*curve, (1.0, 0.0)]

    def precision_at_recall(self, recall: float, label: int | None = None) -> float:
        """Return the best precision among thresholds with at least that recall, 0 where there is none."""
        return max((p for p, r in self.precision_recall_curve(label) if r >= recall), default=0.0)

    def recall_at_precision(self, precision: float, label: int | None = None) -> float:
        """Return the best recall among thresholds with at least that precision, 0 where there is none."""
        return max(
            (r for p, r in self.precision_recall_curve(label) if p >= precision), default=0.0
        )
