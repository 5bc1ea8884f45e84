"""The names of the container images."""

from __future__ import annotations

import pytest

import kftext
from kftext.images import NAMES, image


def test_names_of_this_version(monkeypatch):
    monkeypatch.delenv("KFTEXT_IMAGE_REGISTRY", raising=False)
    monkeypatch.delenv("KFTEXT_IMAGE_TAG", raising=False)
    for name in NAMES:
        assert image(name) == f"ghcr.io/kftext/{name}:{kftext.__version__}"


def test_registry_and_tag_can_be_set(monkeypatch):
    monkeypatch.setenv("KFTEXT_IMAGE_REGISTRY", "registry.example.com:5000/ml")
    monkeypatch.setenv("KFTEXT_IMAGE_TAG", "main")
    assert image("steps") == "registry.example.com:5000/ml/steps:main"


def test_unknown_names():
    with pytest.raises(ValueError, match="no image is named 'step': steps, blazingtext"):
        image("step")
