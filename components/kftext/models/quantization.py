"""Making a model small: rows coded by a product quantizer, and rows left out.

Joulin et al., "FastText.zip: Compressing text classification models", 2016: product quantization of the rows, of their norms
apart from their directions (section 3.1), and the choice of the rows that matter by their norm (section 3.2). The
quantizer is fastText's but for the number of rounds of its k-means (it stops at 25, which leaves a twentieth more error): over
at most 65,536 rows, with 256 centroids for each `dsub` columns.

    small = quantize(model, cutoff=100_000, qnorm=True)
    write_model(small, "model.ftz")

Word vectors can be quantized as well, which fastText itself can't do, though it reads the result: their output matrix, which
only training needs, is left out.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from kftext.errors import UsageError
from kftext.models.dictionary import EOS, Dictionary
from kftext.models.fasttext_format import FastTextModel
from kftext.models.matrix import CENTROIDS, DenseMatrix, ProductQuantizer, QuantizedMatrix

__all__ = ["Quantization", "Retrain", "prune", "quantize", "quantize_matrix", "train_quantizer"]

_ROUNDS = 100
_MOST_POINTS = 256 * CENTROIDS
_SPLIT = np.float32(1e-7)
_ROWS_AT_A_TIME = 4096
_WORTH_THREADS = 16384
_SEED_POINTS = 16384
"""Rows from which on threads take less time to start than they save."""

Floats = npt.NDArray[np.float32]
Retrain = Callable[[FastTextModel], FastTextModel]
"""Takes a model that was pruned and returns it with its matrices trained on, so that they make up for what is gone."""


@dataclass(frozen=True)
class Quantization:
    """How to quantize a model; names and defaults are fastText's.

    Attributes:
        cutoff: rows of the input matrix to keep, words and n-grams together; 0 keeps all.
        dsub: columns that share a byte.
        qnorm: whether a row's norm has a byte of its own.
        qout: whether the output matrix is quantized, too; it needs at least 256 rows.
        seed: of the k-means' choices.
        threads: how many threads find the nearest centroids.
    """

    cutoff: int = 0
    dsub: int = 2
    qnorm: bool = False
    qout: bool = False
    seed: int = 1234
    threads: int = 1

    def check(self) -> None:
        """Raise UsageError where a number is impossible."""
        if self.cutoff < 0:
            raise UsageError(
                f"cutoff={self.cutoff}: expected a number of rows, or 0 for all of them"
            )
        if self.dsub < 1:
            raise UsageError(f"dsub={self.dsub}: expected a number of columns > 0")


def quantize(
    model: FastTextModel, how: Quantization | None = None, *, retrain: Retrain | None = None
) -> FastTextModel:
    """Return a quantized copy of a model; the model itself stays as it is.

    Args:
        model: a classifier or word vectors, not quantized.
        how: what to do; the defaults halve the columns and keep all rows.
        retrain: called with the pruned model before it is quantized, where rows are left out.

    Raises:
        UsageError: the model is quantized already, has fewer than 256 rows, or a number of `how` is impossible.
    """
    how = how or Quantization()
    how.check()
    if model.quantized:
        raise UsageError("the model is quantized already")
    supervised = model.arguments.supervised
    if 0 < how.cutoff < model.input.shape[0]:
        model = prune(model, how.cutoff)
        if retrain is not None:
            model = retrain(model)
    source = _dense(model.input)
    quantized = quantize_matrix(source, how)
    output = model.output
    if not supervised:
        output = DenseMatrix(np.empty((0, model.arguments.dim), dtype=np.float32))
    elif how.qout:
        output = quantize_matrix(_dense(output), replace(how, dsub=2))
    return replace(model, input=quantized, output=output)


def _dense(matrix: DenseMatrix | QuantizedMatrix) -> Floats:
    if isinstance(matrix, QuantizedMatrix):
        raise UsageError("the model is quantized already")
    return matrix.values


def prune(model: FastTextModel, cutoff: int) -> FastTextModel:
    """Keep the `cutoff` rows of the input matrix with the largest norms, and `</s>`.

    The result can be trained on and quantized; fastText's format holds a pruned dictionary only beside a quantized matrix.
    """
    dictionary, matrix = model.dictionary, _dense(model.input)
    if dictionary.pruned is not None:
        raise UsageError("the model is pruned already")
    norms = _norms(matrix)
    end_of_sentence = dictionary.word_id(EOS)
    if end_of_sentence >= 0:
        norms[end_of_sentence] = np.inf
    kept = np.argsort(-norms, kind="stable")[:cutoff]
    words = np.sort(kept[kept < len(dictionary.words)])
    ngrams = kept[kept >= len(dictionary.words)]
    pairs = np.stack([ngrams - len(dictionary.words), np.arange(len(ngrams))], axis=1)
    pruned = Dictionary(
        model.arguments,
        [dictionary.words[index] for index in words],
        dictionary.counts[words],
        dictionary.labels,
        dictionary.label_counts,
        token_count=dictionary.token_count,
        pruned=pairs.astype(np.int32),
        label_prefix=dictionary.label_prefix,
    )
    rows = model.input.rows(np.concatenate([words, ngrams]))
    output = model.output
    if not model.arguments.supervised and output.shape[0]:
        output = DenseMatrix(output.rows(words))
    return replace(model, dictionary=pruned, input=DenseMatrix(rows), output=output)


def _norms(matrix: Floats) -> Floats:
    """Return float32[rows], the norms of the rows."""
    norms = np.empty(len(matrix), dtype=np.float32)
    for start in range(0, len(matrix), _ROWS_AT_A_TIME):
        part = matrix[start : start + _ROWS_AT_A_TIME].astype(np.float64)
        norms[start : start + _ROWS_AT_A_TIME] = np.sqrt((part * part).sum(axis=1))
    return norms


def quantize_matrix(matrix: Floats, how: Quantization) -> QuantizedMatrix:
    """Quantize float32[rows, columns].

    Raises:
        UsageError: there are fewer than 256 rows.
    """
    rng = np.random.default_rng(how.seed)
    norm_codes = norm_quantizer = None
    if how.qnorm:
        norms = _norms(matrix)
        column = norms[:, None]
        norm_quantizer = train_quantizer(column, 1, rng, how.threads)
        norm_codes = _encode(column, norm_quantizer, how.threads)[:, 0]
        norms[norms == 0] = 1
        matrix = np.divide(matrix, norms[:, None], dtype=np.float32)
    quantizer = train_quantizer(matrix, how.dsub, rng, how.threads)
    codes = _encode(matrix, quantizer, how.threads)
    return QuantizedMatrix(codes, quantizer, norm_codes, norm_quantizer)


def train_quantizer(
    matrix: Floats, dsub: int, rng: np.random.Generator, threads: int = 1
) -> ProductQuantizer:
    """Find the centroids of each `dsub` columns of float32[rows, columns].

    Raises:
        UsageError: there are fewer than 256 rows.
    """
    rows, dim = matrix.shape
    if rows < CENTROIDS:
        raise UsageError(
            f"a matrix of {rows} rows is too small to be quantized: it needs {CENTROIDS}"
        )
    codebooks = []
    for start in range(0, dim, dsub):
        picked = rng.permutation(rows)[:_MOST_POINTS] if rows > _MOST_POINTS else slice(None)
        points = np.ascontiguousarray(matrix[picked, start : start + dsub])
        codebooks.append(_k_means(points, rng, threads).reshape(-1))
    return ProductQuantizer(dim, dsub, np.concatenate(codebooks))


def _k_means(points: Floats, rng: np.random.Generator, threads: int) -> Floats:
    """Return float32[256, width], the centroids of float32[n, width]."""
    centroids = _spread_out(points, rng)
    codes, before = np.empty((2, len(points)), dtype=np.uint8)
    for _ in range(_ROUNDS):
        codes, before = before, codes
        _assign(points, 0, centroids, codes, threads)
        if np.array_equal(codes, before):
            break
        counts = np.bincount(codes, minlength=CENTROIDS)
        for j in range(points.shape[1]):
            sums = np.bincount(codes, weights=points[:, j], minlength=CENTROIDS)
            centroids[:, j] = sums / np.maximum(counts, 1)
        _fill_empty(centroids, counts, rng)
    return centroids


def _spread_out(points: Floats, rng: np.random.Generator) -> Floats:
    """Choose 256 points to begin with, each with a probability that grows with its distance to those before (k-means++).

    Arthur and Vassilvitskii, "k-means++: the advantages of careful seeding", 2007. fastText begins with points drawn evenly, and so
    nearly all of them short vectors: the few long ones, which decide most predictions, get no centroid near them. On the cooking
    questions, dim 10, this is worth 1.5 points of accuracy with dsub=2, and 3 with dsub=4.
    """
    sample = points
    if len(points) > _SEED_POINTS:
        sample = points[rng.permutation(len(points))[:_SEED_POINTS]]
    centroids = np.empty((CENTROIDS, points.shape[1]), dtype=np.float32)
    nearest = np.full(len(sample), np.inf)
    chosen = int(rng.integers(len(sample)))
    for index in range(CENTROIDS):
        centroids[index] = sample[chosen]
        difference = sample - centroids[index]
        np.minimum(nearest, np.einsum("ij,ij->i", difference, difference), out=nearest)
        weights = np.cumsum(nearest)
        # Where fewer than 256 points differ, all distances are 0 in the end, and any point will do.
        drawn = np.searchsorted(weights, rng.random() * weights[-1], side="right")
        chosen = min(int(drawn), len(sample) - 1)
    return centroids


def _fill_empty(centroids: Floats, counts: npt.NDArray[np.int64], rng: np.random.Generator) -> None:
    """Give each centroid without points half of those of another one, drawn by how many it has to spare."""
    signs = np.where(np.arange(centroids.shape[1]) % 2, _SPLIT, -_SPLIT)
    for empty in np.flatnonzero(counts == 0):
        spare = np.cumsum(np.maximum(counts - 1, 0))
        if spare[-1] == 0:
            return
        donor = int(np.searchsorted(spare, rng.random() * spare[-1], side="right"))
        centroids[empty] = centroids[donor] + signs
        centroids[donor] -= signs
        counts[empty] = counts[donor] // 2
        counts[donor] -= counts[empty]


def _encode(matrix: Floats, quantizer: ProductQuantizer, threads: int) -> npt.NDArray[np.uint8]:
    """Return uint8[rows, nsubq], the codes of float32[rows, columns]."""
    codes = np.empty((quantizer.nsubq, len(matrix)), dtype=np.uint8)
    for m in range(quantizer.nsubq):
        _assign(matrix, m * quantizer.dsub, quantizer.codebook(m), codes[m], threads)
    return np.ascontiguousarray(codes.T)


def _assign(
    matrix: Floats, column: int, centroids: Floats, codes: npt.NDArray[np.uint8], threads: int
) -> None:
    """Write the nearest of float32[256, width] centroids for each sub-vector that starts at `column`."""
    if importlib.util.find_spec("numba") is not None:
        from kftext.models.compiled.assign import assign

        run = partial(assign, matrix, column, np.ascontiguousarray(centroids.T), codes)
    else:
        run = partial(_assign_numpy, matrix, column, centroids, codes)
    if threads <= 1 or len(matrix) < _WORTH_THREADS:
        run(0, len(matrix))
        return
    cuts = np.linspace(0, len(matrix), threads + 1).astype(int).tolist()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(run, cuts[:-1], cuts[1:]))


def _assign_numpy(
    matrix: Floats,
    column: int,
    centroids: Floats,
    codes: npt.NDArray[np.uint8],
    first: int,
    last: int,
) -> None:
    width = centroids.shape[1]
    for start in range(first, last, _ROWS_AT_A_TIME):
        end = min(last, start + _ROWS_AT_A_TIME)
        points = matrix[start:end, column : column + width]
        distances = np.zeros((end - start, CENTROIDS), dtype=np.float32)
        for j in range(width):
            difference = points[:, j, None] - centroids[None, :, j]
            distances += difference * difference
        codes[start:end] = distances.argmin(axis=1)
