"""The model folder: fastText binaries, vectors as text, scores, and model.json beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from kftext.blazingtext.hogwild import EpochRecord
from kftext.blazingtext.hyperparameters import SupervisedHyperparameters, Word2VecHyperparameters
from kftext.blazingtext.matrices import Matrices
from kftext.blazingtext.subwords import Subwords
from kftext.blazingtext.vocabulary import Vocabulary
from kftext.models import (
    Args,
    DenseMatrix,
    Dictionary,
    FastTextModel,
    Loss,
    Model,
    write_model,
)
from kftext.models.word2vec_text import write_text

__all__ = [
    "OWNED_FILES",
    "classifier_model",
    "compose_vectors",
    "word_vectors_model",
    "write_classifier",
    "write_json",
    "write_learning_curve",
    "write_word_vectors",
]

OWNED_FILES = (
    "eval.json",
    "learning_curve.json",
    "model.bin",
    "model.json",
    "vectors.bin",
    "vectors.txt",
)
"""All names that a model folder may hold: those of an earlier run don't stay beside a later one's."""

Float32Array = npt.NDArray[np.float32]

_WORDS_AT_A_TIME = 4096
_LOSSES = {"ns": Loss.NS, "hs": Loss.HS, "softmax": Loss.SOFTMAX, "ova": Loss.OVA}


def word_vectors_model(
    vocabulary: Vocabulary,
    matrices: Matrices,
    hyperparameters: Word2VecHyperparameters,
    token_count: int,
) -> FastTextModel:
    """Put trained vectors together as a fastText model. `batch_skipgram` is a way of training: its model is a skipgram."""
    subwords = hyperparameters.subwords
    arguments = Args(
        dim=hyperparameters.vector_dim,
        ws=hyperparameters.window_size,
        epoch=hyperparameters.epochs,
        min_count=hyperparameters.min_count,
        neg=hyperparameters.negative_samples,
        loss=_LOSSES[hyperparameters.loss],
        model=Model.CBOW if hyperparameters.mode == "cbow" else Model.SKIPGRAM,
        bucket=hyperparameters.buckets if subwords else 0,
        minn=hyperparameters.min_char if subwords else 0,
        maxn=hyperparameters.max_char if subwords else 0,
        t=hyperparameters.sampling_threshold,
    )
    return _model(arguments, vocabulary, matrices, token_count)


def classifier_model(
    vocabulary: Vocabulary,
    matrices: Matrices,
    hyperparameters: SupervisedHyperparameters,
    token_count: int,
    label_prefix: bytes,
) -> FastTextModel:
    """Put a trained classifier together as a fastText model."""
    arguments = Args(
        dim=hyperparameters.vector_dim,
        epoch=hyperparameters.epochs,
        min_count=hyperparameters.min_count,
        neg=hyperparameters.negative_samples,
        word_ngrams=hyperparameters.word_ngrams,
        loss=_LOSSES[hyperparameters.loss],
        model=Model.SUPERVISED,
        bucket=hyperparameters.ngram_rows,
        minn=hyperparameters.min_char if hyperparameters.subwords else 0,
        maxn=hyperparameters.max_char if hyperparameters.subwords else 0,
    )
    return _model(arguments, vocabulary, matrices, token_count, label_prefix)


def _model(
    arguments: Args,
    vocabulary: Vocabulary,
    matrices: Matrices,
    token_count: int,
    label_prefix: bytes = b"__label__",
) -> FastTextModel:
    dictionary = Dictionary(
        arguments,
        vocabulary.words,
        vocabulary.counts,
        vocabulary.labels if arguments.supervised else (),
        vocabulary.label_counts if arguments.supervised else (),
        token_count=token_count,
        label_prefix=label_prefix,
    )
    return FastTextModel(
        arguments, dictionary, DenseMatrix(matrices.input), DenseMatrix(matrices.output)
    )


def compose_vectors(matrix: Float32Array, subwords: Subwords | None) -> Float32Array:
    """Return float32[words, dim], the vectors of the vocabulary: the input matrix, or with subwords means of its rows."""
    if subwords is None:
        return matrix
    words = len(subwords.offsets) - 1
    vectors = np.empty((words, matrix.shape[1]), np.float32)
    for first in range(0, words, _WORDS_AT_A_TIME):
        offsets = subwords.offsets[first : first + _WORDS_AT_A_TIME + 1]
        rows = matrix[subwords.rows[offsets[0] : offsets[-1]]]
        sums = np.add.reduceat(rows, offsets[:-1] - offsets[0], axis=0)
        vectors[first : first + len(sums)] = sums / np.diff(offsets)[:, None]
    return vectors


def write_word_vectors(folder: Path, model: FastTextModel, vectors: Float32Array) -> dict[str, str]:
    """Write vectors.bin, and float32[words, dim] vectors as vectors.txt; return roles and names."""
    write_model(model, folder / "vectors.bin")
    write_text(folder / "vectors.txt", model.dictionary.words, vectors)
    return {"model": "vectors.bin", "vectors": "vectors.txt"}


def write_classifier(folder: Path, model: FastTextModel) -> dict[str, str]:
    """Write model.bin; return its role and name."""
    write_model(model, folder / "model.bin")
    return {"model": "model.bin"}


def write_learning_curve(folder: Path, curve: list[EpochRecord]) -> dict[str, str]:
    """Write learning_curve.json, a list with one object an epoch; return its role and name."""
    write_json(folder / "learning_curve.json", curve)
    return {"learning_curve": "learning_curve.json"}


def write_json(path: Path, content: Any) -> None:
    """Write JSON for people and programs alike."""
    path.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n")
