"""The one place that names container images.

An image of this version is `<registry>/<name>:<tag>`. Both can be set when a pipeline is compiled, never when it runs:
images are constants in the YAML.
"""

from __future__ import annotations

import os

from kftext import __version__

__all__ = ["NAMES", "image"]

NAMES = (
    "steps",
    "blazingtext",
    "blazingtext-cuda",
    "tensorflow",
    "tensorflow-gpu",
    "server",
    "server-tensorflow",
)


def image(name: str) -> str:
    """Return the full reference of one of our images.

    Args:
        name: one of `NAMES`.

    `KFTEXT_IMAGE_REGISTRY` and `KFTEXT_IMAGE_TAG` in the environment take the place of the defaults.
    """
    if name not in NAMES:
        raise ValueError(f"no image is named {name!r}: {', '.join(NAMES)}")
    registry = os.environ.get("KFTEXT_IMAGE_REGISTRY", "ghcr.io/kftext")
    tag = os.environ.get("KFTEXT_IMAGE_TAG", __version__)
    return f"{registry}/{name}:{tag}"
