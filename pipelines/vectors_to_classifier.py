"""Word vectors from unlabelled text, then a classifier that starts from them: both algorithms in one flow, without a network."""

from kfp import dsl

import runner
from kftext.blazingtext.component import train_blazingtext
from kftext.evaluation.classification.component import evaluate_classifier
from kftext.images import image
from kftext.runs.inputs.component import resolve_inputs
from kftext.text_classification.component import train_text_classifier
from kftext.validation.component import validate_data
from release import release_if, reported
from settings import looking_outside, on_gpu, pure


@dsl.pipeline(name="vectors-to-classifier", display_name="Word vectors to classifier")
def vectors_to_classifier(
    data_uri: str,
    corpus_uri: str,
    validation_data_uri: str = "",
    data_format: str = "csv",
    max_error_fraction: float = 0.0,
    validation_split_ratio: float = 0.2,
    mode: str = "skipgram",
    vector_dim: int = 200,
    vector_epochs: int = 5,
    min_count: int = 5,
    subwords: bool = False,
    buckets: int = 2000000,
    pooling: str = "sif",
    epochs: int = 0,
    batch_size: int = 0,
    learning_rate: float = 0.0,
    train_only_top_layer: str = "",
    hyperparameters: dict = {},  # noqa: B006  KFP copies a mutable default into the YAML
    seed: int = 1,
    device: str = "cpu",
    base_model: str = "",
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
    """Train Word2Vec on unlabelled text and a classifier on labelled text that starts from them; register and serve it.

    Args:
        data_uri: Labelled data: a folder with data.csv, no header, an integer class label, a comma, the text. A local path or
            s3://bucket/key, a file, a folder or a prefix, plain or gzip.
        corpus_uri: Unlabelled text of the same kind: one sentence a line, tokens separated by spaces, best in lower case.
        validation_data_uri: Validation data like the labelled; when empty, a part of the labelled data is held out.
        data_format: Format of the labelled data - csv, labeled-text or manifest.
        max_error_fraction: Share of lines that may be faulty; they are left out and written to a rejects file.
        validation_split_ratio: Share of the labelled data held out where there is no validation data.
        mode: skipgram, cbow or batch_skipgram.
        vector_dim: Dimension of the vectors.
        vector_epochs: Passes over the corpus.
        min_count: Words that occur less often in the corpus are left out.
        subwords: Whether vectors are made from character n-grams too, so that words the corpus lacks have one.
        buckets: Rows that character n-grams are hashed to (subwords only).
        pooling: mean, or sif for a mean in which frequent words count less.
        epochs: Passes over the labelled data; the model's default when 0.
        batch_size: Examples in a step; the model's default when 0.
        learning_rate: Step size of the classifier; the model's default when 0.
        train_only_top_layer: True trains the head alone, False the vectors too; False when empty.
        hyperparameters: The classifier's others by name, where they differ from the defaults.
        seed: Start of all random numbers.
        device: cpu, or cuda to train on one GPU.
        base_model: Word vectors to go on from, with the corpus's new words added - a path or s3:// URI; empty for none.
        checkpoint_uri: Folder or prefix that the training of the vectors is saved to now and then, and goes on from; empty for
            none.
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
            corpus_uri=corpus_uri,
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
        corpus = validate_data(
            data_uri=corpus_uri,
            data_format="corpus",
            max_error_fraction=max_error_fraction,
            content_digest=inputs.outputs["digest"],
        )
        pure(corpus, "Validate corpus")

        def train_vectors() -> dsl.PipelineTask:
            vectors = train_blazingtext(
                dataset=corpus.outputs["dataset"],
                mode=mode,
                vector_dim=vector_dim,
                epochs=vector_epochs,
                min_count=min_count,
                subwords=subwords,
                buckets=buckets,
                evaluation=False,
                seed=seed,
                device=device,
                initial_model_uri=base_model,
                checkpoint_uri=checkpoint_uri,
            )
            return pure(vectors, "Train Word2Vec", memory="4G", cpu="2")

        def train(vectors: dsl.PipelineTask) -> dsl.PipelineTask:
            training = train_text_classifier(
                dataset=data.outputs["dataset"],
                encoder=vectors.outputs["model"],
                pooling=pooling,
                epochs=epochs,
                batch_size=batch_size,
                learning_rate=learning_rate,
                train_only_top_layer=train_only_top_layer,
                hyperparameters=hyperparameters,
                seed=seed,
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
            finish(train(train_vectors()))
        with dsl.Else("on-a-gpu"):
            vectors = on_gpu(train_vectors(), image("blazingtext-cuda"))
            finish(on_gpu(train(vectors), image("tensorflow-gpu")))


if __name__ == "__main__":
    runner.main(vectors_to_classifier, __file__)
