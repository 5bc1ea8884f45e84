"""A model's answers as JSON Lines, named as the reference names them."""

from __future__ import annotations

from enum import StrEnum

import numpy as np
import orjson

from kftext.batch.records import Records
from kftext.errors import UsageError
from kftext.models import Classifier, Predictor, WordVectors

__all__ = ["Kind", "answer", "kind_of"]


class Kind(StrEnum):
    """What is written for each line, by the name that the command and the step take."""

    LABELS = "labels"
    """Classifiers: `{"prob": [...], "label": [...]}`, the k most probable."""
    VECTORS = "vectors"
    """Word vectors: `{"vector": [...], "word": "..."}` for a line that is one word."""
    SENTENCE_VECTORS = "sentence_vectors"
    """Word vectors: `{"vector": [...]}` of a text."""
    NEAREST_NEIGHBORS = "nearest_neighbors"
    """Word vectors: `{"word": "...", "neighbors": [{"word": "...", "similarity": 0.9}, ...]}`, the k nearest."""


def kind_of(predictor: Predictor, wanted: str) -> Kind:
    """Return what a model is asked for.

    Args:
        predictor: the model.
        wanted: a `Kind`'s name; "" for what the model returns when nothing is said.

    Raises:
        UsageError: the model can't answer that.
    """
    kinds = (
        [Kind.LABELS]
        if isinstance(predictor, Classifier)
        else [Kind.VECTORS, Kind.SENTENCE_VECTORS, Kind.NEAREST_NEIGHBORS]
    )
    if wanted and wanted not in kinds:
        raise UsageError(f"results {wanted!r}: expected {' or '.join(kinds)} with this model")
    return Kind(wanted) if wanted else kinds[0]


def answer(predictor: Predictor, kind: Kind, records: Records, threshold: float) -> bytes:
    """Predict a block of lines.

    Args:
        predictor: the model.
        kind: what to write of each line.
        records: the lines.
        threshold: labels below this probability are left out.

    Returns:
        A line of JSON for each line: `{"error": "..."}` for one at fault.

    Raises:
        ModelFormatError: the model's numbers are not finite.
    """
    lines = [b""] * records.count
    for index, message in records.faults.items():
        lines[index] = orjson.dumps({"error": message})
    for k, (indexes, texts) in records.by_k.items():
        if isinstance(predictor, Classifier):
            answers = _labels(predictor, texts, k, threshold)
        else:
            answers = _vectors(predictor, kind, texts, k)
        for index, line in zip(indexes, answers, strict=True):
            lines[index] = line
    lines.append(b"")
    return b"\n".join(lines)


def _labels(predictor: Classifier, texts: list[str], k: int, threshold: float) -> list[bytes]:
    # One thread: the blocks of lines are shared out among processes already.
    predictions = predictor.predict(texts, k=k, threshold=threshold, threads=1)
    return [orjson.dumps({"prob": one.probabilities, "label": one.labels}) for one in predictions]


def _vectors(predictor: WordVectors, kind: Kind, texts: list[str], k: int) -> list[bytes]:
    if kind is Kind.SENTENCE_VECTORS:
        return [_dumps({"vector": predictor.sentence_vector(text)}) for text in texts]
    if kind is Kind.NEAREST_NEIGHBORS:
        return [_neighbors(predictor, text, k) for text in texts]
    vectors = np.ascontiguousarray(predictor.vectors(texts))
    return [
        _dumps({"vector": vector, "word": word})
        for word, vector in zip(texts, vectors, strict=True)
    ]


def _neighbors(predictor: WordVectors, word: str, k: int) -> bytes:
    near = predictor.nearest_neighbors(word, k)
    neighbors = [{"word": name, "similarity": cosine} for name, cosine in near]
    return orjson.dumps({"word": word, "neighbors": neighbors})


def _dumps(row: dict[str, object]) -> bytes:
    return orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY)
