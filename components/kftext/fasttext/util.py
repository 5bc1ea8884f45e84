"""`fasttext.util`: vectors made shorter, the nearest of some vectors, precision and recall of lists of labels."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np
import numpy.typing as npt

from kftext.errors import UsageError
from kftext.fasttext.model import FastText

__all__ = ["find_nearest_neighbor", "reduce_model", "test"]

_MOST_ROWS = 100_000


def test(
    predictions: Iterable[Sequence[str]], labels: Iterable[Sequence[str]], k: int = 1
) -> tuple[float, float]:
    """Return precision at k and recall of predicted labels, given the true ones of each text.

    Raises:
        UsageError: there is no text, or none has a label.
    """
    right = examples = true = 0
    for predicted, expected in zip(predictions, labels, strict=False):
        right += sum(label in expected for label in predicted)
        examples += 1
        true += len(expected)
    if not true:
        raise UsageError("labels: expected at least one true label")
    return right / (k * examples), right / true


def find_nearest_neighbor(
    query: npt.NDArray[np.float32],
    vectors: npt.NDArray[np.float32],
    ban_set: Collection[int],
    cossims: npt.NDArray[np.float32] | None = None,
) -> int:
    """Return the row of `vectors` (float32[n, dim]) with the largest product with `query` (float32[dim]), banned ones left out.

    Args:
        query: the vector.
        vectors: rows to look among.
        ban_set: rows that don't count.
        cossims: float32[n], written: the products.

    Raises:
        UsageError: all rows are banned.
    """
    products = np.matmul(vectors, query, out=cossims).copy()
    products[list(ban_set)] = -np.inf
    best = int(np.argmax(products)) if len(products) else -1
    if best < 0 or best in ban_set:
        raise UsageError("ban_set: expected at least one row that is not banned")
    return best


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
