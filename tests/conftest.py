"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest_plugins = ["fixtures_s3"]


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the real data sets, named by KFTEXT_DATA. Where it is named it must be there: no test is skipped then."""
    name = os.environ.get("KFTEXT_DATA")
    if not name:
        pytest.skip(
            "KFTEXT_DATA is not set: it names the folder of the real data sets (docs/data.md)"
        )
    path = Path(name)
    assert path.is_dir(), f"KFTEXT_DATA={name} is no folder"
    return path


@pytest.fixture(scope="session")
def two_threads() -> None:
    """TensorFlow as all tests of a process share it: what its first operation finds stays as it is."""
    from kftext.text_classification import backend

    backend.prepare(2)
    import tensorflow as tf

    # A second device on the same cores, for what is spread over several.
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
