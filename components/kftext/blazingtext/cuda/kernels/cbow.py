"""CBOW on a GPU, the twin of `kernels.cbow`: the mean of a word's neighbours predicts it."""

from __future__ import annotations

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
    kernel,
    load,
    synchronize,
)
from kftext.blazingtext.cuda.kernels.window import build_window, build_workspace

__all__ = ["cbow"]

_ZERO = np.float32(0)


@lru_cache
def cbow(shape: Shape) -> Any:
    """Return the kernel of a shape. Its arguments are those of `skipgram.skipgram`'s."""
    window, workspace = build_window(shape), build_workspace(shape)
    fill, draw_ahead, enter, leave = window.fill, window.draw_ahead, window.enter, window.leave
    read, change, row_count = window.read, window.change, window.row_count
    train_vector = build_logistic(shape, window).train_vector
    floats_of, integers_of = workspace.floats, workspace.integers
    lanes, stride, reach_most, drawn = shape.lanes, shape.stride, shape.window, shape.negatives
    chunks, group, group_floats = shape.chunks, shape.group, shape.group * shape.chunks
    word_places, word_mask = shape.word_places, shape.word_places - 1
    shared_floats = max(shape.floats - shape.scratch_floats, 1)
    shared_integers = max(shape.integers - shape.scratch_integers, 1)

    @device
    def mean(hidden, gradient, x, first, end, skip, words, subwords, weights, ring, ring_at, lane):
        count = _ZERO
        for j in range(chunks):
            hidden[j] = gradient[j] = _ZERO
        for context in range(first, end):
            if context != skip:
                share = row_count(context, words, subwords)
                read(x, context, words, weights, ring, ring_at, lane)
                for j in range(chunks):
                    hidden[j] += share * x[j]
                count += share
        for j in range(chunks):
            hidden[j] /= count

    @device
    def add_gradient(gradient, first, end, skip, words, weights, ring, ring_at, lane):
        for context in range(first, end):
            if context != skip:
                for j in range(chunks):
                    d = lane + lanes * j
                    if d < stride:
                        change(d, gradient[j], context, words, weights, ring, ring_at)

    @kernel
    def train(lines, weights, sampling, subwords, schedule, streams, scratch):
        lane, stream = int32(cuda.threadIdx.x), int32(cuda.blockIdx.x)
        exchange = cuda.shared.array(EXCHANGE_FLOATS, float32)
        own_floats = cuda.shared.array(shared_floats, float32)
        own_integers = cuda.shared.array(shared_integers, int32)
        w = cuda.local.array(group_floats, float32)
        hidden = cuda.local.array(chunks, float32)
        gradient = cuda.local.array(chunks, float32)
        x = cuda.local.array(chunks, float32)
        scores = cuda.local.array(SLOTS, float32)
        rows = cuda.local.array(group, int32)
        registers = (w, scores, rows)
        ring, ring_at = floats_of(own_floats, scratch.floats, stream)
        integers, at = integers_of(own_integers, scratch.integers, stream)
        words, negatives = (integers, at), (integers, at + word_places)

        state = state_of(streams.random[stream])
        tosses, state = state, advance(state, drawn)
        tosses, state = draw_ahead(tosses, state, sampling, negatives, lane)
        windows, looked_at, loss = 0, 0, float32(0)
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
                if end - first > 1:
                    mean(
                        hidden,
                        gradient,
                        x,
                        first,
                        end,
                        position,
                        words,
                        subwords,
                        weights,
                        ring,
                        ring_at,
                        lane,
                    )
                    word = words[0][words[1] + (position & word_mask)]
                    window_loss = train_vector(
                        word,
                        hidden,
                        gradient,
                        negatives,
                        weights.output,
                        rate,
                        registers,
                        lane,
                        exchange,
                    )
                    add_gradient(
                        gradient, first, end, position, words, weights, ring, ring_at, lane
                    )
                    tosses, state = draw_ahead(tosses, state, sampling, negatives, lane)
                    if windows % LOSS_EVERY == 0:
                        loss += window_loss
                        looked_at += 1
                    windows += 1
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
