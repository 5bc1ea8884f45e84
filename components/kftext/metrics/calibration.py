"""Whether a classifier's probabilities mean what they say: of the answers given at 0.8, are 80 % right?

Reliability diagram and expected calibration error: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Calibration", "ReliabilityBin"]

_BINS = 15


@dataclass(frozen=True)
class ReliabilityBin:
    """Answers of about the same probability.

    Attributes:
        confidence: mean probability.
        accuracy: share that is right.
        examples: how many.
    """

    confidence: float
    accuracy: float
    examples: int


class Calibration:
    """Counts by probability of the first answer: 15 bins of equal width, those of the paper."""

    def __init__(self) -> None:
        self._examples = np.zeros(_BINS, np.int64)
        self._hits = np.zeros(_BINS, np.int64)
        self._confidence = np.zeros(_BINS)

    def add(self, probabilities: Sequence[float], hits: Sequence[bool]) -> None:
        """Count answers.

        Args:
            probabilities: of the first answer to each example; what lies outside 0 to 1 counts as the nearer end.
            hits: whether it is right.
        """
        values: npt.NDArray[np.float64] = np.clip(np.asarray(probabilities, np.float64), 0, 1)
        bins = np.minimum((values * _BINS).astype(np.int64), _BINS - 1)
        self._examples += np.bincount(bins, minlength=_BINS)
        self._hits += np.bincount(bins[np.asarray(hits, np.bool_)], minlength=_BINS)
        self._confidence += np.bincount(bins, weights=values, minlength=_BINS)

    @property
    def bins(self) -> list[ReliabilityBin]:
        """The bins that hold examples, by rising confidence."""
        return [
            ReliabilityBin(float(total / count), float(hits / count), int(count))
            for total, hits, count in zip(self._confidence, self._hits, self._examples, strict=True)
            if count
        ]

    @property
    def expected_error(self) -> float:
        """Mean distance of confidence from accuracy over the examples' bins, 0 to 1 (ECE)."""
        distances = np.abs(self._confidence - self._hits)
        return float(distances.sum() / max(int(self._examples.sum()), 1))
