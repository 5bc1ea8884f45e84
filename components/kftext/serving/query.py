"""What can be asked of a model, whatever protocol asks, and how a predictor answers it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import cast

import numpy as np
import numpy.typing as npt

from kftext.errors import UsageError
from kftext.models import Classifier, Prediction, Predictor, WordVectors

__all__ = [
    "Answer",
    "Output",
    "Query",
    "ask",
    "default_output",
    "divide",
    "join",
    "outputs_of",
    "read_configuration",
]


class Output(StrEnum):
    """What a prediction returns for each instance; the values are those of the parameter `output`."""

    LABELS = "labels"
    """Classifiers: the k most probable labels at or above the threshold."""
    VECTORS = "vectors"
    """Word vectors: the vector of each word."""
    SENTENCE_VECTORS = "sentence_vectors"
    """Word vectors: the vector of each text, as fastText's `print-sentence-vectors` computes it."""
    NEAREST_NEIGHBORS = "nearest_neighbors"
    """Word vectors: the k words nearest to each word, by cosine."""


DEFAULT_NEIGHBORS = 10


@dataclass(frozen=True, slots=True)
class Query:
    """One request's question.

    Args:
        texts: the instances: texts for labels and sentence vectors, words for vectors and neighbours.
        output: what is asked of each.
        k: how many labels or neighbours.
        threshold: labels below this probability are left out.
    """

    texts: list[str]
    output: Output
    k: int = 1
    threshold: float = 0.0


Answer = Sequence[Prediction] | npt.NDArray[np.float32] | list[list[tuple[str, float]]]
"""For labels: one `Prediction` a text; for vectors: float32[n, dim]; for neighbours: (word, cosine) pairs, one list a word."""


def outputs_of(predictor: Predictor) -> tuple[Output, ...]:
    """What the model can be asked, its default first."""
    if isinstance(predictor, Classifier):
        return (Output.LABELS,)
    return (Output.VECTORS, Output.SENTENCE_VECTORS, Output.NEAREST_NEIGHBORS)


def default_output(predictor: Predictor) -> Output:
    """What the model returns when the request doesn't say."""
    return outputs_of(predictor)[0]


def read_configuration(
    predictor: Predictor, configuration: Mapping[str, object], texts: list[str]
) -> Query:
    """Build the query from a request's parameters `k`, `threshold` and `output`.

    Raises:
        UsageError: a parameter has a value outside what is valid for this model.
    """
    outputs = outputs_of(predictor)
    output = outputs[0]
    if "output" in configuration:
        wanted = configuration["output"]
        if wanted not in outputs:
            raise UsageError(
                f"output: expected {' or '.join(repr(str(one)) for one in outputs)} with this model"
            )
        output = Output(str(wanted))
    k = configuration.get("k", DEFAULT_NEIGHBORS if output is Output.NEAREST_NEIGHBORS else 1)
    if type(k) is not int or k < 1:
        raise UsageError("k: expected an integer of 1 or more")
    threshold = configuration.get("threshold", 0.0)
    if type(threshold) not in (int, float) or not 0 <= threshold <= 1:  # type: ignore[operator]
        raise UsageError("threshold: expected a number from 0 to 1")
    largest = len(predictor.labels if isinstance(predictor, Classifier) else predictor.words)
    return Query(texts, output, min(k, max(largest, 1)), float(threshold))  # type: ignore[arg-type]


def ask(predictor: Predictor, query: Query) -> Answer:
    """Answer a query; see `Answer` for what comes back."""
    if isinstance(predictor, Classifier):
        return predictor.predict(query.texts, k=query.k, threshold=query.threshold)
    return _ask_vectors(predictor, query)


def divide(query: Query, size: int) -> Iterator[Query]:
    """The query in parts of at most `size` instances."""
    for start in range(0, len(query.texts), size):
        yield replace(query, texts=query.texts[start : start + size])


def join(answers: Sequence[Answer]) -> Answer:
    """The answer to a query from the answers to its parts (at least one)."""
    if len(answers) == 1:
        return answers[0]
    if isinstance(answers[0], np.ndarray):
        return np.concatenate(answers)
    return cast(Answer, [one for answer in answers for one in answer])


def _ask_vectors(predictor: WordVectors, query: Query) -> Answer:
    if query.output is Output.NEAREST_NEIGHBORS:
        return [predictor.nearest_neighbors(word, k=query.k) for word in query.texts]
    if query.output is Output.SENTENCE_VECTORS:
        rows = [predictor.sentence_vector(text) for text in query.texts]
        return np.asarray(rows, np.float32).reshape(len(rows), predictor.dim)
    return predictor.vectors(query.texts)
