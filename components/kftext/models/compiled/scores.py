"""From rows to the k best labels: `Classifier.best`, compiled, in the same order of arithmetic.

Sums are taken from first to last and multiplications are not fused with additions, as in fastText's plain C++ loops: its
sigmoid is a table and equal scores keep the order of a heap, so that the last bit of a sum can show.
"""

from __future__ import annotations

import math

import numpy as np

from kftext.models.arguments import Loss
from kftext.models.compiled.compilation import compiled
from kftext.models.compiled.memory import (
    Field,
    load_f32,
    load_i32,
    load_u8,
    pointer,
    prefetch,
)
from kftext.models.compiled.sums import AHEAD, add_products, add_rows

__all__ = ["best_labels", "hidden_vector", "softmax"]

DIM, LABELS, LOSS = int(Field.DIM), int(Field.LABELS), int(Field.LOSS)
INPUT, CODES, NSUBQ, DSUB = int(Field.INPUT), int(Field.CODES), int(Field.NSUBQ), int(Field.DSUB)
CENTROIDS, NORM_CODES = int(Field.CENTROIDS), int(Field.NORM_CODES)
NORM_CENTROIDS = int(Field.NORM_CENTROIDS)
OUTPUT, OUTPUT_ROW, OUTPUT_COLUMN = (
    int(Field.OUTPUT),
    int(Field.OUTPUT_ROW),
    int(Field.OUTPUT_COLUMN),
)
OUTPUT_NORMS, LEFT, RIGHT = int(Field.OUTPUT_NORMS), int(Field.LEFT), int(Field.RIGHT)
SIGMOID = int(Field.SIGMOID)
_SOFTMAX, _HS = int(Loss.SOFTMAX), int(Loss.HS)
_CENTROIDS = 256
_ZERO, _ONE = np.float32(0), np.float32(1)


@compiled
def _add_coded_row(state, row, hidden):
    """Add a row of a quantized matrix: a centroid for each byte of its code, times its norm."""
    dim, nsubq, dsub = state[DIM], state[NSUBQ], state[DSUB]
    codes, centroids = pointer(state[CODES]), pointer(state[CENTROIDS])
    norm = _ONE
    if state[NORM_CODES] != 0:
        code = np.int64(load_u8(pointer(state[NORM_CODES]), row))
        norm = load_f32(pointer(state[NORM_CENTROIDS]), code)
    for m in range(nsubq):
        code = np.int64(load_u8(codes, row * nsubq + m))
        start = (m * _CENTROIDS + code) * dsub
        for j in range(min(dsub, dim - m * dsub)):
            hidden[m * dsub + j] += norm * load_f32(centroids, start + j)


@compiled
def hidden_vector(state, rows, span, hidden):
    """Write the mean of input rows to hidden, float32[dim]; `span` is that of `add_rows`, with at least one row."""
    dim = state[DIM]
    first, last, known = span
    if state[INPUT] != 0:
        add_rows(pointer(state[INPUT]), dim, rows, span, hidden)
    else:
        codes, width = pointer(state[CODES]), state[NSUBQ]
        hidden[:dim] = _ZERO
        for i in range(first, last):
            coming = rows[min(i + AHEAD, known - 1)] * width
            prefetch(codes, coming)
            prefetch(codes, coming + width - 1)
            _add_coded_row(state, rows[i], hidden)
    factor = np.float32(1.0 / (last - first))
    for j in range(dim):
        hidden[j] *= factor


@compiled
def _product(state, hidden, row):
    """The product of one output row and the hidden vector."""
    base, column = pointer(state[OUTPUT]), state[OUTPUT_COLUMN]
    start, total = row * state[OUTPUT_ROW], _ZERO
    for j in range(state[DIM]):
        total += hidden[j] * load_f32(base, start + j * column)
    if state[OUTPUT_NORMS] != 0:
        total *= load_f32(pointer(state[OUTPUT_NORMS]), row)
    return total


@compiled
def _products(state, hidden, scores):
    """Write the products of all output rows and the hidden vector to scores, float32[labels]."""
    labels = state[LABELS]
    if state[OUTPUT_ROW] != 1:
        for row in range(labels):
            scores[row] = _product(state, hidden, row)
        return
    add_products(pointer(state[OUTPUT]), labels, hidden, state[DIM], scores)
    if state[OUTPUT_NORMS] != 0:
        norms = pointer(state[OUTPUT_NORMS])
        for row in range(labels):
            scores[row] *= load_f32(norms, row)


@compiled
def softmax(scores, labels):
    """Turn the first `labels` scores into probabilities; return what they were divided by, finite where all of them are."""
    largest = scores[0]
    for i in range(labels):
        largest = max(largest, scores[i])
    total = _ZERO
    for i in range(labels):
        scores[i] = np.float32(math.exp(np.float64(scores[i] - largest)))
        total += scores[i]
    for i in range(labels):
        scores[i] /= total
    return total


@compiled
def _table_sigmoid(state, x):
    if x < np.float32(-8):
        return _ZERO
    if x > np.float32(8):
        return _ONE
    position = (x + np.float32(8)) * np.float32(512) / np.float32(8) / np.float32(2)
    return load_f32(pointer(state[SIGMOID]), np.int64(position))


