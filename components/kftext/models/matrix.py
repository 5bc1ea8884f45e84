"""The matrices of a model: rows of float32, or rows coded by a product quantizer.

Both answer the same questions (`rows`, `dot`), so that prediction does not care which it has. A matrix that was read from
a file is a view of the mapped file: only the pages that are asked for enter memory.

Product quantization: Jégou, Douze and Schmid, "Product quantization for nearest neighbor search", PAMI 2011; for text
classifiers Joulin et al., "FastText.zip: Compressing text classification models", 2016, section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

__all__ = ["CENTROIDS", "DenseMatrix", "Matrix", "ProductQuantizer", "QuantizedMatrix"]

CENTROIDS = 256
"""Centroids of a sub-quantizer: a code is one byte."""

_SEQUENTIAL = 1 << 17
"""Matrices of at most so many numbers are multiplied in fastText's order of summation, larger ones by BLAS."""

_ROWS_AT_A_TIME = 1 << 14
"""Rows that are gathered at a time: those of a long text would not fit into memory."""

Floats = npt.NDArray[np.float32]


def _sequential_dot(transposed: Floats, vector: Floats) -> Floats:
    """Return float32[n], `vector @ transposed`, each sum taken from first to last as a plain C++ loop does.

    fastText's sigmoid is a table, so that a difference in the last bit of a sum may end in the next of its 512 steps, and
    equal sums decide the order of labels. BLAS sums in an order of its own.
    """
    result: Floats = np.add.reduce(transposed * vector[:, None], axis=0)
    return result


def _sum_rows(matrix: DenseMatrix | QuantizedMatrix, indices: Sequence[int]) -> Floats:
    """Add rows up from first to last, whatever their number, in memory for some of them."""
    total = np.zeros((1, matrix.shape[1]), dtype=np.float32)
    for start in range(0, len(indices), _ROWS_AT_A_TIME):
        rows = matrix.rows(indices[start : start + _ROWS_AT_A_TIME])
        total = np.concatenate([total, rows]).sum(axis=0, keepdims=True)
    return total[0]


class DenseMatrix:
    """Rows of float32.

    Args:
        values: float32[rows, columns], C-contiguous; may be a view of a mapped file, at any alignment.
    """

    def __init__(self, values: npt.NDArray[np.float32]):
        self.values = np.ascontiguousarray(values, dtype=np.float32)
        # A file's matrix starts at any byte. NumPy would copy the whole of an unaligned matrix for some operations;
        # rows taken as bytes land in a fresh, aligned array.
        self._bytes = self.values.view(np.uint8)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.values.shape[0], self.values.shape[1]

    def rows(self, indices: npt.ArrayLike) -> Floats:
        """Return float32[n, columns], a copy of the rows at `indices`."""
        return self._bytes[np.asarray(indices, dtype=np.intp)].view(np.float32)

    def sum(self, indices: Sequence[int]) -> Floats:
        """Return float32[columns], the sum of the rows at `indices`, taken from first to last."""
        return _sum_rows(self, indices)

    @cached_property
    def aligned(self) -> Floats:
        """The matrix as an aligned array: itself, or a copy made once."""
        return self.values if self.values.flags.aligned else self.values.copy()

    @cached_property
    def _transposed(self) -> Floats:
        return np.array(self.values.T, order="C")

    def dot(self, vector: Floats) -> Floats:
        """Return float32[rows], the product of each row and `vector` (float32[columns])."""
        if self.values.size <= _SEQUENTIAL:
            return _sequential_dot(self._transposed, vector)
        return self.aligned @ vector

    def dense(self) -> Floats:
        """Return float32[rows, columns]."""
        return self.aligned


