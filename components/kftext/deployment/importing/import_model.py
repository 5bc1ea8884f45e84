"""The step: fetch a model, look at it, and leave it as a model folder."""

from __future__ import annotations

import shutil
from pathlib import Path

from kftext import models, storage
from kftext.errors import ModelFormatError
from kftext.packaging import unpack

__all__ = ["import_model"]

_ARCHIVES = (".tar.gz", ".tgz")
_BINARIES = (".bin", ".ftz")
_SAVED_MODEL = "saved_model.pb"


def import_model(uri: storage.StrPath, folder: storage.StrPath) -> str:
    """Fetch a model into a local folder, which appears whole or not at all.

    Args:
        uri: a fastText binary (`.bin`, `.ftz`), a model.tar.gz, or a folder or prefix of a model's files; local or s3://.
        folder: local folder to make.

    Returns:
        What it is: "text-classifier", "word-vectors", or "saved-model", which is not loaded here.

    Raises:
        ModelFormatError: it is no model, or a damaged one.
        StorageError: it can't be fetched, or the folder can't be written.
    """
    with storage.atomic_directory(folder) as target, storage.local_copy(uri) as local:
        if local.is_dir():
            storage.download(local, target)
        elif local.name.endswith(_ARCHIVES):
            unpack(local, target / "unpacked")
            for file in (target / "unpacked").iterdir():
                file.rename(target / file.name)
            (target / "unpacked").rmdir()
        elif local.suffix in _BINARIES:
            shutil.copyfile(local, target / local.name)
        else:
            raise ModelFormatError(
                f"{uri}: expected a .bin or .ftz file, a .tar.gz archive, or a folder"
            )
        return _kind(target, uri)


def _kind(folder: Path, uri: storage.StrPath) -> str:
    if any(folder.rglob(_SAVED_MODEL)):
        return "saved-model"
    try:
        predictor = models.load(folder)
    except ModelFormatError as error:
        # The folder is a temporary one: what the user knows is the URI.
        raise ModelFormatError(str(error).replace(str(folder), str(uri))) from None
    return "text-classifier" if isinstance(predictor, models.Classifier) else "word-vectors"
