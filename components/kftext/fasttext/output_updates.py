"""Updates of a classifier's output matrix, one example at a time, by every loss of fastText (its `loss.cc`).

Softmax and one-vs-all go over all rows; hierarchical softmax over those on the way to the root of a Huffman tree (Mikolov et al.,
"Efficient Estimation of Word Representations in Vector Space", 2013, section 3); negative sampling over the target's and some
drawn ones (Mikolov et al., "Distributed Representations of Words and Phrases and their Compositionality", 2013, section 2.2).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from numba import njit

from kftext.models import Loss
from kftext.models.compiled.compilation import compiled
from kftext.models.hierarchical_softmax import HuffmanTree

__all__ = ["draw", "tree_paths", "update_output"]

_SOFTMAX, _OVA, _HS = int(Loss.SOFTMAX), int(Loss.OVA), int(Loss.HS)


@compiled
def draw(state):
    """The next number of a xorshift generator (Marsaglia, 2003), uint64[1]."""
    x = state[0]
    x ^= x << np.uint64(13)
    x ^= x >> np.uint64(7)
    x ^= x << np.uint64(17)
    state[0] = x
    return x


@compiled
def _update_row(output, row, hidden, gradient, rate, positive):
    """One binary decision: move an output row, collect what the hidden vector should move by; return the loss."""
    dot = np.float32(0)
    for j in range(hidden.size):
        dot += output[row, j] * hidden[j]
    score = 1.0 / (1.0 + math.exp(-dot))
    alpha = np.float32(rate * ((1.0 if positive else 0.0) - score))
    for j in range(hidden.size):
        gradient[j] += alpha * output[row, j]
        output[row, j] += alpha * hidden[j]
    return -math.log(max(score if positive else 1.0 - score, 1e-9))


@njit(nogil=True, error_model="numpy", fastmath={"contract", "reassoc"})
def _update_softmax(output, target, hidden, gradient, rate, scores):
    """One decision among all labels; return the loss."""
    labels, dim = output.shape
    largest = np.float32(-np.inf)
    for row in range(labels):
        dot = np.float32(0)
        for j in range(dim):
            dot += output[row, j] * hidden[j]
        scores[row] = dot
        largest = max(largest, dot)
    total = np.float32(0)
    for row in range(labels):
        scores[row] = math.exp(scores[row] - largest)
        total += scores[row]
    for row in range(labels):
        probability = scores[row] / total
        alpha = np.float32(rate * ((1.0 if row == target else 0.0) - probability))
        for j in range(dim):
            gradient[j] += alpha * output[row, j]
            output[row, j] += alpha * hidden[j]
    return -math.log(max(scores[target] / total, 1e-9))


@compiled
def _contains(values, count, value):
    i = 0
    while i < count and values[i] != value:
        i += 1
    return i < count


@compiled
def update_output(
    output, loss, labels, count, hidden, gradient, rate, scores, tree, negatives, random
):
    """Train the output matrix on one example.

    Args:
        output: float32[targets, dim], updated.
        loss: a `Loss` by its number.
        labels: int64[...], the targets that are right; losses other than one-vs-all draw one of them.
        count: how many of them there are, at least 1.
        hidden: float32[dim].
        gradient: float32[dim], added to: what the hidden vector should move by.
        rate: learning rate.
        scores: float32[targets], scratch.
        tree: what `tree_paths` returns, for hierarchical softmax.
        negatives: how many to draw, and float64[targets], the running sum of the weights by which they are drawn.
        random: uint64[1], state of the generator.

    Returns:
        The loss.
    """
    total = 0.0
    if loss == _OVA:
        for row in range(output.shape[0]):
            positive = _contains(labels, count, row)
            total += _update_row(output, row, hidden, gradient, rate, positive)
        return total
    target = labels[draw(random) % np.uint64(count)]
    if loss == _SOFTMAX:
        return _update_softmax(output, target, hidden, gradient, rate, scores)
    offsets, nodes, turns = tree
    if loss == _HS:
        for i in range(offsets[target], offsets[target + 1]):
            total += _update_row(output, nodes[i], hidden, gradient, rate, turns[i])
        return total
    total = _update_row(output, target, hidden, gradient, rate, True)
    wanted, cumulative = negatives
    if output.shape[0] < 2:
        return total
    for _ in range(wanted):
        other = target
        while other == target:
            share = np.float64(draw(random) >> np.uint64(11)) / 9007199254740992.0
            other = np.searchsorted(cumulative, share * cumulative[-1], side="right")
        total += _update_row(output, other, hidden, gradient, rate, False)
    return total


def tree_paths(
    tree: HuffmanTree | None,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return the path of each label from leaf to root: offsets int64[labels + 1], inner nodes, right turns."""
    if tree is None:
        return np.zeros(1, np.int64), np.zeros(0, np.int64), np.zeros(0, np.bool_)
    paths = tree.paths()
    offsets = np.zeros(len(paths) + 1, dtype=np.int64)
    np.cumsum([len(nodes) for nodes, _ in paths], out=offsets[1:])
    nodes = np.array([node for nodes, _ in paths for node in nodes], dtype=np.int64)
    turns = np.array([turn for _, turns in paths for turn in turns], dtype=np.bool_)
    return offsets, nodes, turns
