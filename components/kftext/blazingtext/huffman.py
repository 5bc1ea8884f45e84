"""Huffman codes of words or labels by frequency, for hierarchical softmax (Model::buildTree and HierarchicalSoftmaxLoss of fastText)."""

from __future__ import annotations

import numpy as np

from kftext.blazingtext.kernels.compilation import kernel
from kftext.blazingtext.kernels.state import Paths

__all__ = ["build_paths"]

_NONE = np.int64(1) << np.int64(60)


@kernel
def _parents(counts, parent, turn):
    """Build the tree over counts in descending order: parents and turns of the leaves, then of the inner nodes."""
    n = counts.size
    count = np.full(2 * n - 1, _NONE)
    count[:n] = counts
    leaf, inner = n - 1, n
    for node in range(n, 2 * n - 1):
        total = 0
        for child_turn in range(2):
            # Leaves from the rarest up, inner nodes in the order of their making (those to come count as endless):
            # the lesser of the two heads comes next.
            if leaf >= 0 and count[leaf] < count[inner]:
                child = leaf
                leaf -= 1
            else:
                child = inner
                inner += 1
            total += count[child]
            parent[child] = node
            turn[child] = child_turn
        count[node] = total


@kernel
def _fill_paths(parent, turn, n, offsets, nodes, turns):
    """Write each leaf's way up to the root; with empty `nodes`, count only."""
    position = 0
    for leaf in range(n):
        node = leaf
        while parent[node] >= 0:
            if nodes.size > 0:
                nodes[position] = parent[node] - n
                turns[position] = turn[node]
            position += 1
            node = parent[node]
        offsets[leaf + 1] = position


def build_paths(counts: np.ndarray) -> Paths:
    """Return the Huffman path of each word or label, from the leaf up. Inner nodes count from 0: node i is row i of the output matrix.

    The tree is fastText's, ties and all, so that its models and these can be taken for one another.

    Args:
        counts: int64[n] in descending order, n >= 1.
    """
    n = len(counts)
    parent, turn = np.full(2 * n - 1, -1, np.int64), np.zeros(2 * n - 1, np.float32)
    _parents(np.ascontiguousarray(counts, np.int64), parent, turn)
    offsets = np.zeros(n + 1, np.int64)
    _fill_paths(parent, turn, n, offsets, np.zeros(0, np.int32), np.zeros(0, np.float32))
    nodes, turns = np.zeros(offsets[-1], np.int32), np.zeros(offsets[-1], np.float32)
    _fill_paths(parent, turn, n, offsets, nodes, turns)
    return Paths(offsets, nodes, turns)
