"""Measures of a classifier that may give, and be asked for, several labels an example.

Definitions follow fastText's `test` command: a hit is a predicted label that is among the example's true labels;
P@k = hits / predictions made, R@k = hits / true labels. With one label an example, P@1 is the accuracy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

__all__ = ["ClassificationCounts", "LabelScores"]


@dataclass(frozen=True)
class LabelScores:
    """One label's precision, recall and F1 (None where there is nothing to divide by) and number of true examples."""

    precision: float | None
    recall: float | None
    f1: float | None
    support: int


@dataclass
class ClassificationCounts:
    """Counts that examples are added to one at a time, so that evaluation holds no more than the counts.

    Attributes:
        k: how many of each example's predictions count, best first.
    """

    k: int = 1
    examples: int = 0
    hits_at_1: int = 0
    hits: int = 0
    predictions: int = 0
    true_labels: int = 0
    true: Counter[str] = field(default_factory=Counter)
    predicted: Counter[str] = field(default_factory=Counter)
    correct: Counter[str] = field(default_factory=Counter)
    confusion: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, true: Iterable[str], predicted: Sequence[str]) -> None:
        """Count one example.

        Args:
            true: its labels; a label given twice counts once.
            predicted: the model's labels, best first.

        `confusion` gets one count an example, by its first prediction: on the diagonal when that is a true label, else
        in the row of each true label.
        """
        truth = set(true)
        kept = predicted[: self.k]
        hits = [label for label in kept if label in truth]
        self.examples += 1
        self.hits += len(hits)
        self.predictions += len(kept)
        self.true_labels += len(truth)
        self.true.update(truth)
        self.predicted.update(kept)
        self.correct.update(hits)
        if kept:
            if kept[0] in truth:
                self.hits_at_1 += 1
                self.confusion[kept[0], kept[0]] += 1
            else:
                self.confusion.update((label, kept[0]) for label in truth)

    @property
    def accuracy(self) -> float:
        """Share of the examples whose first prediction is one of their labels (P@1)."""
        return self.hits_at_1 / self.examples if self.examples else 0.0

    @property
    def precision_at_k(self) -> float:
        """Hits among the predictions made."""
        return self.hits / self.predictions if self.predictions else 0.0

    @property
    def recall_at_k(self) -> float:
        """Hits among the true labels."""
        return self.hits / self.true_labels if self.true_labels else 0.0

    @property
    def commonest_label(self) -> tuple[str, float]:
        """The label that most examples have, and the accuracy of always naming it: what any model must beat."""
        if not self.true:
            return "", 0.0
        label, count = min(self.true.items(), key=lambda item: (-item[1], item[0]))
        return label, count / self.examples

    @property
    def macro_f1(self) -> float:
        """Unweighted mean of F1 over the labels that occur."""
        scores = [self.label(name).f1 or 0.0 for name in self.true]
        return sum(scores) / len(scores) if scores else 0.0

    def label(self, name: str) -> LabelScores:
        """Return one label's scores."""
        correct, predicted, true = self.correct[name], self.predicted[name], self.true[name]
        precision = correct / predicted if predicted else None
        recall = correct / true if true else None
        f1 = 2 * correct / (predicted + true) if predicted + true else None
        return LabelScores(precision, recall, f1, true)

    def confusion_matrix(self, most: int = 25) -> tuple[list[str], list[list[int]]]:
        """Return the labels by frequency and the matrix [true][predicted] of counts.

        Beyond the `most` commonest labels, the rest share one last row and column, named "(others)".
        """
        frequency = self.true + self.predicted
        names = sorted(frequency, key=lambda name: (-frequency[name], name))
        kept = names if len(names) <= most else names[: most - 1]
        position = {name: index for index, name in enumerate(kept)}
        others = len(kept)
        shown = kept if len(kept) == len(names) else [*kept, "(others)"]
        matrix = [[0] * len(shown) for _ in shown]
        for (truth, guess), count in self.confusion.items():
            matrix[position.get(truth, others)][position.get(guess, others)] += count
        return shown, matrix
