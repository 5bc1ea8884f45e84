"""The page that a person reads: figures, confusion as a picture, labels, and the mistakes the model was surest of."""

from __future__ import annotations

import os

from kftext.evaluation.classification.evaluate import ClassifierEvaluation
from kftext.reports import charts
from kftext.reports.html import Page

__all__ = ["write_report"]

_LABELS_SHOWN = 200
_TEXT_SHOWN = 200


def write_report(evaluation: ClassifierEvaluation, path: str | os.PathLike[str]) -> None:
    """Write the HTML report."""
    counts = evaluation.counts
    commonest, floor = counts.commonest_label
    page = Page(
        "Text classifier",
        f"Accuracy {counts.accuracy:.3f} on {counts.examples:,} examples with {len(counts.true):,} labels; "
        f"always naming the commonest label ({commonest}) gives {floor:.3f}.",
    )
    if not evaluation.held_out:
        page.text(
            "These examples were trained on: there was no validation data, and the figures say little about new text."
        )
    page.heading("Figures").table(
        ["measure", "value"],
        [[name.replace("_", " "), value] for name, value in evaluation.metrics.items()],
    )
    labels, matrix = counts.confusion_matrix()
    page.heading("Confusion").figure(
        charts.confusion_matrix(matrix, labels),
        "Rows are true labels, columns the model's first answer.",
    )
    names = sorted(counts.true, key=lambda name: (-counts.true[name], name))
    page.heading(
        "Labels" if len(names) <= _LABELS_SHOWN else f"The {_LABELS_SHOWN} commonest labels"
    )
    page.table(
        ["label", "examples", "precision", "recall", "F1"],
        [_label_row(evaluation, name) for name in names[:_LABELS_SHOWN]],
    )
    _write_curves(page, evaluation)
    page.heading("Mistakes the model was surest of").table(
        ["probability", "predicted", "true", "text"],
        [
            [
                mistake.probability,
                mistake.predicted,
                ", ".join(mistake.true),
                _shortened(mistake.text),
            ]
            for mistake in evaluation.mistakes
        ],
    )
    page.write(path)


def _write_curves(page: Page, evaluation: ClassifierEvaluation) -> None:
    bins = evaluation.calibration.bins
    page.heading("Calibration").figure(
        charts.against_diagonal(
            [one.confidence for one in bins],
            [one.accuracy for one in bins],
            "probability of the first answer",
            "share that is right",
            markers=True,
        ),
        "Below the dashed line the model is surer than it should be. Expected calibration error: "
        f"{evaluation.calibration.expected_error:.3f}.",
    )
    page.table(
        ["mean probability", "share that is right", "examples"],
        [[one.confidence, one.accuracy, one.examples] for one in bins],
    )
    curve = evaluation.roc_curve
    if curve is not None:
        page.heading("ROC curve").figure(
            charts.against_diagonal(
                curve.false_positive_rates,
                curve.true_positive_rates,
                "false positive rate",
                "true positive rate",
            ),
            f"For label {evaluation.positive_label}; area under the curve {curve.area:.3f}, by chance 0.5.",
        )


def _label_row(evaluation: ClassifierEvaluation, name: str) -> list[object]:
    scores = evaluation.counts.label(name)
    return [name, scores.support, scores.precision, scores.recall, scores.f1]


def _shortened(text: str) -> str:
    return text if len(text) <= _TEXT_SHOWN else text[:_TEXT_SHOWN] + "…"
