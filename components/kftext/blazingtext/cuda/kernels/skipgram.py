"""Skip-gram on a GPU, the twin of `kernels.skipgram`: negatives shared by a window, or drawn for each pair of words."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from kftext.blazingtext.cuda.kernels.compilation import helper
from kftext.blazingtext.cuda.kernels.logistic import build_train_step
from kftext.blazingtext.cuda.kernels.ring import build_ring
from kftext.blazingtext.cuda.kernels.shape import Shape
from kftext.blazingtext.cuda.kernels.stream import build_kernel, observe
from kftext.blazingtext.cuda.kernels.targets import build_targets
from kftext.blazingtext.cuda.kernels.workspace import build_word_at

__all__ = ["skipgram"]


@lru_cache
def skipgram(shape: Shape) -> Any:
    """Return the kernel of a shape (`stream.build_kernel`)."""
    targets, word_at, exact = build_targets(shape), build_word_at(shape), shape.exact
    train_step, draw_ahead = (
        build_train_step(shape, targets, build_ring(shape)),
        targets.draw_ahead,
    )

    @helper
    def train_window(span, rate, pending, draws, tally, worker, task):
        """Train each neighbour against the word; with `exact` the word against each neighbour and negatives of its own."""
        loss = np.float32(0)
        if exact:
            for context in range(span.first, span.stop):
                if context != span.position:
                    word = word_at(context, worker)
                    inputs = (span.position, span.position + 1, np.int64(-1))
                    loss += train_step(word, inputs, rate, worker, task)
                    draws = draw_ahead(draws, worker, task)
        elif span.stop - span.first > 1:
            inputs = (span.first, span.stop, span.position)
            loss += train_step(word_at(span.position, worker), inputs, rate, worker, task)
            draws = draw_ahead(draws, worker, task)
        return pending, draws, observe(tally, loss, span.stop - span.first - 1)

    return build_kernel(shape, train_window)
