"""The pipeline step `train_blazingtext`."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Metrics, Model, Output

from kftext.images import image


@dsl.component(base_image=image("blazingtext"), install_kfp_package=False)
def train_blazingtext(
    dataset: Input[Dataset],
    model: Output[Model],
    metrics: Output[Metrics],
    mode: str,
    batch_size: int = 11,
    buckets: int = 2000000,
    early_stopping: bool = False,
    epochs: int = 5,
    evaluation: bool = True,
    exact: bool = False,
    learning_rate: float = 0.05,
    loss: str = "",
    max_char: int = 6,
    min_char: int = 3,
    min_count: int = 5,
    min_epochs: int = 5,
    negative_samples: int = 5,
    patience: int = 4,
    sampling_threshold: float = 0.0001,
    subwords: bool = False,
    vector_dim: int = 100,
    window_size: int = 5,
    word_ngrams: int = 2,
    seed: int = 0,
    threads: int = 0,
    device: str = "cpu",
    word_pairs_uri: str = "",
    initial_model_uri: str = "",
    pretrained_vectors_uri: str = "",
    checkpoint_uri: str = "",
    checkpoint_minutes: float = 10.0,
) -> None:
    """Train word vectors (cbow, skipgram, batch_skipgram) or a text classifier (supervised).

    Defaults are BlazingText's. A hyperparameter that the mode does not have must keep its default.

    Args:
        dataset: Data set of the validation step.
        mode: cbow, skipgram, batch_skipgram or supervised.
        batch_size: Input words that share one set of negatives, batch_skipgram only.
        buckets: Rows that character or word n-grams are hashed to.
        early_stopping: Whether to stop when validation accuracy no longer rises, supervised only.
        epochs: Passes over the training data.
        evaluation: Whether word vectors are judged on word-similarity sets.
        exact: Whether each pair of words draws its own negatives, as in fastText, word vectors only.
        learning_rate: Step size at the start; it falls linearly to 0.
        loss: ns (the default) or hs for word vectors; softmax (the default), hs, ns or ova for supervised.
        max_char: Longest character n-gram of subwords.
        min_char: Shortest character n-gram of subwords.
        min_count: Words seen fewer times are left out.
        min_epochs: Epochs before early stopping begins to watch.
        negative_samples: Negatives drawn for each word or label.
        patience: Epochs with no better accuracy before early stopping ends the training.
        sampling_threshold: Words more frequent than this share of the text are randomly skipped.
        subwords: Whether words are built from character n-grams too.
        vector_dim: Length of the vectors.
        window_size: Words to each side that count as context, word vectors only.
        word_ngrams: Longest run of words that is a feature, supervised only.
        seed: Seed of all that is random; one thread repeats bit for bit.
        threads: Threads; as many as there are processors when 0.
        device: cpu; cuda for the GPUs; auto for the GPUs where there are some, and it pays.
        word_pairs_uri: File or folder of word-similarity sets; the installed WS-353 when empty.
        initial_model_uri: Model to go on from, with new words and labels added; empty for none.
        pretrained_vectors_uri: Word vectors (word2vec text, a binary or a model folder) that a classifier begins with; empty for none.
        checkpoint_uri: Folder or prefix that the run is saved to now and then, and goes on from; empty for none.
        checkpoint_minutes: Minutes between two checkpoints.

    Returns:
        model: Model folder - vectors.bin and vectors.txt, or model.bin; model.json, learning_curve.json, eval.json.
        metrics: Accuracy or mean rank correlation, loss, words read, words per second.
    """
    from kftext import cli

    with cli.report_errors():
        from kftext.artifacts import log_metrics
        from kftext.blazingtext.checkpoint import CheckpointOptions
        from kftext.blazingtext.hyperparameters import only_of_mode, read_hyperparameters
        from kftext.blazingtext.training import TrainingRequest, train
        from kftext.cores import available_cores
        from kftext.data.dataset import Dataset as DatasetFolder

        given = only_of_mode(
            mode,
            {
                "mode": mode,
                "batch_size": batch_size,
                "buckets": buckets,
                "early_stopping": early_stopping,
                "epochs": epochs,
                "evaluation": evaluation,
                "exact": exact,
                "learning_rate": learning_rate,
                "loss": loss or None,
                "max_char": max_char,
                "min_char": min_char,
                "min_count": min_count,
                "min_epochs": min_epochs,
                "negative_samples": negative_samples,
                "patience": patience,
                "sampling_threshold": sampling_threshold,
                "subwords": subwords,
                "vector_dim": vector_dim,
                "window_size": window_size,
                "word_ngrams": word_ngrams,
            },
        )
        hyperparameters = read_hyperparameters(given)
        data = DatasetFolder.read(dataset.path)
        metadata = train(
            TrainingRequest(
                train=[data.train],
                model_dir=model.path,
                hyperparameters=hyperparameters,
                format=data.format,
                # Word vectors have no use for texts that were held out.
                validation=[data.validation] if data.validation and mode == "supervised" else [],
                reading=data.options,
                seed=seed,
                threads=threads or available_cores(),
                device=device,
                initial_model=initial_model_uri or None,
                pretrained_vectors=pretrained_vectors_uri or None,
                checkpoint=CheckpointOptions(checkpoint_uri, checkpoint_minutes)
                if checkpoint_uri
                else None,
                word_pairs=[word_pairs_uri] if word_pairs_uri else [],
            )
        )
        model.metadata.update(kind=metadata.kind, algorithm=metadata.algorithm, mode=mode)
        log_metrics(metrics, metadata.metrics)
