"""Word vectors from a text file: validate, train Word2Vec on CPUs or a GPU, evaluate, and release what is good enough."""

from kfp import dsl

import runner
from kftext.blazingtext.component import train_blazingtext
from kftext.evaluation.word_similarity.component import evaluate_word_vectors
from kftext.images import image
from kftext.runs.inputs.component import resolve_inputs
from kftext.validation.component import validate_data
from release import release_if, reported
from settings import looking_outside, on_gpu, pure


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
    device: str = "cpu",
    base_model: str = "",
    checkpoint_uri: str = "",
    word_pairs_uri: str = "",
    min_mean_rho: float = -1.0,
    model_name: str = "word-vectors",
    registry_uri: str = "",
    endpoint_namespace: str = "",
    service_account: str = "kftext-serving",
    traffic_percent: int = 100,
    smoke_text: str = "word",
) -> None:
    """Train word vectors with Word2Vec, register them with a model card, and serve them with KServe.

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
        device: cpu, or cuda to train on one GPU.
        base_model: Model to go on from, with new words added - a path or s3:// URI; empty for none.
        checkpoint_uri: Folder or prefix that the training is saved to now and then, and goes on from; empty for none.
        word_pairs_uri: Word-similarity sets to evaluate on; the installed WS-353 when empty.
        min_mean_rho: Mean rank correlation below which the vectors are neither registered nor deployed; -1 takes all.
        model_name: Name of the model, of its folder in the registry and of its endpoint.
        registry_uri: Prefix such as s3://models/, below which NAME/VERSION/model.tar.gz and the model card are written; when
            empty, KServe fetches the model from the run's own artifacts.
        endpoint_namespace: Namespace of the endpoint; the run's own when empty.
        service_account: Service account that KServe fetches the model with.
        traffic_percent: Share of the requests for the new model. 100 replaces the one that is served, less makes a canary
            beside it, 0 deploys nothing.
        smoke_text: Word that the endpoint is asked once it is ready; a wrong answer rolls it back.
    """
    with reported():
        inputs = resolve_inputs(
            data_uri=data_uri, word_pairs_uri=word_pairs_uri, model_uri=base_model
        )
        looking_outside(inputs, "Resolve inputs")
        data = validate_data(
            data_uri=data_uri,
            data_format=data_format,
            max_error_fraction=max_error_fraction,
            content_digest=inputs.outputs["digest"],
        )
        pure(data, "Validate data")

        def train() -> dsl.PipelineTask:
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
                device=device,
                initial_model_uri=base_model,
                checkpoint_uri=checkpoint_uri,
            )
            return pure(training, "Train Word2Vec", memory="4G", cpu="2")

        def finish(training: dsl.PipelineTask) -> None:
            evaluation = evaluate_word_vectors(
                model=training.outputs["model"], word_pairs_uri=word_pairs_uri
            )
            pure(evaluation, "Evaluate word vectors", memory="2G")
            release_if(
                "mean_rho",
                evaluation.outputs["mean_rho"],
                min_mean_rho,
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
                expected_label="",
            )

        # Each branch goes on to the end: an artifact that one of two branches made can't be joined again by dsl.OneOf in
        # KFP's backend up to 2.16 (kubeflow/pipelines#13436), nor in kfp.local.
        with dsl.If(device != "cuda", "on-cpus"):
            finish(train())
        with dsl.Else("on-a-gpu"):
            finish(on_gpu(train(), image("blazingtext-cuda")))


if __name__ == "__main__":
    runner.main(word_vectors, __file__)
