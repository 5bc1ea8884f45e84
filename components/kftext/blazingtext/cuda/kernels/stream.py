"""The loop that all kernels have in common: a stream's lines, and the windows of each.

The loop of a mode differs in what it does with a window, `train_window`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import cuda, float32, int32

from kftext.blazingtext.cuda.kernels.compilation import helper, kernel
from kftext.blazingtext.cuda.kernels.ring import build_ring
from kftext.blazingtext.cuda.kernels.rows import add, load
from kftext.blazingtext.cuda.kernels.sampling import (
    advance,
    below,
    build_keep_line,
    draw,
    state_of,
)
from kftext.blazingtext.cuda.kernels.shape import Shape
from kftext.blazingtext.cuda.kernels.state import Draws, Line, Pending, Span, Tally, Task, Worker
from kftext.blazingtext.cuda.kernels.targets import build_targets
from kftext.blazingtext.cuda.kernels.warp import EXCHANGE_FLOATS, synchronize
from kftext.blazingtext.cuda.kernels.workspace import build_workspace

__all__ = ["LOSS_EVERY", "build_kernel", "observe"]

LOSS_EVERY = 64
"""The loss is looked at in one step of so many, as on the CPU."""


@helper
def observe(tally, loss, examples):
    """Count a step, and look at its loss if it is its turn."""
    if tally.seen % LOSS_EVERY == 0:
        return Tally(
            tally.seen + np.int64(1), tally.loss + loss, tally.examples + np.int64(examples)
        )
    return Tally(tally.seen + np.int64(1), tally.loss, tally.examples)


def _build_train_line(shape: Shape, train_window: Callable[..., Any]) -> Callable[..., Any]:
    """Return (line, rate, draws, tally, worker, task) -> (draws, tally)."""
    keep_line, ring, reach_most = build_keep_line(shape), build_ring(shape), shape.window
    enter, leave = ring.enter, ring.leave

    @helper
    def train_line(line, rate, draws, tally, worker, task):
        """Subsample a line and train a window around each word that is kept, with a reach drawn for each."""
        scanned, kept = keep_line(line, line.start, np.int64(0), reach_most + 1, worker, task)
        pending = Pending(np.int64(0), np.int64(0))
        position = entered = left = np.int64(0)
        while position < kept:
            reach = 1 + below(draw(draws.state, 1), reach_most)
            draws = Draws(draws.tosses, advance(draws.state, 1))
            horizon = position + reach_most + 1
            scanned, kept = keep_line(line, scanned, kept, horizon, worker, task)
            horizon = min(kept, horizon)
            # Words that a waiting pair needs stay in the ring.
            oldest = pending.oldest if pending.pairs > 0 else position
            let_out = max(left, oldest - reach_most)
            leave(left, let_out, worker, task)
            enter(entered, horizon, worker, task)
            left, entered = let_out, horizon
            span = Span(
                position, max(np.int64(0), position - reach), min(kept, position + reach + 1), kept
            )
            pending, draws, tally = train_window(span, rate, pending, draws, tally, worker, task)
            position += 1
        leave(left, kept, worker, task)
        return draws, tally

    return train_line


def build_kernel(shape: Shape, train_window: Callable[..., Any]) -> Any:
    """Return the kernel of a mode: a block of `shape.lanes` threads a stream.

    Its arguments are `state.Lines`, `Weights`, `Sampling`, `Subwords`, `Schedule`, `Streams` and `Scratch`.

    Args:
        shape: what it is compiled for.
        train_window: (span, rate, pending, draws, tally, worker, task) -> (pending, draws, tally), see `state`.
    """
    train_line, draw_first = (
        _build_train_line(shape, train_window),
        build_targets(shape).draw_first,
    )
    workspace, lanes = build_workspace(shape), shape.lanes
    floats_of, integers_of = workspace.floats, workspace.integers
    shared_floats = max(shape.floats - shape.scratch_floats, 1)
    shared_integers = max(shape.integers - shape.scratch_integers, 1)

    @kernel
    def train(lines, weights, sampling, subwords, schedule, streams, scratch):
        """Train this block's lines, at a learning rate that falls with the tokens that all streams have done."""
        lane, stream = int32(cuda.threadIdx.x), int32(cuda.blockIdx.x)
        exchange = cuda.shared.array(EXCHANGE_FLOATS, float32)
        own_floats = cuda.shared.array(shared_floats, float32)
        own_integers = cuda.shared.array(shared_integers, int32)
        floats, floats_at = floats_of(own_floats, scratch.floats, stream)
        integers, integers_at = integers_of(own_integers, scratch.integers, stream)
        worker = Worker(lane, lanes, exchange, integers, integers_at, floats, floats_at)
        task = Task(lines.ids, weights, sampling, subwords)

        draws = draw_first(state_of(streams.random[stream]), worker, task)
        tally = Tally(np.int64(0), np.float32(0), np.int64(0))
        for i in range(lines.bounds[stream], lines.bounds[stream + 1]):
            start, stop = np.int64(lines.offsets[i]), np.int64(lines.offsets[i + 1])
            done = load(streams.done, 0)
            rate = np.float32(schedule.rate * max(1.0 - done / schedule.total, 0.0))
            line = Line(start, stop, draws.state)
            draws = Draws(draws.tosses, advance(draws.state, stop - start))
            draws, tally = train_line(line, rate, draws, tally, worker, task)
            if lane == 0:
                add(streams.done, 0, stop - start)
            synchronize(worker)
        add(streams.totals, 2 * stream, np.float64(tally.loss))
        if lane == 0:
            add(streams.totals, 2 * stream + 1, np.float64(tally.examples))
            streams.random[stream] = draws.state

    return train
