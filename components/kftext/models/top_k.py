"""The k best of a list of scores, in the very order in which fastText returns them.

Equal scores are common: the logarithm of a small probability, and a sigmoid read from a table, take few values. fastText
keeps the best in a heap of the C++ standard library, so that the order of equals is the heap's. Where no two scores at
the border or above it are equal, sorting gives the same; else the heap is played through.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

__all__ = ["BestHeap", "top_k"]

Entry = tuple[float, int]


class BestHeap:
    """The k best entries seen so far: libstdc++'s `push_heap`, `pop_heap` and `sort_heap` with "greater" as order.

    Args:
        k: how many entries to keep.
    """

    def __init__(self, k: int):
        self.k = k
        self.entries: list[Entry] = []

    @property
    def floor(self) -> float:
        """The score below which nothing enters."""
        return self.entries[0][0] if len(self.entries) == self.k else -math.inf

    def offer(self, score: float, index: int) -> None:
        """Add an entry; the smallest leaves when there are more than k."""
        if score < self.floor:
            return
        entries = self.entries
        entries.append((score, index))
        self._sift_up(len(entries) - 1, 0)
        if len(entries) > self.k:
            self._pop(len(entries))
            entries.pop()

    def sorted(self) -> list[Entry]:
        """Return the entries, best first. The heap is spent."""
        for length in range(len(self.entries), 1, -1):
            self._pop(length)
        return self.entries

    def _sift_up(self, hole: int, top: int) -> None:
        entries = self.entries
        value = entries[hole]
        parent = (hole - 1) // 2
        while hole > top and entries[parent][0] > value[0]:
            entries[hole] = entries[parent]
            hole, parent = parent, (parent - 1) // 2
        entries[hole] = value

    def _pop(self, length: int) -> None:
        """Move the smallest of the first `length` entries behind the rest of them."""
        entries = self.entries
        last = length - 1
        value, entries[last] = entries[last], entries[0]
        hole = child = 0
        while child < (last - 1) // 2:
            child = 2 * (child + 1)
            if entries[child][0] > entries[child - 1][0]:
                child -= 1
            entries[hole] = entries[child]
            hole = child
        if last % 2 == 0 and child == (last - 2) // 2:
            child = 2 * (child + 1)
            entries[hole] = entries[child - 1]
            hole = child - 1
        entries[hole] = value
        self._sift_up(hole, 0)


def top_k(scores: npt.NDArray[np.float32], k: int) -> list[Entry]:
    """Return (score, index) of the k best scores, best first; equal ones in fastText's order.

    Args:
        scores: float32[n], none of them NaN; -inf marks what must not be returned.
        k: how many; all of them where there are fewer.
    """
    k = min(k, len(scores))
    if k == 1:
        # A heap of one keeps the last of several equals.
        best = len(scores) - 1 - int(np.argmax(scores[::-1]))
        score = float(scores[best])
        return [(score, best)] if score > -math.inf else []
    if k <= 0:
        return []
    if len(scores) > k + 1:
        candidates = np.argpartition(-scores, k)[: k + 1]
    else:
        candidates = np.arange(len(scores))
    order = candidates[np.argsort(-scores[candidates])]
    order = order[scores[order] > -math.inf]
    best_scores = scores[order]
    if (best_scores[:-1] > best_scores[1:]).all():
        return list(zip(best_scores[:k].tolist(), order[:k].tolist(), strict=True))
    heap = BestHeap(k)
    for index, score in enumerate(scores.tolist()):
        if score > -math.inf and score >= heap.floor:
            heap.offer(score, index)
    return heap.sorted()
