"""A text classifier from labelled text: validate, train BlazingText supervised, evaluate, package for KServe."""

from typing import NamedTuple

from kfp import dsl

import runner
from kftext.blazingtext.component import train_blazingtext
from kftext.evaluation.classification.component import evaluate_classifier
from kftext.packaging.component import package_model
from kftext.validation.component import validate_data


class Outputs(NamedTuple):
    """What the pipeline leaves."""

    model: dsl.Model
    archive: dsl.Artifact
    metrics: dsl.Metrics
    validation_report: dsl.HTML
    evaluation_report: dsl.HTML


@dsl.pipeline(name="blazingtext-classifier", display_name="BlazingText classifier")
def blazingtext_classifier(
    data_uri: str,
    validation_data_uri: str = "",
    data_format: str = "labeled-text",
    max_error_fraction: float = 0.0,
    validation_split_ratio: float = 0.1,
    vector_dim: int = 100,
    word_ngrams: int = 2,
    epochs: int = 5,
    learning_rate: float = 0.05,
    min_count: int = 5,
    buckets: int = 2000000,
    loss: str = "softmax",
    early_stopping: bool = False,
    min_epochs: int = 5,
    patience: int = 4,
    seed: int = 1,
    archive_uri: str = "",
) -> Outputs:
    """Train a text classifier with BlazingText's supervised mode and package it for serving.

    Args:
        data_uri: Training data: one text a line with its labels, words prefixed __label__; or an augmented manifest. A
            local path or s3://bucket/key, a file, a folder or a prefix, plain or gzip.
        validation_data_uri: Validation data of the same format; when empty, a part of the training data is held out.
        data_format: labeled-text or manifest.
        max_error_fraction: Share of lines that may be faulty; they are left out and written to a rejects file.
        validation_split_ratio: Share of the training data held out where there is no validation data.
        vector_dim: Dimension of the hidden layer.
        word_ngrams: Longest word n-gram that is a feature.
        epochs: Passes over the training data.
        learning_rate: Initial learning rate; it falls linearly to zero.
        min_count: Words that occur less often are left out.
        buckets: Rows that word n-grams are hashed to.
        loss: softmax, hs (hierarchical softmax), ns (negative sampling) or ova (one against all, for several labels).
        early_stopping: Whether to stop when validation accuracy no longer grows.
        min_epochs: Epochs before early stopping may end the training.
        patience: Epochs without improvement that early stopping waits for.
        seed: Start of all random numbers.
        archive_uri: Where to write model.tar.gz as well, for example s3://models/topics/model.tar.gz.
    """
    data = validate_data(
        data_uri=data_uri,
        validation_data_uri=validation_data_uri,
        data_format=data_format,
        max_error_fraction=max_error_fraction,
        validation_split_ratio=validation_split_ratio,
        seed=seed,
    )
    # What lies under a URI can change without its name changing: only this step knows, so it always runs.
    data.set_display_name("Validate data").set_caching_options(False)
    training = train_blazingtext(
        dataset=data.outputs["dataset"],
        mode="supervised",
        vector_dim=vector_dim,
        word_ngrams=word_ngrams,
        epochs=epochs,
        learning_rate=learning_rate,
        min_count=min_count,
        buckets=buckets,
        loss=loss,
        early_stopping=early_stopping,
        min_epochs=min_epochs,
        patience=patience,
        seed=seed,
    )
    training.set_display_name("Train BlazingText").set_cpu_request("2").set_memory_request("4G")
    evaluation = evaluate_classifier(
        model=training.outputs["model"], dataset=data.outputs["dataset"]
    )
    evaluation.set_display_name("Evaluate classifier").set_memory_request("2G")
    archive = package_model(model=training.outputs["model"], destination_uri=archive_uri)
    archive.set_display_name("Package for KServe").set_memory_request("1G")
    return Outputs(
        model=training.outputs["model"],
        archive=archive.outputs["archive"],
        metrics=evaluation.outputs["metrics"],
        validation_report=data.outputs["report"],
        evaluation_report=evaluation.outputs["report"],
    )


if __name__ == "__main__":
    runner.main(blazingtext_classifier, __file__)
