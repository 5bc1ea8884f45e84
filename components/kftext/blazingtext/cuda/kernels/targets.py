"""Which output rows a word is trained against: itself and negatives (the twin of `kernels.targets`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from kftext.blazingtext.cuda.kernels.compilation import helper
from kftext.blazingtext.cuda.kernels.sampling import advance, draw, resolve
from kftext.blazingtext.cuda.kernels.shape import Shape
from kftext.blazingtext.cuda.kernels.state import Draws
from kftext.blazingtext.cuda.kernels.warp import synchronize

__all__ = ["Targets", "build_targets"]


class Targets(NamedTuple):
    """Device functions of a shape.

    Attributes:
        draw_first: (state, worker, task) -> Draws: draw the negatives of the first window, and toss for those of the second.
        draw_ahead: (draws, worker, task) -> Draws: the same for the next window and the one after it.
        choose_outputs: (word, cursor, rows, worker) -> (n, cursor): set the next group of output rows.
    """

    draw_first: Callable[..., Any]
    draw_ahead: Callable[..., Any]
    choose_outputs: Callable[..., Any]


def build_targets(shape: Shape) -> Targets:
    """Build the device functions of a shape."""
    lanes, group, drawn, negatives_at = (
        shape.lanes,
        shape.group,
        shape.negatives,
        shape.word_places,
    )

    @helper
    def draw_ahead(draws, worker, task):
        """Draw the next window's negatives into the work space, a lane each, and toss for those of the window after it."""
        # All lanes must have read the last ones.
        synchronize(worker)
        for k in range(worker.lane, drawn, lanes):
            negative = resolve(draw(draws.tosses, k + 1), task.sampling.negatives)
            worker.integers[worker.integers_at + negatives_at + k] = negative
        synchronize(worker)
        return Draws(draws.state, advance(draws.state, drawn))

    @helper
    def draw_first(state, worker, task):
        """Draw the first window's."""
        return draw_ahead(Draws(state, advance(state, drawn)), worker, task)

    @helper
    def choose_outputs(word, cursor, rows, worker):
        """Set rows, int32[group], to the next group, from `cursor` on: 0 is the word, k the k-th negative. Return (n, the next cursor)."""
        # The first group begins with the word. A negative that is the word is left out; one drawn twice into a group counts once.
        n = 0
        if cursor == 0:
            rows[0] = word
            n = 1
            cursor = 1
        while cursor <= drawn and n < group:
            negative = worker.integers[worker.integers_at + negatives_at + cursor - 1]
            fresh = negative != word
            for k in range(group):
                if k < n and rows[k] == negative:
                    fresh = False
            if fresh:
                for k in range(group):
                    # An index that is known when this is compiled: an array with any other is no longer in registers.
                    if k == n:
                        rows[k] = negative
                n += 1
            cursor += 1
        return n, cursor

    return Targets(draw_first, draw_ahead, choose_outputs)
