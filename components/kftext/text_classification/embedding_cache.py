"""Embeddings of a frozen encoder, kept from one run to the next: they depend on the texts and the encoder alone."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kftext import storage
from kftext.errors import StorageError

__all__ = ["EmbeddingCache", "beside", "encoder_digest"]

Embeddings = npt.NDArray[np.float32]


def beside(path: str) -> str | None:
    """Return the cache's folder beside some data; None where nothing can be written there.

    The name starts with a dot, so that no reader takes the cache for data.
    """
    if storage.is_remote(path):
        return None
    place = Path(storage.join(path))
    folder = place if place.is_dir() else place.parent
    return str(folder / ".kftext-embeddings") if os.access(folder, os.W_OK) else None


def encoder_digest(folders: list[Path]) -> str:
    """Return a digest of all files of some models."""
    digest = hashlib.blake2b(digest_size=16)
    for folder in folders:
        for file in storage.list_files(folder):
            digest.update(os.path.relpath(file, folder).encode())
            with storage.open_reader(file) as stream:
                while block := stream.read(1 << 22):
                    digest.update(block)
    return digest.hexdigest()


class EmbeddingCache:
    """A folder with one .npy file for each pair of texts and encoder.

    Args:
        folder: local or s3://.
        encoder: digest of the encoder.
    """

    def __init__(self, folder: str, encoder: str):
        self._folder, self._encoder = folder, encoder

    def get(
        self, texts: str, shape: tuple[int, int], path: Path, compute: Callable[[], Embeddings]
    ) -> Embeddings:
        """Return the embeddings of some texts, computed where no earlier run left them.

        Args:
            texts: digest of the texts.
            shape: texts and dim.
            path: the .npy file that `compute` fills, or that the earlier ones are copied to.
            compute: called where there are none.

        Raises:
            StorageError: the cache can't be written.
        """
        name = hashlib.blake2b(f"{texts} {self._encoder}".encode(), digest_size=16).hexdigest()
        file = storage.join(self._folder, f"{name}.npy")
        if storage.exists(file):
            storage.download(file, path)
            try:
                found = np.load(path, mmap_mode="r", allow_pickle=False)
            except (ValueError, EOFError, OSError):
                raise StorageError(f"{file}: damaged: remove it") from None
            if found.shape == shape and found.dtype == np.float32:
                return found
            raise StorageError(
                f"{file}: holds {found.dtype}{list(found.shape)}, expected float32{list(shape)}: remove it"
            )
        computed = compute()
        storage.upload(path, file)
        return computed
