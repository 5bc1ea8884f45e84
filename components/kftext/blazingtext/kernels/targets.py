"""Which output rows a word is trained against: itself and negatives, or the nodes of its Huffman path."""

from __future__ import annotations

import numpy as np

from kftext.blazingtext.kernels.compilation import helper
from kftext.blazingtext.kernels.logistic import GROUP, pad_group, set_output
from kftext.blazingtext.kernels.prefetch import prefetch_row
from kftext.blazingtext.kernels.sampling import next_random, resolve

__all__ = [
    "already_in_group",
    "choose_outputs",
    "draw_ahead",
    "draw_first",
    "prefetch_outputs",
]

_POSITIVE, _NEGATIVE = np.float32(1), np.float32(0)


@helper
def draw_first(worker, weights, sampling):
    """Draw the negatives of the first two windows."""
    for _ in range(2):
        draw_ahead(worker, weights, sampling)


@helper
def draw_ahead(worker, weights, sampling):
    """Go on to the negatives of the next window, and draw those of the window after it: time enough to ask for their rows."""
    for k in range(worker.next_negatives.size):
        worker.next_negatives[k] = worker.later_negatives[k]
        worker.later_negatives[k] = resolve(next_random(worker.random), sampling.negatives)
    for k in range(worker.rows_ahead.size):
        negative = worker.later_negatives[min(k, worker.later_negatives.size - 1)]
        worker.rows_ahead[k] = negative * weights.stride


@helper
def prefetch_outputs(word, weights, sampling, worker):
    """Ask for the rows that `word` is to be trained against, as far as they are known before its turn: its own, or its path's."""
    stride = weights.stride
    if worker.next_negatives.size > 0:
        prefetch_row(weights.output, word * stride, stride)
    else:
        for k in range(sampling.paths.offsets[word], sampling.paths.offsets[word + 1]):
            prefetch_row(weights.output, sampling.paths.nodes[k] * stride, stride)


@helper
def already_in_group(step, position, row):
    """Return whether `row` is an output of the group that `position` belongs to."""
    found = False
    for k in range((position // GROUP) * GROUP, position):
        found |= step.output_rows[k] == row
    return found


@helper
def choose_outputs(word, weights, sampling, worker):
    """Set the outputs of worker.step for `word`, draw the next negatives, and return the number of groups.

    A negative that is the word itself is left out, as in word2vec (fastText draws again, for ever where there is one word). One
    that was drawn twice into a group counts once: its row is updated once.
    """
    step, stride = worker.step, np.int64(weights.stride)
    outputs = 0
    if worker.next_negatives.size > 0:
        set_output(step, 0, word * stride, _POSITIVE)
        outputs = 1
        for k in range(worker.next_negatives.size):
            negative = worker.next_negatives[k]
            row = negative * stride
            if negative != word and not already_in_group(step, outputs, row):
                set_output(step, outputs, row, _NEGATIVE)
                outputs += 1
        draw_ahead(worker, weights, sampling)
    else:
        paths = sampling.paths
        for k in range(paths.offsets[word], paths.offsets[word + 1]):
            set_output(step, outputs, paths.nodes[k] * stride, paths.turns[k])
            outputs += 1
    return pad_group(step, outputs, weights.output.size - stride)
