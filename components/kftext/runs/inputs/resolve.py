"""The step: look at everything that a run reads from outside."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from kftext import storage
from kftext.errors import StorageError

__all__ = ["resolve"]


def resolve(
    places: Mapping[str, str], names: Mapping[str, str] | None = None
) -> tuple[str, dict[str, Any]]:
    """Return a digest of what lies under URIs, and a description for people and the model card.

    Args:
        places: what it is → path or URI; "" for none.
        names: the same, where an id of a catalogue or a handle may stand in place of a path: that names something that does not
            change, and stands for itself.

    Raises:
        StorageError: nothing is there, or it can't be read.
    """
    described: dict[str, Any] = {}
    for name, uri in {**places, **(names or {})}.items():
        if not uri:
            continue
        described[name] = {"uri": uri}
        if name in places or _is_place(uri):
            described[name] |= asdict(storage.content_of(uri))
    digest = hashlib.sha256()
    for name, found in sorted(described.items()):
        digest.update(f"{name}\0{found.get('digest', found['uri'])}\n".encode())
    return digest.hexdigest(), described


def _is_place(uri: str) -> bool:
    try:
        return storage.is_remote(uri) or storage.exists(uri)
    except StorageError:
        return False  # https:// and other handles
