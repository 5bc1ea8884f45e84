"""The fastText classifier on a GPU, the twin of `kernels.supervised`: a warp trains a stream of texts.

A text is the mean of its words' and word n-grams' rows, each read and changed once. What streams write they write by atomic additions,
so that no change is lost; how many streams there may be is what `cuda.launch` is about.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numba import cuda, float32, int32

from kftext.blazingtext.cuda.kernels.compilation import kernel, registers
from kftext.blazingtext.cuda.kernels.features import build_text_rows
from kftext.blazingtext.cuda.kernels.labels import build_train_labels
from kftext.blazingtext.cuda.kernels.rows import add, load
from kftext.blazingtext.cuda.kernels.sampling import state_of
from kftext.blazingtext.cuda.kernels.shape import TextShape
from kftext.blazingtext.cuda.kernels.state import TextTask, Worker
from kftext.blazingtext.cuda.kernels.warp import EXCHANGE_FLOATS, synchronize
from kftext.blazingtext.cuda.kernels.workspace import build_workspace

__all__ = ["supervised"]


@lru_cache
def supervised(shape: TextShape) -> Any:
    """Return the kernel of a shape: a block of `shape.lanes` threads a stream.

    Its arguments are `state.Texts`, `Weights`, `Features`, `Labels`, `Schedule`, `Streams` and `Scratch`; labels count as tokens, as
    on the CPU, and every text's loss is looked at.
    """
    lanes, chunks = shape.lanes, shape.chunks
    text_rows, train_labels = build_text_rows(shape), build_train_labels(shape)
    mean, add_gradient, workspace = text_rows.mean, text_rows.add_gradient, build_workspace(shape)
    floats_of, integers_of = workspace.floats, workspace.integers
    shared_floats = max(shape.floats - shape.scratch_floats, 1)
    shared_integers = max(shape.integers - shape.scratch_integers, 1)

    @kernel
    def train(texts, weights, features, labels, schedule, streams, scratch):
        """Train this block's texts, at a learning rate that falls with the tokens that all streams have done."""
        lane, stream = int32(cuda.threadIdx.x), int32(cuda.blockIdx.x)
        exchange = cuda.shared.array(EXCHANGE_FLOATS, float32)
        own_floats = cuda.shared.array(shared_floats, float32)
        own_integers = cuda.shared.array(shared_integers, int32)
        floats, floats_at = floats_of(own_floats, scratch.floats, stream)
        integers, integers_at = integers_of(own_integers, scratch.integers, stream)
        worker = Worker(lane, lanes, exchange, integers, integers_at, floats, floats_at)
        task = TextTask(texts, weights, features, labels)
        hidden = registers.local.array(chunks, float32)
        gradient = registers.local.array(chunks, float32)

        state, loss, examples = state_of(streams.random[stream]), 0.0, 0
        for i in range(texts.bounds[stream], texts.bounds[stream + 1]):
            start, stop = np.int64(texts.offsets[i]), np.int64(texts.offsets[i + 1])
            own = (np.int64(texts.label_offsets[i]), np.int64(texts.label_offsets[i + 1]))
            done = load(streams.done, 0)
            rate = np.float32(schedule.rate * max(1.0 - done / schedule.total, 0.0))
            n = mean(hidden, start, stop, worker, task) if own[1] > own[0] else int32(0)
            if n > 0:
                for j in range(chunks):
                    gradient[j] = np.float32(0)
                value, state = train_labels(hidden, gradient, own, rate, state, worker, task)
                scale = np.float32(1) / np.float32(n)
                for j in range(chunks):
                    gradient[j] *= scale
                add_gradient(gradient, start, stop, worker, task)
                loss += value
                examples += 1
            if lane == 0:
                add(streams.done, 0, stop - start + own[1] - own[0])
            synchronize(worker)
        add(streams.totals, 2 * stream, np.float64(loss))
        if lane == 0:
            add(streams.totals, 2 * stream + 1, np.float64(examples))
            streams.random[stream] = state

    return train
