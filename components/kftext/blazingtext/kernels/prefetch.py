"""Rows of the matrices asked for before they are needed, to be written.

The order counts where threads run on cores that don't share a cache, as on a server whose cores come in clusters. A line that another
cluster has written takes 170 ns or more to come, and many are on their way at once: asked for row by row, the seven lines of a row of
dimension 100 one after the other, four threads take two thirds of the time that they take with the same lines asked for one of each
row, then the next of each. (On one core, or on cores around one cache, the order makes no difference.)
"""

from __future__ import annotations

from kftext.blazingtext.kernels import simd
from kftext.blazingtext.kernels.compilation import helper

__all__ = ["prefetch_row", "prefetch_rows"]


@helper
def prefetch_row(matrix, row, stride):
    """Ask for the cache lines of the row that starts at `row`."""
    for d in range(0, stride, simd.LANES):
        simd.prefetch(matrix, row + d)


@helper
def prefetch_rows(matrix, rows, first, count, d, stride):
    """Ask for some of the rows that start at rows[first : first + count].

    A loop over dimensions, sixteen at a time, calls it at each `d`: by the end all rows are asked for. All at once are more cache lines
    than a core can wait for.
    """
    for k in range(d // simd.LANES, count, stride // simd.LANES):
        prefetch_row(matrix, rows[first + k], stride)
