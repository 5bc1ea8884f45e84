"""The step: an archive in a folder of its own, and a copy of it wherever the user wants one."""

from __future__ import annotations

from dataclasses import replace

from kftext import storage
from kftext.packaging.packing import ARCHIVE_NAME, Archive, archive_path, pack

__all__ = ["package"]


def package(
    model_dir: storage.StrPath, folder: storage.StrPath, destination: str = "", uri: str = ""
) -> Archive:
    """Pack a model into `model.tar.gz` in a folder, and copy it to a destination.

    Args:
        model_dir: model folder.
        folder: local folder for the archive; made where it is missing.
        destination: a path, local or s3://; with a slash at the end, `model.tar.gz` below it. Empty: no copy.
        uri: how others reach `folder`, where that differs from its path.

    Returns:
        The archive; its `uri` is the destination, or else that of the file in `folder`.

    Raises:
        ModelFormatError, StorageError: as `pack`; where the copy fails the folder's archive stays.
    """
    archive = pack(model_dir, storage.join(folder, ARCHIVE_NAME))
    if destination:
        return replace(archive, uri=storage.upload(archive.uri, archive_path(destination)))
    return replace(archive, uri=storage.join(uri or folder, ARCHIVE_NAME))
