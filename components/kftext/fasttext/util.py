"""`fasttext.util`: making a model's vectors shorter."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kftext.errors import UsageError
from kftext.fasttext.model import FastText

__all__ = ["reduce_model"]

_MOST_ROWS = 100_000


def reduce_model(ft_model: FastText, target_dim: int) -> FastText:
    """Replace a model's matrices by their projections on the first `target_dim` principal components of the input matrix.

    The components are those of its first 100,000 rows, which are the most frequent words. The model is changed in place.

    Raises:
        UsageError: the model is quantized, or has no more dimensions than asked for.
    """
    input = ft_model.get_input_matrix()
    if not 0 < target_dim <= input.shape[1]:
        raise UsageError(f"target_dim={target_dim}: expected 1 to {input.shape[1]}")
    projection = _principal_components(input[:_MOST_ROWS], target_dim)
    ft_model.set_matrices(input @ projection, ft_model.get_output_matrix() @ projection)
    return ft_model


def _principal_components(rows: npt.NDArray[np.float32], count: int) -> npt.NDArray[np.float32]:
    """Return float32[dim, count], the directions of the largest variance, the largest first."""
    centered = rows - rows.mean(axis=0, dtype=np.float32)
    covariance = (centered.T @ centered).astype(np.float64) / max(1, len(rows) - 1)
    values, vectors = np.linalg.eigh(covariance)
    return vectors[:, np.argsort(-values)[:count]].astype(np.float32)
