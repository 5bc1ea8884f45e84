"""The fastText classifier: a text is the mean of its words' and word n-grams' vectors, a linear layer scores the labels.

Joulin et al., "Bag of tricks for efficient text classification", 2017.

Losses: softmax; and, all of them binary logistic steps, ova (each label for itself), ns (labels drawn as negatives) and hs (the
label's path in a Huffman tree). Where an example has several labels and the loss is not ova, one of them is drawn for each update,
as in fastText.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kftext.blazingtext.kernels import simd
from kftext.blazingtext.kernels.compilation import helper, lean_kernel
from kftext.blazingtext.kernels.features import add_gradient, collect_rows, mean_of_rows
from kftext.blazingtext.kernels.logistic import GROUP, pad_group, set_output, train_vector
from kftext.blazingtext.kernels.replica import MERGE_EVERY, MOST_DRIFT, begin, merge, squared_length
from kftext.blazingtext.kernels.sampling import below, next_random, resolve
from kftext.blazingtext.kernels.targets import already_in_group, choose_outputs

__all__ = [
    "OVA",
    "SAMPLED",
    "SOFTMAX",
    "SOFTMAX_TILE",
    "Examples",
    "Labels",
    "allocate_labels",
    "supervised",
]

SOFTMAX, OVA, SAMPLED = 0, 1, 2
"""Kinds of loss; SAMPLED is ns or hs, told apart by the worker and the paths."""

SOFTMAX_TILE = 8
"""Labels scored at a time; the output matrix has rows to fill up the last tile."""

_UPDATE_TILE = 4
_LEAST_PROBABILITY = np.float32(1e-9)


class Examples(NamedTuple):
    """Labelled texts: example i is ids[offsets[i]:offsets[i + 1]] with labels[label_offsets[i]:label_offsets[i + 1]].

    Attributes:
        ids: int32[n].
        offsets: int64[examples + 1], from 0 to n.
        labels: int32[m].
        label_offsets: int64[examples + 1], from 0 to m.
        firsts: int64[blocks], the first example of each block of the slice at hand.
        stops: int64[blocks], the example behind the last of each; equal to the first in an empty block.
    """

    ids: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int32]
    label_offsets: npt.NDArray[np.int64]
    firsts: npt.NDArray[np.int64]
    stops: npt.NDArray[np.int64]


class Labels(NamedTuple):
    """How labels are scored.

    Attributes:
        loss: SOFTMAX, OVA or SAMPLED.
        size: number of labels.
        scores: float32[labels rounded up to a multiple of 16, and 16 more], for softmax.
    """

    loss: int
    size: int
    scores: npt.NDArray[np.float32]


def allocate_labels(loss: int, count: int) -> Labels:
    """Make a thread's labels."""
    return Labels(loss, count, np.zeros((-(-count // simd.LANES) + 1) * simd.LANES, np.float32))


@helper
def _label_scores(hidden, outputs, stride, count, scores):
    """Write each label's score, and -80 behind the last one, whose exponential counts for nothing. Return the greatest."""
    greatest = np.float32(-np.inf)
    for first in range(0, count, SOFTMAX_TILE):
        row = first * stride
        s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = zero = simd.zeros()
        for d in range(0, stride, simd.LANES):
            x = simd.load(hidden, d)
            at = row + d
            s0 = simd.multiply_add(x, simd.load(outputs, at), s0)
            s1 = simd.multiply_add(x, simd.load(outputs, at + stride), s1)
            s2 = simd.multiply_add(x, simd.load(outputs, at + 2 * stride), s2)
            s3 = simd.multiply_add(x, simd.load(outputs, at + 3 * stride), s3)
            s4 = simd.multiply_add(x, simd.load(outputs, at + 4 * stride), s4)
            s5 = simd.multiply_add(x, simd.load(outputs, at + 5 * stride), s5)
            s6 = simd.multiply_add(x, simd.load(outputs, at + 6 * stride), s6)
            s7 = simd.multiply_add(x, simd.load(outputs, at + 7 * stride), s7)
        tile = simd.sums(
            s0, s1, s2, s3, s4, s5, s6, s7, zero, zero, zero, zero, zero, zero, zero, zero
        )
        simd.store(scores, first, tile)
    for label in range(count):
        greatest = max(greatest, scores[label])
    return greatest


@helper
def _update_labels(hidden, outputs, row, stride, gradients, label):
    """Add gradient * hidden to four labels' rows, and gradient * row, from before, to the gradient behind the hidden vector."""
    g0, g1 = simd.splat(gradients[label]), simd.splat(gradients[label + 1])
    g2, g3 = simd.splat(gradients[label + 2]), simd.splat(gradients[label + 3])
    for d in range(0, stride, simd.LANES):
        x, y = simd.load(hidden, d), simd.load(hidden, stride + d)
        r0, r1, r2, r3 = row + d, row + stride + d, row + 2 * stride + d, row + 3 * stride + d
        w0, w1 = simd.load(outputs, r0), simd.load(outputs, r1)
        w2, w3 = simd.load(outputs, r2), simd.load(outputs, r3)
        y = simd.multiply_add(g1, w1, simd.multiply_add(g0, w0, y))
        y = simd.multiply_add(g3, w3, simd.multiply_add(g2, w2, y))
        simd.store(outputs, r0, simd.multiply_add(g0, x, w0))
        simd.store(outputs, r1, simd.multiply_add(g1, x, w1))
        simd.store(outputs, r2, simd.multiply_add(g2, x, w2))
        simd.store(outputs, r3, simd.multiply_add(g3, x, w3))
        simd.store(hidden, stride + d, y)


@helper
def _train_softmax(hidden, outputs, target, stride, rate, labels):
    """Train all labels against the hidden vector; add up its gradient; return the loss."""
    scores, count = labels.scores, labels.size
    greatest = _label_scores(hidden, outputs, stride, count, scores)
    for label in range(count, (count + simd.LANES - 1) // simd.LANES * simd.LANES):
        scores[label] = greatest - np.float32(100)
    total, shift = simd.zeros(), simd.splat(greatest)
    for label in range(0, count, simd.LANES):
        power = simd.exp(simd.subtract(simd.load(scores, label), shift))
        simd.store(scores, label, power)
        total = simd.add(total, power)
    scale = np.float32(1) / simd.sum_lanes(total)
    loss = -np.log(max(scores[target] * scale, _LEAST_PROBABILITY))
    padded = (count + _UPDATE_TILE - 1) // _UPDATE_TILE * _UPDATE_TILE
    for label in range(count):
        scores[label] *= -rate * scale
    for label in range(count, padded):
        scores[label] = 0
    scores[target] += rate
    for label in range(0, padded, _UPDATE_TILE):
        _update_labels(hidden, outputs, label * stride, stride, scores, label)
    return loss


@helper
def _all_labels(step, examples, example, count, stride, spare_row):
    """Make every label an output: target 1 for those of the example, 0 for all others. Return the number of groups."""
    for label in range(count):
        set_output(step, label, label * stride, np.float32(0))
    for k in range(examples.label_offsets[example], examples.label_offsets[example + 1]):
        label = examples.labels[k]
        set_output(step, label, label * stride, np.float32(1))
    return pad_group(step, count, spare_row)


@helper
def _draw_labels(step, target, weights, sampling, worker):
    """Make the target and labels drawn against it the outputs, as fastText has it. Return the number of groups.

    The target is never drawn, and labels are so few that some are drawn twice: the second time in a group of its own, to be trained
    from what the first time has left.
    """
    stride, table = np.int64(weights.stride), sampling.negatives
    spare_row = weights.output.size - stride
    set_output(step, 0, target * stride, np.float32(1))
    outputs = 1
    for _ in range(worker.next_negatives.size if table.entries.size > 1 else 0):
        label = target
        while label == target:
            label = resolve(next_random(worker.random), table)
        if already_in_group(step, outputs, label * stride):
            outputs = pad_group(step, outputs, spare_row) * GROUP
        set_output(step, outputs, label * stride, np.float32(0))
        outputs += 1
    return pad_group(step, outputs, spare_row)


@helper
def _next_example(examples, block, example):
    """Return the block and the number of the example behind `example`; as block the number of blocks behind the last."""
    example += 1
    while block < examples.firsts.size and example >= examples.stops[block]:
        block += 1
        if block < examples.firsts.size:
            example = examples.firsts[block]
    return block, example


@helper
def _collect(examples, block, example, features, weights, rows):
    """Write the rows of an example and return how many there are: none behind the last block."""
    if block == examples.firsts.size:
        return np.int64(0)
    start, stop = examples.offsets[example], examples.offsets[example + 1]
    stride = np.int64(weights.stride)
    return collect_rows(examples.ids, start, stop, features, weights.input, stride, rows)


@helper
def _train_outputs(examples, example, outputs, weights, labels, sampling, rate, worker):
    """Train the output rows of an example against worker.hidden; add up its gradient; return the loss."""
    stride, hidden, step = np.int64(weights.stride), worker.hidden, worker.step
    if labels.loss == OVA:
        spare_row = weights.output.size - stride
        groups = _all_labels(step, examples, example, labels.size, stride, spare_row)
        return train_vector(hidden, outputs, groups, stride, rate, step, True)
    first = examples.label_offsets[example]
    count = examples.label_offsets[example + 1] - first
    target = np.int64(examples.labels[first + below(worker.random, count)])
    if labels.loss == SOFTMAX:
        return np.float64(_train_softmax(hidden, outputs, target, stride, rate, labels))
    if worker.next_negatives.size > 0:
        groups = _draw_labels(step, target, weights, sampling, worker)
    else:
        groups = choose_outputs(target, weights, sampling, worker)
    return train_vector(hidden, outputs, groups, stride, rate, step, True)


@lean_kernel
def supervised(examples, weights, features, labels, sampling, rate, worker, replicas):
    """Train one slice of the examples.

    Args:
        examples: `Examples`.
        weights: `state.Weights`, changed in place, by other threads too. The output matrix has rows of zeros behind the labels' up to
            a multiple of SOFTMAX_TILE; its last row is spare, and no other thread's.
        features: `features.Features`, the thread's own.
        labels: `Labels`, the thread's own.
        sampling: `state.Sampling`, for ns and hs.
        rate: float32, the learning rate.
        worker: `state.Worker`; worker.totals gets every example's loss.
        replicas: `replica.Replicas`, the thread's copies. That of the words is of those below features.copied.
    """
    matrix, stride, hidden = weights.input, np.int64(weights.stride), worker.hidden
    rows, next_rows = features.rows, features.next_rows
    outputs = weights.output
    if replicas.output.own.size > 0:
        outputs = replicas.output.own
    begin(weights.output, replicas.output)
    begin(matrix, replicas.words)
    worker.step.input_rows[0] = 0
    blocks, trained = examples.firsts.size, 0
    output_drift = words_drift = 0.0
    block, example = _next_example(examples, 0, examples.firsts[0] - 1)
    next_n = _collect(examples, block, example, features, weights, next_rows)
    while block < blocks:
        next_block, next_example = _next_example(examples, block, example)
        rows, next_rows, n = next_rows, rows, next_n
        next_n = _collect(examples, next_block, next_example, features, weights, next_rows)
        if n > 0 and examples.label_offsets[example + 1] > examples.label_offsets[example]:
            mean_of_rows(matrix, rows, n, stride, hidden)
            value = _train_outputs(
                examples, example, outputs, weights, labels, sampling, rate, worker
            )
            if features.copied > 0:
                output_drift += rate * value * squared_length(hidden, 0, stride)
                words_drift += squared_length(hidden, stride, stride) / (rate * n)
            add_gradient(matrix, rows, n, next_rows, next_n, stride, hidden)
            worker.totals[0] += value
            worker.totals[1] += 1
            trained += 1
            if trained % MERGE_EVERY == 0 or output_drift > MOST_DRIFT:
                merge(weights.output, replicas.output)
                output_drift = 0.0
            if trained % MERGE_EVERY == 0 or words_drift > MOST_DRIFT:
                merge(matrix, replicas.words)
                words_drift = 0.0
        block, example = next_block, next_example
    merge(weights.output, replicas.output)
    merge(matrix, replicas.words)