@dataclass(frozen=True, eq=False)
class ProductQuantizer:
    """One codebook of 256 centroids for each run of `dsub` columns.

    Attributes:
        dim: columns of the matrix.
        dsub: columns of a sub-vector; the last one may be shorter.
        centroids: float32[dim * 256], codebook after codebook; in each, centroid after centroid.
    """

    dim: int
    dsub: int
    centroids: Floats

    @property
    def nsubq(self) -> int:
        """Number of sub-vectors, which is the number of bytes of a coded row."""
        return -(-self.dim // self.dsub)

    @property
    def last_dsub(self) -> int:
        """Columns of the last sub-vector."""
        return self.dim - (self.nsubq - 1) * self.dsub

    def codebook(self, m: int) -> Floats:
        """Return the m-th codebook, float32[256, dsub or last_dsub], a view."""
        width = self.last_dsub if m == self.nsubq - 1 else self.dsub
        start = m * CENTROIDS * self.dsub
        return self.centroids[start : start + CENTROIDS * width].reshape(CENTROIDS, width)

    @cached_property
    def table(self) -> Floats:
        """All codebooks as float32[nsubq, 256, dsub], the last one filled up with zeros."""
        table = np.zeros((self.nsubq, CENTROIDS, self.dsub), dtype=np.float32)
        for m in range(self.nsubq):
            codebook = self.codebook(m)
            table[m, :, : codebook.shape[1]] = codebook
        return table

    def decode(self, codes: npt.NDArray[np.uint8]) -> Floats:
        """Return float32[n, dim] for codes uint8[n, nsubq]."""
        parts = self.table[np.arange(self.nsubq), codes]
        return parts.reshape(len(codes), -1)[:, : self.dim]


@dataclass(frozen=True, eq=False)
class QuantizedMatrix:
    """Rows coded by a product quantizer, and their norms by one of its own where `norm_codes` is given.

    Attributes:
        codes: uint8[rows, nsubq].
        quantizer: codebooks of the rows, or of the rows divided by their norms.
        norm_codes: uint8[rows], or None.
        norm_quantizer: codebook of the norms, or None.
    """

    codes: npt.NDArray[np.uint8]
    quantizer: ProductQuantizer
    norm_codes: npt.NDArray[np.uint8] | None = None
    norm_quantizer: ProductQuantizer | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.codes.shape[0], self.quantizer.dim

    def _norms(self, indices: npt.NDArray[np.intp] | slice) -> Floats | None:
        if self.norm_codes is None or self.norm_quantizer is None:
            return None
        return self.norm_quantizer.centroids[self.norm_codes[indices]]

    def rows(self, indices: npt.ArrayLike) -> Floats:
        """Return float32[n, columns], the decoded rows at `indices`."""
        picked = np.asarray(indices, dtype=np.intp)
        values = self.quantizer.decode(self.codes[picked])
        norms = self._norms(picked)
        return values if norms is None else values * norms[:, None]

    def sum(self, indices: Sequence[int]) -> Floats:
        """Return float32[columns], the sum of the decoded rows at `indices`, taken from first to last."""
        return _sum_rows(self, indices)

    @cached_property
    def _transposed(self) -> Floats:
        """The decoded rows without their norms, float32[columns, rows]."""
        return np.array(self.quantizer.decode(self.codes).T, order="C")

    def dot(self, vector: Floats) -> Floats:
        """Return float32[rows], the product of each row and `vector` (float32[columns])."""
        if len(self.codes) * self.quantizer.dim <= _SEQUENTIAL:
            result = _sequential_dot(self._transposed, vector)
        else:
            result = self._dot_codes(vector)
        norms = self._norms(slice(None))
        return result if norms is None else result * norms

    def _dot_codes(self, vector: Floats) -> Floats:
        """The product with the coded rows: with each centroid once, then one look-up for each byte of a row."""
        quantizer = self.quantizer
        padded = np.zeros((quantizer.nsubq, quantizer.dsub), dtype=np.float32)
        padded.reshape(-1)[: quantizer.dim] = vector
        products = np.einsum("mcd,md->mc", quantizer.table, padded)
        result = np.zeros(len(self.codes), dtype=np.float32)
        for m in range(quantizer.nsubq):
            result += products[m, self.codes[:, m]]
        return result

    def dense(self) -> Floats:
        """Return float32[rows, columns], decoded."""
        return self.rows(np.arange(len(self.codes)))


Matrix = DenseMatrix | QuantizedMatrix
