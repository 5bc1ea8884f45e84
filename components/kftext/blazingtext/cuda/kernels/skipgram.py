"""Skip-gram on a GPU, the twin of `kernels.skipgram`: negatives shared by a window, or drawn for each pair of words.

A stream trains one window after the other. The inputs of a window are read one ahead of the one in training, so that a word that is in
the window twice is read before, or after, its first change; all scores of an input are from the output rows as they were when the
group was read.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numba import cuda, float32, int32

from kftext.blazingtext.cuda.kernels.logistic import build_logistic
from kftext.blazingtext.cuda.kernels.sampling import advance, below, draw, state_of
from kftext.blazingtext.cuda.kernels.shape import Shape
from kftext.blazingtext.cuda.kernels.warp import (
    EXCHANGE_FLOATS,
    SLOTS,
    add,
    kernel,
    load,
    synchronize,
)
from kftext.blazingtext.cuda.kernels.window import build_window, build_workspace

__all__ = ["LOSS_EVERY", "skipgram"]

LOSS_EVERY = 64
"""The loss is looked at in one window of so many, as on the CPU."""


@lru_cache
def skipgram(shape: Shape) -> Any:
    """Return the kernel of a shape: a block of `shape.lanes` threads a stream.

    Its arguments are `state.Lines`, `Weights`, `Sampling`, `Subwords`, `Schedule`, `Streams` and `Scratch`.
    """
    window, workspace = build_window(shape), build_workspace(shape)
    logistic = build_logistic(shape, window)
    fill, draw_ahead, enter, leave = window.fill, window.draw_ahead, window.enter, window.leave
    train_inputs, floats_of, integers_of = (
        logistic.train_inputs,
        workspace.floats,
        workspace.integers,
    )
    reach_most, drawn, exact = shape.window, shape.negatives, shape.exact
    chunks, group, group_floats = shape.chunks, shape.group, shape.group * shape.chunks
    word_places, word_mask = shape.word_places, shape.word_places - 1
    shared_floats = max(shape.floats - shape.scratch_floats, 1)
    shared_integers = max(shape.integers - shape.scratch_integers, 1)

    @kernel
    def train(lines, weights, sampling, subwords, schedule, streams, scratch):
        lane, stream = int32(cuda.threadIdx.x), int32(cuda.blockIdx.x)
        exchange = cuda.shared.array(EXCHANGE_FLOATS, float32)
        own_floats = cuda.shared.array(shared_floats, float32)
        own_integers = cuda.shared.array(shared_integers, int32)
        w = cuda.local.array(group_floats, float32)
        s = cuda.local.array(group_floats, float32)
        x = cuda.local.array(chunks, float32)
        ahead = cuda.local.array(chunks, float32)
        scores = cuda.local.array(SLOTS, float32)
        rows = cuda.local.array(group, int32)
        registers = (w, s, x, ahead, scores, rows)
        ring, ring_at = floats_of(own_floats, scratch.floats, stream)
        integers, at = integers_of(own_integers, scratch.integers, stream)
        words, negatives = (integers, at), (integers, at + word_places)
        inputs = (words, negatives, weights, ring, ring_at)

        state = state_of(streams.random[stream])
        tosses, state = state, advance(state, drawn)
        tosses, state = draw_ahead(tosses, state, sampling, negatives, lane)
        windows, pairs, loss = 0, 0, float32(0)
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
            position = entered = left = 0
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
                let_out, horizon = (
                    max(0, position - reach_most),
                    min(kept, position + reach_most + 1),
                )
                leave(words, left, let_out, weights, subwords, ring, ring_at, x, lane)
                enter(words, entered, horizon, weights, subwords, ring, ring_at, x, lane)
                left, entered = let_out, horizon
                window_loss = float32(0)
                if exact:
                    for context in range(first, end):
                        if context != position:
                            word = words[0][words[1] + (context & word_mask)]
                            window_loss += train_inputs(
                                word,
                                position,
                                position + 1,
                                -1,
                                inputs,
                                weights.output,
                                rate,
                                registers,
                                lane,
                                exchange,
                            )
                            tosses, state = draw_ahead(tosses, state, sampling, negatives, lane)
                elif end - first > 1:
                    word = words[0][words[1] + (position & word_mask)]
                    window_loss = train_inputs(
                        word,
                        first,
                        end,
                        position,
                        inputs,
                        weights.output,
                        rate,
                        registers,
                        lane,
                        exchange,
                    )
                    tosses, state = draw_ahead(tosses, state, sampling, negatives, lane)
                if windows % LOSS_EVERY == 0:
                    loss += window_loss
                    pairs += end - first - 1
                windows += 1
                position += 1
            leave(words, left, kept, weights, subwords, ring, ring_at, x, lane)
            if lane == 0:
                add(streams.done, 0, np.int64(stop - start))
            synchronize()
        add(streams.totals, 2 * stream, np.float64(loss))
        if lane == 0:
            add(streams.totals, 2 * stream + 1, np.float64(pairs))
            streams.random[stream] = state

    return train
