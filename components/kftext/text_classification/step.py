"""The step as a pipeline runs it: from a Dataset artifact to a model folder and a page about the training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from kftext.data.dataset import Dataset
from kftext.errors import UsageError
from kftext.models import ModelMetadata
from kftext.reports import charts
from kftext.reports.html import Page
from kftext.text_classification import backend
from kftext.text_classification.artifact import LEARNING_CURVE_FILE
from kftext.text_classification.device import check_device, choose_device

__all__ = ["StepOptions", "train_step", "write_report"]


@dataclass(frozen=True)
class StepOptions:
    """What the step is given; attributes that `TrainingRequest` has too mean the same there.

    Attributes:
        dataset: folder of the Dataset artifact.
        model_dir: the model folder to write.
        report: the HTML page to write.
        model: id, handle or path of the encoder.
        hyperparameters: what differs from the model's defaults; None means "not given".
        pooling: of an encoder made from word vectors or a BERT checkpoint.
        preprocessing: the preprocessing model of a transformer that is not in the catalogue.
        seed: of all that is random.
        threads: of TensorFlow.
        checkpoint: where the state goes after each epoch.
        embedding_cache: where embeddings are kept between runs.
        device: see `device.choose_device`.
    """

    dataset: str
    model_dir: str
    report: str
    model: str
    hyperparameters: Mapping[str, Any]
    pooling: str = ""
    preprocessing: str | None = None
    seed: int = 0
    threads: int | None = None
    checkpoint: str | None = None
    embedding_cache: str | None = None
    device: str = "auto"


def train_step(options: StepOptions) -> dict[str, float]:
    """Train, write the page, and return the figures to show beside the run.

    Raises:
        KftextError: as `kftext.text_classification.training.train`.
    """
    if not options.model:
        raise UsageError("no encoder: expected model_id, or an encoder from another step")
    check_device(options.device)
    backend.prepare(options.threads)
    print(choose_device(options.device), flush=True)  # noqa: T201
    from kftext.text_classification.examples import Source
    from kftext.text_classification.training import TrainingRequest, train

    data = Dataset.read(options.dataset)
    metadata = train(
        TrainingRequest(
            train=Source(data.train, data.format, data.options),
            model_dir=options.model_dir,
            model=options.model,
            validation=Source(data.validation, data.format, data.options)
            if data.validation
            else None,
            hyperparameters=(options.hyperparameters,),
            preprocessing=options.preprocessing,
            pooling=options.pooling,
            seed=options.seed,
            checkpoint=options.checkpoint,
            embedding_cache=options.embedding_cache,
        )
    )
    write_report(metadata, Path(options.model_dir), options.report)
    return {name: value for name, value in metadata.metrics.items() if value is not None}


def write_report(metadata: ModelMetadata, model_dir: Path, path: str) -> None:
    """Write the page about a training: the curves, and what it was trained with."""
    curve = orjson.loads((model_dir / LEARNING_CURVE_FILE).read_bytes())
    metrics = metadata.metrics
    figures = f"accuracy {metrics['accuracy']:.3f} on the training data"
    if "val_accuracy" in metrics:
        figures = f"validation accuracy {metrics['val_accuracy']:.3f}, {figures}"
    page = Page(
        "Training of a text classifier",
        f"Epoch {metrics['best_epoch']} of {metrics['epochs']} was kept: {figures}.",
    )
    for name in ("accuracy", "loss"):
        series = {
            part: [record[key] for record in curve]
            for part, key in (("training", name), ("validation", f"val_{name}"))
            if key in curve[0]
        }
        page.heading(name.capitalize()).figure(charts.lines(series, "epoch", name))
    page.heading("Encoder").table(["", "value"], list(metadata.encoder.items()))
    page.heading("Hyperparameters").table(["name", "value"], list(metadata.hyperparameters.items()))
    page.write(path)
