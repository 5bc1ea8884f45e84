"""The Dataset artifact: what validation hands to training.

A folder with a `dataset.json`::

    {"format": "labeled-text", "train": "s3://bucket/train.txt", "validation": null,
     "options": {"label_prefix": "__label__", "source_attribute": "source", "label_attribute": "label"},
     "statistics": {"training": {"rows": 12404, …}}}

`train` and `validation` are files, or folders or prefixes of files. A relative path lies in the folder itself (what was
written there because lines were left out, or rows were split off); any other points at the data where they always were.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson

from kftext import storage
from kftext.data.formats import Format, ReadOptions
from kftext.errors import DataError

__all__ = ["FILE_NAME", "Dataset"]

FILE_NAME = "dataset.json"


@dataclass(frozen=True)
class Dataset:
    """A data set and its split.

    Attributes:
        format: of both parts.
        train: path or URI of the training data; absolute once read.
        validation: the same for the validation data, or None.
        statistics: counts that validation made, by part ("training", "validation"): rows, tokens, labels, ...
        options: how the data are read.
    """

    format: Format
    train: str
    validation: str | None = None
    statistics: dict[str, Any] = field(default_factory=dict)
    options: ReadOptions = field(default_factory=ReadOptions)

    @classmethod
    def read(cls, folder: str | os.PathLike[str]) -> Dataset:
        """Read the artifact; relative paths are resolved.

        Raises:
            DataError: `dataset.json` is not one.
            StorageError: it is not there.
        """
        file = storage.join(folder, FILE_NAME)
        with storage.open_reader(file) as stream:
            content = stream.read()
        try:
            value = orjson.loads(content)
        except orjson.JSONDecodeError as error:
            raise DataError(f"not JSON: {error.msg}", file=file, line=error.lineno) from None
        if not isinstance(value, dict) or not isinstance(value.get("train"), str):
            raise DataError(
                'expected a JSON object with "format", "train" and "validation"', file=file
            )
        formats = [member.value for member in Format]
        if value.get("format") not in formats:
            raise DataError(
                f'"format" is {value.get("format")!r}: expected one of {", ".join(formats)}',
                file=file,
            )
        validation = value.get("validation")
        if not isinstance(validation, (str, type(None))):
            raise DataError(f'"validation" is {validation!r}: expected a path or null', file=file)
        options = value.get("options") or {}
        names = asdict(ReadOptions())
        if not isinstance(options, dict) or any(
            name not in names or not isinstance(text, str) for name, text in options.items()
        ):
            raise DataError(
                f'"options" is {options!r}: expected texts for {", ".join(names)}', file=file
            )
        return cls(
            Format(value["format"]),
            _resolve(value["train"], folder),
            None if validation is None else _resolve(validation, folder),
            value.get("statistics") or {},
            ReadOptions(**options),
        )

    def write(self, folder: str | os.PathLike[str]) -> None:
        """Write `dataset.json` into a folder, with the paths as they are.

        Raises:
            StorageError: it can't be written.
        """
        value = {
            "format": self.format.value,
            "train": self.train,
            "validation": self.validation,
            "options": asdict(self.options),
            "statistics": self.statistics,
        }
        with storage.open_writer(storage.join(folder, FILE_NAME)) as stream:
            stream.write(orjson.dumps(value, option=orjson.OPT_INDENT_2) + b"\n")


def _resolve(path: str, folder: str | os.PathLike[str]) -> str:
    if "://" in path:
        return path
    if storage.is_remote(folder):
        return path if Path(path).is_absolute() else storage.join(folder, path)
    return str((Path(folder) / path).absolute())
