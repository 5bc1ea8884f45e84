"""The training step: a folder of data and a model to start from in, a model folder out, complete or absent."""

from __future__ import annotations

import contextlib
import importlib.metadata
import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow import keras

from kftext import storage
from kftext.errors import ResourceError, UsageError
from kftext.models import ModelMetadata
from kftext.text_classification import catalogue
from kftext.text_classification.artifact import (
    ALGORITHM,
    CLASSES_FILE,
    LEARNING_CURVE_FILE,
    LOGS_FOLDER,
    OWNED_FILES,
    SAVED_MODEL_FOLDER,
    write_classes,
    write_json,
)
from kftext.text_classification.checkpoint import Checkpoint, Progress
from kftext.text_classification.embedding_cache import EmbeddingCache, encoder_digest
from kftext.text_classification.encoder import Encoder, check
from kftext.text_classification.examples import Examples, Source, held_out_rows, read_examples
from kftext.text_classification.export import save_classifier
from kftext.text_classification.fitting import EventLog, Part, fit
from kftext.text_classification.hyperparameters import TextClassificationHyperparameters
from kftext.text_classification.inputs import Dense, Inputs, Ragged, embed_all, make_inputs
from kftext.text_classification.loading import Found, Head, Kind, find_model, open_encoder
from kftext.text_classification.network import EncoderLayer, Network, TableLayer, TableNetwork
from kftext.text_classification.optimizers import make_optimizer
from kftext.text_classification.precision import bfloat16_products, pays

__all__ = ["TrainingRequest", "train"]

_log = logging.getLogger(__name__)

_SHORT_STEPS_AT_ONCE = 16
_OF_THE_HEAD = ("dropout_rate", "regularizers_l2")
_PACKAGES = ("tensorflow", "tensorflow-text", "keras")


@dataclass(frozen=True)
class TrainingRequest:
    """What to train, on what, and where to.

    Attributes:
        train: the training data.
        model_dir: folder or prefix that becomes the model folder.
        model: id of the catalogue, hub handle, or path of a model; a classifier trained before is trained further.
        validation: data of the same form; a share of the training data is held out where it is None.
        hyperparameters: what differs from the model's defaults; later ones win.
        preprocessing: handle or path of the preprocessing model of a transformer that is not in the catalogue.
        pooling: how an encoder made from word vectors or a BERT checkpoint pools; "" for its usual way.
        seed: of all that is random.
        work_dir: where tokenized texts, embeddings and fetched models lie meanwhile; the system's temporary folder by default.
        checkpoint: folder or prefix for the state after each epoch; None for none.
        embedding_cache: folder or prefix where embeddings of a frozen encoder are kept between runs; None for none.
        log_dir: local folder for TensorBoard's files while training runs; the model folder has them in any case.
        devices: TensorFlow's names of devices that share each batch; all GPUs by default.
    """

    train: Source
    model_dir: str
    model: str
    validation: Source | None = None
    hyperparameters: Sequence[Mapping[str, Any]] = ()
    preprocessing: str | None = None
    pooling: str = ""
    seed: int = 0
    work_dir: str | None = None
    checkpoint: str | None = None
    embedding_cache: str | None = None
    log_dir: str | None = None
    devices: Sequence[str] = field(default_factory=tuple)


@dataclass(frozen=True)
class _Data:
    """The rows, and which are for what."""

    examples: Examples
    train_rows: npt.NDArray[np.int64]
    held_out: Examples | None
    validation_rows: npt.NDArray[np.int64]


def train(request: TrainingRequest) -> ModelMetadata:
    """Train a classifier and write its folder.

    Raises:
        UsageError: hyperparameters that are not valid, or a request that contradicts itself.
        DataError: the data are at fault.
        StorageError: data or model can't be read, or the model folder can't be written.
        ModelFormatError: the model to start from is damaged, or of a kind that is not understood.
    """
    with contextlib.ExitStack() as stack:
        work_dir = Path(stack.enter_context(_work_dir(request.work_dir)))
        # Whatever can be wrong about the call is found before any data are read.
        early = catalogue.find(request.model)
        if early is not None:
            catalogue.read_hyperparameters(request.model, *request.hyperparameters)
        found = find_model(request.model, work_dir, request.preprocessing)
        chosen = _hyperparameters(found, request)
        folder = stack.enter_context(storage.atomic_directory(request.model_dir, OWNED_FILES))
        data = _read(request, chosen, work_dir)
        keras.utils.set_random_seed(request.seed)
        try:
            return _train(request, found, chosen, data, work_dir, folder)
        except tf.errors.ResourceExhaustedError as error:
            raise ResourceError(
                f"out of memory in a step of batch_size={chosen.batch_size}: try a smaller one "
                f"({str(error).splitlines()[0]})"
            ) from None


