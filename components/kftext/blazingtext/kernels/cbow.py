"""CBOW: the mean of a word's neighbours predicts it.

Mikolov et al., "Efficient estimation of word representations in vector space", 2013, section 3.1.

Each word draws its own negatives in any case, so that there is nothing to share. As in word2vec and fastText each neighbour gets the
mean's whole gradient. With subwords the mean is over the rows of all neighbours, words and n-grams alike, as in fastText.
"""

from __future__ import annotations

import numpy as np

from kftext.blazingtext.kernels import simd
from kftext.blazingtext.kernels.compilation import helper, lean_kernel
from kftext.blazingtext.kernels.logistic import train_vector
from kftext.blazingtext.kernels.prefetch import prefetch_row
from kftext.blazingtext.kernels.ring import enter, input_row, leave, row_count
from kftext.blazingtext.kernels.sampling import below, keep_line
from kftext.blazingtext.kernels.skipgram import LOSS_EVERY
from kftext.blazingtext.kernels.targets import (
    choose_outputs,
    draw_first,
    prefetch_outputs,
)

__all__ = ["cbow"]


@helper
def _mean(inputs, contexts, n, stride, hidden):
    """Set hidden[:stride] to the mean of n input vectors, and the gradient behind it to zero."""
    scale = simd.splat(np.float32(1) / np.float32(n))
    for d in range(0, stride, simd.LANES):
        total = simd.load(inputs, contexts[0] + d)
        for i in range(1, n):
            total = simd.add(total, simd.load(inputs, contexts[i] + d))
        simd.store(hidden, d, simd.multiply(total, scale))
        simd.store(hidden, stride + d, simd.zeros())


@helper
def _weighted_mean(inputs, contexts, weights, n, stride, hidden):
    """The same with weights: the vectors in the ring are means over so many rows each."""
    total_weight = np.float32(0)
    for i in range(n):
        total_weight += weights[i]
    for d in range(0, stride, simd.LANES):
        total = simd.zeros()
        for i in range(n):
            weight = simd.splat(weights[i] / total_weight)
            total = simd.multiply_add(weight, simd.load(inputs, contexts[i] + d), total)
        simd.store(hidden, d, total)
        simd.store(hidden, stride + d, simd.zeros())


@helper
def _add_gradient(inputs, contexts, n, stride, hidden):
    """Add the mean's gradient to each of the n input vectors."""
    for d in range(0, stride, simd.LANES):
        change = simd.load(hidden, stride + d)
        for i in range(n):
            row = contexts[i] + d
            simd.store(inputs, row, simd.add(simd.load(inputs, row), change))


@lean_kernel
def cbow(lines, weights, sampling, rate, worker, ring):
    """Train one slice of a corpus. The arguments are those of `skipgram.skipgram`."""
    line, step, hidden, stride = worker.line, worker.step, worker.hidden, np.int64(weights.stride)
    contexts, shares = worker.contexts, worker.shares
    window = np.int64(sampling.window)
    inputs = weights.input
    if ring is not None:
        inputs = ring.vectors
    windows = 0
    step.input_rows[0] = 0
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

            n = 0
            for context in range(first, stop):
                if context != position:
                    contexts[n] = input_row(line[context], context, stride, ring)
                    shares[n] = row_count(line[context], ring)
                    n += 1
            if n == 0:
                continue
            if ring is None:
                _mean(inputs, contexts, n, stride, hidden)
            else:
                _weighted_mean(inputs, contexts, shares, n, stride, hidden)
            with_loss = windows % LOSS_EVERY == 0
            windows += 1
            groups = choose_outputs(line[position], weights, sampling, worker)
            loss = train_vector(
                hidden,
                weights.output,
                groups,
                stride,
                rate,
                step,
                with_loss,
                worker.rows_ahead,
            )
            _add_gradient(inputs, contexts, n, stride, hidden)
            if with_loss:
                worker.totals[0] += loss
                worker.totals[1] += 1
        leave(line, max(0, length - 1 - window), length, weights, ring)
