"""Skip-gram: each word and its neighbours predict one another.

Mikolov et al., "Distributed representations of words and phrases and their compositionality", 2013, section 2.

Two ways to draw negatives:

- shared by a window: all context words of a word are trained against it and one set of negatives, one small matrix product (Ji et
  al., "Parallelizing word2vec in shared and distributed memory", 2016). Many times as fast, and not worse: a word still meets as many
  different negatives over an epoch.
- exact: each pair of words draws its own, and the word in the middle predicts each context word, as fastText has it.
"""

from __future__ import annotations

import numpy as np

from kftext.blazingtext.kernels.compilation import lean_kernel
from kftext.blazingtext.kernels.logistic import train_step
from kftext.blazingtext.kernels.prefetch import prefetch_row
from kftext.blazingtext.kernels.ring import enter, input_row, leave
from kftext.blazingtext.kernels.sampling import below, keep_line
from kftext.blazingtext.kernels.targets import (
    choose_outputs,
    draw_first,
    prefetch_outputs,
)

__all__ = ["LOSS_EVERY", "skipgram"]

LOSS_EVERY = 64
"""The loss is computed for one window in so many: its logarithms would cost as much as the training."""


@lean_kernel
def skipgram(lines, weights, sampling, rate, worker, ring):
    """Train one slice of a corpus.

    Args:
        lines: `state.Lines`.
        weights: `state.Weights`, changed in place, by other threads too: Hogwild (Niu et al., 2011), races lose an update at times.
        sampling: `state.Sampling`.
        rate: float32, the learning rate.
        worker: `state.Worker`; its step has room for 2 * window inputs.
        ring: `ring.Ring` with room for 2 * window + 1 positions where words have subwords, else None.
    """
    line, step, stride = worker.line, worker.step, np.int64(weights.stride)
    window = np.int64(sampling.window)
    inputs, outputs, rows_ahead = weights.input, weights.output, worker.rows_ahead
    if ring is not None:
        inputs = ring.vectors
    windows = 0
    draw_first(worker, weights, sampling)
    for i in range(lines.offsets.size - 1):
        length = keep_line(
            worker.random, lines.ids, lines.offsets[i], lines.offsets[i + 1], sampling.keep, line
        )
        entered = 0
        for position in range(length):
            reach = 1 + below(worker.random, window)
            first, stop = max(0, position - reach), min(length, position + reach + 1)
            horizon = min(length, position + window + 1)
            leave(line, max(0, position - 1 - window), max(0, position - window), weights, ring)
            enter(line, entered, horizon, length, weights, ring)
            entered = horizon
            if position + 2 < length:
                prefetch_outputs(line[position + 2], weights, sampling, worker)
                if ring is None:
                    ahead = min(length - 1, position + 2 + window)
                    prefetch_row(inputs, line[ahead] * stride, stride)

            with_loss = windows % LOSS_EVERY == 0
            windows += 1
            pairs = stop - first - 1
            loss = 0.0
            if sampling.exact:
                step.input_rows[0] = input_row(line[position], position, stride, ring)
                for context in range(first, stop):
                    if context != position:
                        groups = choose_outputs(line[context], weights, sampling, worker)
                        loss += train_step(
                            inputs, 1, outputs, groups, stride, rate, step, rows_ahead, with_loss
                        )
            elif pairs > 0:
                n = 0
                for context in range(first, stop):
                    if context != position:
                        step.input_rows[n] = input_row(line[context], context, stride, ring)
                        n += 1
                groups = choose_outputs(line[position], weights, sampling, worker)
                loss = train_step(
                    inputs, n, outputs, groups, stride, rate, step, rows_ahead, with_loss
                )
            if with_loss:
                worker.totals[0] += loss
                worker.totals[1] += pairs
        leave(line, max(0, length - 1 - window), length, weights, ring)
