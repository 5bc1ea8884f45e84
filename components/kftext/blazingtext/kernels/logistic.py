"""One step of stochastic gradient descent on binary logistic losses: some input vectors against some output rows.

Negative sampling, hierarchical softmax and one-versus-all are this same step. They differ in which output rows take part and with
what target: 1 for the word itself, 0 for a negative; the turns of a Huffman path; 1 or 0 for each label. With x an input vector and
w an output row the loss is log(1 + exp(x.w)) - target * x.w (Mikolov et al. 2013, equations 3 and 4), and all rows take part in
one small matrix product (Ji et al., "Parallelizing word2vec in shared and distributed memory", 2016, section III).

Output rows come in groups of `GROUP`, the number that keeps a tile of two inputs and one group, sums and all, in the 32 registers of
AVX-512 or NEON. The groups of a step are trained one after the other, each from the parameters that it finds.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kftext.blazingtext.kernels import simd
from kftext.blazingtext.kernels.compilation import helper
from kftext.blazingtext.kernels.prefetch import prefetch_rows

__all__ = [
    "GROUP",
    "LANE",
    "Step",
    "allocate_step",
    "gradients_of_all",
    "groups_for",
    "pad_group",
    "prefetch_ahead",
    "score_one",
    "score_two",
    "set_output",
    "train_step",
    "train_vector",
]

GROUP = 6
"""Output rows in a group."""

LANE = 8
"""Floats set aside for a group's scores: two inputs fill one vector."""

_NEUTRAL = np.float32(0.5)


class Step(NamedTuple):
    """Work space of a thread: what takes part in the step at hand, as offsets into the flat matrices.

    Attributes:
        input_rows: int64[inputs], where each input vector starts.
        output_rows: int64[groups * GROUP], where each output row starts.
        targets: float32[groups * 16], for each group its targets twice over, so that one vector serves two inputs.
        scores: float32[(inputs + 1) * 8], x.w of the group at hand.
        gradients: float32[(inputs + 1) * 8], learning rate * (target - sigmoid(score)).
    """

    input_rows: npt.NDArray[np.int64]
    output_rows: npt.NDArray[np.int64]
    targets: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    gradients: npt.NDArray[np.float32]


