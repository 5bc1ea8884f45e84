"""Skip-gram in batches on a GPU, the twin of `kernels.batch_skipgram`: pairs of words against one set of negatives, applied as one.

All scores of a batch are computed first, with a group of output rows in registers; then the changes follow from the scores for 32
dimensions at a time, the inputs' and the outputs' side by side, both from the parameters before the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numba import cuda, float32, int32

from kftext.blazingtext.cuda.kernels.logistic import build_logistic
from kftext.blazingtext.cuda.kernels.sampling import advance, below, draw, state_of
from kftext.blazingtext.cuda.kernels.shape import Shape
from kftext.blazingtext.cuda.kernels.skipgram import LOSS_EVERY
from kftext.blazingtext.cuda.kernels.warp import (
    EXCHANGE_FLOATS,
    SLOTS,
    add,
    device,
    gradients,
    kernel,
    load,
    synchronize,
)
from kftext.blazingtext.cuda.kernels.window import Window, build_window, build_workspace

__all__ = ["batch_skipgram"]

_ZERO = np.float32(0)


def _build_scoring(shape: Shape, window: Window) -> Callable[..., Any]:
    """Return the first half of a step: the gradients of all pairs and outputs."""
    lanes, chunks, stride, group = shape.lanes, shape.chunks, shape.stride, shape.group
    outputs_most, word_mask = shape.groups * shape.group, shape.word_places - 1
    logistic = build_logistic(shape, window)
    read_outputs, score, read = logistic.read_outputs, logistic.score, window.read

    @device
    def compute_gradients(pairs, m, batch, inputs, outputs, rate, registers, lane, exchange):
        """Fill gradients float32[pairs, outputs]: the middle word's first, then those of the m negatives chosen."""
        words, weights, ring, ring_at, floats, floats_at = inputs
        integers, contexts_at, middles_at, chosen_at = batch
        w, x, scores, rows = registers
        loss, first = _ZERO, 0
        while first <= m:
            n = 0
            for k in range(group):
                if first + k <= m:
                    # The place of the middle word is filled below.
                    rows[k] = integers[chosen_at + max(first + k - 1, 0)]
                    n += 1
            read_outputs(w, rows, n, outputs, lane)
            current = int32(-1)
            for i in range(pairs):
                middle = words[0][words[1] + (integers[middles_at + i] & word_mask)]
                if first == 0 and middle != current:
                    row = np.int64(middle) * stride
                    for j in range(chunks):
                        d = lane + lanes * j
                        w[j] = load(outputs, row + d) if d < stride else _ZERO
                current = middle
                read(x, integers[contexts_at + i], words, weights, ring, ring_at, lane)
                score(scores, x, w)
                loss += gradients(scores, n, first == 0, rate, lane, lanes, exchange)
                for k in range(group):
                    # A negative that is the pair's middle word is left out.
                    dropped = (first > 0 or k > 0) and rows[k] == middle
                    if lane == 0:
                        floats[floats_at + i * outputs_most + first + k] = (
                            _ZERO if dropped else scores[k]
                        )
            first += group
        synchronize()
        return loss

    return compute_gradients


