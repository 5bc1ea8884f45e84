"""Precision at one of a classifier in training: the share of examples whose most probable label is one of theirs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from kftext.blazingtext.hyperparameters import SupervisedHyperparameters
from kftext.blazingtext.kernels.compilation import kernel
from kftext.blazingtext.kernels.features import collect_rows
from kftext.blazingtext.supervised_data import SupervisedData, features_of
from kftext.models.hierarchical_softmax import HuffmanTree

__all__ = ["Accuracy"]

_EXAMPLES_AT_A_TIME = 1024
_SIGMOID_STEPS = 512

Float32Array = npt.NDArray[np.float32]


class Accuracy:
    """Asks a classifier for the labels of the same examples again and again.

    Args:
        data: the examples, read with the vocabulary of the training data.
        hyperparameters: of the training.
        threads: how many go over the examples at once.
    """

    def __init__(
        self, data: SupervisedData, hyperparameters: SupervisedHyperparameters, threads: int
    ):
        self._examples, self._threads, self._loss = data.examples, threads, hyperparameters.loss
        self._allocate_features = features_of(data, hyperparameters)
        self._tree = HuffmanTree(data.label_counts) if self._loss == "hs" else None

    def __call__(self, input: Float32Array, output: Float32Array) -> float:
        """Return the precision at one, 0 to 1; NaN where no example has a feature.

        Args:
            input: float32[words + buckets, dim], each row contiguous.
            output: float32[labels, dim], or inner nodes for hierarchical softmax.
        """
        count = self._examples.example_count
        starts = range(0, count, _EXAMPLES_AT_A_TIME)
        with ThreadPoolExecutor(self._threads) as pool:
            parts = list(pool.map(lambda first: self._count(first, input, output), starts))
        right, judged = np.sum(parts, axis=0) if parts else (0, 0)
        return float(right / judged) if judged else float("nan")

    def _count(self, first: int, input: Float32Array, output: Float32Array) -> tuple[int, int]:
        """Return right answers and examples among those from `first` on."""
        examples = self._examples
        stop = min(first + _EXAMPLES_AT_A_TIME, examples.example_count)
        offsets = examples.line_offsets[first : stop + 1]
        label_offsets = examples.label_offsets[first : stop + 1]
        ids = np.array(examples.ids[offsets[0] : offsets[-1]])
        labels = examples.labels[label_offsets[0] : label_offsets[-1]]
        hidden = np.zeros((stop - first, input.shape[1]), np.float32)
        has_rows = np.zeros(stop - first, np.bool_)
        # Rows may be padded; the kernel takes the whole as one flat array and the distance between two rows.
        stride = input.strides[0] // input.itemsize
        flat = np.lib.stride_tricks.as_strided(
            input, ((len(input) - 1) * stride + input.shape[1],), (input.itemsize,)
        )
        features = self._allocate_features()
        _hidden(ids, offsets - offsets[0], features, flat, stride, hidden, has_rows)
        scores = hidden @ output.T
        best = self._best_labels(scores)
        owner = np.repeat(np.arange(stop - first), np.diff(label_offsets))
        right = np.zeros(stop - first, bool)
        right[owner[labels == best[owner]]] = True
        return int((right & has_rows).sum()), int(has_rows.sum())

    def _best_labels(self, scores: Float32Array) -> npt.NDArray[np.int64]:
        """Return int64[n], the label that fastText predicts from float32[n, labels] scores."""
        if self._tree is not None:
            best = np.zeros(len(scores), np.int64)
            _best_leaves(np.ascontiguousarray(scores), self._tree.left, self._tree.right, best)
            return best
        if self._loss == "softmax":
            return scores.argmax(axis=1)
        # Its sigmoid is a table: scores of one step are one probability, and of equal labels the last one is named.
        step = ((scores + np.float32(8)) * np.float32(_SIGMOID_STEPS / 16)).astype(np.int32)
        step[scores < -8], step[scores > 8] = -1, _SIGMOID_STEPS + 1
        return scores.shape[1] - 1 - step[:, ::-1].argmax(axis=1)


@kernel
def _hidden(ids, offsets, features, matrix, stride, hidden, has_rows):
    """Set hidden[i] to the mean of the rows of text i: words and n-grams."""
    for i in range(offsets.size - 1):
        count = collect_rows(
            ids, offsets[i], offsets[i + 1], features, matrix, stride, features.rows
        )
        has_rows[i] = count > 0
        for k in range(count):
            row = features.rows[k]
            for d in range(hidden.shape[1]):
                hidden[i, d] += matrix[row + d]
        for d in range(hidden.shape[1]):
            hidden[i, d] /= np.float32(max(count, 1))


@kernel
def _best_leaves(scores, left, right, best):
    """Find the most probable leaf by depth-first search; branches less probable than the best leaf so far are left out."""
    leaves = (left.size + 1) // 2
    stack, logs = np.empty(left.size, np.int64), np.empty(left.size, np.float64)
    for i in range(best.size):
        highest = -np.inf
        stack[0], logs[0], depth = left.size - 1, 0.0, 1
        while depth > 0:
            depth -= 1
            node, log = stack[depth], logs[depth]
            if log <= highest:
                continue
            if node < leaves:
                best[i], highest = node, log
                continue
            score = np.float64(scores[i, node - leaves])
            # The likelier branch is looked at first.
            first, second = (right, left) if score > 0 else (left, right)
            stack[depth], logs[depth] = second[node], log - np.log1p(np.exp(abs(score)))
            stack[depth + 1], logs[depth + 1] = first[node], log - np.log1p(np.exp(-abs(score)))
            depth += 2
