"""One GPU's copy of a run: matrices, tables and streams in its memory, and the part of the corpus that is in training."""

from __future__ import annotations

import warnings
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import cuda

from kftext.blazingtext.cuda.device import Device
from kftext.blazingtext.cuda.kernels.compilation import SIMULATED
from kftext.blazingtext.cuda.kernels.shape import Shape
from kftext.blazingtext.cuda.kernels.state import (
    Lines,
    Sampling,
    Schedule,
    Scratch,
    Streams,
    Subwords,
    Weights,
)
from kftext.blazingtext.encoded import EncodedCorpus
from kftext.blazingtext.memory import release_pages

__all__ = ["Chunks", "Replica", "Tables"]


@dataclass(frozen=True)
class Tables:
    """What all replicas have alike, on the host.

    Attributes:
        keep: uint32[words], see `kernels.sampling.keep_thresholds`.
        negatives: uint64[words], entries of the alias table of negatives.
        offsets, rows: int64[words + 1] and int32[n], what words are made of; placeholders without subwords.
        schedule: of the learning rate, for one replica.
    """

    keep: npt.NDArray[np.uint32]
    negatives: npt.NDArray[np.uint64]
    offsets: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int32]
    schedule: Schedule


@dataclass(frozen=True)
class Chunks:
    """A corpus in parts that a GPU is handed one after the other.

    Attributes:
        corpus: the whole.
        firsts: int64[n + 1], chunk i is the lines firsts[i] to firsts[i + 1].
        tokens: int64[n + 1], tokens before each chunk.
    """

    corpus: EncodedCorpus
    firsts: npt.NDArray[np.int64]
    tokens: npt.NDArray[np.int64]

    @property
    def most_tokens(self) -> int:
        """Tokens of the largest chunk."""
        return int(np.diff(self.tokens).max())

    @property
    def most_lines(self) -> int:
        """Most lines of a chunk."""
        return int(np.diff(self.firsts).max())


class _Buffer:
    """A chunk in pinned memory of the host and in device memory."""

    def __init__(self, tokens: int, lines: int, streams: int):
        sizes = {"ids": tokens, "offsets": lines + 1, "bounds": streams + 1}
        self._pinned = {name: cuda.pinned_array(size, np.int32) for name, size in sizes.items()}
        self._device = {name: cuda.device_array(size, np.int32) for name, size in sizes.items()}

    def fill(self, chunks: Chunks, index: int, streams: int, stream: Any) -> None:
        """Begin to copy a chunk to the GPU. What was copied last must have been trained."""
        # The pinned memory may still be on its way, where a chunk was prepared and then not trained.
        stream.synchronize()
        first, stop = chunks.firsts[index], chunks.firsts[index + 1]
        offsets = chunks.corpus.line_offsets[first : stop + 1]
        begin, tokens = offsets[0], int(offsets[-1] - offsets[0])
        offsets = (offsets - begin).astype(np.int32)
        # Streams take as many tokens each, to the nearest line.
        wanted = np.linspace(0, tokens, streams + 1)
        bounds = np.searchsorted(offsets, wanted).astype(np.int32)
        bounds[-1] = len(offsets) - 1
        contents = {
            "ids": chunks.corpus.ids[begin : begin + tokens],
            "offsets": offsets,
            "bounds": bounds,
        }
        for name, content in contents.items():
            n = len(content)
            self._pinned[name][:n] = content
            self._device[name][:n].copy_to_device(self._pinned[name][:n], stream=stream)
        release_pages(chunks.corpus.ids)

    @property
    def lines(self) -> Lines:
        return Lines(**self._device)


class Replica:
    """A run's state on one GPU.

    Args:
        device: the GPU.
        kernel: of the shape.
        shape: what it was compiled for.
        chunks: of the corpus.
        tables: what the host has prepared.
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
        kernel: Any,
        shape: Shape,
        chunks: Chunks,
        tables: Tables,
        matrices: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]],
        streams: int,
    ):
        self.device, self.streams = device, streams
        self._kernel, self._shape, self._chunks, self._schedule = (
            kernel,
            shape,
            chunks,
            tables.schedule,
        )
        with self.context():
            self.stream, self._copy = cuda.stream(), cuda.stream()
            self.weights = Weights(*(cuda.device_array(len(m), np.float32) for m in matrices))
            self._sampling = Sampling(cuda.to_device(tables.keep), cuda.to_device(tables.negatives))
            self._subwords = Subwords(cuda.to_device(tables.offsets), cuda.to_device(tables.rows))
            self._streams = Streams(
                cuda.to_device(np.zeros(streams, np.uint64)),
                cuda.to_device(np.zeros(2 * streams)),
                cuda.to_device(np.zeros(1, np.int64)),
            )
            self._scratch = Scratch(
                cuda.device_array(max(streams * shape.scratch_floats, 1), np.float32),
                cuda.device_array(max(streams * shape.scratch_integers, 1), np.int32),
            )
            self._buffers = [
                _Buffer(chunks.most_tokens, chunks.most_lines, streams) for _ in range(2)
            ]
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
            self._buffers[self._next].fill(self._chunks, index, self.streams, self._copy)

    def launch(self) -> None:
        """Begin to train the chunk prepared last."""
        with self.context(), warnings.catch_warnings():
            # Numba finds few blocks odd; how many there are is what `launch` is about.
            warnings.filterwarnings("ignore", "Grid size")
            self._copy.synchronize()
            self._kernel[self.streams, self._shape.lanes, self.stream](
                self._buffers[self._next].lines,
                self.weights,
                self._sampling,
                self._subwords,
                self._schedule,
                self._streams,
                self._scratch,
            )
        self._next = 1 - self._next

    def wait(self) -> None:
        """Wait until the chunk is trained."""
        with self.context():
            self.stream.synchronize()
