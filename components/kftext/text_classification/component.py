"""The pipeline step `train_text_classifier`."""

from kfp import dsl
from kfp.dsl import HTML, Dataset, Input, Metrics, Model, Output

from kftext.images import image


@dsl.component(base_image=image("tensorflow"), install_kfp_package=False)
def train_text_classifier(
    dataset: Input[Dataset],
    model: Output[Model],
    metrics: Output[Metrics],
    report: Output[HTML],
    model_id: str = "",
    encoder: Input[Model] = None,
    base_model_uri: str = "",
    epochs: int = 0,
    batch_size: int = 0,
    learning_rate: float = 0.0,
    optimizer: str = "",
    train_only_top_layer: str = "",
    early_stopping: bool = False,
    hyperparameters: dict = {},
    pooling: str = "",
    preprocessing: str = "",
    seed: int = 0,
    threads: int = 0,
    device: str = "auto",
    checkpoint_uri: str = "",
    embedding_cache_uri: str = "",
) -> None:
    """Train a text classifier: a pretrained encoder, dropout and a dense layer.

    Args:
        dataset: Data set of the validation step.
        model_id: Encoder - an id of the catalogue, a TensorFlow Hub handle, or the path or s3:// URI of a SavedModel, of word
            vectors, of a BERT checkpoint, or of a classifier trained before. Empty where an artifact is given.
        encoder: The same as an artifact of another step, for example word vectors.
        base_model_uri: Classifier trained before to go on from, in place of an encoder; empty for none.
        epochs: Passes over the training data; the model's default when 0.
        batch_size: Examples in a step; the model's default when 0.
        learning_rate: Step size; the model's default when 0.
        optimizer: adamw, adam, sgd, nesterov, rmsprop, adagrad or adadelta; the model's default when empty.
        train_only_top_layer: True trains the head alone, False the whole network; the model's default when empty.
        early_stopping: Whether to stop when validation accuracy no longer rises.
        hyperparameters: All others by name, where they differ from the model's defaults.
        pooling: mean or sif for word vectors, pooled, mean or cls for a BERT checkpoint; the first of them, or what the checkpoint says, when empty.
        preprocessing: Preprocessing model of a transformer that is not in the catalogue.
        seed: Seed of all that is random.
        threads: Threads of TensorFlow; as many as it likes when 0.
        device: cpu; cuda for the GPUs; auto for the GPUs where there are some.
        checkpoint_uri: Folder or prefix that the run is saved to after each epoch, and goes on from; empty for none.
        embedding_cache_uri: Folder or prefix where embeddings of a frozen encoder are kept between runs; empty for none.

    Returns:
        model: Model folder - the SavedModel in 1/, class_label_to_prediction_index.json, model.json, learning_curve.json, logs.
        metrics: Accuracy and loss of the epoch that was kept, steps per second.
        report: Page with the learning curve and the hyperparameters.
    """
    from kftext import cli

    with cli.report_errors():
        from kftext.artifacts import log_metrics
        from kftext.text_classification.step import StepOptions, train_step

        figures = train_step(
            StepOptions(
                dataset=dataset.path,
                model_dir=model.path,
                report=report.path,
                model=base_model_uri or model_id or (encoder.path if encoder is not None else ""),
                hyperparameters={
                    **hyperparameters,
                    "epochs": epochs or hyperparameters.get("epochs"),
                    "batch_size": batch_size or hyperparameters.get("batch_size"),
                    "learning_rate": learning_rate or hyperparameters.get("learning_rate"),
                    "optimizer": optimizer or hyperparameters.get("optimizer"),
                    "train_only_top_layer": train_only_top_layer
                    or hyperparameters.get("train_only_top_layer"),
                    "early_stopping": early_stopping or hyperparameters.get("early_stopping"),
                },
                pooling=pooling,
                preprocessing=preprocessing or None,
                seed=seed,
                threads=threads or None,
                device=device,
                checkpoint=checkpoint_uri or None,
                embedding_cache=embedding_cache_uri or None,
            )
        )
        log_metrics(metrics, figures)
        model.metadata["framework"] = "tensorflow"
