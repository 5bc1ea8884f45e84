"""A text classifier by transfer learning: validate, train with TensorFlow on CPUs or a GPU, evaluate, release what is good enough."""

from kfp import dsl

import runner
from kftext.evaluation.classification.component import evaluate_classifier
from kftext.images import image
from kftext.runs.inputs.component import resolve_inputs
from kftext.text_classification.component import train_text_classifier
from kftext.validation.component import validate_data
from release import release_if, reported
from settings import looking_outside, on_gpu, pure


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
    device: str = "cpu",
    base_model: str = "",
    checkpoint_uri: str = "",
    embedding_cache_uri: str = "",
    min_accuracy: float = 0.0,
    model_name: str = "classifier",
    registry_uri: str = "",
    endpoint_namespace: str = "",
    service_account: str = "kftext-serving",
    traffic_percent: int = 100,
    smoke_text: str = "a text to see whether the model answers",
    expected_label: str = "",
) -> None:
    """Train a text classifier from a pretrained encoder, register it with a model card, and serve it with KServe.

    Args:
        data_uri: Training data: a folder with data.csv, no header, an integer class label, a comma, the text. A local path or
            s3://bucket/key, a file, a folder or a prefix, plain or gzip.
        model_id: Encoder - an id of the catalogue, a TensorFlow Hub handle, or the path or s3:// URI of a SavedModel, of word
            vectors or of a BERT checkpoint.
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
        pooling: mean or sif for word vectors, pooled, mean or cls for a BERT checkpoint; the first of them, or what the checkpoint says, when empty.
        preprocessing: Preprocessing model of a transformer that is not in the catalogue.
        seed: Start of all random numbers.
        device: cpu, or cuda to train on one GPU.
        base_model: Classifier trained before to go on from, in place of an encoder - a path or s3:// URI; empty for none.
        checkpoint_uri: Folder or prefix that the run is saved to after each epoch, and goes on from; empty for none.
        embedding_cache_uri: Folder or prefix where embeddings of a frozen encoder are kept between runs; empty for none.
        min_accuracy: Accuracy, 0 to 1, below which the model is neither registered nor deployed.
        model_name: Name of the model, of its folder in the registry and of its endpoint.
        registry_uri: Prefix such as s3://models/, below which NAME/VERSION/model.tar.gz and the model card are written; when
            empty, KServe fetches the model from the run's own artifacts.
        endpoint_namespace: Namespace of the endpoint; the run's own when empty.
        service_account: Service account that KServe fetches the model with.
        traffic_percent: Share of the requests for the new model. 100 replaces the one that is served, less makes a canary
            beside it, 0 deploys nothing.
        smoke_text: Text that the endpoint is asked once it is ready; a wrong answer rolls it back.
        expected_label: Label that the text must get; any when empty.
    """
    with reported():
        inputs = resolve_inputs(
            data_uri=data_uri,
            validation_data_uri=validation_data_uri,
            encoder=model_id,
            model_uri=base_model,
        )
        looking_outside(inputs, "Resolve inputs")
        data = validate_data(
            data_uri=data_uri,
            validation_data_uri=validation_data_uri,
            data_format=data_format,
            max_error_fraction=max_error_fraction,
            validation_split_ratio=validation_split_ratio,
            seed=seed,
            content_digest=inputs.outputs["digest"],
        )
        pure(data, "Validate data")

        def train() -> dsl.PipelineTask:
            training = train_text_classifier(
                dataset=data.outputs["dataset"],
                model_id=model_id,
                base_model_uri=base_model,
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
                device=device,
                checkpoint_uri=checkpoint_uri,
                embedding_cache_uri=embedding_cache_uri,
            )
            return pure(training, "Train classifier", memory="4G", cpu="2")

        def finish(training: dsl.PipelineTask) -> None:
            evaluation = evaluate_classifier(
                model=training.outputs["model"], dataset=data.outputs["dataset"]
            )
            pure(evaluation, "Evaluate classifier", memory="4G")
            # Steps that open the model need TensorFlow, which the image of the other steps does not hold.
            evaluation.set_container_image(image("tensorflow"))
            release_if(
                "accuracy",
                evaluation.outputs["accuracy"],
                min_accuracy,
                training.outputs["model"],
                image=image("tensorflow"),
                memory="2G",
                inputs=inputs.outputs["inputs"],
                evaluation=evaluation.outputs["evaluation"],
                model_name=model_name,
                registry_uri=registry_uri,
                model_format="kftext-tensorflow",
                endpoint_namespace=endpoint_namespace,
                service_account=service_account,
                traffic_percent=traffic_percent,
                smoke_text=smoke_text,
                expected_label=expected_label,
            )

        # Each branch goes on to the end: see word_vectors.py.
        with dsl.If(device != "cuda", "on-cpus"):
            finish(train())
        with dsl.Else("on-a-gpu"):
            finish(on_gpu(train(), image("tensorflow-gpu")))


if __name__ == "__main__":
    runner.main(tensorflow_classifier, __file__)
