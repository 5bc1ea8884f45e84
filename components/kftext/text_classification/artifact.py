"""The model folder: what training writes, and prediction and further training read. Needs no TensorFlow.

::

    model.json                                  encoder, hyperparameters, metrics, versions
    class_label_to_prediction_index.json        {"label": index}, as in the reference
    learning_curve.json                         one record an epoch
    1/                                          the SavedModel, where TensorFlow Serving expects it
    logs/                                       TensorBoard's event files
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from kftext.errors import ModelFormatError, StorageError

__all__ = [
    "ALGORITHM",
    "CLASSES_FILE",
    "OWNED_FILES",
    "SAVED_MODEL_FOLDER",
    "read_classes",
    "saved_model_folder",
    "write_classes",
    "write_json",
]

ALGORITHM = "tensorflow-text-classification"
"""`algorithm` in model.json."""

SAVED_MODEL_FOLDER = "1"
_SAVED_MODEL_FILE = "saved_model.pb"
CLASSES_FILE = "class_label_to_prediction_index.json"
LEARNING_CURVE_FILE = "learning_curve.json"
LOGS_FOLDER = "logs"

OWNED_FILES = ("model.json", CLASSES_FILE, LEARNING_CURVE_FILE, SAVED_MODEL_FOLDER, LOGS_FOLDER)
"""All names that a model folder may hold: those of an earlier run don't stay beside a later one's."""


def saved_model_folder(path: Path) -> Path | None:
    """Return the folder that saved_model.pb lies in; None where there is none.

    Args:
        path: that folder, or the one above it: of folders named by a version the highest counts, as for TensorFlow Serving.
    """
    if (path / _SAVED_MODEL_FILE).is_file():
        return path
    if not path.is_dir():
        return None
    versions = [
        folder
        for folder in path.iterdir()
        if folder.name.isdecimal() and (folder / _SAVED_MODEL_FILE).is_file()
    ]
    return max(versions, key=lambda folder: int(folder.name), default=None)


def write_classes(folder: Path, classes: Sequence[str]) -> None:
    """Write the class file."""
    write_json(folder / CLASSES_FILE, {label: index for index, label in enumerate(classes)})


def read_classes(folder: Path) -> tuple[str, ...]:
    """Return the labels by class index.

    Raises:
        StorageError: the class file is not there.
        ModelFormatError: it is not what it should be.
    """
    path = folder / CLASSES_FILE
    try:
        value = orjson.loads(path.read_bytes())
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from None
    except orjson.JSONDecodeError as error:
        raise ModelFormatError(f"{path}:{error.lineno}: not JSON: {error.msg}") from None
    if not isinstance(value, dict) or sorted(map(str, value.values())) != sorted(
        map(str, range(len(value)))
    ):
        raise ModelFormatError(f"{path}: expected a JSON object, label -> index from 0 to n-1")
    return tuple(sorted(value, key=lambda label: int(value[label])))


def write_json(path: Path, content: Any) -> None:
    """Write JSON for people and programs alike."""
    path.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n")
