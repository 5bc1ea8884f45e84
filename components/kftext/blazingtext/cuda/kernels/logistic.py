"""The training step of a warp: output rows in registers, inputs that go by, one atomic addition a row (the twin of `kernels.logistic`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import float32, int32

from kftext.blazingtext.cuda.kernels.compilation import helper, registers
from kftext.blazingtext.cuda.kernels.ring import Ring
from kftext.blazingtext.cuda.kernels.rows import add, load
from kftext.blazingtext.cuda.kernels.shape import RowShape, Shape
from kftext.blazingtext.cuda.kernels.targets import Targets
from kftext.blazingtext.cuda.kernels.warp import SLOTS, gradients

__all__ = [
    "Outputs",
    "build_outputs",
    "build_train_rows",
    "build_train_step",
    "build_train_vector",
]

_ZERO = np.float32(0)


class Outputs(NamedTuple):
    """Device functions of a shape, on a group of output rows: w is float32[group * chunks], this lane's dimensions of each.

    Attributes:
        read: (w, rows, n, worker, task): read the first n rows, and zeros for the others.
        change: (rows, n, changes, worker, task): add to them.
        score: (scores, x, w): set this lane's part of the scores of an input.
    """

    read: Callable[..., Any]
    change: Callable[..., Any]
    score: Callable[..., Any]


def build_outputs(shape: RowShape) -> Outputs:
    """Build the device functions of a shape."""
    lanes, chunks, whole = shape.lanes, shape.chunks, shape.whole_chunks
    stride, group = shape.stride, shape.group

    @helper
    def read(w, rows, n, worker, task):
        """Read this lane's dimensions of the first n rows into w, float32[group * chunks], and zeros for the others."""
        for k in range(group):
            row = np.int64(rows[k]) * stride
            for j in range(chunks):
                d = worker.lane + lanes * j
                w[k * chunks + j] = (
                    load(task.weights.output, row + d)
                    if k < n and (j < whole or d < stride)
                    else _ZERO
                )

    @helper
    def change(rows, n, changes, worker, task):
        """Add changes, float32[group * chunks], to the first n rows."""
        for k in range(group):
            row = np.int64(rows[k]) * stride
            for j in range(chunks):
                d = worker.lane + lanes * j
                if k < n and (j < whole or d < stride):
                    add(task.weights.output, row + d, changes[k * chunks + j])

    @helper
    def score(scores, x, w):
        """Set scores, float32[SLOTS], to what this lane's dimensions add to the products of x, float32[chunks], and the rows."""
        for k in range(SLOTS):
            total = _ZERO
            if k < group:
                for j in range(chunks):
                    total += x[j] * w[k * chunks + j]
            scores[k] = total

    return Outputs(read, change, score)


