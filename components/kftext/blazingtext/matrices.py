"""Matrices while they are trained: rows padded and aligned, so that each is a whole number of cache lines."""

from __future__ import annotations

import mmap
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from kftext.blazingtext.hogwild import EpochRecord
from kftext.blazingtext.kernels.compilation import kernel
from kftext.blazingtext.kernels.simd import LANES
from kftext.errors import ResourceError

__all__ = [
    "Matrices",
    "allocate_rows",
    "compact",
    "fill_uniform",
    "stride_for",
    "view",
]

Float32Array = npt.NDArray[np.float32]
_HUGE_PAGE = 2 << 20
_CHUNK_ROWS = 1 << 16


@dataclass(frozen=True)
class Matrices:
    """What training ends with.

    Attributes:
        input: float32[rows, dim], C-contiguous: words, then the rows of n-grams.
        output: float32[words, labels or inner nodes; dim], C-contiguous.
        curve: the learning curve, one record an epoch trained.
        best_epoch: the epoch that the matrices are from: the last one, or with early stopping the best one.
    """

    input: Float32Array
    output: Float32Array
    curve: list[EpochRecord] = field(default_factory=list)
    best_epoch: int = 0


def stride_for(dim: int) -> int:
    """Return the floats set aside for a row of `dim`."""
    return -(-dim // LANES) * LANES


def allocate_rows(rows: int, stride: int) -> Float32Array:
    """Return float32[rows * stride] zeros that start at a page, in huge pages where the system has them: rows are read at random.

    Raises:
        ResourceError: there is not so much memory.
    """
    size = max(rows * stride * 4, mmap.PAGESIZE)
    try:
        if size < _HUGE_PAGE:
            return _align(np.zeros(rows * stride + LANES, np.float32), 64)[: rows * stride]
        return _align(np.zeros(rows * stride + _HUGE_PAGE // 4, np.float32), _HUGE_PAGE)[
            : rows * stride
        ]
    except MemoryError:
        raise ResourceError(
            f"a matrix of {rows} rows of {stride} numbers needs {size / 2**30:.1f} GiB, which can't be had: "
            "lower buckets or vector_dim, or raise min_count"
        ) from None


def _align(array: Float32Array, alignment: int) -> Float32Array:
    return array[(-array.ctypes.data % alignment) // array.itemsize :]


def view(flat: Float32Array, rows: int, dim: int, stride: int) -> Float32Array:
    """Return the first `rows` rows as float32[rows, dim], without a copy."""
    return flat[: rows * stride].reshape(rows, stride)[:, :dim]


def fill_uniform(matrix: Float32Array, bound: float, generator: np.random.Generator) -> None:
    """Fill a matrix with numbers drawn evenly from -bound to bound, some rows at a time to need little memory."""
    for first in range(0, len(matrix), _CHUNK_ROWS):
        part = matrix[first : first + _CHUNK_ROWS]
        part[:] = (generator.random(part.shape, np.float32) - np.float32(0.5)) * np.float32(
            2 * bound
        )


@kernel
def _close_up(flat, rows, dim, stride):
    for row in range(1, rows):
        for d in range(dim):
            flat[row * dim + d] = flat[row * stride + d]


def compact(flat: Float32Array, rows: int, dim: int, stride: int) -> Float32Array:
    """Return the rows without their padding as float32[rows, dim], C-contiguous, in the same memory: `flat` is used up."""
    if dim != stride:
        _close_up(flat, rows, dim, stride)
    return flat[: rows * dim].reshape(rows, dim)
