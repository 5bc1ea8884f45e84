"""Run a classifier over labelled examples and count."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from kftext import models
from kftext.data.formats import Format, ReadOptions
from kftext.data.readers import read_rows
from kftext.data.rows import Row
from kftext.errors import UsageError
from kftext.metrics.calibration import Calibration
from kftext.metrics.classification import ClassificationCounts
from kftext.metrics.roc import RocCurve, RocScores
from kftext.models import Prediction
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
        calibration: whether the first answers' probabilities are those of being right.
        roc: of a model with two labels.
        positive_label: the label that its curve is about; None for models with more labels.
        mistakes: the wrong answers that the model was surest of, surest first.
        held_out: whether the examples took no part in training.
    """

    counts: ClassificationCounts
    calibration: Calibration = field(default_factory=Calibration)
    roc: RocScores = field(default_factory=RocScores)
    positive_label: str | None = None
    mistakes: list[Mistake] = field(default_factory=list)
    held_out: bool = True

    @property
    def metrics(self) -> dict[str, float]:
        """The figures to show beside the run."""
        counts = self.counts
        curve = self.roc_curve
        return {
            "accuracy": counts.accuracy,
            "commonest_label_accuracy": counts.commonest_label[1],
            "macro_f1": counts.macro_f1,
            f"precision_at_{counts.k}": counts.precision_at_k,
            f"recall_at_{counts.k}": counts.recall_at_k,
            "examples": counts.examples,
            "labels": len(counts.true),
            "expected_calibration_error": self.calibration.expected_error,
            **({} if curve is None else {"roc_auc": curve.area}),
        }

    @property
    def roc_curve(self) -> RocCurve | None:
        """The curve of a model with two labels; None for others, and where all examples have one label."""
        return self.roc.curve()

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
        bins = [asdict(one) for one in self.calibration.bins]
        return {
            **self.metrics,
            "held_out": self.held_out,
            "per_label": labels,
            "reliability": bins,
        }


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
    options = options or ReadOptions()
    evaluation = ClassifierEvaluation(ClassificationCounts(k))
    if len(model.labels) == 2:
        evaluation.positive_label = sorted(_name(label, options) for label in model.labels)[1]
    surest: list[Mistake] = []
    rows = itertools.chain.from_iterable(read_rows(path, data_format, options) for path in data)
    # A curve needs the probability of one label, whichever is first.
    wanted = max(k, 2) if evaluation.positive_label else k
    with Progress(None, "examples", "Evaluating") as progress:
        while batch := list(itertools.islice(rows, _BATCH)):
            found = model.predict([row.text for row in batch], k=wanted)
            predictions = [
                Prediction([_name(label, options) for label in one.labels], one.probabilities)
                for one in found
            ]
            _add(evaluation, batch, predictions, surest)
            progress.update(len(batch))
    evaluation.mistakes = sorted(surest, reverse=True)
    return evaluation


def _name(label: str, options: ReadOptions) -> str:
    """A label as the data's rows have it."""
    return label.removeprefix(options.label_prefix)


def _add(
    evaluation: ClassifierEvaluation,
    rows: Sequence[Row],
    predictions: Sequence[Prediction],
    surest: list[Mistake],
) -> None:
    """Count some examples, and keep the mistakes that the model was surest of."""
    answered = []
    for row, (guesses, probabilities) in zip(rows, predictions, strict=True):
        evaluation.counts.add(row.labels, guesses)
        if guesses:
            hit = guesses[0] in row.labels
            answered.append((probabilities[0], hit))
            if not hit:
                _keep_surest(surest, Mistake(probabilities[0], row.text, row.labels, guesses[0]))
    if answered:
        evaluation.calibration.add(*zip(*answered, strict=True))
    positive = evaluation.positive_label
    if positive is not None:
        evaluation.roc.add(
            (dict(zip(*one, strict=True)).get(positive, 0.0) for one in predictions),
            (positive in row.labels for row in rows),
        )


def _keep_surest(heap: list[Mistake], mistake: Mistake) -> None:
    if len(heap) < _MISTAKES:
        heapq.heappush(heap, mistake)
    else:
        heapq.heappushpop(heap, mistake)
