"""A text's mean vector against the labels, by the classifier's losses (the twin of the losses in `kernels.supervised`)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import float32, int32

from kftext.blazingtext.cuda.kernels.compilation import helper, registers
from kftext.blazingtext.cuda.kernels.logistic import build_outputs, build_train_rows
from kftext.blazingtext.cuda.kernels.sampling import advance, below, draw, resolve
from kftext.blazingtext.cuda.kernels.shape import TextShape
from kftext.blazingtext.cuda.kernels.warp import SLOTS, sum_lanes, sum_scores, synchronize

__all__ = ["build_train_labels"]

_ZERO, _ONE = np.float32(0), np.float32(1)
_LEAST_SCORE = np.float32(-3e38)
_LEAST_PROBABILITY = np.float32(1e-9)


def build_train_labels(shape: TextShape) -> Callable[..., Any]:
    """Return (hidden, gradient, own, rate, state, worker, task) -> (loss, state).

    It trains the labels of a text, `own` = (first, stop) in `task.texts.labels`, against its mean vector, adds up the vector's gradient
    times the learning rate, and returns this lane's share of the loss. But for ova one of several labels is drawn, as in fastText.
    """
    if shape.loss == "ova":
        return _build_train_all(shape)
    train_target = {"softmax": _build_softmax, "ns": _build_sampled, "hs": _build_path}[shape.loss]
    train = train_target(shape)

    @helper
    def train_labels(hidden, gradient, own, rate, state, worker, task):
        """Draw one of the text's labels and train it."""
        first, stop = own
        target = task.texts.labels[first + below(draw(state, 1), stop - first)]
        state = advance(state, 1)
        return train(hidden, gradient, target, rate, state, worker, task)

    return train_labels


def _build_softmax(shape: TextShape) -> Callable[..., Any]:
    """Return (hidden, gradient, target, rate, state, worker, task) -> (loss, state): all labels, probabilities that sum to one."""
    group, chunks, lanes = shape.group, shape.chunks, shape.lanes
    group_floats = group * chunks
    outputs, score_all = build_outputs(shape), _build_score_all(shape)
    read_outputs, change_outputs = outputs.read, outputs.change

    @helper
    def update_all(hidden, gradient, target, rates, worker, task):
        """Change all labels' rows; `rates` are the learning rate, and that by which the work space's powers are probabilities."""
        w = registers.local.array(group_floats, float32)
        rows = registers.local.array(group, int32)
        first, count = int32(0), int32(task.labels.size)
        while first < count:
            n = min(group, count - first)
            for k in range(group):
                rows[k] = first + min(k, n - 1)
            read_outputs(w, rows, n, worker, task)
            for k in range(group):
                g = _ZERO
                if k < n:
                    g = -rates[1] * worker.floats[worker.floats_at + first + k]
                if k < n and first + k == target:
                    g += rates[0]
                for j in range(chunks):
                    gradient[j] += g * w[k * chunks + j]
                    w[k * chunks + j] = g * hidden[j]
            change_outputs(rows, n, w, worker, task)
            first += group

    @helper
    def train_softmax(hidden, gradient, target, rate, state, worker, task):
        """Score all labels, make the scores powers, and change all labels' rows."""
        greatest = score_all(hidden, worker, task)
        total = _ZERO
        for label in range(worker.lane, int32(task.labels.size), lanes):
            power = np.float32(math.exp(worker.floats[worker.floats_at + label] - greatest))
            worker.floats[worker.floats_at + label] = power
            total += power
        scale = _ONE / sum_lanes(total, worker)
        synchronize(worker)
        update_all(hidden, gradient, target, (rate, rate * scale), worker, task)
        probability = worker.floats[worker.floats_at + target] * scale
        # The next text's scores take the place of these.
        synchronize(worker)
        loss = -np.float32(math.log(max(probability, _LEAST_PROBABILITY)))
        return loss if worker.lane == 0 else _ZERO, state

    return train_softmax


