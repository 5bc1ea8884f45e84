"""KFP interface of the word-similarity evaluation."""

from typing import List, NamedTuple

from kfp import dsl
from kfp.dsl import HTML, Artifact, Input, Metrics, Model, Output

from kftext.images import image


@dsl.component(base_image=image("steps"), install_kfp_package=False)
def evaluate_word_vectors(
    model: Input[Model],
    metrics: Output[Metrics],
    evaluation: Output[Artifact],
    report: Output[HTML],
    word_pairs_uri: str = "",
    neighbors_of: List[str] = [],
) -> NamedTuple("Outputs", [("mean_rho", float)]):  # type: ignore[valid-type]
    """Score word vectors on human similarity judgements, and list nearest neighbours.

    Args:
        model: Model folder of the training step.
        word_pairs_uri: File or folder of similarity sets (two words and a score a line); the installed WS-353 when empty.
        neighbors_of: Words whose nearest neighbours the page lists; frequent words of the similarity sets when empty.

    Returns:
        metrics: Size of the vocabulary, pairs found, and mean rank correlation.
        evaluation: eval.json in BlazingText's shape: pairs, words not found and Spearman's rho for each set.
        report: Page with the scores, a scatter plot for each set, and neighbours.
        mean_rho: Mean of the sets' rank correlations; -1, the lowest there is, where the model knows no pair of them.
    """
    from kftext.artifacts import log_metrics, write_json
    from kftext.cli import report_errors
    from kftext.evaluation.word_similarity.evaluate import evaluate
    from kftext.evaluation.word_similarity.report import write_report

    with report_errors():
        result = evaluate(model.path, [word_pairs_uri] if word_pairs_uri else [], neighbors_of)
        write_report(result, report.path)
        write_json(evaluation.path, result.eval_json)
        log_metrics(metrics, result.metrics)
    return (result.metrics.get("mean_rho", -1.0),)
