"""From a folder, a model file or an archive to a model that is loaded, checked and warm."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from tarfile import is_tarfile

from kftext import storage
from kftext.errors import StorageError
from kftext.models import Classifier, Predictor, load, outputs_of
from kftext.models.loading import model_file
from kftext.packaging import unpack
from kftext.serving.query import Query, ask
from kftext.storage import StrPath

__all__ = ["Fingerprint", "LoadedModel", "fingerprint", "load_model"]

Fingerprint = tuple[tuple[str, int, int, int], ...]
"""Name, inode, size in bytes and modification time in nanoseconds of each file of a model: changes when the model does."""


@dataclass(frozen=True, slots=True, eq=False)
class LoadedModel:
    """A model ready to answer.

    Args:
        predictor: the model itself.
        kind: "text-classifier" or "word-vectors".
        version: 12 hexadecimal digits of a hash of the model's file: equal on every replica that serves the same.
        directory: where the model was unpacked or copied to; removed together with this object.
    """

    predictor: Predictor
    kind: str
    version: str
    directory: tempfile.TemporaryDirectory[str] | None = None


def load_model(location: StrPath, *, private: bool = False) -> LoadedModel:
    """Load a model and make its first predictions.

    Args:
        location: a model folder, a fastText binary (`.bin`, `.ftz`), or an archive of a model folder (`.tar.gz`); local, or on
            `s3://`, from where it is downloaded.
        private: copy the model's file first. A model is mapped, not read: whoever overwrites the file of a mapped model in
            place, as `cp` does, changes its answers, and ends the process by cutting it short.

    Raises:
        StorageError: there is nothing at `location`, or it can't be read or copied.
        ModelFormatError: what is there is no model that can be served.
    """
    try:
        directory, path = _local(location)
        file = model_file(path)
        if private and directory is None:
            directory = tempfile.TemporaryDirectory(prefix="kftext-model-")
            file = Path(shutil.copy2(file, directory.name))
        with file.open("rb") as stream:
            version = hashlib.file_digest(
                stream, lambda: hashlib.blake2b(digest_size=6)
            ).hexdigest()
    except OSError as error:
        raise StorageError(f"{error.filename or location}: {error.strerror}") from None
    predictor = load(file)
    warm_up(predictor)
    kind = "text-classifier" if isinstance(predictor, Classifier) else "word-vectors"
    return LoadedModel(predictor, kind, version, directory)


def _local(location: StrPath) -> tuple[tempfile.TemporaryDirectory[str] | None, Path]:
    """The folder or file to load from; with it the directory that it was unpacked or downloaded to."""
    path = Path(location)
    remote = storage.is_remote(location)
    if not remote and not path.exists():
        raise StorageError(
            f"{location}: no such file or folder; expected a model folder, file or archive"
        )
    archive = path.suffix in (".gz", ".tgz") or (not remote and path.is_file() and is_tarfile(path))
    if not (remote or archive):
        return None, path
    directory = tempfile.TemporaryDirectory(prefix="kftext-model-")
    if archive:
        unpack(location, directory.name)
    else:
        storage.download(location, directory.name)
    return directory, Path(directory.name)


def warm_up(predictor: Predictor) -> None:
    """Ask each thing that the model can be asked, so that no client waits for a first time.

    Raises:
        ModelFormatError: the model's numbers are not finite.
    """
    for output in outputs_of(predictor):
        for texts in (["warm"], ["a first text", "and a second one"]):
            ask(predictor, Query(texts, output))


def fingerprint(location: StrPath) -> Fingerprint:
    """What is at a local path now, without reading it; empty when there is nothing, and for what is remote."""
    if storage.is_remote(location):
        return ()
    path = Path(location)
    try:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        stats = [(file.name, file.stat()) for file in files if file.is_file()]
    except FileNotFoundError:
        return ()
    return tuple((name, stat.st_ino, stat.st_size, stat.st_mtime_ns) for name, stat in stats)