def _build_score_all(shape: TextShape) -> Callable[..., Any]:
    """Return (hidden, worker, task) -> greatest: write each label's score to the work space."""
    group, group_floats = shape.group, shape.group * shape.chunks
    outputs = build_outputs(shape)
    read_outputs, score = outputs.read, outputs.score

    @helper
    def score_all(hidden, worker, task):
        """Write the scores of all labels to the first places of the work space, and return the greatest."""
        w = registers.local.array(group_floats, float32)
        scores = registers.local.array(SLOTS, float32)
        rows = registers.local.array(group, int32)
        first, count, greatest = int32(0), int32(task.labels.size), _LEAST_SCORE
        while first < count:
            n = min(group, count - first)
            for k in range(group):
                rows[k] = first + min(k, n - 1)
            read_outputs(w, rows, n, worker, task)
            score(scores, hidden, w)
            sum_scores(scores, worker)
            for k in range(group):
                if k < n:
                    greatest = max(greatest, scores[k])
                    if worker.lane == 0:
                        worker.floats[worker.floats_at + first + k] = scores[k]
            first += group
        synchronize(worker)
        return greatest

    return score_all


def _build_train_all(shape: TextShape) -> Callable[..., Any]:
    """Return `train_labels` of ova: each label for itself, target 1 for those of the text, 0 for all others."""
    group, train_rows = shape.group, build_train_rows(shape)

    @helper
    def train_labels(hidden, gradient, own, rate, state, worker, task):
        """Train all labels, a group of rows at a time."""
        rows = registers.local.array(group, int32)
        first, count, loss = int32(0), int32(task.labels.size), _ZERO
        while first < count:
            n, targets = min(group, count - first), int32(0)
            for k in range(group):
                rows[k] = first + min(k, n - 1)
            for i in range(own[0], own[1]):
                k = task.texts.labels[i] - first
                if 0 <= k < n:
                    targets |= int32(1) << k
            loss += train_rows(rows, n, targets, hidden, gradient, rate, worker, task)
            first += group
        return loss, state

    return train_labels


def _build_path(shape: TextShape) -> Callable[..., Any]:
    """Return (hidden, gradient, target, rate, state, worker, task) -> (loss, state): the label's path in a Huffman tree."""
    group, train_rows = shape.group, build_train_rows(shape)

    @helper
    def train_path(hidden, gradient, target, rate, state, worker, task):
        """Train the inner nodes from the root to the label, a group of rows at a time."""
        rows = registers.local.array(group, int32)
        labels, loss = task.labels, _ZERO
        first, stop = labels.offsets[target], labels.offsets[target + 1]
        while first < stop:
            n, targets = int32(min(group, stop - first)), int32(0)
            for k in range(group):
                rows[k] = labels.nodes[first + min(k, n - 1)]
                if k < n and labels.turns[first + k] > _ZERO:
                    targets |= int32(1 << k)
            loss += train_rows(rows, n, targets, hidden, gradient, rate, worker, task)
            first += group
        return loss, state

    return train_path


def _build_sampled(shape: TextShape) -> Callable[..., Any]:
    """Return (hidden, gradient, target, rate, state, worker, task) -> (loss, state): the label, and labels drawn against it.

    The label is never drawn, and labels are so few that some are drawn twice: the second time in a group of its own, to be trained from
    what the first time has left.
    """
    group, train_rows = shape.group, build_train_rows(shape)

    @helper
    def draw_group(rows, n, left, target, state, task):
        """Draw into the group behind its first n labels; return (n, left, the label that is there already or -1, state)."""
        again = int32(-1)
        while left > 0 and n < group and again < 0:
            label = int32(target)
            while label == target:
                label = int32(resolve(draw(state, 1), task.labels.table))
                state = advance(state, 1)
            left -= 1
            for k in range(group):
                if k < n and rows[k] == label:
                    again = label
            if again < 0:
                for k in range(group):
                    # An index that is known when this is compiled: an array with any other is no longer in registers.
                    if k == n:
                        rows[k] = label
                n += 1
        return n, left, again, state

    @helper
    def train_sampled(hidden, gradient, target, rate, state, worker, task):
        """Train the label and the labels drawn against it, a group of rows at a time."""
        rows = registers.local.array(group, int32)
        for k in range(group):
            rows[k] = target
        left = int32(task.labels.negatives) if task.labels.size > 1 else int32(0)
        n, targets, loss, going = int32(1), int32(1), _ZERO, True
        while going:
            n, left, again, state = draw_group(rows, n, left, target, state, task)
            loss += train_rows(rows, n, targets, hidden, gradient, rate, worker, task)
            going = again >= 0 or left > 0
            # The next group begins with the label that was drawn again.
            n, targets = int32(0), int32(0)
            if again >= 0:
                rows[0] = again
                n = int32(1)
        return loss, state

    return train_sampled
