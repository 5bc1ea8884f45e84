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
from kftext.models import Classifier, Predictor, TextEncoder, load, outputs_of
from kftext.models.answers import on_tensorflow
from kftext.models.loading import model_source
from kftext.packaging import unpack
from kftext.packaging.packing import ARCHIVE_NAME
from kftext.serving.query import Query, ask
from kftext.storage import StrPath
from kftext.storage.digest import content_of
from kftext.text_classification import catalogue, resolution

__all__ = ["Fingerprint", "LoadedModel", "fingerprint", "load_model"]

VERSION_DIGITS = 12
ARCHIVE_SUFFIXES = (".gz", ".tgz")

Fingerprint = tuple[tuple[str, int, int, int], ...]
"""Path, inode, size in bytes and modification time in nanoseconds of each file of a model: changes when the model does."""


@dataclass(frozen=True, slots=True, eq=False)
class LoadedModel:
    """A model ready to answer.

    Args:
        predictor: the model itself.
        version: 12 hexadecimal digits of a hash of the model's files: equal on every replica that serves the same.
        directory: where the model was unpacked or copied to; removed together with this object.
    """

    predictor: Predictor
    version: str
    directory: tempfile.TemporaryDirectory[str] | None = None

    @property
    def on_tensorflow(self) -> bool:
        """Whether TensorFlow computes the answers: a call costs far more than one more text in it."""
        return on_tensorflow(self.predictor)

    @property
    def kind(self) -> str:
        """What the model does, as model.json says it."""
        if isinstance(self.predictor, Classifier):
            return "text-classifier"
        return "text-encoder" if isinstance(self.predictor, TextEncoder) else "word-vectors"


def load_model(location: StrPath, *, private: bool = False) -> LoadedModel:
    """Load a model and make its first predictions.

    Args:
        location: a model folder, a fastText binary (`.bin`, `.ftz`), a SavedModel, a BERT checkpoint, or an archive of a model
            folder (`.tar.gz`); local, or on `s3://`, from where it is downloaded. Or the name of a pretrained encoder, to be
            served as it is: an id of the catalogue or a hub handle.
        private: copy the model's files first. A model is mapped, not read: whoever overwrites the file of a mapped model in
            place, as `cp` does, changes its answers, and ends the process by cutting it short.

    Raises:
        StorageError: there is nothing at `location`, or it can't be read or copied.
        ModelFormatError: what is there is no model that can be served.
        MissingExtraError: it needs TensorFlow, which is not installed.
    """
    if _names_encoder(str(location)):
        from kftext.text_classification.predictor import open_encoder_as_it_is

        encoder = open_encoder_as_it_is(str(location))
        warm_up(encoder)
        version = hashlib.sha256(str(location).encode()).hexdigest()
        return LoadedModel(encoder, version[:VERSION_DIGITS])
    try:
        directory, path = _local(location)
        source = model_source(path)
        if private and directory is None:
            directory = _new_directory()
            source = _copy(source, Path(directory.name))
        version = content_of(source).digest[:VERSION_DIGITS]
    except OSError as error:
        raise StorageError(f"{error.filename or location}: {error.strerror}") from None
    predictor = load(source)
    warm_up(predictor)
    return LoadedModel(predictor, version, directory)


def _names_encoder(location: str) -> bool:
    """Whether a location is the name of a pretrained encoder, rather than a place."""
    named = catalogue.find(location) is not None or resolution.is_handle(location)
    return named and not Path(location).exists()


def _copy(source: Path, directory: Path) -> Path:
    """A copy of a model's file or folder in `directory`, under the same name."""
    target = directory / source.name
    if source.is_dir():
        return Path(shutil.copytree(source, target))
    return Path(shutil.copy2(source, target))


def _local(location: StrPath) -> tuple[tempfile.TemporaryDirectory[str] | None, Path]:
    """The folder or file to load from; with it the directory that it was unpacked or downloaded to."""
    path = Path(location)
    downloaded = None
    if storage.is_remote(location):
        downloaded = _new_directory()
        if path.suffix in ARCHIVE_SUFFIXES:
            unpack(location, downloaded.name)
            return downloaded, Path(downloaded.name)
        storage.download(location, downloaded.name)
        path = Path(downloaded.name)
    elif not path.exists():
        raise StorageError(
            f"{location}: no such file or folder; expected a model folder, file or archive"
        )
    archive = _archive(path)
    if archive is None:
        return downloaded, path
    unpacked = _new_directory()
    unpack(archive, unpacked.name)
    if downloaded is not None:
        downloaded.cleanup()
    return unpacked, Path(unpacked.name)


def _new_directory() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="kftext-model-")


def _archive(path: Path) -> Path | None:
    """The archive that a path is, or that packaging left in it beside the model's description; None where there is none."""
    if path.is_dir():
        return path / ARCHIVE_NAME if (path / ARCHIVE_NAME).is_file() else None
    return path if path.suffix in ARCHIVE_SUFFIXES or is_tarfile(path) else None


def warm_up(predictor: Predictor) -> None:
    """Compile what can be compiled, and ask each thing that the model can be asked, so that no client waits for a first time.

    Raises:
        ModelFormatError: the model's numbers are not finite.
    """
    predictor.warm_up()
    for output in outputs_of(predictor):
        for texts in (["warm"], ["a first text", "and a second one"]):
            ask(predictor, Query(texts, output))
    job = predictor.json_job(["warm"]) if isinstance(predictor, Classifier) else None
    if job is not None:
        from kftext.models.compiled.threads import run

        run(job)
        job.result()


def fingerprint(location: StrPath) -> Fingerprint:
    """What is at a local path now, without reading it; empty when nothing can be found there, and for what is elsewhere."""
    if _names_encoder(str(location)) or storage.is_remote(location):
        return ()
    path = Path(location)
    try:
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        stats = [(str(file), file.stat()) for file in files if file.is_file()]
    except OSError:
        # Gone since it was listed, or out of reach for now, as a network's file system can be.
        return ()
    return tuple((name, stat.st_ino, stat.st_size, stat.st_mtime_ns) for name, stat in stats)
