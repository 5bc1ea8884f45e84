"""Skip-gram in batches on a GPU, the twin of `kernels.batch_skipgram`: pairs of words against one set of negatives, applied as one.

All scores of a batch are computed first, with a group of output rows in registers; then the changes follow from the scores for a
lane's dimensions one after the other, the inputs' and the outputs' side by side, both from the parameters before the batch.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from kftext.blazingtext.cuda.kernels.batch import build_batch
from kftext.blazingtext.cuda.kernels.batch_changes import build_apply_changes
from kftext.blazingtext.cuda.kernels.batch_gradients import build_compute_gradients
from kftext.blazingtext.cuda.kernels.compilation import helper
from kftext.blazingtext.cuda.kernels.ring import build_ring
from kftext.blazingtext.cuda.kernels.shape import Shape
from kftext.blazingtext.cuda.kernels.state import Pending
from kftext.blazingtext.cuda.kernels.stream import build_kernel, observe
from kftext.blazingtext.cuda.kernels.targets import build_targets

__all__ = ["batch_skipgram"]


@lru_cache
def batch_skipgram(shape: Shape) -> Any:
    """Return the kernel of a shape (`stream.build_kernel`). A batch ends with its line at the latest."""
    ring, batch_size = build_ring(shape), shape.batch_size
    batch = build_batch(shape, ring)
    put, choose_negatives, draw_ahead = (
        batch.put,
        batch.choose_negatives,
        build_targets(shape).draw_ahead,
    )
    compute_gradients, apply_changes = (
        build_compute_gradients(shape, batch, ring),
        build_apply_changes(shape, batch, ring),
    )

    @helper
    def train_window(span, rate, pending, draws, tally, worker, task):
        """Put the pairs of a window into the batch, and train it whenever it is full or the line ends."""
        pairs, oldest = pending
        for context in range(span.first, span.stop):
            if context != span.position:
                if pairs == 0:
                    oldest = span.position
                put(pairs, context, span.position, worker)
                pairs += 1
            at_end = span.position + 1 == span.kept and context + 1 == span.stop
            if pairs == batch_size or (pairs > 0 and at_end):
                negatives = choose_negatives(worker)
                draws = draw_ahead(draws, worker, task)
                loss = compute_gradients(pairs, negatives, rate, worker, task)
                apply_changes(pairs, negatives, worker, task)
                tally = observe(tally, loss, pairs)
                pairs = 0
        return Pending(pairs, oldest), draws, tally

    return build_kernel(shape, train_window)