def _build_changes(shape: Shape, window: Window) -> Callable[..., Any]:
    """Return the second half of a step: the changes, collected and then applied."""
    lanes, chunks, stride, group = shape.lanes, shape.chunks, shape.stride, shape.group
    outputs_most, word_mask = shape.groups * shape.group, shape.word_places - 1
    pairs_most = shape.batch_size
    read_one, change = _build_read_one(shape), window.change

    @device
    def collect(d, pairs, m, batch, inputs, outputs, sums, rows, lane):
        """Add up the changes of dimension d: a pair's input, a run of pairs' middle word, each negative; return the number of runs."""
        words, weights, ring, ring_at, floats, floats_at = inputs
        integers, contexts_at, middles_at, chosen_at = batch
        input_at = floats_at + pairs_most * outputs_most + lane
        run_at = input_at + pairs_most * lanes
        output_at = run_at + pairs_most * lanes
        for i in range(pairs):
            floats[input_at + i * lanes] = _ZERO
        runs = first = 0
        while first <= m:
            for k in range(group):
                sums[k] = _ZERO
                rows[k] = _ZERO
                if 0 < first + k <= m:
                    rows[k] = load(
                        outputs, np.int64(integers[chosen_at + first + k - 1]) * stride + d
                    )
            current = int32(-1)
            for i in range(pairs):
                middle = words[0][words[1] + (integers[middles_at + i] & word_mask)]
                if first == 0 and middle != current:
                    rows[0] = load(outputs, np.int64(middle) * stride + d)
                    if i > 0:
                        floats[run_at + runs * lanes] = sums[0]
                        runs += 1
                        sums[0] = _ZERO
                current = middle
                x = read_one(integers[contexts_at + i], d, words, weights, ring, ring_at)
                y = floats[input_at + i * lanes]
                for k in range(group):
                    g = floats[floats_at + i * outputs_most + first + k]
                    y += g * rows[k]
                    sums[k] += g * x
                floats[input_at + i * lanes] = y
            if first == 0:
                floats[run_at + runs * lanes] = sums[0]
                runs += 1
            for k in range(group):
                floats[output_at + (first + k) * lanes] = sums[k]
            first += group

    @device
    def apply_changes(pairs, m, batch, inputs, outputs, sums, rows, lane):
        words, weights, ring, ring_at, floats, floats_at = inputs
        integers, contexts_at, middles_at, chosen_at = batch
        input_at = floats_at + pairs_most * outputs_most + lane
        run_at = input_at + pairs_most * lanes
        output_at = run_at + pairs_most * lanes
        for j in range(chunks):
            d = lane + lanes * j
            if d < stride:
                collect(d, pairs, m, batch, inputs, outputs, sums, rows, lane)
                run = 0
                for i in range(pairs):
                    middle = words[0][words[1] + (integers[middles_at + i] & word_mask)]
                    change(
                        d,
                        floats[input_at + i * lanes],
                        integers[contexts_at + i],
                        words,
                        weights,
                        ring,
                        ring_at,
                    )
                    last = i + 1 == pairs
                    if not last:
                        last = (
                            words[0][words[1] + (integers[middles_at + i + 1] & word_mask)]
                            != middle
                        )
                    if last:
                        add(outputs, np.int64(middle) * stride + d, floats[run_at + run * lanes])
                        run += 1
                for k in range(m):
                    add(
                        outputs,
                        np.int64(integers[chosen_at + k]) * stride + d,
                        floats[output_at + (k + 1) * lanes],
                    )
        # The next batch's gradients take the place of these.
        synchronize()

    return apply_changes


def _build_read_one(shape: Shape) -> Callable[..., Any]:
    stride, word_mask, places = shape.stride, shape.word_places - 1, max(shape.ring_places, 1)
    if shape.subwords:

        @device
        def read_one(position, d, words, weights, ring, ring_at):
            return ring[ring_at + (position % places) * stride + d]

    else:

        @device
        def read_one(position, d, words, weights, ring, ring_at):
            return load(
                weights.input, np.int64(words[0][words[1] + (position & word_mask)]) * stride + d
            )

    return read_one


