"""Word vectors from unlabelled text, then a classifier that starts from them: both algorithms in one flow, without a network."""

from typing import NamedTuple

from kfp import dsl

import runner
from kftext.blazingtext.component import train_blazingtext
from kftext.evaluation.classification.component import evaluate_classifier
from kftext.images import image
from kftext.packaging.component import package_model
from kftext.text_classification.component import train_text_classifier
from kftext.validation.component import validate_data


class Outputs(NamedTuple):
    """What the pipeline leaves."""

    vectors: dsl.Model
    model: dsl.Model
    archive: dsl.Artifact
    metrics: dsl.Metrics
    training_report: dsl.HTML
    evaluation_report: dsl.HTML


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
    archive_uri: str = "",
) -> Outputs:
    """Train Word2Vec on unlabelled text and a classifier on labelled text that starts from the vectors.

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
    # What lies under a URI can change without its name changing: only these steps know, so they always run.
    data.set_display_name("Validate data").set_caching_options(False)
    corpus = validate_data(
        data_uri=corpus_uri, data_format="corpus", max_error_fraction=max_error_fraction
    )
    corpus.set_display_name("Validate corpus").set_caching_options(False)
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
    )
    vectors.set_display_name("Train Word2Vec").set_cpu_request("2").set_memory_request("4G")
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
        vectors=vectors.outputs["model"],
        model=training.outputs["model"],
        archive=archive.outputs["archive"],
        metrics=evaluation.outputs["metrics"],
        training_report=training.outputs["report"],
        evaluation_report=evaluation.outputs["report"],
    )


if __name__ == "__main__":
    runner.main(vectors_to_classifier, __file__)
