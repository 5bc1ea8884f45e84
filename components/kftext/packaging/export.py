"""The step: an archive in a folder of its own with the model's description beside it, and a copy wherever the user wants one."""

from __future__ import annotations

from dataclasses import replace

from kftext import storage
from kftext.models.metadata import FILE_NAME
from kftext.packaging.packing import ARCHIVE_NAME, Archive, archive_path, pack

__all__ = ["EVALUATION_NAME", "package"]


EVALUATION_NAME = "evaluation.json"


def package(
    model_dir: storage.StrPath,
    folder: storage.StrPath,
    destination: str = "",
    uri: str = "",
    *,
    evaluation: str = "",
) -> Archive:
    """Pack a model into `model.tar.gz` in a folder, and copy it to a destination.

    `model.json`, where the model has one, and the figures of its evaluation are put beside the archive: what only describes the
    model need not unpack it.

    Args:
        model_dir: model folder.
        folder: local folder for the archive; made where it is missing.
        destination: a path, local or s3://; with a slash at the end, `model.tar.gz` below it. Empty: no copy.
        uri: how others reach `folder`, where that differs from its path.
        evaluation: JSON file with figures; "" for none.

    Returns:
        The archive; its `uri` is the destination, or else that of the file in `folder`.

    Raises:
        ModelFormatError, StorageError: as `pack`; where the copy fails the folder's archive stays.
    """
    archive = pack(model_dir, storage.join(folder, ARCHIVE_NAME))
    description = storage.join(model_dir, FILE_NAME)
    if storage.exists(description):
        storage.download(description, storage.join(folder, FILE_NAME))
    if evaluation:
        storage.download(evaluation, storage.join(folder, EVALUATION_NAME))
    if destination:
        return replace(archive, uri=storage.upload(archive.uri, archive_path(destination)))
    return replace(archive, uri=storage.join(uri or folder, ARCHIVE_NAME))
