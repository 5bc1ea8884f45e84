"""Where TensorFlow trains, and in words why not on a GPU."""

from __future__ import annotations

import ctypes
import sys

from kftext.errors import ResourceError, UsageError

__all__ = ["DEVICES", "check_device", "choose_device"]

DEVICES = ("auto", "cpu", "cuda")
"""Values of `--device`."""


def check_device(device: str) -> None:
    """Raise UsageError unless `device` is one of `DEVICES`. Needs no TensorFlow."""
    if device not in DEVICES:
        raise UsageError(f"device={device}: expected one of {', '.join(DEVICES)}")


def choose_device(device: str) -> str:
    """Let TensorFlow train where it is asked to. Comes before TensorFlow's first operation.

    Args:
        device: cpu; cuda: the GPUs; auto: the GPUs where TensorFlow finds some, else the CPU.

    Returns:
        A line that says what was chosen and why.

    Raises:
        UsageError: it is none of these.
        ResourceError: `cuda` was asked for, and TensorFlow finds no GPU; or `cpu`, and TensorFlow is at work on a GPU already.
    """
    check_device(device)
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if device == "cpu":
        if gpus:
            try:
                tf.config.set_visible_devices([], "GPU")
            except RuntimeError:
                raise ResourceError(
                    "device=cpu: TensorFlow runs already in this process, with GPUs"
                ) from None
        return "Training on the CPU"
    if gpus:
        names = (tf.config.experimental.get_device_details(gpu).get("device_name") for gpu in gpus)
        found = ", ".join(name or gpu.name for name, gpu in zip(names, gpus, strict=True))
        return f"Training on {len(gpus)} GPU{'s' * (len(gpus) > 1)}: {found}"
    reason = _why_no_gpu(tf.__version__, tf.test.is_built_with_cuda())
    if device == "cuda":
        raise ResourceError(f"device=cuda: {reason}")
    return f"Training on the CPU: {reason}"


def _why_no_gpu(version: str, with_cuda: bool) -> str:
    """Return why TensorFlow finds no GPU, as far as can be told."""
    if not with_cuda:
        return f"TensorFlow {version} was built without CUDA"
    driver = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        ctypes.CDLL(driver)
    except OSError:
        return f"no GPU can be used: there is no NVIDIA driver ({driver} was not found)"
    return (
        f"TensorFlow {version} finds no GPU, though there is a driver: see CUDA_VISIBLE_DEVICES, and "
        "pip install 'tensorflow[and-cuda]' for the CUDA libraries that it needs"
    )
