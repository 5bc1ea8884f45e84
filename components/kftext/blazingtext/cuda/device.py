"""Which GPU trains, and in words why none does."""

from __future__ import annotations

import ctypes
import os
import sys
from dataclasses import dataclass
from typing import Any

from kftext.blazingtext.hyperparameters import SupervisedHyperparameters, Word2VecHyperparameters
from kftext.errors import MissingExtraError, ResourceError, UsageError
from kftext.hyperparameters import Hyperparameters

__all__ = ["DEVICES", "Device", "find_devices", "require_numba_cuda", "select_devices", "why_not"]

DEVICES = ("auto", "cpu", "cuda")
"""Values of `--device`."""

LARGEST_DIM = 1024

OLDEST_CAPABILITY = (7, 0)
"""Volta: warp instructions that name their lanes, and atomic additions that are quick."""


@dataclass(frozen=True)
class Device:
    """A GPU that can train.

    Attributes:
        index: its number, as CUDA counts the visible ones.
        name: "NVIDIA H100 80GB HBM3".
        capability: compute capability, (9, 0).
        multiprocessors: how many it has.
        free: bytes of memory that are free.
        total: bytes of memory that it has.
        driver: the newest CUDA version that the driver knows, "12.9".
        shared: bytes of shared memory of a multiprocessor.
    """

    index: int
    name: str
    capability: tuple[int, int]
    multiprocessors: int
    free: int
    total: int
    driver: str
    shared: int

    def __str__(self) -> str:
        gib = 2**30
        return (
            f"GPU {self.index}: {self.name}, compute capability {self.capability[0]}.{self.capability[1]}, "
            f"{self.free / gib:.1f} of {self.total / gib:.1f} GiB free, driver for CUDA {self.driver}"
        )


def require_numba_cuda() -> Any:
    """Import and return `numba.cuda`.

    Raises:
        MissingExtraError: numba-cuda is not installed, or CUDA's own libraries are not; numba's own CUDA target is no longer kept up.
    """
    _check_numba_cuda_is_there()
    from cuda.pathfinder import DynamicLibNotFoundError

    try:
        from numba import cuda
    except DynamicLibNotFoundError:
        raise MissingExtraError("training on a GPU", "cuda") from None
    return cuda


def _check_numba_cuda_is_there() -> None:
    """Raise MissingExtraError where numba-cuda is not installed."""
    try:
        import numba_cuda  # noqa: F401
    except ImportError:
        raise MissingExtraError("training on a GPU", "cuda") from None


def _check_driver_is_there() -> None:
    """Raise ResourceError where there is no driver, before numba.cuda is imported, which takes a second or two."""
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        ctypes.CDLL(os.environ.get("NUMBA_CUDA_DRIVER") or name)
    except OSError:
        raise ResourceError(
            f"no GPU can be used: there is no NVIDIA driver ({name} was not found)"
        ) from None


def find_devices() -> list[Device]:
    """Return the GPUs that can train.

    Raises:
        MissingExtraError: numba-cuda is not installed.
        ResourceError: there is no GPU, or none can be used, and why.
    """
    import numba

    _check_numba_cuda_is_there()
    if numba.config.ENABLE_CUDASIM:
        return [Device(0, "numba's simulator", (0, 0), 1, 1 << 40, 1 << 40, "none", 1 << 20)]
    _check_driver_is_there()
    cuda = require_numba_cuda()
    from numba.cuda.cudadrv.driver import CudaAPIError, driver
    from numba.cuda.cudadrv.error import CudaSupportError

    try:
        known = driver.get_version()
        contexts = list(cuda.gpus)
    except (CudaSupportError, CudaAPIError) as error:
        raise ResourceError(f"no GPU can be used: {_in_one_line(error)}") from None
    if not contexts:
        raise ResourceError(
            f"no GPU is visible, though there is a driver for CUDA {_dotted(known)}: see CUDA_VISIBLE_DEVICES"
        )
    _check_driver(known, cuda.runtime.get_version())
    devices, refused = [], []
    for index, managed in enumerate(contexts):
        try:
            with managed:
                device = _describe(index, cuda.current_context(), _dotted(known))
        except (CudaSupportError, CudaAPIError) as error:
            refused.append(f"GPU {index}: {_in_one_line(error)}")
            continue
        if device.capability < OLDEST_CAPABILITY:
            refused.append(
                f"{device}: expected compute capability {_dotted(OLDEST_CAPABILITY)} or later"
            )
        else:
            devices.append(device)
    if not devices:
        raise ResourceError(f"no GPU can be used: {'; '.join(refused)}")
    return devices


