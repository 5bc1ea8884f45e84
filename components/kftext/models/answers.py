"""What a model can be asked, and the names under which its answers are written, wherever they are written."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import cast

import numpy as np
import numpy.typing as npt
import orjson

from kftext.models.classifier import Classifier, Prediction
from kftext.models.loading import Predictor
from kftext.models.text_encoder import TextEncoder

__all__ = [
    "Answer",
    "Output",
    "answer_json",
    "answer_objects",
    "ask",
    "ask_for_json",
    "default_k",
    "on_tensorflow",
    "outputs_of",
]

Answer = Sequence[Prediction] | npt.NDArray[np.float32] | Sequence[list[tuple[str, float]]] | bytes
"""For labels: one `Prediction` a text; for vectors: float32[n, dim]; for neighbours: (word, cosine) pairs, one list a word; bytes
where a model was asked for JSON (`ask_for_json`)."""

_DEFAULT_NEIGHBORS = 10


class Output(StrEnum):
    """What is returned for each instance, by the name that requests and commands give it."""

    LABELS = "labels"
    """Classifiers: the k most probable labels at or above the threshold."""
    VECTORS = "vectors"
    """Word vectors: the vector of each word."""
    SENTENCE_VECTORS = "sentence_vectors"
    """Word vectors: the vector of each text, as fastText's `print-sentence-vectors` computes it."""
    NEAREST_NEIGHBORS = "nearest_neighbors"
    """Word vectors: the k words nearest to each word, by cosine."""


def outputs_of(predictor: Predictor) -> tuple[Output, ...]:
    """Return what the model can be asked, its default first."""
    if isinstance(predictor, Classifier):
        return (Output.LABELS,)
    if isinstance(predictor, TextEncoder):
        return (Output.SENTENCE_VECTORS,)
    return (Output.VECTORS, Output.SENTENCE_VECTORS, Output.NEAREST_NEIGHBORS)


def default_k(output: Output) -> int:
    """Return how many labels or neighbours are returned when nothing is said."""
    return _DEFAULT_NEIGHBORS if output is Output.NEAREST_NEIGHBORS else 1


def on_tensorflow(predictor: Predictor) -> bool:
    """Return whether TensorFlow makes the predictions: a call costs far more than one more text in it, and uses all cores."""
    # Only its predictors, which are not imported here, have the property; it may change when they are warmed up.
    return bool(getattr(predictor, "on_tensorflow", False))


def ask(
    predictor: Predictor,
    output: Output,
    texts: Sequence[str],
    k: int = 1,
    threshold: float = 0.0,
    *,
    threads: int | None = None,
) -> Answer:
    """Ask a model.

    Args:
        predictor: the model.
        output: what is asked, one of `outputs_of(predictor)`.
        texts: the instances: texts for labels and sentence vectors, words for vectors and neighbours.
        k: how many labels or neighbours.
        threshold: labels below this probability are left out.
        threads: as for `Classifier.predict`.

    Raises:
        ModelFormatError: the model's numbers are not finite.
    """
    if isinstance(predictor, Classifier):
        return predictor.predict(texts, k, threshold, threads=threads)
    if isinstance(predictor, TextEncoder):
        return predictor.embed(texts)
    if output is Output.NEAREST_NEIGHBORS:
        return [predictor.nearest_neighbors(word, k) for word in texts]
    if output is Output.SENTENCE_VECTORS:
        rows = [predictor.sentence_vector(text) for text in texts]
        return np.asarray(rows, np.float32).reshape(len(rows), predictor.dim)
    return predictor.vectors(texts)


def ask_for_json(
    predictor: Predictor,
    output: Output,
    texts: Sequence[str],
    k: int = 1,
    threshold: float = 0.0,
    *,
    separator: bytes = b",",
) -> bytes | None:
    """Ask a model that writes its answers as JSON itself, which saves the objects; errors as those of `ask`.

    Args:
        predictor: the model.
        output: as for `ask`.
        texts: as for `ask`.
        k: as for `ask`.
        threshold: as for `ask`.
        separator: the byte between two answers.

    Returns:
        What `answer_json` makes of `ask`'s answer; None where the model does not write it.
    """
    if output is Output.LABELS and texts and isinstance(predictor, Classifier):
        return predictor.predict_json(texts, k, threshold, separator=separator)
    return None


def answer_json(
    output: Output, texts: Sequence[str], answer: Answer, separator: bytes = b","
) -> bytes:
    """Return the JSON of `answer_objects`, with `separator` between two of them; float32 with the fewest digits that read back the same."""
    objects = answer_objects(output, texts, answer)
    if separator == b",":
        return orjson.dumps(objects, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]
    return separator.join(orjson.dumps(one, option=orjson.OPT_SERIALIZE_NUMPY) for one in objects)


def answer_objects(output: Output, texts: Sequence[str], answer: Answer) -> list[dict[str, object]]:
    """Return each instance's answer as the object that becomes JSON.

    Args:
        output: what was asked.
        texts: the instances.
        answer: the model's answer to them, not as JSON yet.

    Returns:
        For labels `{"prob": [...], "label": [...]}`, for a word's vector `{"vector": [...], "word": "..."}`, for a text's
        `{"vector": [...]}`, for neighbours `{"word": "...", "neighbors": [{"word": "...", "similarity": 0.9}, ...]}`;
        a vector is float32[dim].
    """
    if output is Output.LABELS:
        predictions = cast("Sequence[Prediction]", answer)
        return [{"prob": one.probabilities, "label": one.labels} for one in predictions]
    if output is Output.SENTENCE_VECTORS:
        return [{"vector": vector} for vector in answer]
    if output is Output.VECTORS:
        return [
            {"vector": vector, "word": word} for word, vector in zip(texts, answer, strict=True)
        ]
    return [
        {"word": word, "neighbors": [{"word": near, "similarity": cosine} for near, cosine in row]}
        for word, row in zip(texts, answer, strict=True)
    ]
