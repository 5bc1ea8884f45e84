"""KFP interface of the batch transform."""

from kfp import dsl
from kfp.dsl import Artifact, Input, Metrics, Model, Output

from kftext.images import image


@dsl.component(base_image=image("steps"), install_kfp_package=False)
def batch_transform(
    model: Input[Model],
    input_uri: str,
    predictions: Output[Artifact],
    metrics: Output[Metrics],
    destination_uri: str = "",
    input_format: str = "auto",
    results: str = "",
    k: int = 0,
    threshold: float = 0.0,
) -> None:
    """Predict every line of a file or prefix and write the results as JSON Lines in the same order.

    Args:
        model: Model folder of a training step, or an imported one.
        input_uri: Texts: a local path or s3:// URI of a file, a folder or a prefix; plain or gzip.
        destination_uri: Folder or prefix to write to, such as s3://data/results/. A retry goes on with the parts that lie there.
            The predictions artifact when empty.
        input_format: jsonlines (an object with source and, optionally, k a line), text (one text a line), or auto, which goes
            by each file's name.
        results: labels for a classifier; vectors, sentence_vectors or nearest_neighbors for word vectors. The model's first when
            empty.
        k: Labels or neighbours, where a line doesn't say; 0 for 1 label or 10 neighbours.
        threshold: Leave out labels below this probability.

    Returns:
        predictions: Folder with the parts and batch.json, and rejects.jsonl where lines were at fault. With a destination,
            a copy of batch.json alone; the metadata name the place.
        metrics: Files, lines and rejected lines.
    """
    from kftext.artifacts import log_metrics
    from kftext.batch.parts import STATE
    from kftext.batch.records import InputFormat
    from kftext.batch.transform import BatchRequest, transform
    from kftext.cli import report_errors
    from kftext.storage import download, join

    with report_errors():
        summary = transform(
            BatchRequest(
                model=model.path,
                input=input_uri,
                output=destination_uri.rstrip("/") + "/" if destination_uri else predictions.path,
                format=InputFormat.parse(input_format),
                results=results,
                k=k,
                threshold=threshold,
            )
        )
        if destination_uri:
            download(join(summary.output, STATE), join(predictions.path, STATE))
        predictions.metadata["results"] = summary.output if destination_uri else predictions.uri
        log_metrics(
            metrics,
            {"files": summary.files, "lines": summary.lines, "rejected": summary.rejected},
        )
