"""model.json: what a model folder holds. Optional on reading, so that any fastText binary can be used as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

import kftext
from kftext import storage
from kftext.errors import ModelFormatError, StorageError

__all__ = ["FILE_NAME", "FORMAT_VERSION", "ModelMetadata"]

FILE_NAME = "model.json"
FORMAT_VERSION = 1


class ModelMetadata(BaseModel):
    """The content of model.json.

    Attributes:
        kind: what the model does.
        format_version: version of this file's layout.
        algorithm: the algorithm that made the model ("blazingtext").
        hyperparameters: what it was trained with.
        metrics: what was measured in training.
        files: role -> name within the folder ("model" -> "model.bin").
        encoder: where a text classifier's encoder came from, for algorithms that start from one.
        versions: versions of other packages that the model depends on.
        kftext_version: version of the package that wrote the folder.
    """

    model_config = ConfigDict(extra="ignore", ser_json_inf_nan="null")

    kind: Literal["word-vectors", "text-classifier", "text-encoder"]
    format_version: int = Field(default=FORMAT_VERSION, ge=1)
    algorithm: str = "blazingtext"
    hyperparameters: dict[str, Any] = {}
    metrics: dict[str, Any] = {}
    files: dict[str, str] = {}
    encoder: dict[str, Any] = {}
    versions: dict[str, str] = {}
    kftext_version: str = kftext.__version__

    @classmethod
    def read(cls, folder: str | Path) -> Self | None:
        """Read a folder's model.json; None where it has none.

        Raises:
            ModelFormatError: the file is not what it should be, or comes from a later version.
            StorageError: it is there but can't be read.
        """
        path = Path(folder) / FILE_NAME
        try:
            metadata = cls.model_validate_json(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise StorageError(f"{path}: can't be read: {error.strerror}") from None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ModelFormatError(
                f"{path}: {where + ': ' if where else ''}{first['msg']}"
            ) from None
        if metadata.format_version > FORMAT_VERSION:
            raise ModelFormatError(
                f"{path}: format_version {metadata.format_version}, this version reads up to {FORMAT_VERSION}: "
                "use a later kftext"
            )
        for name in metadata.files.values():
            if Path(name).is_absolute() or ".." in Path(name).parts:
                raise ModelFormatError(f"{path}: the file {name!r} is outside the model's folder")
        return metadata

    def write(self, folder: str | Path) -> None:
        """Write model.json into a folder.

        Raises:
            StorageError: the folder can't be written.
        """
        with storage.open_writer(storage.join(str(folder), FILE_NAME)) as file:
            file.write(self.model_dump_json(indent=2).encode() + b"\n")
