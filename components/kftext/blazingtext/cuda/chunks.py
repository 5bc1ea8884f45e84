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
        firsts, stops: int64[n, blocks], chunk i is the lines firsts[i, k] to stops[i, k] for each k.
        tokens: int64[n + 1], tokens before each chunk.
    """

    columns: Sequence[Column]
    firsts: npt.NDArray[np.int64]
    stops: npt.NDArray[np.int64]
    tokens: npt.NDArray[np.int64]

    @property
    def count(self) -> int:
        """How many chunks there are."""
        return len(self.firsts)

    @property
    def most_tokens(self) -> int:
        """Tokens of the largest chunk."""
        return int(np.diff(self.tokens).max())

    @property
    def sizes(self) -> list[int]:
        """For the values and the offsets of each column in turn, the most that a chunk has."""
        lines = int((self.stops - self.firsts).sum(axis=1).max())
        return [
            size
            for column in self.columns
            for size in (
                int((column.offsets[self.stops] - column.offsets[self.firsts]).sum(axis=1).max()),
                lines + 1,
            )
        ]


def cut_chunks(
    columns: Sequence[Column], replicas: int, most: int | None = None, blocks: int = 1
) -> Chunks:
    """Cut a text into chunks of whole lines, about as many tokens each, at least one for each replica where there are lines enough.

    Args:
        columns: of the text.
        replicas: GPUs that take chunks side by side.
        most: tokens of a chunk, but for what whole lines have more; by default 32 million, or 4 where there are several replicas.
        blocks: pieces that each chunk is made of; chunk i of n has the pieces i, i + n, i + 2n and so on of the text.
    """
    most = most or (_LARGEST_CHUNK if replicas == 1 else _LARGEST_OF_SEVERAL)
    before = columns[0].offsets
    for column in columns[1:]:
        before = before + column.offsets
    total, lines = int(before[-1]), len(before) - 1
    size = min(max(total // _CHUNKS_AN_EPOCH, SMALLEST_CHUNK), most, max(-(-total // replicas), 1))
    count = -(-total // size)
    wanted = np.arange(count * blocks) * size // blocks
    ends = np.searchsorted(before[:-1], wanted)
    ends = np.append(np.minimum(ends, lines), lines).astype(np.int64)
    ends[0] = 0
    firsts, stops = (part.reshape(blocks, count).T for part in (ends[:-1], ends[1:]))
    filled = (stops > firsts).any(axis=1)
    firsts, stops = firsts[filled], stops[filled]
    tokens = (before[stops] - before[firsts]).sum(axis=1)
    return Chunks(columns, firsts, stops, np.concatenate([[0], np.cumsum(tokens)]))


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
        firsts, stops = self._chunks.firsts[index], self._chunks.stops[index]
        ends = np.zeros(int((stops - firsts).sum()) + 1, np.int64)
        sizes = []
        for k, column in enumerate(self._chunks.columns):
            values, offsets = self._pinned[2 * k : 2 * k + 2]
            n, line = 0, 0
            for first, stop in zip(firsts.tolist(), stops.tolist(), strict=True):
                part = column.offsets[first : stop + 1]
                count = int(part[-1] - part[0])
                values[n : n + count] = column.values[part[0] : part[-1]]
                offsets[line : line + len(part)] = part - part[0] + n
                n, line = n + count, line + stop - first
            ends += offsets[: line + 1]
            sizes += [n, line + 1]
        # Streams take as many tokens each, to the nearest line.
        bounds = np.searchsorted(ends, np.linspace(0, ends[-1], self._streams + 1))
        bounds[-1] = len(ends) - 1
        self._pinned[-1][:] = bounds
        for pinned, device, n in zip(
            self._pinned, self._device, [*sizes, len(bounds)], strict=True
        ):
            if n:
                device[:n].copy_to_device(pinned[:n], stream=stream)
        for column in self._chunks.columns:
            release_pages(column.values)

    def as_kind(self, kind: Callable[..., Any]) -> Any:
        """Return what a kernel is handed: values and offsets of each column, and the bounds of the streams."""
        return kind(*self._device)
