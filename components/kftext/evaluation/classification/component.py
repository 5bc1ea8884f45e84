"""KFP interface of the classifier evaluation."""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import HTML, Artifact, ClassificationMetrics, Dataset, Input, Metrics, Model, Output

from kftext.images import image


@dsl.component(base_image=image("steps"), install_kfp_package=False)
def evaluate_classifier(
    model: Input[Model],
    dataset: Input[Dataset],
    metrics: Output[Metrics],
    confusion: Output[ClassificationMetrics],
    evaluation: Output[Artifact],
    report: Output[HTML],
    k: int = 1,
) -> NamedTuple("Outputs", [("accuracy", float)]):  # type: ignore[valid-type]
    """Measure a text classifier on the validation part of a dataset.

    Args:
        model: Model folder of the training step.
        dataset: Dataset of the validation step. Without a validation part, the training data are used, and the report says so.
        k: Labels to ask the model for, each example.

    Returns:
        metrics: Accuracy beside that of always naming the commonest label, macro F1, precision and recall at k.
        confusion: Confusion matrix; beyond the 25 commonest labels, the rest are one row and column. With two labels the ROC curve too.
        evaluation: JSON with all figures, label by label.
        report: Page with the figures, the confusion as a picture, and the mistakes the model was surest of.
        accuracy: Share of the examples whose first label is right, 0 to 1.
    """
    from kftext.artifacts import log_metrics, write_json
    from kftext.cli import report_errors
    from kftext.data.dataset import Dataset as DatasetFolder
    from kftext.evaluation.classification.evaluate import evaluate
    from kftext.evaluation.classification.report import write_report

    with report_errors():
        data = DatasetFolder.read(dataset.path)
        result = evaluate(
            model.path, [data.validation or data.train], data.format, k=k, options=data.options
        )
        result.held_out = data.validation is not None
        write_report(result, report.path)
        write_json(evaluation.path, result.evaluation_json)
        confusion.log_confusion_matrix(*result.counts.confusion_matrix())
        if curve := result.roc_curve:
            confusion.log_roc_curve(
                curve.false_positive_rates, curve.true_positive_rates, curve.thresholds
            )
        log_metrics(metrics, result.metrics)
    return (result.metrics["accuracy"],)
