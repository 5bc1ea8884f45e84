"""Skip-gram in batches: so many pairs of words against one set of negatives, one matrix product.

Ji et al., "Parallelizing word2vec in shared and distributed memory", 2016, section III; Gupta and Khare, "BlazingText: scaling and
accelerating word2vec using multiple GPUs", 2017.

`skipgram` trains a window at a time, and each group of output rows from what the one before left. Here consecutive pairs of context word
and middle word are gathered until there are `batch_size`, over the ends of windows. All gradients of a batch are computed from the same
parameters and are applied as one: a row that takes part in several pairs gets their sum.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kftext.blazingtext.kernels import simd
from kftext.blazingtext.kernels.compilation import helper, lean_kernel
from kftext.blazingtext.kernels.logistic import (
    GROUP,
    LANE,
    gradients_of_all,
    groups_for,
    prefetch_ahead,
    score_one,
    score_two,
)
from kftext.blazingtext.kernels.prefetch import prefetch_row
from kftext.blazingtext.kernels.ring import enter, input_row, leave
from kftext.blazingtext.kernels.sampling import below, keep_line
from kftext.blazingtext.kernels.skipgram import LOSS_EVERY
from kftext.blazingtext.kernels.targets import (
    draw_ahead,
    draw_first,
    prefetch_outputs,
)

__all__ = ["Batch", "allocate_batch", "batch_skipgram"]

_NEUTRAL = np.float32(0.5)
_1, _2, _3, _4, _5 = (np.uint64(k) for k in range(1, 6))


class Batch(NamedTuple):
    """Work space of a thread: the pairs gathered so far, and their gradients.

    Output rows stand in groups of six. All pairs share them but for the first of all, which is a pair's middle word. Consecutive pairs
    with one middle word are a run.

    Attributes:
        input_rows: int64[pairs], where the context word's vector starts.
        word_rows: int64[pairs], where the middle word's output row starts.
        runs: int64[pairs + 1], the first pair of each run, then the number of pairs.
        first_rows: int64[pairs], where the first row of the group at hand starts for each run.
        output_rows: int64[groups * 6], where each output row starts.
        targets: float32[groups * 16], their targets, twice over; 0.5 for a place that is not taken.
        scores, gradients: float32[groups * (pairs + 1) * 8].
        input_changes: float32[pairs * stride].
        first_changes: float32[groups * pairs * stride], what each run changes in the first row of each group.
        pairs: batch_size.
    """

    input_rows: npt.NDArray[np.int64]
    word_rows: npt.NDArray[np.int64]
    runs: npt.NDArray[np.int64]
    first_rows: npt.NDArray[np.int64]
    output_rows: npt.NDArray[np.int64]
    targets: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    gradients: npt.NDArray[np.float32]
    input_changes: npt.NDArray[np.float32]
    first_changes: npt.NDArray[np.float32]
    pairs: int


def allocate_batch(pairs: int, negatives: int, stride: int) -> Batch:
    """Make room for batches of so many pairs and negatives."""
    groups = groups_for(1 + negatives)
    return Batch(
        np.zeros(pairs, np.int64),
        np.zeros(pairs, np.int64),
        np.zeros(pairs + 1, np.int64),
        np.zeros(pairs, np.int64),
        np.zeros(groups * GROUP, np.int64),
        np.full(groups * 2 * LANE, _NEUTRAL, np.float32),
        np.zeros(groups * (pairs + 1) * LANE, np.float32),
        np.zeros(groups * (pairs + 1) * LANE, np.float32),
        np.zeros(pairs * stride, np.float32),
        np.zeros(groups * pairs * stride, np.float32),
        pairs,
    )


@helper
def _set_target(batch, position, target):
    lane = (position // GROUP) * 2 * LANE + position % GROUP
    batch.targets[lane] = target
    batch.targets[lane + LANE] = target


@helper
def _set_negatives(batch, weights, worker):
    """Make the negatives drawn ahead the shared output rows, each once; the places left over get the spare row of zeros."""
    stride = np.int64(weights.stride)
    _set_target(batch, 0, np.float32(1))
    outputs = 1
    for k in range(worker.next_negatives.size):
        row = worker.next_negatives[k] * stride
        twice = False
        for other in range(1, outputs):
            twice |= batch.output_rows[other] == row
        if not twice:
            batch.output_rows[outputs] = row
            _set_target(batch, outputs, np.float32(0))
            outputs += 1
    while outputs < batch.output_rows.size:
        batch.output_rows[outputs] = weights.output.size - stride
        _set_target(batch, outputs, _NEUTRAL)
        outputs += 1


@helper
def _find_runs(pairs, batch):
    """Set batch.runs and return how many runs there are."""
    runs = 0
    for i in range(pairs):
        if i == 0 or batch.word_rows[i] != batch.word_rows[i - 1]:
            batch.runs[runs] = i
            runs += 1
    batch.runs[runs] = pairs
    return runs


@helper
def _first_row(group, pair, batch):
    """Return where the first row of a group starts for a pair."""
    return batch.word_rows[pair] if group == 0 else batch.output_rows[group * GROUP]


@helper
def _score(inputs, outputs, pairs, group, stride, rate, batch):
    """Fill scores and gradients of a group."""
    base = group * (batch.pairs + 1) * LANE
    rows, place = batch.output_rows, group * GROUP
    i = 0
    while i + 1 < pairs:
        x, y = batch.input_rows[i], batch.input_rows[i + 1]
        x_first, y_first = _first_row(group, i, batch), _first_row(group, i + 1, batch)
        scores = score_two(inputs, x, y, outputs, x_first, y_first, rows, place, stride)
        simd.store(batch.scores, base + i * LANE, scores)
        i += 2
    if i < pairs:
        x, x_first = batch.input_rows[i], _first_row(group, i, batch)
        scores = score_one(inputs, x, outputs, x_first, rows, place, stride)
        simd.store(batch.scores, base + i * LANE, scores)
    targets = simd.load(batch.targets, group * 2 * LANE)
    gradients_of_all(batch.scores, batch.gradients, base, pairs, targets, rate)


@helper
def _drop_own_words(runs, batch):
    """Take the gradient from the negatives that are a pair's middle word."""
    for run in range(runs):
        first, stop = batch.runs[run], batch.runs[run + 1]
        for place in range(1, batch.output_rows.size):
            if batch.output_rows[place] == batch.word_rows[first]:
                base = (place // GROUP) * (batch.pairs + 1) * LANE + place % GROUP
                for i in range(first, stop):
                    batch.gradients[base + i * LANE] = 0


@helper
def _update(inputs, outputs, runs, group, stride, batch, rows_ahead):
    """Add gradient * x to a group's rows and collect gradient * w for each input, all from the values before the batch.

    What becomes of the first row, which may be another for each run and may come again, is collected too.
    """
    rows, at = batch.output_rows, group * GROUP
    w1, w2, w3, w4, w5 = rows[at + 1], rows[at + 2], rows[at + 3], rows[at + 4], rows[at + 5]
    base = group * (batch.pairs + 1) * LANE
    gradients = batch.gradients
    for run in range(runs):
        batch.first_rows[run] = _first_row(group, batch.runs[run], batch)
    first_changes = group * batch.pairs * stride
    for d in range(0, stride, simd.LANES):
        prefetch_ahead(outputs, rows_ahead, group, d, stride)
        v1, v2 = simd.load(outputs, w1 + d), simd.load(outputs, w2 + d)
        v3, v4 = simd.load(outputs, w3 + d), simd.load(outputs, w4 + d)
        v5 = simd.load(outputs, w5 + d)
        s1, s2, s3, s4, s5 = v1, v2, v3, v4, v5
        first = np.uint64(0)
        for run in range(np.uint64(runs)):
            stop = np.uint64(batch.runs[run + np.uint64(1)])
            v0, s0 = simd.load(outputs, batch.first_rows[run] + d), simd.zeros()
            for i in range(first, stop):
                x = simd.load(inputs, batch.input_rows[i] + d)
                change = np.int64(i) * stride + d
                y = simd.zeros()
                if group > 0:
                    y = simd.load(batch.input_changes, change)
                lane = np.uint64(base) + i * np.uint64(LANE)
                g = simd.splat(gradients[lane])
                y, s0 = simd.multiply_add(g, v0, y), simd.multiply_add(g, x, s0)
                g = simd.splat(gradients[lane + _1])
                y, s1 = simd.multiply_add(g, v1, y), simd.multiply_add(g, x, s1)
                g = simd.splat(gradients[lane + _2])
                y, s2 = simd.multiply_add(g, v2, y), simd.multiply_add(g, x, s2)
                g = simd.splat(gradients[lane + _3])
                y, s3 = simd.multiply_add(g, v3, y), simd.multiply_add(g, x, s3)
                g = simd.splat(gradients[lane + _4])
                y, s4 = simd.multiply_add(g, v4, y), simd.multiply_add(g, x, s4)
                g = simd.splat(gradients[lane + _5])
                y, s5 = simd.multiply_add(g, v5, y), simd.multiply_add(g, x, s5)
                simd.store(batch.input_changes, change, y)
            simd.store(batch.first_changes, first_changes + np.int64(run) * stride + d, s0)
            first = stop
        simd.store(outputs, w5 + d, s5)
        simd.store(outputs, w4 + d, s4)
        simd.store(outputs, w3 + d, s3)
        simd.store(outputs, w2 + d, s2)
        simd.store(outputs, w1 + d, s1)


@helper
def _add_change(matrix, row, changes, at, stride):
    """Add a collected change to a row."""
    for d in range(0, stride, simd.LANES):
        change = simd.load(changes, at + d)
        simd.store(matrix, row + d, simd.add(simd.load(matrix, row + d), change))


@helper
def _batch_loss(pairs, batch):
    loss = 0.0
    for place in range(batch.output_rows.size):
        group, k = place // GROUP, place % GROUP
        target = batch.targets[group * 2 * LANE + k]
        if target != _NEUTRAL:
            for i in range(pairs):
                score = batch.scores[(group * (batch.pairs + 1) + i) * LANE + k]
                loss += max(score, np.float32(0)) - target * score + np.log1p(np.exp(-abs(score)))
    return loss


@helper
def _train_batch(inputs, pairs, weights, sampling, rate, worker, batch):
    """Train the pairs gathered so far against the negatives drawn ahead, and draw the next."""
    stride, outputs = np.int64(weights.stride), weights.output
    groups = batch.output_rows.size // GROUP
    _set_negatives(batch, weights, worker)
    draw_ahead(worker, weights, sampling)
    runs = _find_runs(pairs, batch)
    for group in range(groups):
        _score(inputs, outputs, pairs, group, stride, rate, batch)
    _drop_own_words(runs, batch)
    for group in range(groups):
        _update(inputs, outputs, runs, group, stride, batch, worker.rows_ahead)
    for i in range(pairs):
        _add_change(inputs, batch.input_rows[i], batch.input_changes, i * stride, stride)
    for group in range(groups):
        for run in range(runs):
            row = _first_row(group, batch.runs[run], batch)
            at = (group * batch.pairs + run) * stride
            _add_change(outputs, row, batch.first_changes, at, stride)


@lean_kernel
def batch_skipgram(lines, weights, sampling, rate, worker, ring, batch):
    """Train one slice of a corpus. A batch ends with its line at the latest.

    The arguments are those of `skipgram.skipgram`, and a `Batch`. A ring has room for 2 * window + 1 + batch_size positions.
    """
    line, stride = worker.line, np.int64(weights.stride)
    window = int(sampling.window)
    inputs = weights.input
    if ring is not None:
        inputs = ring.vectors
    batches = 0
    draw_first(worker, weights, sampling)
    for i in range(lines.offsets.size - 1):
        length = keep_line(
            worker.random, lines.ids, lines.offsets[i], lines.offsets[i + 1], sampling.keep, line
        )
        entered = left = pairs = oldest = 0
        for position in range(length):
            reach = 1 + below(worker.random, window)
            first, stop = max(0, position - reach), min(length, position + reach + 1)
            horizon = min(length, position + window + 1)
            # Words that a waiting pair needs stay in the ring.
            needed = (oldest if pairs > 0 else position) - window
            keep_from = max(left, needed)
            leave(line, left, keep_from, weights, ring)
            enter(line, entered, horizon, length, weights, ring)
            entered, left = horizon, keep_from
            if position + 1 < length:
                prefetch_outputs(line[position + 1], weights, sampling, worker)
                if ring is None:
                    ahead = min(length - 1, position + 1 + window)
                    prefetch_row(inputs, line[ahead] * stride, stride)
            for context in range(first, stop):
                if context != position:
                    if pairs == 0:
                        oldest = position
                    batch.input_rows[pairs] = input_row(line[context], context, stride, ring)
                    batch.word_rows[pairs] = line[position] * stride
                    pairs += 1
                if pairs == batch.pairs or (
                    pairs > 0 and position + 1 == length and context + 1 == stop
                ):
                    _train_batch(inputs, pairs, weights, sampling, rate, worker, batch)
                    if batches % LOSS_EVERY == 0:
                        worker.totals[0] += _batch_loss(pairs, batch)
                        worker.totals[1] += pairs
                    batches += 1
                    pairs = 0
        leave(line, left, length, weights, ring)