def _work_dir(path: str | None) -> tempfile.TemporaryDirectory[str]:
    if path is not None:
        Path(path).mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(prefix="kftext-", dir=path)


def _hyperparameters(found: Found, request: TrainingRequest) -> TextClassificationHyperparameters:
    if isinstance(found.defaults, str):
        return catalogue.read_hyperparameters(found.defaults, *request.hyperparameters)
    return TextClassificationHyperparameters.read(found.defaults, *request.hyperparameters)


def _read(
    request: TrainingRequest, chosen: TextClassificationHyperparameters, work_dir: Path
) -> _Data:
    examples = read_examples(request.train, work_dir / "texts")
    every = np.arange(len(examples))
    if request.validation is not None:
        held_out = read_examples(request.validation, work_dir / "texts", examples.classes)
        return _Data(examples, every, held_out, np.arange(len(held_out)))
    apart = held_out_rows(examples, chosen.validation_split_ratio, request.seed)
    if chosen.early_stopping and not apart.any():
        raise UsageError("early_stopping=True needs validation data, or validation_split_ratio > 0")
    return _Data(examples, every[~apart], None, every[apart])


def _train(
    request: TrainingRequest,
    found: Found,
    chosen: TextClassificationHyperparameters,
    data: _Data,
    work_dir: Path,
    folder: Path,
) -> ModelMetadata:
    encoder, head = open_encoder(found, work_dir, request.pooling)
    check(encoder, found.reference)
    strategy = _strategy(request, chosen, encoder)
    classes = data.examples.classes
    head = _head_to_keep(head, classes, chosen, request.model)
    if head is not None:
        chosen = _as_the_head_has_it(chosen, found)
    encoder_name = _encoder_name(request, chosen, found)
    inputs = _inputs(request, chosen, encoder, encoder_name, data, work_dir)
    table_rows = None
    if encoder.table is not None and not chosen.train_only_top_layer:
        inputs, table_rows = _compact(inputs, work_dir)
    parts = _parts(data, inputs, chosen)
    steps = chosen.epochs * -(-len(data.train_rows) // chosen.batch_size)
    with strategy.scope() if strategy else contextlib.nullcontext():
        # Variables on several devices are others than those that are saved: a copy of the encoder has them.
        trained = open_encoder(found, work_dir, request.pooling)[0] if strategy else encoder
        layer = _encoder_layer(trained, inputs[0], table_rows, chosen)
        network = _network(layer, encoder.dim, head, len(classes), chosen, steps)
    run = {
        "hyperparameters": chosen.model_dump(mode="json"),
        "seed": request.seed,
        "encoder": encoder_name,
        "data": [part.digest for part in (data.examples, data.held_out) if part],
    }
    checkpoint = Checkpoint(request.checkpoint, run) if request.checkpoint else None
    log = EventLog(folder / LOGS_FOLDER if request.log_dir is None else Path(request.log_dir))
    with bfloat16_products(wanted=_mixed(chosen, layer)):
        progress = fit(
            network, parts[0], parts[1], chosen, seed=request.seed, log=log, checkpoint=checkpoint
        )
    log.close()
    if strategy:
        for variable, value in zip(
            encoder.trainable_variables, trained.trainable_variables, strict=True
        ):
            variable.assign(value.numpy())
    if isinstance(network, TableNetwork) and encoder.table is not None and table_rows is not None:
        encoder.table.scatter_update(tf.IndexedSlices(network.table.value(), table_rows))
    kernel, bias = (weight.numpy() for weight in network.head.weights)
    save_classifier(encoder, kernel, bias, folder / SAVED_MODEL_FOLDER)
    return _write(found, chosen, data, progress, folder, encoder)


def _encoder_name(
    request: TrainingRequest, chosen: TextClassificationHyperparameters, found: Found
) -> str:
    """Return what tells this encoder from others, where a checkpoint or a cache needs it; large files take seconds."""
    if not request.checkpoint and not (request.embedding_cache and chosen.train_only_top_layer):
        return ""
    folders = [path for path in (found.path, found.preprocessing) if path]
    return f"{encoder_digest(folders)} {request.pooling}"


def _strategy(
    request: TrainingRequest, chosen: TextClassificationHyperparameters, encoder: Encoder
) -> tf.distribute.Strategy | None:
    """Return the strategy that spreads each batch over several devices; None where there is one, or one is faster."""
    devices = list(request.devices) or [
        device.name for device in tf.config.list_logical_devices("GPU")
    ]
    # A step over embeddings, word vectors or another look-up of words takes less time than spreading it.
    short = chosen.train_only_top_layer or encoder.table is not None or not encoder.tokenizes
    if len(devices) < 2 or short:
        return None
    _log.info("Each batch is spread over %d devices", len(devices))
    return tf.distribute.MirroredStrategy(devices)


def _mixed(chosen: TextClassificationHyperparameters, layer: keras.layers.Layer | None) -> bool:
    """Whether matrix products are in bfloat16. A dense layer over embeddings or word vectors gains nothing."""
    if not isinstance(layer, EncoderLayer) or chosen.mixed_precision == "False":
        return False
    return chosen.mixed_precision == "True" or pays()


def _head_to_keep(
    head: Head | None,
    classes: tuple[str, ...],
    chosen: TextClassificationHyperparameters,
    model: str,
) -> Head | None:
    """Return the earlier head where training goes on with it."""
    wish = chosen.reinitialize_top_layer
    same = head is not None and head.classes == classes
    if wish == "False" and not same:
        known = ", ".join(head.classes) if head is not None else "none: it has no head"
        raise UsageError(
            f"reinitialize_top_layer=False: the classes of the data ({', '.join(classes)}) are not those of "
            f"{model} ({known})"
        )
    return head if same and wish != "True" else None


def _as_the_head_has_it(
    chosen: TextClassificationHyperparameters, found: Found
) -> TextClassificationHyperparameters:
    """Return the hyperparameters with those of the kept head: dropout and penalty are a new head's, as in the reference."""
    earlier = found.defaults if isinstance(found.defaults, dict) else {}
    own = {name: earlier[name] for name in _OF_THE_HEAD if name in earlier}
    for name, value in own.items():
        if getattr(chosen, name) != value:
            _log.warning(
                "%s stays %s, as the head was trained: another value needs reinitialize_top_layer=True",
                name,
                value,
            )
    return chosen.model_copy(update=own)


def _inputs(
    request: TrainingRequest,
    chosen: TextClassificationHyperparameters,
    encoder: Encoder,
    encoder_name: str,
    data: _Data,
    work_dir: Path,
) -> list[Inputs]:
    """Return the inputs of the training rows and of the validation rows; both may be the same object."""
    cache = None
    if request.embedding_cache and chosen.train_only_top_layer:
        cache = EmbeddingCache(request.embedding_cache, encoder_name)
    made: list[Inputs] = []
    for name, examples in (("training", data.examples), ("validation", data.held_out)):
        if examples is None:
            continue
        if not chosen.train_only_top_layer:
            made.append(make_inputs(encoder, examples, work_dir, name, few_lengths=chosen.xla))
            continue

        def compute(name: str = name, examples: Examples = examples) -> npt.NDArray[np.float32]:
            features = make_inputs(encoder, examples, work_dir, name)
            path = work_dir / f"{name}.npy"
            return embed_all(encoder, features, len(examples), path)

        shape = (len(examples), encoder.dim)
        if cache is None:
            made.append(Dense(compute()))
        else:
            path = work_dir / f"{name}.npy"
            made.append(Dense(cache.get(examples.digest, shape, path, compute)))
    return [made[0], made[-1]]


def _compact(inputs: list[Inputs], work_dir: Path) -> tuple[list[Inputs], npt.NDArray[np.int64]]:
    """Number anew those rows of the table that the data hold: the others can't change, so training leaves them out.

    Returns:
        The inputs, and int64[rows in use], the table's row for each new number. The row of padding stays number 0.
    """
    ragged = [item for item in inputs if isinstance(item, Ragged)]
    in_use = np.unique(np.concatenate([[0], *(np.unique(item.values["rows"]) for item in ragged)]))
    renumbered: dict[int, Inputs] = {}
    for item in ragged:
        if id(item) in renumbered:
            continue
        rows = item.values["rows"]
        if not len(rows):
            renumbered[id(item)] = item
            continue
        path = work_dir / f"rows-in-use-{len(renumbered)}"
        numbers = np.memmap(path, np.int32, "w+", shape=rows.shape)
        for start in range(0, len(rows), 1 << 20):
            part = slice(start, start + (1 << 20))
            numbers[part] = np.searchsorted(in_use, rows[part])
        renumbered[id(item)] = Ragged({**item.values, "rows": numbers}, item.offsets)
    return [renumbered[id(item)] for item in ragged], in_use


def _parts(
    data: _Data, inputs: list[Inputs], chosen: TextClassificationHyperparameters
) -> tuple[Part, Part | None]:
    labels = data.examples.labels
    weights = np.ones(len(labels), dtype=np.float32)
    if chosen.class_weights == "balanced":
        counts = np.bincount(labels[data.train_rows], minlength=len(data.examples.classes))
        per_class = len(data.train_rows) / (len(counts) * np.maximum(counts, 1))
        weights = per_class[labels].astype(np.float32)
    training = Part(inputs[0], labels, weights, data.train_rows)
    if not len(data.validation_rows):
        return training, None
    labels = labels if data.held_out is None else data.held_out.labels
    weights = np.ones(len(labels), dtype=np.float32)
    return training, Part(inputs[1], labels, weights, data.validation_rows)


def _encoder_layer(
    encoder: Encoder,
    inputs: Inputs,
    table_rows: npt.NDArray[np.int64] | None,
    chosen: TextClassificationHyperparameters,
) -> keras.layers.Layer | None:
    """Return the layer in front of the head; None where the inputs are embeddings already."""
    if chosen.train_only_top_layer:
        return None
    if table_rows is None or encoder.table is None:
        return EncoderLayer(encoder, inputs.signature())
    rows = tf.gather(encoder.table, table_rows)
    return TableLayer(tf.Variable(rows, name="rows_in_use"))


def _network(
    layer: keras.layers.Layer | None,
    dim: int,
    head: Head | None,
    classes: int,
    chosen: TextClassificationHyperparameters,
    steps: int,
) -> Network:
    """Make and compile what is trained."""
    shape = (dim, classes, chosen.dropout_rate, chosen.regularizers_l2)
    network = (TableNetwork if isinstance(layer, TableLayer) else Network)(layer, *shape)
    if head is not None:
        network.head.set_weights([head.kernel, head.bias])
    optimizer = make_optimizer(chosen, steps)
    if chosen.optimizer == "adamw":
        spared = [variable for variable in network.trainable_variables if len(variable.shape) < 2]
        optimizer.exclude_from_weight_decay(var_list=spared)
    network.compile(
        optimizer=optimizer,
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        jit_compile=chosen.xla and isinstance(layer, EncoderLayer),
        # Short steps cost less than the calls that start them.
        steps_per_execution=1 if isinstance(layer, EncoderLayer) else _SHORT_STEPS_AT_ONCE,
    )
    optimizer.build(network.trainable_variables)
    if isinstance(network, TableNetwork):
        network.use_rows(chosen)
    return network


def _write(
    found: Found,
    chosen: TextClassificationHyperparameters,
    data: _Data,
    progress: Progress,
    folder: Path,
    encoder: Encoder,
) -> ModelMetadata:
    """Write what stands beside the SavedModel."""
    write_classes(folder, data.examples.classes)
    write_json(folder / LEARNING_CURVE_FILE, progress.curve)
    kept = progress.curve[progress.best_epoch - 1]
    names = ("loss", "accuracy", "val_loss", "val_accuracy", "steps_per_second")
    metrics: dict[str, Any] = {name: kept[name] for name in names if name in kept}
    metrics |= {
        "best_epoch": progress.best_epoch,
        "epochs": progress.epoch,
        "train_examples": len(data.train_rows),
        "validation_examples": len(data.validation_rows),
    }
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    metadata = ModelMetadata(
        kind="text-classifier",
        algorithm=ALGORITHM,
        hyperparameters=chosen.model_dump(mode="json"),
        metrics=metrics,
        encoder=_describe(found, encoder),
        versions=versions,
        files={
            "saved_model": SAVED_MODEL_FOLDER,
            "classes": CLASSES_FILE,
            "learning_curve": LEARNING_CURVE_FILE,
        },
    )
    metadata.write(folder)
    return metadata


def _describe(found: Found, encoder: Encoder) -> dict[str, Any]:
    """Say where an encoder came from; further training keeps what the first one said."""
    if found.kind is Kind.CLASSIFIER:
        metadata = ModelMetadata.read(found.path)
        if metadata is not None and metadata.encoder:
            return metadata.encoder
    entry = catalogue.find(found.reference)
    return {
        "model": found.reference,
        "handle": entry.handle if entry else None,
        "preprocessing": entry.preprocessing if entry else None,
        "kind": found.kind.value,
        "dim": encoder.dim,
    }
