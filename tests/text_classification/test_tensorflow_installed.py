"""One line that tells whether this folder's tests of training and prediction ran."""

from __future__ import annotations

import importlib.util

import pytest


@pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None,
    reason="TensorFlow is not installed: text classification was not tested (pip install 'kftext[tensorflow]')",
)
def test_tensorflow_and_its_tokenizers_are_installed() -> None:
    assert importlib.util.find_spec("tensorflow_text") is not None
