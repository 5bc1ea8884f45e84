"""The training step of a warp: output rows in registers, inputs that go by, one atomic addition a row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from kftext.blazingtext.cuda.kernels.shape import Shape
from kftext.blazingtext.cuda.kernels.warp import SLOTS, add, device, gradients, load
from kftext.blazingtext.cuda.kernels.window import Window

__all__ = ["Logistic", "build_logistic"]

_ZERO = np.float32(0)


class Logistic(NamedTuple):
    """Device functions of a shape.

    Attributes:
        choose: (word, cursor, negatives, rows) -> (n, cursor): set the next group of output rows, as the CPU's `choose_outputs`.
        read_outputs: (w, rows, n, outputs, lane): read a group into registers.
        score: (scores, x, w): this lane's part of the scores of an input and a group.
        train_inputs: train the input vectors of the positions from first to stop, but for `skip`, against a word and the negatives.
        train_vector: the same for one vector that stays as it is; its gradient is added up.
    """

    choose: Callable[..., Any]
    read_outputs: Callable[..., Any]
    score: Callable[..., Any]
    train_inputs: Callable[..., Any]
    train_vector: Callable[..., Any]


def build_logistic(shape: Shape, window: Window) -> Logistic:
    """Build the device functions of a shape."""
    lanes, chunks, stride, group, drawn = (
        shape.lanes,
        shape.chunks,
        shape.stride,
        shape.group,
        shape.negatives,
    )
    read, change = window.read, window.change

    @device
    def choose(word, cursor, negatives, rows):
        # The first group begins with the word. A negative that is the word is left out; one drawn twice into a group counts once.
        n = 0
        if cursor == 0:
            rows[0] = word
            n = 1
            cursor = 1
        while cursor <= drawn and n < group:
            negative = negatives[0][negatives[1] + cursor - 1]
            fresh = negative != word
            for k in range(group):
                if k < n and rows[k] == negative:
                    fresh = False
            if fresh:
                for k in range(group):
                    # An index that is known when this is compiled: an array with any other is no longer in registers.
                    if k == n:
                        rows[k] = negative
                n += 1
            cursor += 1
        return n, cursor

    @device
    def read_outputs(w, rows, n, outputs, lane):
        for k in range(group):
            row = np.int64(rows[k]) * stride
            for j in range(chunks):
                d = lane + lanes * j
                w[k * chunks + j] = load(outputs, row + d) if k < n and d < stride else _ZERO

    @device
    def score(scores, x, w):
        for k in range(SLOTS):
            total = _ZERO
            if k < group:
                for j in range(chunks):
                    total += x[j] * w[k * chunks + j]
            scores[k] = total

    @device
    def train_inputs(word, first, stop, skip, inputs, outputs, rate, registers, lane, exchange):
        words, negatives, weights, ring, ring_at = inputs
        w, s, x, ahead, scores, rows = registers
        loss, cursor = _ZERO, 0
        while cursor <= drawn:
            positive = cursor == 0
            n, cursor = choose(word, cursor, negatives, rows)
            if n > 0:
                read_outputs(w, rows, n, outputs, lane)
                for q in range(group * chunks):
                    s[q] = _ZERO
                position = first + 1 if first == skip else first
                read(x, position, words, weights, ring, ring_at, lane)
                while position < stop:
                    following = position + 1
                    if following == skip:
                        following += 1
                    if following < stop:
                        # Before this input's changes are under way: the two don't wait for each other.
                        read(ahead, following, words, weights, ring, ring_at, lane)
                    score(scores, x, w)
                    loss += gradients(scores, n, positive, rate, lane, lanes, exchange)
                    for j in range(chunks):
                        d, y = lane + lanes * j, _ZERO
                        for k in range(group):
                            y += scores[k] * w[k * chunks + j]
                            s[k * chunks + j] += scores[k] * x[j]
                        if d < stride:
                            change(d, y, position, words, weights, ring, ring_at)
                        x[j] = ahead[j]
                    position = following
                for k in range(group):
                    row = np.int64(rows[k]) * stride
                    for j in range(chunks):
                        d = lane + lanes * j
                        if k < n and d < stride:
                            add(outputs, row + d, s[k * chunks + j])
        return loss

    @device
    def train_vector(word, hidden, gradient, negatives, outputs, rate, registers, lane, exchange):
        w, scores, rows = registers
        loss, cursor = _ZERO, 0
        while cursor <= drawn:
            positive = cursor == 0
            n, cursor = choose(word, cursor, negatives, rows)
            if n > 0:
                read_outputs(w, rows, n, outputs, lane)
                score(scores, hidden, w)
                loss += gradients(scores, n, positive, rate, lane, lanes, exchange)
                for k in range(group):
                    row = np.int64(rows[k]) * stride
                    for j in range(chunks):
                        d = lane + lanes * j
                        gradient[j] += scores[k] * w[k * chunks + j]
                        if k < n and d < stride:
                            add(outputs, row + d, scores[k] * hidden[j])
        return loss

    return Logistic(choose, read_outputs, score, train_inputs, train_vector)
