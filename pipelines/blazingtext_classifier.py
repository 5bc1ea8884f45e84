"""A text classifier from labelled text: validate, train BlazingText supervised, evaluate, and release what is good enough."""

from kfp import dsl

import runner
from kftext.blazingtext.component import train_blazingtext
from kftext.evaluation.classification.component import evaluate_classifier
from kftext.images import image
from kftext.runs.inputs.component import resolve_inputs
from kftext.validation.component import validate_data
from release import release_if, reported
from settings import looking_outside, on_gpu, pure


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
    device: str = "cpu",
    base_model: str = "",
    pretrained_vectors_uri: str = "",
    checkpoint_uri: str = "",
    min_accuracy: float = 0.0,
    model_name: str = "classifier",
    registry_uri: str = "",
    endpoint_namespace: str = "",
    service_account: str = "kftext-serving",
    traffic_percent: int = 100,
    smoke_text: str = "a text to see whether the model answers",
    expected_label: str = "",
) -> None:
    """Train a text classifier with BlazingText's supervised mode, register it with a model card, and serve it with KServe.

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
        device: cpu, or cuda to train on one GPU.
        base_model: Model to go on from, with new words and labels added - a path or s3:// URI; empty for none.
        pretrained_vectors_uri: Word vectors (word2vec text) that the classifier begins with; empty for none.
        checkpoint_uri: Folder or prefix that the training is saved to now and then, and goes on from; empty for none.
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
            pretrained_vectors_uri=pretrained_vectors_uri,
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
                device=device,
                initial_model_uri=base_model,
                pretrained_vectors_uri=pretrained_vectors_uri,
                checkpoint_uri=checkpoint_uri,
            )
            return pure(training, "Train BlazingText", memory="4G", cpu="2")

        def finish(training: dsl.PipelineTask) -> None:
            evaluation = evaluate_classifier(
                model=training.outputs["model"], dataset=data.outputs["dataset"]
            )
            pure(evaluation, "Evaluate classifier", memory="2G")
            release_if(
                "accuracy",
                evaluation.outputs["accuracy"],
                min_accuracy,
                training.outputs["model"],
                inputs=inputs.outputs["inputs"],
                evaluation=evaluation.outputs["evaluation"],
                model_name=model_name,
                registry_uri=registry_uri,
                model_format="blazingtext",
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
            finish(on_gpu(train(), image("blazingtext-cuda")))


if __name__ == "__main__":
    runner.main(blazingtext_classifier, __file__)
