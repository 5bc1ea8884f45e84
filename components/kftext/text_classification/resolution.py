"""From what a user calls a model to a local folder.

A model is looked for, in this order, as

1. a local folder: a SavedModel, word vectors, a BERT checkpoint, a classifier of ours;
2. a .tar.gz of one, or a folder or archive at s3://;
3. `<path of the handle>.tar.gz` in the mirror that KFTEXT_MODEL_MIRROR names (`kftext.text_classification.mirror` fills it);
4. TensorFlow Hub: its cache in TFHUB_CACHE_DIR, then the network.

The last two take an id of the catalogue or a hub handle.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from pathlib import Path

from kftext import storage
from kftext.errors import StorageError
from kftext.packaging import unpack
from kftext.text_classification.catalogue import find

__all__ = ["MIRROR", "cache_dir", "fetch", "is_handle", "mirror_path", "resolve"]

MIRROR = "KFTEXT_MODEL_MIRROR"
"""Environment variable: folder or prefix, local or s3://, with archives of hub models."""

SAVED_MODEL = "saved_model.pb"
_VECTORS = (".bin", ".ftz", ".vec", ".txt")
_HUB_HANDLE = re.compile(
    r"https://(?:www\.)?(tfhub\.dev|kaggle\.com/models)/(?P<path>[A-Za-z0-9._/+-]+)"
)


def is_handle(reference: str) -> bool:
    """Whether a reference is a hub handle."""
    return _HUB_HANDLE.fullmatch(reference) is not None


def resolve(reference: str, work_dir: Path) -> Path:
    """Return the local folder of a model, or the local file of word vectors.

    Args:
        reference: id of the catalogue, hub handle, or path (local or s3://) of a folder, a .tar.gz or word vectors.
        work_dir: where what has to be fetched or unpacked goes; it must outlive the model's use.

    Raises:
        StorageError: it is nowhere to be found; the message says what would help.
        ModelFormatError: an archive is damaged or hostile.
    """
    entry = find(reference)
    if entry is not None:
        return fetch(entry.handle, work_dir)
    if is_handle(reference):
        return fetch(reference.rstrip("/"), work_dir)
    local = storage.join(reference)
    if not storage.is_remote(local) and Path(local).is_dir():
        return Path(local)
    if not storage.exists(local):
        raise StorageError(
            f"model {reference!r}: expected an id of the catalogue (python -m kftext.text_classification.defaults "
            "lists them), a TensorFlow Hub handle, or the path of a folder or .tar.gz; there is nothing at that path"
        )
    target = _new_folder(work_dir)
    if reference.endswith((".tar.gz", ".tgz")):
        unpack(local, target)
        return _only_folder(target)
    if reference.endswith(_VECTORS):
        return Path(local) if not storage.is_remote(local) else storage.download(local, target)
    if not storage.is_remote(local):
        raise StorageError(f"model {reference}: expected a folder or a .tar.gz, found another file")
    return storage.download(local, target)


def fetch(handle: str, work_dir: Path) -> Path:
    """Return the local folder of a hub model: from the mirror, the hub's cache, or the network.

    Args:
        handle: `https://tfhub.dev/…` or `https://www.kaggle.com/models/…`.
        work_dir: where an archive of the mirror is unpacked to.

    Raises:
        StorageError: it is in none of them.
    """
    mirror = os.environ.get(MIRROR)
    if mirror:
        archive = mirror_path(mirror, handle)
        if storage.exists(archive):
            target = _new_folder(work_dir)
            unpack(archive, target)
            return _only_folder(target)
    cached = cache_dir() / hashlib.sha1(handle.encode(), usedforsecurity=False).hexdigest()
    if (cached / SAVED_MODEL).is_file():
        return cached
    return _download(handle, mirror)


def mirror_path(mirror: str, handle: str) -> str:
    """Return where a mirror holds a hub model: `<mirror>/tensorflow/albert_en_base/2.tar.gz`.

    Raises:
        StorageError: it is no hub handle.
    """
    match = _HUB_HANDLE.fullmatch(handle)
    if match is None or ".." in match["path"].split("/"):
        raise StorageError(
            f"{handle}: expected a handle such as https://tfhub.dev/google/nnlm-en-dim50/2"
        )
    return storage.join(mirror, *match["path"].strip("/").split("/")) + ".tar.gz"


def cache_dir() -> Path:
    """Return the folder of tensorflow-hub's cache: uncompressed models, each below the SHA-1 of its handle."""
    name = os.environ.get("TFHUB_CACHE_DIR")
    return Path(name) if name else Path(tempfile.gettempdir(), "tfhub_modules")


def _download(handle: str, mirror: str | None) -> Path:
    advice = (
        f"{handle} is not in TensorFlow Hub's cache ({cache_dir()})"
        + (f" nor in the mirror ({mirror_path(mirror, handle)})" if mirror else "")
        + ", and can't be downloaded: {reason}. On a machine with a network run\n"
        f"  python -m kftext.text_classification.mirror --output s3://bucket/models {handle}\n"
        f"and set {MIRROR}=s3://bucket/models where you train"
    )
    # Imported here since it takes seconds, and only the network needs it.
    from kftext.text_classification import backend

    backend.prepare()
    import tensorflow as tf

    hub = backend.import_hub()
    try:
        return Path(hub.resolve(handle))
    except (OSError, ValueError, RuntimeError, tf.errors.OpError) as error:
        reason = str(getattr(error, "reason", error)).splitlines()[0]
        raise StorageError(advice.format(reason=reason)) from None


def _new_folder(work_dir: Path) -> Path:
    work_dir.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="model-", dir=work_dir)) / "model"


def _only_folder(folder: Path) -> Path:
    """Return the folder in which an archive's files lie: archives of a folder hold it as their one member."""
    entries = list(folder.iterdir())
    if len(entries) == 1 and entries[0].is_dir() and entries[0].name not in ("1", "variables"):
        return entries[0]
    return folder
