"""Run a classifier over labelled examples and count."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from kftext import models
from kftext.data.formats import Format, ReadOptions
from kftext.data.readers import read_rows
from kftext.errors import UsageError
from kftext.metrics.classification import ClassificationCounts
from kftext.progress import Progress

__all__ = ["ClassifierEvaluation", "Mistake", "evaluate"]

_BATCH = 2048
_MISTAKES = 20


@dataclass(frozen=True, order=True)
class Mistake:
    """An example that the model got wrong, and how sure it was."""

    probability: float
    text: str
    true: tuple[str, ...]
    predicted: str


@dataclass
class ClassifierEvaluation:
    """What was measured.

    Attributes:
        counts: hits, predictions and confusion.
        mistakes: the wrong answers that the model was surest of, surest first.
        held_out: whether the examples took no part in training.
    """

    counts: ClassificationCounts
    mistakes: list[Mistake] = field(default_factory=list)
    held_out: bool = True

    @property
    def metrics(self) -> dict[str, float]:
        """The figures to show beside the run."""
        counts = self.counts
        return {
            "accuracy": counts.accuracy,
            "commonest_label_accuracy": counts.commonest_label[1],
            "macro_f1": counts.macro_f1,
            f"precision_at_{counts.k}": counts.precision_at_k,
            f"recall_at_{counts.k}": counts.recall_at_k,
            "examples": counts.examples,
            "labels": len(counts.true),
        }

    @property
    def evaluation_json(self) -> dict[str, Any]:
        """All figures, label by label, for programs."""
        labels = {}
        for name in sorted(self.counts.true):
            scores = self.counts.label(name)
            labels[name] = {
                "precision": scores.precision,
                "recall": scores.recall,
                "f1": scores.f1,
                "examples": scores.support,
            }
        return {**self.metrics, "held_out": self.held_out, "per_label": labels}


def evaluate(
    model_path: str,
    data: Sequence[str],
    data_format: Format,
    *,
    k: int = 1,
    options: ReadOptions | None = None,
) -> ClassifierEvaluation:
    """Measure the classifier in a model folder or file on labelled data.

    Args:
        model_path: model folder or fastText binary.
        data: files, folders or prefixes.
        data_format: how they are read.
        k: how many labels to ask the model for, each example.
        options: label prefix and attribute names of the data.

    Raises:
        UsageError: the model is no classifier, the format has no labels, or k < 1.
        DataError: a line of the data is at fault, or a path holds no example.
    """
    if k < 1:
        raise UsageError(f"k={k}: expected an integer > 0")
    if not data_format.has_labels:
        raise UsageError(
            f"data format {data_format.value}: a classifier is measured on labelled data"
        )
    model = models.load(model_path)
    if not isinstance(model, models.Classifier):
        raise UsageError(f"{model_path}: expected a text classifier, found word vectors")
    evaluation = ClassifierEvaluation(ClassificationCounts(k))
    surest: list[Mistake] = []
    options = options or ReadOptions()
    rows = itertools.chain.from_iterable(read_rows(path, data_format, options) for path in data)
    with Progress(None, "examples", "Evaluating") as progress:
        while batch := list(itertools.islice(rows, _BATCH)):
            predictions = model.predict([row.text for row in batch], k=k)
            for row, prediction in zip(batch, predictions, strict=True):
                guesses = [label.removeprefix(options.label_prefix) for label in prediction.labels]
                evaluation.counts.add(row.labels, guesses)
                if guesses and guesses[0] not in row.labels:
                    mistake = Mistake(prediction.probabilities[0], row.text, row.labels, guesses[0])
                    _keep_surest(surest, mistake)
            progress.update(len(batch))
    evaluation.mistakes = sorted(surest, reverse=True)
    return evaluation


def _keep_surest(heap: list[Mistake], mistake: Mistake) -> None:
    if len(heap) < _MISTAKES:
        heapq.heappush(heap, mistake)
    else:
        heapq.heappushpop(heap, mistake)
