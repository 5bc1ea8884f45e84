"""The inner loop of k-means: the nearest of 256 centroids for each point."""

from __future__ import annotations

import numpy as np

from kftext.models.compiled.compilation import entry

__all__ = ["assign"]

_CENTROIDS = 256


@entry
def assign(points, column, centroids, codes, first, last):
    """Write the index of the centroid nearest to each of the points first to last - 1; of equally near ones the first.

    Args:
        points: float32[n, columns]; a point is the sub-vector that starts at `column`.
        column: where the sub-vector starts.
        centroids: float32[width, 256], a centroid a column.
        codes: uint8[n], written.
        first: the first point.
        last: the point behind the last one.
    """
    width = centroids.shape[0]
    distances = np.empty(_CENTROIDS, np.float32)
    for i in range(first, last):
        for c in range(_CENTROIDS):
            distances[c] = np.float32(0)
        for j in range(width):
            x = points[i, column + j]
            for c in range(_CENTROIDS):
                difference = x - centroids[j, c]
                distances[c] += difference * difference
        best, nearest = distances[0], 0
        for c in range(1, _CENTROIDS):
            if distances[c] < best:
                best, nearest = distances[c], c
        codes[i] = nearest