def _check_driver(known: tuple[int, int], needed: tuple[int, int]) -> None:
    """Raise ResourceError for a driver of an earlier major version than the toolkit's: within one, CUDA is compatible."""
    if known[0] < needed[0]:
        raise ResourceError(
            f"the GPU's driver is too old: it knows CUDA up to {_dotted(known)}, and the installed packages are of CUDA "
            f"{_dotted(needed)}; install a driver for CUDA {needed[0]} or later"
        )


def _describe(index: int, context: Any, driver: str) -> Device:
    memory, device = context.get_memory_info(), context.device
    name = device.name.decode() if isinstance(device.name, bytes) else str(device.name)
    capability = (int(device.compute_capability[0]), int(device.compute_capability[1]))
    return Device(
        index,
        name,
        capability,
        int(device.MULTIPROCESSOR_COUNT),
        int(memory.free),
        int(memory.total),
        driver,
        int(device.MAX_SHARED_MEMORY_PER_MULTIPROCESSOR),
    )


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(":. ") or type(error).__name__


def why_not(hyperparameters: Hyperparameters) -> str | None:
    """Return why a GPU can't train these hyperparameters, or None where it can."""
    settings = hyperparameters.model_dump()
    if isinstance(hyperparameters, Word2VecHyperparameters) and hyperparameters.loss != "ns":
        return f"loss={hyperparameters.loss} trains on the CPU: expected loss=ns on a GPU"
    if settings["vector_dim"] > LARGEST_DIM:
        return f"vector_dim={settings['vector_dim']}: expected {LARGEST_DIM} at most on a GPU"
    return None


def select_devices(device: str, hyperparameters: Hyperparameters) -> tuple[list[Device], str]:
    """Decide where to train.

    Args:
        device: one of `DEVICES`. `auto` takes the GPUs where there are some that can train, and the CPU otherwise; whether it pays is
            asked when the text is known.
        hyperparameters: of the run.

    Returns:
        The GPUs, none for the CPU, and a line that says what was chosen and why. A classifier gets one, that with most memory free.

    Raises:
        UsageError: `cuda` was asked for, and can't train these hyperparameters; or another device than those of `DEVICES`.
        MissingExtraError, ResourceError: `cuda` was asked for, and there is no GPU that can be used.
    """
    if device not in DEVICES:
        raise UsageError(f"device={device}: expected one of {', '.join(DEVICES)}")
    if device == "cpu":
        return [], "Training on the CPU"
    reason = why_not(hyperparameters)
    if reason:
        if device == "cuda":
            raise UsageError(f"device=cuda: {reason}")
        return [], f"Training on the CPU: {reason}"
    try:
        devices = find_devices()
    except (MissingExtraError, ResourceError) as error:
        if device == "cuda":
            raise
        return [], f"Training on the CPU: {error}"
    if isinstance(hyperparameters, SupervisedHyperparameters) and len(devices) > 1:
        largest = max(devices, key=lambda found: found.free)
        choice = f"Training on {largest}; mode=supervised trains on one of {len(devices)} GPUs"
        return [largest], choice
    return devices, "Training on " + "; ".join(map(str, devices))
