"""Small models made by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kftext.models import Args, DenseMatrix, Dictionary, FastTextModel, Loss, Model, QuantizedMatrix
from kftext.models.matrix import ProductQuantizer

WORDS = ["</s>", "the", "movie", "was", "good", "bad", "überaus", "映画", "a", "__labelless"]
LABELS = ["__label__pos", "__label__neg", "__label__neutral", "__label__mixed"]


def quantized(rows: int, dim: int, rng, *, dsub: int = 2, norms: bool = False) -> QuantizedMatrix:
    nsubq = -(-dim // dsub)
    centroids = rng.normal(size=dim * 256).astype(np.float32)
    codes = rng.integers(0, 256, (rows, nsubq), dtype=np.uint8)
    if not norms:
        return QuantizedMatrix(codes, ProductQuantizer(dim, dsub, centroids))
    return QuantizedMatrix(
        codes,
        ProductQuantizer(dim, dsub, centroids),
        rng.integers(0, 256, rows, dtype=np.uint8),
        ProductQuantizer(1, 1, rng.random(256, dtype=np.float32)),
    )


def make_model(
    kind: Model = Model.SUPERVISED,
    loss: Loss = Loss.SOFTMAX,
    *,
    word_ngrams: int = 1,
    subwords: tuple[int, int] = (0, 0),
    dim: int = 5,
    bucket: int = 50,
    quantize: bool = False,
    norms: bool = False,
    qout: bool = False,
    pruned: bool = False,
    seed: int = 0,
    words: Sequence[str] = WORDS,
) -> FastTextModel:
    """A model with random numbers in it: the numbers don't matter, the rules do."""
    rng = np.random.default_rng(seed)
    arguments = Args(
        dim=dim,
        loss=loss,
        model=kind,
        word_ngrams=word_ngrams,
        minn=subwords[0],
        maxn=subwords[1],
        bucket=bucket,
        t=1e-3,
    )
    kept = None
    if pruned:
        chosen = rng.permutation(bucket)[: bucket // 2]
        kept = np.stack([chosen, rng.permutation(len(chosen))], axis=1).astype(np.int32)
    labels = LABELS if kind == Model.SUPERVISED else []
    dictionary = Dictionary(
        arguments,
        [word.encode() for word in words],
        range(len(words) * 10, 0, -10),
        [label.encode() for label in labels],
        range(len(labels) * 5, 0, -5),
        token_count=1234,
        pruned=kept,
    )
    rows = len(words) + (bucket if kept is None else len(kept))
    targets = len(labels) or len(words)
    output_values = DenseMatrix(rng.normal(size=(targets, dim)).astype(np.float32))
    return FastTextModel(
        arguments,
        dictionary,
        quantized(rows, dim, rng, norms=norms)
        if quantize
        else DenseMatrix(rng.normal(size=(rows, dim)).astype(np.float32)),
        quantized(targets, dim, rng, norms=norms) if qout else output_values,
    )
