"""The pipeline step `validate_data`."""

from kfp import dsl
from kfp.dsl import HTML, Dataset, Metrics, Output

from kftext.images import image


@dsl.component(base_image=image("steps"), install_kfp_package=False)
def validate_data(
    data_uri: str,
    data_format: str,
    dataset: Output[Dataset],
    report: Output[HTML],
    metrics: Output[Metrics],
    validation_data_uri: str = "",
    max_error_fraction: float = 0.0,
    validation_split_ratio: float = 0.0,
    seed: int = 0,
    label_prefix: str = "__label__",
    source_attribute: str = "source",
    label_attribute: str = "label",
    content_digest: str = "",
) -> None:
    """Check a text data set before money is spent on training with it.

    Fails on errors, not on warnings, with the first fault's file and line as the message.

    Args:
        data_uri: Training data: a local path or s3:// URI of a file, or of a folder or prefix of files; plain or gzip.
        data_format: Format of the data: corpus, labeled-text, manifest or csv.
        validation_data_uri: Validation data of the same format; empty for none.
        max_error_fraction: Go on without lines at fault if they are at most this share (0 to 1); the data set lists them.
        validation_split_ratio: Share of distinct texts to split off where there is no validation data; 0 for none.
        seed: Seed of the split: the same seed and texts give the same split.
        label_prefix: What labels start with in labeled-text.
        source_attribute: Name of the attribute with the text in a manifest.
        label_attribute: Name of the attribute with the label or list of labels in a manifest.
        content_digest: Digest of what lies under the URIs, from resolve_inputs: another one makes a cached step run again.

    Returns:
        dataset: The data set for training: points at the data where they are, unless lines were left out or split off.
        report: The report: faults by kind with file and line, label and length distributions.
        metrics: Rows, tokens, distinct words, labels, duplicates, leaks, errors and warnings.
    """
    from kftext import cli

    with cli.report_errors():
        from kftext.artifacts import log_metrics
        from kftext.data.formats import Format, ReadOptions
        from kftext.validation.request import ValidationRequest
        from kftext.validation.step import validate

        found = validate(
            ValidationRequest(
                data=data_uri,
                format=Format.parse(data_format),
                validation_data=validation_data_uri or None,
                report=report.path,
                output=dataset.path,
                max_error_fraction=max_error_fraction,
                validation_split_ratio=validation_split_ratio,
                seed=seed,
                options=ReadOptions(label_prefix, source_attribute, label_attribute),
            )
        )
        dataset.metadata.update(format=data_format, rows=found.train.rows)
        dataset.metadata["content_digest"] = content_digest
        log_metrics(metrics, found.metrics())