@compiled
def _log(x):
    return np.float32(math.log(np.float64(x) + 1e-5))


@compiled
def _sift_up(values, indices, hole):
    value, index = values[hole], indices[hole]
    parent = (hole - 1) // 2
    while hole > 0 and values[parent] > value:
        values[hole], indices[hole] = values[parent], indices[parent]
        hole, parent = parent, (parent - 1) // 2
    values[hole], indices[hole] = value, index


@compiled
def _pop(values, indices, length):
    """Move the smallest of the first `length` entries behind the rest of them."""
    last = length - 1
    value, index = values[last], indices[last]
    values[last], indices[last] = values[0], indices[0]
    hole = child = 0
    while child < (last - 1) // 2:
        child = 2 * (child + 1)
        if values[child] > values[child - 1]:
            child -= 1
        values[hole], indices[hole] = values[child], indices[child]
        hole = child
    if last % 2 == 0 and child == (last - 2) // 2:
        child = 2 * (child + 1)
        values[hole], indices[hole] = values[child - 1], indices[child - 1]
        hole = child - 1
    values[hole], indices[hole] = value, index
    _sift_up(values, indices, hole)


@compiled
def _offer(values, indices, size, k, value, index):
    """Offer an entry to a heap of the k best; return its new size. The arrays hold one entry more than k."""
    if size == k and value < values[0]:
        return size
    values[size], indices[size] = value, index
    _sift_up(values, indices, size)
    size += 1
    if size > k:
        _pop(values, indices, size)
        size -= 1
    return size


@compiled
def _walk_tree(state, hidden, k, log_threshold, values, indices):
    """The k best labels of hierarchical softmax; the number of them, -1 where a product is not finite."""
    labels = state[LABELS]
    left, right = pointer(state[LEFT]), pointer(state[RIGHT])
    # A walk to the left leaves one node waiting on each level, and there are fewer levels than labels.
    nodes, scores = np.empty(labels + 1, np.int32), np.empty(labels + 1, np.float32)
    nodes[0], scores[0] = 2 * labels - 2, _ZERO
    waiting, size = 1, 0
    while waiting > 0:
        waiting -= 1
        node, score = np.int64(nodes[waiting]), scores[waiting]
        if score < log_threshold or (size == k and score < values[0]):
            continue
        if node < labels:
            size = _offer(values, indices, size, k, score, np.int32(node))
            continue
        product = _product(state, hidden, node - labels)
        if not math.isfinite(product):
            return -1
        p = _ONE / (_ONE + np.float32(math.exp(-np.float64(product))))
        nodes[waiting], scores[waiting] = load_i32(right, node), score + _log(p)
        other = np.float32(1.0 - np.float64(p))
        nodes[waiting + 1], scores[waiting + 1] = load_i32(left, node), score + _log(other)
        waiting += 2
    return size


@compiled
def _best_label(scores, labels, threshold, values, indices):
    """Write the best label alone; return whether there is one. Of equal logarithms a heap of one keeps the last."""
    largest = scores[0]
    for i in range(labels):
        largest = max(largest, scores[i])
    floor = max(threshold, np.float32(np.float64(largest) * 0.99999 - 1e-10))
    size = 0
    for i in range(labels):
        if scores[i] >= floor:
            value = _log(scores[i])
            if size == 0 or value >= values[0]:
                values[0], indices[0], size = value, np.int32(i), 1
    return size


@compiled
def best_labels(state, hidden, k, threshold, scores, values, indices):
    """Write the k best labels, best first.

    Args:
        state: int64[fields].
        hidden: float32[dim].
        k: how many; at most the number of labels.
        threshold: float32, smallest probability.
        scores: float32[labels], scratch.
        values: float32[k + 1], written: logarithms of probabilities + 1e-5.
        indices: int32[k + 1], written: ids of labels.

    Returns:
        The number of labels, -1 where a product is not finite.
    """
    labels = state[LABELS]
    size = 0
    if state[LOSS] == _HS:
        size = _walk_tree(state, hidden, k, _log(max(threshold, _ZERO)), values, indices)
    else:
        _products(state, hidden, scores)
        for i in range(labels):
            if not math.isfinite(scores[i]):
                return -1
        if state[LOSS] == _SOFTMAX:
            softmax(scores, labels)
        else:
            for i in range(labels):
                scores[i] = _table_sigmoid(state, scores[i])
        if k == 1:
            return _best_label(scores, labels, threshold, values, indices)
        floor = _ZERO
        for i in range(labels):
            # The logarithm costs more than the rest; it can't be among the best where the score is clearly smaller.
            if scores[i] < threshold or (size == k and scores[i] < floor):
                continue
            size = _offer(values, indices, size, k, _log(scores[i]), np.int32(i))
            if size == k:
                floor = np.float32(math.exp(np.float64(values[0])) * 0.99999 - 1e-5)
    for length in range(size, 1, -1):
        _pop(values, indices, length)
    return size
