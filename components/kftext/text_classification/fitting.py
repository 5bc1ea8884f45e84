"""The loop over epochs: Keras's `fit` for each; between them the line that people read, the best weights, the checkpoint."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow import keras

from kftext.progress import Progress as ProgressLine
from kftext.text_classification.checkpoint import Checkpoint, Progress
from kftext.text_classification.hyperparameters import TextClassificationHyperparameters
from kftext.text_classification.inputs import Inputs, Rows, dataset, plan_batches
from kftext.text_classification.network import Network, assign, values_of

__all__ = ["EventLog", "Part", "epoch_data", "fit"]

_VALIDATION_BATCH = 128


@dataclass(frozen=True)
class Part:
    """Rows to train on, or to validate with.

    Attributes:
        inputs: of all rows of the data set they come from.
        labels: int32[all rows], class index.
        weights: float32[all rows], what each counts in the loss.
        rows: int64[n], the part's own.
    """

    inputs: Inputs
    labels: npt.NDArray[np.int32]
    weights: npt.NDArray[np.float32]
    rows: Rows


class EventLog:
    """TensorBoard's event files. Scalars are written without the tensorboard package, which only reads them.

    Args:
        folder: gets one folder for training and one for validation.
    """

    def __init__(self, folder: Path):
        self._writers = {
            name: tf.summary.create_file_writer(str(folder / name))
            for name in ("train", "validation")
        }

    def write(self, epoch: int, record: Mapping[str, float]) -> None:
        """Write the figures of one epoch; those named val_… are the validation's."""
        plugin = tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars")
        metadata = tf.compat.v1.SummaryMetadata(plugin_data=plugin)
        for name, value in record.items():
            part = "validation" if name.startswith("val_") else "train"
            with self._writers[part].as_default():
                tag = f"epoch_{name.removeprefix('val_')}"
                tf.summary.write(tag, np.float32(value), step=epoch, metadata=metadata)

    def close(self) -> None:
        """Finish the files."""
        for writer in self._writers.values():
            writer.close()


class _ShowSteps(keras.callbacks.Callback):
    """Counts steps on stderr."""

    def __init__(self, line: ProgressLine, steps: int):
        super().__init__()
        self._line, self._steps = line, steps
        self._done = 0

    def on_train_batch_end(self, batch, logs=None):
        # Several steps may be one call; Keras then names the last as if no epoch ended within one.
        done = min(batch + 1, self._steps)
        self._line.update(done - self._done)
        self._done = done


def fit(
    network: Network,
    train: Part,
    validation: Part | None,
    chosen: TextClassificationHyperparameters,
    *,
    seed: int,
    log: EventLog,
    checkpoint: Checkpoint | None = None,
) -> Progress:
    """Train to the end, from the checkpoint where there is one, and leave the best epoch's weights in the network.

    Args:
        network: compiled.
        train: rows to train on.
        validation: rows to choose the best epoch by; None: the last is kept.
        chosen: the hyperparameters.
        seed: of the order of examples; each epoch has an order of its own that depends on nothing else.
        log: gets each epoch's figures.
        checkpoint: where each epoch's state goes.

    Returns:
        The learning curve and which epoch was kept.
    """
    progress = _restore(network, checkpoint)
    epoch = progress.epoch
    lengths, size = train.inputs.lengths, chosen.batch_size

    def batches() -> list[Rows]:
        return plan_batches(lengths, train.rows, size, np.random.default_rng([seed, 2, epoch]))

    steps = -(-len(train.rows) // size)
    training_data = epoch_data(train, batches, steps)
    validation_data = None if validation is None else _validation_data(validation)
    for record in progress.curve:
        log.write(int(record["epoch"]), record)
    with ProgressLine(chosen.epochs * steps, "steps", "Training") as line:
        line.update(epoch * steps)
        for epoch in range(progress.epoch, chosen.epochs):
            if chosen.early_stopping and progress.waited >= chosen.early_stopping_patience:
                break
            started = time.monotonic()
            history = network.fit(
                training_data,
                epochs=epoch + 1,
                initial_epoch=epoch,
                verbose=0,
                shuffle=False,
                callbacks=[_ShowSteps(line, steps)],
            ).history
            record = {"epoch": epoch + 1, **{name: values[-1] for name, values in history.items()}}
            seconds = time.monotonic() - started
            if validation_data is not None:
                measured = network.evaluate(validation_data, verbose=0, return_dict=True)
                record |= {f"val_{name}": value for name, value in measured.items()}
            record |= {"seconds": seconds, "steps_per_second": steps / seconds}
            record = {name: float(value) for name, value in record.items()}
            _take_stock(progress, record, network, chosen)
            _say(record, chosen.epochs)
            log.write(epoch + 1, record)
            if checkpoint is not None:
                checkpoint.save(progress, values_of(network.state))
    if progress.best:
        assign(network.learnt, progress.best)
    return progress


def _restore(network: Network, checkpoint: Checkpoint | None) -> Progress:
    restored = checkpoint.restore() if checkpoint is not None else None
    if restored is None:
        return Progress()
    progress, state = restored
    assign(network.state, state)
    logging.getLogger(__name__).info(
        "Going on from the checkpoint: %d epochs are done", progress.epoch
    )
    return progress


def _take_stock(
    progress: Progress,
    record: dict[str, float],
    network: Network,
    chosen: TextClassificationHyperparameters,
) -> None:
    """Count an epoch, and remember its weights where it is the best so far."""
    progress.epoch += 1
    progress.curve.append(record)
    accuracy = record.get("val_accuracy")
    if accuracy is None:
        progress.best_epoch = progress.epoch
        return
    if accuracy > progress.best_accuracy:
        progress.best_epoch, progress.best_accuracy = progress.epoch, accuracy
        progress.best = values_of(network.learnt)
    if accuracy > progress.stopping_accuracy + chosen.early_stopping_min_delta:
        progress.stopping_accuracy, progress.waited = accuracy, 0
    else:
        progress.waited += 1


def _say(record: Mapping[str, float], epochs: int) -> None:
    """Print an epoch's line on stdout: Katib and people read it, its wording is an interface."""
    figures = ("loss", "accuracy", "val_loss", "val_accuracy")
    text = " ".join(f"{name}={record[name]:.4f}" for name in figures if name in record)
    line = f"Epoch {record['epoch']:.0f}/{epochs}: {text} seconds={record['seconds']:.1f}"
    print(line, flush=True)  # noqa: T201


def epoch_data(part: Part, batches: Callable[[], list[Rows]], steps: int) -> tf.data.Dataset:
    """Return the batches of each pass, made ahead of the steps that take them.

    Args:
        part: what they are batches of.
        batches: called at the start of each pass.
        steps: how many batches it returns.
    """
    data = dataset(part.inputs, part.labels, part.weights, batches)
    options = tf.data.Options()
    # Batches come from Python: over several devices each is split, and no device reads others.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return data.apply(tf.data.experimental.assert_cardinality(steps)).with_options(options)


def _validation_data(part: Part) -> Any:
    batches = plan_batches(part.inputs.lengths, part.rows, _VALIDATION_BATCH)
    return epoch_data(part, lambda: batches, len(batches))
