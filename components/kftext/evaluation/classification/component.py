"""KFP interface of the classifier evaluation."""

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
) -> None:
    """Measure a text classifier on the validation part of a dataset.

    Args:
        model: Model folder of the training step.
        dataset: Dataset of the validation step. Without a validation part, the training data are used, and the report says so.
        k: Labels to ask the model for, each example.

    Returns:
        metrics: Accuracy beside that of always naming the commonest label, macro F1, precision and recall at k.
        confusion: Confusion matrix; beyond the 25 commonest labels, the rest are one row and column.
        evaluation: JSON with all figures, label by label.
        report: Page with the figures, the confusion as a picture, and the mistakes the model was surest of.
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
        log_metrics(metrics, result.metrics)
