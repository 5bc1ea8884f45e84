"""The tree of hierarchical softmax: a Huffman code over the labels' counts.

Mikolov et al., "Efficient Estimation of Word Representations in Vector Space", 2013, section 3; the walk for the k best
labels is that of Joulin et al., "Bag of Tricks for Efficient Text Classification", 2016, section 2.1. Inner node i has
row i of the output matrix; a right turn has the sigmoid of its product with the hidden vector as probability.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kftext.errors import ModelFormatError
from kftext.models.top_k import BestHeap, Entry

__all__ = ["HuffmanTree"]

_UNBUILT = 10**15
"""fastText's count of a node that is not built yet: larger than that of any that is."""


class HuffmanTree:
    """The code tree, built as fastText builds it: nodes 0 to n - 1 are the labels, the last one is the root.

    Args:
        counts: int64[n], occurrences of each label, in descending order.

    Attributes:
        left, right: int32[2n - 1], children of each node, -1 for a label.

    Raises:
        ModelFormatError: no tree can be built from the counts.
    """

    def __init__(self, counts: npt.ArrayLike):
        weights = np.asarray(counts, dtype=np.int64).tolist()
        self.size = n = len(weights)
        if n == 0:
            raise ModelFormatError("a hierarchical softmax without labels")
        weights += [_UNBUILT] * (n - 1)
        left, right = [-1] * (2 * n - 1), [-1] * (2 * n - 1)
        leaf, node = n - 1, n
        for parent in range(n, 2 * n - 1):
            children = []
            for _ in range(2):
                if leaf >= 0 and weights[leaf] < weights[node]:
                    children.append(leaf)
                    leaf -= 1
                elif node < parent:
                    children.append(node)
                    node += 1
                else:
                    raise ModelFormatError(
                        f"no Huffman tree: a label has the impossible count {weights[leaf]}"
                    )
            left[parent], right[parent] = children
            weights[parent] = weights[children[0]] + weights[children[1]]
        self.left = np.array(left, dtype=np.int32)
        self.right = np.array(right, dtype=np.int32)
        self._children = list(zip(left, right, strict=True))

    def paths(self) -> list[tuple[list[int], list[bool]]]:
        """Return for each label the inner nodes from the leaf to the root, and whether each turn is a right one."""
        parents = np.full(2 * self.size - 1, -1)
        inner = np.arange(self.size, 2 * self.size - 1)
        parents[self.left[inner]] = inner
        parents[self.right[inner]] = inner
        result = []
        for label in range(self.size):
            nodes, turns, node = [], [], label
            while parents[node] >= 0:
                parent = int(parents[node])
                nodes.append(parent - self.size)
                turns.append(bool(self.right[parent] == node))
                node = parent
            result.append((nodes, turns))
        return result

    def best(self, products: npt.NDArray[np.float32], k: int, log_threshold: float) -> list[Entry]:
        """Return (log probability, label) of the k best labels, best first.

        Args:
            products: float32[>= n - 1], product of each inner node's row and the hidden vector.
            k: how many.
            log_threshold: labels below it are left out.
        """
        powers = np.exp(-products.astype(np.float64)).astype(np.float32)
        right = 1.0 / (1.0 + powers)
        # fastText's arithmetic: the sum in float32, the logarithm of a float32 shifted by 1e-5 in float64.
        log_right = _log(right).tolist()
        log_left = _log((1.0 - right.astype(np.float64)).astype(np.float32)).tolist()
        heap = BestHeap(k)
        size, children, float32 = self.size, self._children, np.float32
        stack = [(2 * size - 2, 0.0)]
        while stack:
            node, score = stack.pop()
            if score < log_threshold or score < heap.floor:
                continue
            if node < size:
                heap.offer(score, node)
                continue
            left, right_child = children[node]
            inner = node - size
            stack.append((right_child, float(float32(score + log_right[inner]))))
            stack.append((left, float(float32(score + log_left[inner]))))
        return heap.sorted()


def _log(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.log(values.astype(np.float64) + 1e-5).astype(np.float32)