@lru_cache
def batch_skipgram(shape: Shape) -> Any:
    """Return the kernel of a shape. Its arguments are those of `skipgram.skipgram`'s. A batch ends with its line at the latest."""
    window, workspace = build_window(shape), build_workspace(shape)
    fill, draw_ahead, enter, leave = window.fill, window.draw_ahead, window.enter, window.leave
    compute_gradients, apply_changes = _build_scoring(shape, window), _build_changes(shape, window)
    floats_of, integers_of = workspace.floats, workspace.integers
    reach_most, drawn, batch_size = shape.window, shape.negatives, shape.batch_size
    chunks, group, group_floats = shape.chunks, shape.group, shape.group * shape.chunks
    word_places, ring_floats = shape.word_places, shape.ring_floats
    shared_floats = max(shape.floats - shape.scratch_floats, 1)
    shared_integers = max(shape.integers - shape.scratch_integers, 1)

    @device
    def choose(negatives, integers, chosen_at):
        """Copy the negatives, each once, and return their number. All lanes write the same."""
        m = 0
        for k in range(drawn):
            negative, fresh = negatives[0][negatives[1] + k], True
            for other in range(m):
                if integers[chosen_at + other] == negative:
                    fresh = False
            if fresh:
                integers[chosen_at + m] = negative
                m += 1
        return m

    @kernel
    def train(lines, weights, sampling, subwords, schedule, streams, scratch):
        lane, stream = int32(cuda.threadIdx.x), int32(cuda.blockIdx.x)
        exchange = cuda.shared.array(EXCHANGE_FLOATS, float32)
        own_floats = cuda.shared.array(shared_floats, float32)
        own_integers = cuda.shared.array(shared_integers, int32)
        w = cuda.local.array(group_floats, float32)
        x = cuda.local.array(chunks, float32)
        scores = cuda.local.array(SLOTS, float32)
        rows = cuda.local.array(group, int32)
        sums = cuda.local.array(group, float32)
        values = cuda.local.array(group, float32)
        registers = (w, x, scores, rows)
        ring, ring_at = floats_of(own_floats, scratch.floats, stream)
        integers, at = integers_of(own_integers, scratch.integers, stream)
        words, negatives = (integers, at), (integers, at + word_places)
        chosen_at = at + word_places + drawn
        contexts_at = chosen_at + drawn
        middles_at = contexts_at + batch_size
        batch = (integers, contexts_at, middles_at, chosen_at)
        inputs = (words, weights, ring, ring_at, ring, ring_at + ring_floats)

        state = state_of(streams.random[stream])
        tosses, state = state, advance(state, drawn)
        tosses, state = draw_ahead(tosses, state, sampling, negatives, lane)
        batches, looked_at, loss = 0, 0, float32(0)
        for i in range(lines.bounds[stream], lines.bounds[stream + 1]):
            start, stop = lines.offsets[i], lines.offsets[i + 1]
            rate = float32(schedule.rate * max(1.0 - load(streams.done, 0) / schedule.total, 0.0))
            base, state = state, advance(state, stop - start)
            scanned, kept = fill(
                words,
                lines.ids,
                start,
                stop,
                start,
                0,
                reach_most + 1,
                base,
                sampling,
                lane,
                exchange,
            )
            position = entered = left = pairs = oldest = 0
            while position < kept:
                reach = 1 + below(draw(state, 1), reach_most)
                state = advance(state, 1)
                scanned, kept = fill(
                    words,
                    lines.ids,
                    scanned,
                    stop,
                    start,
                    kept,
                    position + reach_most + 1,
                    base,
                    sampling,
                    lane,
                    exchange,
                )
                first, end = max(0, position - reach), min(kept, position + reach + 1)
                horizon = min(kept, position + reach_most + 1)
                # Words that a waiting pair needs stay in the ring.
                let_out = max(left, (oldest if pairs > 0 else position) - reach_most)
                leave(words, left, let_out, weights, subwords, ring, ring_at, x, lane)
                enter(words, entered, horizon, weights, subwords, ring, ring_at, x, lane)
                left, entered = let_out, horizon
                for context in range(first, end):
                    if context != position:
                        if pairs == 0:
                            oldest = position
                        integers[contexts_at + pairs] = context
                        integers[middles_at + pairs] = position
                        pairs += 1
                    at_end = position + 1 == kept and context + 1 == end
                    if pairs == batch_size or (pairs > 0 and at_end):
                        m = choose(negatives, integers, chosen_at)
                        tosses, state = draw_ahead(tosses, state, sampling, negatives, lane)
                        batch_loss = compute_gradients(
                            pairs, m, batch, inputs, weights.output, rate, registers, lane, exchange
                        )
                        apply_changes(pairs, m, batch, inputs, weights.output, sums, values, lane)
                        if batches % LOSS_EVERY == 0:
                            loss += batch_loss
                            looked_at += pairs
                        batches += 1
                        pairs = 0
                position += 1
            leave(words, left, kept, weights, subwords, ring, ring_at, x, lane)
            if lane == 0:
                add(streams.done, 0, np.int64(stop - start))
            synchronize()
        add(streams.totals, 2 * stream, np.float64(loss))
        if lane == 0:
            add(streams.totals, 2 * stream + 1, np.float64(looked_at))
            streams.random[stream] = state

    return train
