"""A text in parts, and how a part gets into a GPU's memory while another is trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import cuda

from kftext.blazingtext.memory import release_pages

__all__ = ["Buffer", "Chunks", "Column", "cut_chunks"]

SMALLEST_CHUNK, _LARGEST_CHUNK = 1 << 22, 1 << 25
_LARGEST_OF_SEVERAL = 1 << 22
_CHUNKS_AN_EPOCH = 8


@dataclass(frozen=True)
class Column:
    """What lines have of one kind, words or labels: line i has values[offsets[i]:offsets[i + 1]].

    Attributes:
        values: int32[n], may be memory-mapped.
        offsets: int64[lines + 1], from 0 to n.
    """

    values: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Chunks:
    """A text in parts that a GPU is handed one after the other.

    Attributes:
        columns: the whole. What they hold are tokens.
        firsts: int64[n + 1], chunk i is the lines firsts[i] to firsts[i + 1].
        tokens: int64[n + 1], tokens before each chunk.
    """

    columns: Sequence[Column]
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

    @property
    def sizes(self) -> list[int]:
        """For the values and the offsets of each column in turn, the most that a chunk has."""
        return [
            size
            for column in self.columns
            for size in (int(np.diff(column.offsets[self.firsts]).max()), self.most_lines + 1)
        ]


def cut_chunks(columns: Sequence[Column], replicas: int, most: int | None = None) -> Chunks:
    """Cut a text into chunks of whole lines, about as many tokens each, at least one for each replica where there are lines enough.

    Args:
        columns: of the text.
        replicas: GPUs that take chunks side by side.
        most: tokens of a chunk, but for what a whole line has more; by default 32 million, or 4 where there are several replicas.
    """
    most = most or (_LARGEST_CHUNK if replicas == 1 else _LARGEST_OF_SEVERAL)
    before = columns[0].offsets
    for column in columns[1:]:
        before = before + column.offsets
    total, lines = int(before[-1]), len(before) - 1
    size = min(max(total // _CHUNKS_AN_EPOCH, SMALLEST_CHUNK), most, max(-(-total // replicas), 1))
    firsts = np.unique(np.searchsorted(before[:-1], np.arange(0, total, size)))
    firsts = np.append(firsts[firsts < lines], lines).astype(np.int64)
    firsts[0] = 0
    return Chunks(columns, firsts, before[firsts])


class Buffer:
    """A chunk in pinned memory of the host and in device memory."""

    def __init__(self, chunks: Chunks, streams: int):
        sizes = [*chunks.sizes, streams + 1]
        self._chunks, self._streams = chunks, streams
        self._pinned = [cuda.pinned_array(max(size, 1), np.int32) for size in sizes]
        self._device = [cuda.device_array(max(size, 1), np.int32) for size in sizes]

    def fill(self, index: int, stream: Any) -> None:
        """Begin to copy a chunk to the GPU. What was copied last must have been trained."""
        # The pinned memory may still be on its way, where a chunk was prepared and then not trained.
        stream.synchronize()
        first, stop = self._chunks.firsts[index], self._chunks.firsts[index + 1]
        contents: list[npt.NDArray[np.int32]] = []
        ends = np.zeros(stop - first + 1, np.int64)
        for column in self._chunks.columns:
            offsets = column.offsets[first : stop + 1]
            contents.append(column.values[offsets[0] : offsets[-1]])
            contents.append((offsets - offsets[0]).astype(np.int32))
            ends += contents[-1]
        # Streams take as many tokens each, to the nearest line.
        bounds = np.searchsorted(ends, np.linspace(0, ends[-1], self._streams + 1))
        bounds[-1] = stop - first
        contents.append(bounds.astype(np.int32))
        for pinned, device, content in zip(self._pinned, self._device, contents, strict=True):
            n = len(content)
            if n:
                pinned[:n] = content
                device[:n].copy_to_device(pinned[:n], stream=stream)
        for column in self._chunks.columns:
            release_pages(column.values)

    def as_kind(self, kind: Callable[..., Any]) -> Any:
        """Return what a kernel is handed: values and offsets of each column, and the bounds of the streams."""
        return kind(*self._device)