def groups_for(outputs: int) -> int:
    """Return the number of groups that hold so many output rows."""
    return -(-outputs // GROUP)


def allocate_step(inputs: int, outputs: int) -> Step:
    """Make room for steps of at most so many inputs and output rows."""
    groups = groups_for(outputs)
    return Step(
        np.zeros(max(inputs, 1), np.int64),
        np.zeros(groups * GROUP, np.int64),
        np.full(groups * 2 * LANE, _NEUTRAL, np.float32),
        np.zeros((inputs + 1) * LANE, np.float32),
        np.zeros((inputs + 1) * LANE, np.float32),
    )


@helper
def set_output(step, position, row, target):
    """Make the row that starts at `row` the output number `position`, with `target` (float32)."""
    step.output_rows[position] = row
    lane = (position // GROUP) * 2 * LANE + position % GROUP
    step.targets[lane] = target
    step.targets[lane + LANE] = target


@helper
def pad_group(step, outputs, spare_row):
    """Fill the last group with the spare row, a row of zeros, and return the number of groups.

    Its score is 0 and its target 0.5, so that it has no gradient and stays zero.
    """
    while outputs % GROUP != 0:
        set_output(step, outputs, spare_row, _NEUTRAL)
        outputs += 1
    return outputs // GROUP


@helper
def score_two(inputs, x_row, y_row, outputs, x_first, y_first, rows, place, stride):
    """Return the scores of two inputs and a group of output rows: lanes 0 to 5 for x, 8 to 13 for y.

    The group is rows[place : place + GROUP], but for its first row: x and y may have one each.
    """
    w1, w2 = rows[place + 1], rows[place + 2]
    w3, w4, w5 = rows[place + 3], rows[place + 4], rows[place + 5]
    zero = simd.zeros()
    x0 = x1 = x2 = x3 = x4 = x5 = zero
    y0 = y1 = y2 = y3 = y4 = y5 = zero
    for d in range(0, stride, simd.LANES):
        x = simd.load(inputs, x_row + d)
        y = simd.load(inputs, y_row + d)
        x0 = simd.multiply_add(x, simd.load(outputs, x_first + d), x0)
        y0 = simd.multiply_add(y, simd.load(outputs, y_first + d), y0)
        w = simd.load(outputs, w1 + d)
        x1, y1 = simd.multiply_add(x, w, x1), simd.multiply_add(y, w, y1)
        w = simd.load(outputs, w2 + d)
        x2, y2 = simd.multiply_add(x, w, x2), simd.multiply_add(y, w, y2)
        w = simd.load(outputs, w3 + d)
        x3, y3 = simd.multiply_add(x, w, x3), simd.multiply_add(y, w, y3)
        w = simd.load(outputs, w4 + d)
        x4, y4 = simd.multiply_add(x, w, x4), simd.multiply_add(y, w, y4)
        w = simd.load(outputs, w5 + d)
        x5, y5 = simd.multiply_add(x, w, x5), simd.multiply_add(y, w, y5)
    return simd.sums(x0, x1, x2, x3, x4, x5, zero, zero, y0, y1, y2, y3, y4, y5, zero, zero)


@helper
def score_one(inputs, x_row, outputs, x_first, rows, place, stride):
    """Return the scores of one input and a group of output rows in lanes 0 to 5; else as `score_two`."""
    w1, w2 = rows[place + 1], rows[place + 2]
    w3, w4, w5 = rows[place + 3], rows[place + 4], rows[place + 5]
    zero = simd.zeros()
    x0 = x1 = x2 = x3 = x4 = x5 = zero
    for d in range(0, stride, simd.LANES):
        x = simd.load(inputs, x_row + d)
        x0 = simd.multiply_add(x, simd.load(outputs, x_first + d), x0)
        x1 = simd.multiply_add(x, simd.load(outputs, w1 + d), x1)
        x2 = simd.multiply_add(x, simd.load(outputs, w2 + d), x2)
        x3 = simd.multiply_add(x, simd.load(outputs, w3 + d), x3)
        x4 = simd.multiply_add(x, simd.load(outputs, w4 + d), x4)
        x5 = simd.multiply_add(x, simd.load(outputs, w5 + d), x5)
    return simd.sums(
        x0, x1, x2, x3, x4, x5, zero, zero, zero, zero, zero, zero, zero, zero, zero, zero
    )


@helper
def gradients_of_all(scores, gradients, start, n_inputs, targets, rate):
    """Fill the gradients of a group and all inputs from their scores, both from `start` on.

    In a loop of its own: the steps of one sigmoid wait for one another, those of several inputs don't.
    """
    rates = simd.splat(rate)
    for at in range(start, start + n_inputs * LANE, simd.LANES):
        error = simd.subtract(targets, simd.sigmoid(simd.load(scores, at)))
        simd.store(gradients, at, simd.multiply(rates, error))


@helper
def _score(inputs, n_inputs, outputs, group, stride, rate, step):
    """Fill step.scores and step.gradients for a group."""
    rows, place = step.output_rows, group * GROUP
    first = rows[place]
    i = 0
    while i + 1 < n_inputs:
        x, y = step.input_rows[i], step.input_rows[i + 1]
        scores = score_two(inputs, x, y, outputs, first, first, rows, place, stride)
        simd.store(step.scores, i * LANE, scores)
        i += 2
    if i < n_inputs:
        scores = score_one(inputs, step.input_rows[i], outputs, first, rows, place, stride)
        simd.store(step.scores, i * LANE, scores)
    targets = simd.load(step.targets, group * 2 * LANE)
    gradients_of_all(step.scores, step.gradients, 0, n_inputs, targets, rate)


@helper
def prefetch_ahead(outputs, rows_ahead, group, d, stride):
    """Ask for some rows of a group of those that are to be trained soon, where there are any: all of them in the course of an update."""
    if rows_ahead is not None and group * GROUP < rows_ahead.size:
        prefetch_rows(outputs, rows_ahead, group * GROUP, GROUP, d, stride)


@helper
def _update(inputs, n_inputs, outputs, group, stride, step, rows_ahead):
    """Add gradient * w to each input and gradient * x to each output row, both from the values before.

    Sixteen dimensions at a time: the group's rows and their sums stay in registers while the inputs go by.
    """
    rows, first = step.output_rows, group * GROUP
    w0, w1, w2 = rows[first], rows[first + 1], rows[first + 2]
    w3, w4, w5 = rows[first + 3], rows[first + 4], rows[first + 5]
    gradients = step.gradients
    for d in range(0, stride, simd.LANES):
        prefetch_ahead(outputs, rows_ahead, group, d, stride)
        v0, v1 = simd.load(outputs, w0 + d), simd.load(outputs, w1 + d)
        v2, v3 = simd.load(outputs, w2 + d), simd.load(outputs, w3 + d)
        v4, v5 = simd.load(outputs, w4 + d), simd.load(outputs, w5 + d)
        s0, s1, s2, s3, s4, s5 = v0, v1, v2, v3, v4, v5
        for i in range(n_inputs):
            x = simd.load(inputs, step.input_rows[i] + d)
            y = x
            g = simd.splat(gradients[i * LANE])
            y, s0 = simd.multiply_add(g, v0, y), simd.multiply_add(g, x, s0)
            g = simd.splat(gradients[i * LANE + 1])
            y, s1 = simd.multiply_add(g, v1, y), simd.multiply_add(g, x, s1)
            g = simd.splat(gradients[i * LANE + 2])
            y, s2 = simd.multiply_add(g, v2, y), simd.multiply_add(g, x, s2)
            g = simd.splat(gradients[i * LANE + 3])
            y, s3 = simd.multiply_add(g, v3, y), simd.multiply_add(g, x, s3)
            g = simd.splat(gradients[i * LANE + 4])
            y, s4 = simd.multiply_add(g, v4, y), simd.multiply_add(g, x, s4)
            g = simd.splat(gradients[i * LANE + 5])
            y, s5 = simd.multiply_add(g, v5, y), simd.multiply_add(g, x, s5)
            simd.store(inputs, step.input_rows[i] + d, y)
        simd.store(outputs, w5 + d, s5)
        simd.store(outputs, w4 + d, s4)
        simd.store(outputs, w3 + d, s3)
        simd.store(outputs, w2 + d, s2)
        simd.store(outputs, w1 + d, s1)
        simd.store(outputs, w0 + d, s0)


@helper
def group_loss(n_inputs, group, step):
    """Return the sum of the losses of the group at hand, padding left out."""
    loss = 0.0
    for i in range(n_inputs):
        for k in range(GROUP):
            target = step.targets[group * 2 * LANE + k]
            if target != _NEUTRAL:
                score = step.scores[i * LANE + k]
                loss += max(score, np.float32(0)) - target * score + np.log1p(np.exp(-abs(score)))
    return loss


@helper
def train_step(inputs, n_inputs, outputs, groups, stride, rate, step, rows_ahead, with_loss):
    """Train the inputs step.input_rows[:n_inputs] against the groups of step.output_rows.

    Args:
        inputs: float32, a flat matrix of rows of `stride` floats.
        n_inputs: how many of step.input_rows take part.
        outputs: float32, likewise.
        groups: how many groups of step.output_rows take part.
        stride: floats in a row, a multiple of 16.
        rate: float32, the learning rate.
        step: `Step`.
        rows_ahead: int64[n * GROUP], where output rows start that are to be trained soon; may be empty.
        with_loss: whether the loss is wanted.

    Returns:
        The loss, 0 unless it is wanted.
    """
    loss = 0.0
    for group in range(groups):
        _score(inputs, n_inputs, outputs, group, stride, rate, step)
        if with_loss:
            loss += group_loss(n_inputs, group, step)
        _update(inputs, n_inputs, outputs, group, stride, step, rows_ahead)
    return loss


@helper
def _update_outputs(hidden, outputs, group, stride, step, rows_ahead):
    """Add gradient * hidden to a group's rows, and gradient * row, from before, to the gradient behind the hidden vector."""
    rows, first = step.output_rows, group * GROUP
    for d in range(0, stride, simd.LANES):
        prefetch_ahead(outputs, rows_ahead, group, d, stride)
        x = simd.load(hidden, d)
        y = simd.load(hidden, stride + d)
        for k in range(GROUP):
            row = rows[first + k] + d
            w = simd.load(outputs, row)
            g = simd.splat(step.gradients[k])
            y = simd.multiply_add(g, w, y)
            simd.store(outputs, row, simd.multiply_add(g, x, w))
        simd.store(hidden, stride + d, y)


@helper
def train_vector(hidden, outputs, groups, stride, rate, step, with_loss, rows_ahead=None):
    """Train output rows against one vector that stays as it is, and add up its gradient; else as `train_step`.

    `hidden`, float32[2 * stride], holds the vector, then its gradient times the learning rate; step.input_rows[0] must be 0.
    """
    loss = 0.0
    for group in range(groups):
        _score(hidden, 1, outputs, group, stride, rate, step)
        if with_loss:
            loss += group_loss(1, group, step)
        _update_outputs(hidden, outputs, group, stride, step, rows_ahead)
    return loss
