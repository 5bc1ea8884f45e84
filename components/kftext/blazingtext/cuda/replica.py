"""One GPU's copy of a run: matrices, tables and streams in its memory, and the part of the corpus that is in training."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import cuda

from kftext.blazingtext.cuda.chunks import Buffer, Chunks
from kftext.blazingtext.cuda.device import Device
from kftext.blazingtext.cuda.kernels.compilation import SIMULATED
from kftext.blazingtext.cuda.kernels.shape import RowShape
from kftext.blazingtext.cuda.kernels.state import Scratch, Streams, Weights

__all__ = ["Program", "Replica"]


@dataclass(frozen=True)
class Program:
    """What all replicas of a run have alike.

    Attributes:
        kernel: of the shape; its arguments are a chunk, `Weights`, the tables, `Streams` and `Scratch`.
        shape: what it was compiled for.
        kind: makes the first argument from a chunk's arrays: `state.Lines` or `state.Texts`.
        chunks: of the text.
        tables: named tuples of arrays and numbers, on the host.
    """

    kernel: Any
    shape: RowShape
    kind: Callable[..., Any]
    chunks: Chunks
    tables: Sequence[tuple[Any, ...]]

    @property
    def table_bytes(self) -> int:
        """Device memory that the tables take."""
        return sum(
            member.nbytes
            for table in self.tables
            for member in table
            if isinstance(member, np.ndarray)
        )


class Replica:
    """A run's state on one GPU.

    Args:
        device: the GPU.
        program: what is run on it.
        matrices: float32, flat: input and output, as large as those on the GPU.
        streams: how many train at once.

    Attributes:
        device: the GPU.
        streams: how many train at once.
        weights: the matrices.
        stream: the CUDA stream that trains.
    """

    def __init__(
        self,
        device: Device,
        program: Program,
        matrices: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]],
        streams: int,
    ):
        self.device, self.streams, self._program = device, streams, program
        shape = program.shape
        with self.context():
            self.stream, self._copy = cuda.stream(), cuda.stream()
            self.weights = Weights(*(cuda.device_array(len(m), np.float32) for m in matrices))
            self._tables = [_to_device(table) for table in program.tables]
            self._streams = Streams(
                cuda.to_device(np.zeros(streams, np.uint64)),
                cuda.to_device(np.zeros(2 * streams)),
                cuda.to_device(np.zeros(1, np.int64)),
            )
            self._scratch = Scratch(
                cuda.device_array(max(streams * shape.scratch_floats, 1), np.float32),
                cuda.device_array(max(streams * shape.scratch_integers, 1), np.int32),
            )
            self._buffers = [Buffer(program.chunks, streams) for _ in range(2)]
            # What comes from pageable memory may be under way when its copy returns.
            cuda.synchronize()
        self._next = 0

    def context(self) -> AbstractContextManager[Any]:
        """Return what makes this replica's GPU the current one."""
        managed: AbstractContextManager[Any] = cuda.gpus[self.device.index]
        return managed

    def copy(self, source: Any, of: Replica, target: Any, to: Replica) -> None:
        """Begin to copy between device arrays of as many elements, of one replica and to another, behind what this one has to do."""
        with self.context():
            if SIMULATED or of.device.index == to.device.index:
                target.copy_to_device(source, stream=self.stream)
                return
            from numba.cuda.cudadrv.driver import device_pointer, driver

            driver.cuMemcpyPeerAsync(
                device_pointer(target),
                cuda.gpus[to.device.index].get_primary_context().handle,
                device_pointer(source),
                cuda.gpus[of.device.index].get_primary_context().handle,
                source.size * source.dtype.itemsize,
                self.stream.handle,
            )

    def write_matrices(self, matrices: tuple[npt.NDArray[np.float32], ...]) -> None:
        """Copy matrices from the host."""
        with self.context():
            for target, source in zip(self.weights, matrices, strict=True):
                target.copy_to_device(source)
            cuda.synchronize()

    def read_matrices(self, matrices: tuple[npt.NDArray[np.float32], ...]) -> None:
        """Copy the matrices to the host."""
        with self.context():
            for source, target in zip(self.weights, matrices, strict=True):
                source.copy_to_host(target)

    def write_streams(
        self, random: npt.NDArray[np.uint64], totals: npt.NDArray[np.float64], done: int
    ) -> None:
        """Set the states of the generators, uint64[streams], the totals, float64[streams, 2], and the tokens done."""
        values = random, totals.ravel(), np.array([done], np.int64)
        with self.context():
            for target, value in zip(self._streams, values, strict=True):
                target.copy_to_device(np.ascontiguousarray(value))
            cuda.synchronize()

    def read_streams(self) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.float64]]:
        """Return the states of the generators and the totals."""
        with self.context():
            return self._streams.random.copy_to_host(), self._streams.totals.copy_to_host().reshape(
                -1, 2
            )

    def prepare(self, index: int) -> None:
        """Begin to copy a chunk to the GPU, while it trains another."""
        with self.context():
            self._buffers[self._next].fill(index, self._copy)

    def launch(self) -> None:
        """Begin to train the chunk prepared last."""
        with self.context(), warnings.catch_warnings():
            # Numba finds few blocks odd; how many there are is what `launch` is about.
            warnings.filterwarnings("ignore", "Grid size")
            self._copy.synchronize()
            program = self._program
            program.kernel[self.streams, program.shape.lanes, self.stream](
                self._buffers[self._next].as_kind(program.kind),
                self.weights,
                *self._tables,
                self._streams,
                self._scratch,
            )
        self._next = 1 - self._next

    def wait(self) -> None:
        """Wait until the chunk is trained."""
        with self.context():
            self.stream.synchronize()


def _to_device(table: tuple[Any, ...]) -> Any:
    """Return a named tuple with its arrays in device memory."""
    return type(table)(
        *(cuda.to_device(member) if isinstance(member, np.ndarray) else member for member in table)
    )
