"""Word vectors from a text file: validate, train Word2Vec, evaluate on WS-353 and nearest neighbours, package for KServe."""

from typing import NamedTuple

from kfp import dsl

import runner
from kftext.blazingtext.component import train_blazingtext
from kftext.evaluation.word_similarity.component import evaluate_word_vectors
from kftext.packaging.component import package_model
from kftext.validation.component import validate_data


class Outputs(NamedTuple):
    """What the pipeline leaves."""

    model: dsl.Model
    archive: dsl.Artifact
    metrics: dsl.Metrics
    validation_report: dsl.HTML
    evaluation_report: dsl.HTML


@dsl.pipeline(name="word-vectors", display_name="Word vectors")
def word_vectors(
    data_uri: str,
    data_format: str = "corpus",
    max_error_fraction: float = 0.0,
    mode: str = "skipgram",
    vector_dim: int = 100,
    window_size: int = 5,
    negative_samples: int = 5,
    epochs: int = 5,
    learning_rate: float = 0.05,
    min_count: int = 5,
    sampling_threshold: float = 0.0001,
    batch_size: int = 11,
    subwords: bool = False,
    min_char: int = 3,
    max_char: int = 6,
    buckets: int = 2000000,
    seed: int = 1,
    word_pairs_uri: str = "",
    archive_uri: str = "",
) -> Outputs:
    """Train word vectors with Word2Vec and package them for serving.

    Args:
        data_uri: The corpus: one sentence a line, tokens separated by spaces. A local path or s3://bucket/key, a file, a
            folder or a prefix, plain or gzip.
        data_format: corpus, or labeled-text, manifest or csv to train on the words of labelled data.
        max_error_fraction: Share of lines that may be faulty; they are left out and written to a rejects file.
        mode: skipgram, cbow or batch_skipgram.
        vector_dim: Dimension of the vectors.
        window_size: Words of context on each side.
        negative_samples: Negative samples a positive one.
        epochs: Passes over the corpus.
        learning_rate: Initial learning rate; it falls linearly to zero.
        min_count: Words that occur less often are left out.
        sampling_threshold: Frequency above which words are randomly left out.
        batch_size: Input words that share one set of negatives (batch_skipgram only).
        subwords: Whether vectors are made from character n-grams too.
        min_char: Shortest character n-gram (subwords only).
        max_char: Longest character n-gram (subwords only).
        buckets: Rows that character n-grams are hashed to (subwords only).
        seed: Start of all random numbers.
        word_pairs_uri: Word-similarity sets to evaluate on; the installed WS-353 when empty.
        archive_uri: Where to write model.tar.gz as well, for example s3://models/words/model.tar.gz.
    """
    data = validate_data(
        data_uri=data_uri, data_format=data_format, max_error_fraction=max_error_fraction
    )
    # What lies under a URI can change without its name changing: only this step knows, so it always runs.
    data.set_display_name("Validate data").set_caching_options(False)
    training = train_blazingtext(
        dataset=data.outputs["dataset"],
        mode=mode,
        vector_dim=vector_dim,
        window_size=window_size,
        negative_samples=negative_samples,
        epochs=epochs,
        learning_rate=learning_rate,
        min_count=min_count,
        sampling_threshold=sampling_threshold,
        batch_size=batch_size,
        subwords=subwords,
        min_char=min_char,
        max_char=max_char,
        buckets=buckets,
        seed=seed,
    )
    training.set_display_name("Train Word2Vec").set_cpu_request("2").set_memory_request("4G")
    evaluation = evaluate_word_vectors(
        model=training.outputs["model"], word_pairs_uri=word_pairs_uri
    )
    evaluation.set_display_name("Evaluate word vectors").set_memory_request("2G")
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
    runner.main(word_vectors, __file__)
