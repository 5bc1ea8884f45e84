"""From a model's name to an encoder: what lies in the folder decides how it is read."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from kftext.errors import ModelFormatError, UsageError
from kftext.models import ModelMetadata
from kftext.models.loading import model_file
from kftext.text_classification import catalogue, resolution
from kftext.text_classification.artifact import (
    ALGORITHM,
    SAVED_MODEL_FOLDER,
    read_classes,
    saved_model_folder,
)

if TYPE_CHECKING:
    from kftext.text_classification.encoder import Encoder

__all__ = ["Found", "Head", "Kind", "find_model", "open_encoder"]

_BERT_FILES = ("config.json", "vocab.txt", "model.safetensors")


class Kind(StrEnum):
    """What a model is."""

    CLASSIFIER = "classifier"
    """A classifier that this package trained: training goes on from it."""

    BERT_CHECKPOINT = "bert-checkpoint"
    """config.json, vocab.txt, model.safetensors."""

    SAVED_MODEL = "saved-model"
    """A SavedModel: of ours, of the hub, or like those of the hub."""

    WORD_VECTORS = "word-vectors"
    """A fastText binary or vectors as text."""


@dataclass(frozen=True)
class Found:
    """A model at hand, not yet loaded.

    Attributes:
        reference: what the user called it.
        kind: what it is.
        path: its local folder, or file of word vectors.
        preprocessing: local folder of the preprocessing model, or None.
        defaults: hyperparameters it is trained with where the user does not say otherwise: the name of catalogue defaults,
            or the values of the earlier training.
    """

    reference: str
    kind: Kind
    path: Path
    preprocessing: Path | None
    defaults: str | dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Head:
    """The dense layer of an earlier classifier.

    Attributes:
        kernel: float32[dim, classes].
        bias: float32[classes].
        classes: their labels.
    """

    kernel: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]
    classes: tuple[str, ...]


def find_model(reference: str, work_dir: Path, preprocessing: str | None = None) -> Found:
    """Find a model and say what it is. Needs no TensorFlow, unless the hub's network is asked.

    Args:
        reference: id of the catalogue, hub handle, or path.
        work_dir: where what is fetched or unpacked goes.
        preprocessing: the same for its preprocessing model; the catalogue's own where it is None.

    Raises:
        StorageError: it is nowhere to be found.
        ModelFormatError: it is no model that can be trained from.
        UsageError: preprocessing for a model that takes none.
    """
    entry = catalogue.find(reference)
    if entry is not None and preprocessing is None:
        preprocessing = entry.preprocessing
    path = resolution.resolve(reference, work_dir)
    kind = _kind(path)
    if preprocessing is not None and kind is not Kind.SAVED_MODEL:
        raise UsageError(f"model {reference}: a {kind} takes no preprocessing model")
    preprocessor = resolution.resolve(preprocessing, work_dir) if preprocessing else None
    defaults: str | dict[str, Any] = reference
    if kind is Kind.CLASSIFIER:
        metadata = ModelMetadata.read(path)
        defaults = dict(metadata.hyperparameters) if metadata else {}
        defaults.pop("reinitialize_top_layer", None)
    elif kind is Kind.WORD_VECTORS:
        defaults = catalogue.WORD_VECTORS
    elif entry is None:
        transformer = kind is Kind.BERT_CHECKPOINT or preprocessing is not None
        defaults = catalogue.BERT if transformer else catalogue.TEXT_EMBEDDING
    return Found(reference, kind, path, preprocessor, defaults)


def _kind(path: Path) -> Kind:
    if path.is_dir():
        metadata = ModelMetadata.read(path)
        if metadata is not None and metadata.algorithm == ALGORITHM:
            return Kind.CLASSIFIER if metadata.kind == "text-classifier" else Kind.SAVED_MODEL
        if all((path / name).is_file() for name in _BERT_FILES):
            return Kind.BERT_CHECKPOINT
        if saved_model_folder(path) is not None:
            return Kind.SAVED_MODEL
    try:
        model_file(path)
    except ModelFormatError:
        raise ModelFormatError(
            f"{path}: no model to train from: expected a SavedModel (saved_model.pb), a BERT checkpoint "
            f"({', '.join(_BERT_FILES)}), word vectors (.bin, .vec), or a classifier trained before"
        ) from None
    return Kind.WORD_VECTORS


def open_encoder(found: Found, work_dir: Path, pooling: str) -> tuple[Encoder, Head | None]:
    """Load an encoder, and the head of an earlier classifier.

    Args:
        found: the model.
        work_dir: folder for files that must be there until the encoder has been saved.
        pooling: of word vectors ("mean", "sif") or of a BERT checkpoint ("pooled", "mean", "cls"); "" for the usual one.

    Raises:
        ModelFormatError: it is damaged, or of a kind that is not understood.
        UsageError: a pooling that the model does not have.
    """
    from kftext.text_classification.encoder import Encoder, load_saved_model, wrap

    if pooling and found.kind not in (Kind.WORD_VECTORS, Kind.BERT_CHECKPOINT):
        raise UsageError(f"pooling={pooling!r}: a {found.kind} pools in its own way")
    if found.kind is Kind.WORD_VECTORS:
        from kftext.text_classification.word_vector_encoder import word_vector_module

        return Encoder(word_vector_module(found.path, work_dir, pooling or "mean")), None
    if found.kind is Kind.BERT_CHECKPOINT:
        from kftext.text_classification.bert_encoder import bert_module

        return Encoder(bert_module(found.path, pooling)), None
    if found.kind is Kind.CLASSIFIER:
        classes = read_classes(found.path)
        model = load_saved_model(found.path / SAVED_MODEL_FOLDER)
        head = Head(model.kernel.numpy(), model.bias.numpy(), classes)
        return Encoder(model.encoder), head
    model = load_saved_model(saved_model_folder(found.path) or found.path)
    preprocessor = load_saved_model(found.preprocessing) if found.preprocessing else None
    return wrap(model, preprocessor, found.reference), None