def build_train_step(shape: Shape, targets: Targets, ring: Ring) -> Callable[..., Any]:
    """Return (word, inputs, rate, worker, task) -> loss.

    It trains the input vectors of some positions, (first, stop, skip): those from first to stop but for `skip`, against a word and the
    negatives drawn ahead. A group of output rows is read once and changed once; an input is changed by each group. Where registers
    allow it, an input is read before the one in front of it has been changed, so that the two don't wait for each other.
    """
    lanes, chunks, whole = shape.lanes, shape.chunks, shape.whole_chunks
    stride, group, drawn = shape.stride, shape.group, shape.negatives
    group_floats, reads_ahead = group * chunks, shape.reads_ahead
    outputs, choose_outputs = build_outputs(shape), targets.choose_outputs
    input_row, read, change = ring.input_row, ring.read, ring.change
    read_outputs, change_outputs, score = outputs.read, outputs.change, outputs.score

    @helper
    def train_group(rows, n, targets, inputs, rate, worker, task):
        """Train all inputs against one group of output rows; bit k of `targets` is the target of row k."""
        w, changes = (
            registers.local.array(group_floats, float32),
            registers.local.array(group_floats, float32),
        )
        x, ahead = registers.local.array(chunks, float32), registers.local.array(chunks, float32)
        scores = registers.local.array(SLOTS, float32)
        first, stop, skip = inputs
        read_outputs(w, rows, n, worker, task)
        for q in range(group_floats):
            changes[q] = _ZERO
        loss, position = _ZERO, first + 1 if first == skip else first
        row = input_row(position, worker)
        read(x, row, worker, task)
        while position < stop:
            following, row_ahead = position + 1, row
            if following == skip:
                following += 1
            if following < stop:
                row_ahead = input_row(following, worker)
                if reads_ahead:
                    read(ahead, row_ahead, worker, task)
            score(scores, x, w)
            loss += gradients(scores, n, targets, rate, worker)
            for j in range(chunks):
                d, y = worker.lane + lanes * j, _ZERO
                for k in range(group):
                    y += scores[k] * w[k * chunks + j]
                    changes[k * chunks + j] += scores[k] * x[j]
                if j < whole or d < stride:
                    change(row, d, y, worker, task)
                if reads_ahead:
                    x[j] = ahead[j]
            if not reads_ahead and following < stop:
                read(x, row_ahead, worker, task)
            position, row = following, row_ahead
        change_outputs(rows, n, changes, worker, task)
        return loss

    @helper
    def train_step(word, inputs, rate, worker, task):
        """Train inputs against a word and the negatives drawn ahead, group by group."""
        rows = registers.local.array(group, int32)
        loss, cursor = _ZERO, 0
        while cursor <= drawn:
            # The word comes first, and what is drawn against it behind it.
            targets = 1 if cursor == 0 else 0
            n, cursor = choose_outputs(word, cursor, rows, worker)
            if n > 0:
                loss += train_group(rows, n, targets, inputs, rate, worker, task)
        return loss

    return train_step


def build_train_rows(shape: RowShape) -> Callable[..., Any]:
    """Return (rows, n, targets, hidden, gradient, rate, worker, task) -> loss.

    It trains the first n rows of a group, with the targets that are the bits of `targets`, against one vector that stays as it is, and
    adds up the vector's gradient times the learning rate.
    """
    chunks, group, group_floats = shape.chunks, shape.group, shape.group * shape.chunks
    outputs = build_outputs(shape)
    read_outputs, change_outputs, score = outputs.read, outputs.change, outputs.score

    @helper
    def train_rows(rows, n, targets, hidden, gradient, rate, worker, task):
        """Train one group of rows against one vector; hidden and gradient are float32[chunks]."""
        w = registers.local.array(group_floats, float32)
        scores = registers.local.array(SLOTS, float32)
        read_outputs(w, rows, n, worker, task)
        score(scores, hidden, w)
        loss = gradients(scores, n, targets, rate, worker)
        for k in range(group):
            for j in range(chunks):
                gradient[j] += scores[k] * w[k * chunks + j]
                w[k * chunks + j] = scores[k] * hidden[j]
        change_outputs(rows, n, w, worker, task)
        return loss

    return train_rows


def build_train_vector(shape: Shape, targets: Targets) -> Callable[..., Any]:
    """Return (word, hidden, gradient, rate, worker, task) -> loss: the same against a word and the negatives drawn ahead."""
    group, drawn = shape.group, shape.negatives
    train_rows, choose_outputs = build_train_rows(shape), targets.choose_outputs

    @helper
    def train_vector(word, hidden, gradient, rate, worker, task):
        """Train a word and the negatives drawn ahead against one vector, group by group."""
        rows = registers.local.array(group, int32)
        loss, cursor = _ZERO, 0
        while cursor <= drawn:
            bits = 1 if cursor == 0 else 0
            n, cursor = choose_outputs(word, cursor, rows, worker)
            if n > 0:
                loss += train_rows(rows, n, bits, hidden, gradient, rate, worker, task)
        return loss

    return train_vector
