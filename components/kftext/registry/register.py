"""The step: a packaged model under a version of its own, complete or absent.

Layout below the registry's prefix::

    <name>/<version>/model.tar.gz
    <name>/<version>/model.json          kind, hyperparameters, metrics of training; where the model has one
    <name>/<version>/evaluation.json     figures of the evaluation; where there was one
    <name>/<version>/model_card.md       written last: a version with a card is complete

A version is the time it was registered and the start of its archive's SHA-256: versions sort by time, and none is written twice.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kftext import storage
from kftext.artifacts import read_json
from kftext.errors import StorageError
from kftext.models.metadata import FILE_NAME, ModelMetadata
from kftext.names import check_name
from kftext.packaging.export import EVALUATION_NAME
from kftext.packaging.packing import ARCHIVE_NAME
from kftext.registry.card import Card

__all__ = ["CARD_NAME", "Registered", "register"]

CARD_NAME = "model_card.md"


@dataclass(frozen=True)
class Registered:
    """A version.

    Attributes:
        uri: of its archive.
        version: its name.
        card: its model card, Markdown.
    """

    uri: str
    version: str
    card: str


def register(
    package_dir: Path,
    name: str,
    registry: str = "",
    *,
    uri: str = "",
    inputs: dict[str, Any] | None = None,
) -> Registered:
    """Write a packaged model and its card below a registry's prefix.

    Args:
        package_dir: local folder with model.tar.gz and, where there are any, model.json and evaluation.json.
        name: of the model.
        registry: a folder or s3:// prefix. "": nothing is written, and the archive stays where it is.
        uri: how others reach the archive where it is.
        inputs: what the model was made from: name → uri, files, size, digest.

    Returns:
        The version. Where the registry holds the same archive under this name already, that version.

    Raises:
        UsageError: the name can't be one of an endpoint.
        StorageError: something can't be read or written.
        ModelFormatError, DataError: model.json or evaluation.json is damaged.
    """
    check_name(name)
    archive = package_dir / ARCHIVE_NAME
    if not archive.is_file():
        raise StorageError(f"no such file: {archive}")
    with archive.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    now = datetime.now(UTC)
    version = f"{now:%Y%m%dT%H%M%SZ}-{sha256[:8]}"
    versions = storage.join(registry, name) if registry else ""
    known = _find(versions, sha256[:8]) if versions else ""
    version = known or version
    target = storage.join(versions, version) if versions else ""
    place = storage.join(target, ARCHIVE_NAME) if target else uri or str(archive)
    if known:
        with storage.open_reader(storage.join(target, CARD_NAME)) as stream:
            return Registered(place, version, stream.read().decode())
    evaluation = package_dir / EVALUATION_NAME
    card = Card(
        name=name,
        version=version,
        uri=place,
        registered=now,
        size=archive.stat().st_size,
        sha256=sha256,
        metadata=ModelMetadata.read(package_dir),
        evaluation=read_json(str(evaluation)) if evaluation.is_file() else {},
        inputs=inputs or {},
    ).markdown()
    if target:
        storage.upload(archive, place)
        for file in (package_dir / FILE_NAME, evaluation):
            if file.is_file():
                storage.upload(file, storage.join(target, file.name))
        with storage.open_writer(storage.join(target, CARD_NAME)) as stream:
            stream.write(card.encode())
    return Registered(place, version, card)


def _find(versions: str, digest: str) -> str:
    """Return the complete version of a digest; "" where there is none."""
    if not storage.exists(versions):
        return ""
    cards = [path for path in storage.list_files(versions) if path.endswith(f"/{CARD_NAME}")]
    names = [path.split("/")[-2] for path in cards]
    return max((name for name in names if name.endswith(f"-{digest}")), default="")
