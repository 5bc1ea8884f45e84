"""A text classifier from labelled text by transfer learning: validate, train with TensorFlow, evaluate, package for KServe."""

from typing import NamedTuple

from kfp import dsl

import runner
from kftext.evaluation.classification.component import evaluate_classifier
from kftext.images import image
from kftext.packaging.component import package_model
from kftext.text_classification.component import train_text_classifier
from kftext.validation.component import validate_data


class Outputs(NamedTuple):
    """What the pipeline leaves."""

    model: dsl.Model
    archive: dsl.Artifact
    metrics: dsl.Metrics
    validation_report: dsl.HTML
    training_report: dsl.HTML
    evaluation_report: dsl.HTML


@dsl.pipeline(name="tensorflow-classifier", display_name="TensorFlow classifier")
def tensorflow_classifier(
    data_uri: str,
    model_id: str = "tensorflow-tc-small-bert-bert-en-uncased-L-4-H-256-A-4",
    validation_data_uri: str = "",
    data_format: str = "csv",
    max_error_fraction: float = 0.0,
    validation_split_ratio: float = 0.2,
    epochs: int = 0,
    batch_size: int = 0,
    learning_rate: float = 0.0,
    optimizer: str = "",
    train_only_top_layer: str = "",
    early_stopping: bool = False,
    hyperparameters: dict = {},  # noqa: B006  KFP copies a mutable default into the YAML
    pooling: str = "",
    preprocessing: str = "",
    seed: int = 1,
    checkpoint_uri: str = "",
    embedding_cache_uri: str = "",
    archive_uri: str = "",
) -> Outputs:
    """Train a text classifier from a pretrained encoder and package it for serving.

    Args:
        data_uri: Training data: a folder with data.csv, no header, an integer class label, a comma, the text. A local path or
            s3://bucket/key, a file, a folder or a prefix, plain or gzip.
        model_id: Encoder - an id of the catalogue, a TensorFlow Hub handle, or the path or s3:// URI of a SavedModel, of word
            vectors, of a BERT checkpoint, or of a classifier trained before.
        validation_data_uri: Validation data of the same format; when empty, a part of the training data is held out.
        data_format: csv, labeled-text or manifest.
        max_error_fraction: Share of lines that may be faulty; they are left out and written to a rejects file.
        validation_split_ratio: Share of the training data held out where there is no validation data.
        epochs: Passes over the training data; the model's default when 0.
        batch_size: Examples in a step; the model's default when 0.
        learning_rate: Step size; the model's default when 0.
        optimizer: adamw, adam, sgd, nesterov, rmsprop, adagrad or adadelta; the model's default when empty.
        train_only_top_layer: True trains the head alone, False the whole network; the model's default when empty.
        early_stopping: Whether to stop when validation accuracy no longer rises.
        hyperparameters: All others by name, where they differ from the model's defaults.
        pooling: mean or sif for word vectors, pooled or mean for a BERT checkpoint; the first of them when empty.
        preprocessing: Preprocessing model of a transformer that is not in the catalogue.
        seed: Start of all random numbers.
        checkpoint_uri: Folder or prefix that the run is saved to after each epoch, and goes on from; empty for none.
        embedding_cache_uri: Folder or prefix where embeddings of a frozen encoder are kept between runs; empty for none.
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
    training = train_text_classifier(
        dataset=data.outputs["dataset"],
        model_id=model_id,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        optimizer=optimizer,
        train_only_top_layer=train_only_top_layer,
        early_stopping=early_stopping,
        hyperparameters=hyperparameters,
        pooling=pooling,
        preprocessing=preprocessing,
        seed=seed,
        checkpoint_uri=checkpoint_uri,
        embedding_cache_uri=embedding_cache_uri,
    )
    training.set_display_name("Train classifier").set_cpu_request("2").set_memory_request("4G")
    # Steps that open the model need TensorFlow, which the image of the other steps does not hold.
    evaluation = evaluate_classifier(
        model=training.outputs["model"], dataset=data.outputs["dataset"]
    )
    evaluation.set_display_name("Evaluate classifier").set_memory_request("4G")
    evaluation.set_container_image(image("tensorflow"))
    archive = package_model(model=training.outputs["model"], destination_uri=archive_uri)
    archive.set_display_name("Package for KServe").set_memory_request("2G")
    archive.set_container_image(image("tensorflow"))
    return Outputs(
        model=training.outputs["model"],
        archive=archive.outputs["archive"],
        metrics=evaluation.outputs["metrics"],
        validation_report=data.outputs["report"],
        training_report=training.outputs["report"],
        evaluation_report=evaluation.outputs["report"],
    )


if __name__ == "__main__":
    runner.main(tensorflow_classifier, __file__)
