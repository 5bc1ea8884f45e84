"""What can be asked of a model, whatever protocol asks, and how a predictor answers it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from kftext import models
from kftext.errors import UsageError
from kftext.models import (
    Answer,
    Classifier,
    Output,
    Predictor,
    TextEncoder,
    default_k,
    outputs_of,
)

__all__ = ["Query", "as_json", "ask", "default_output", "divide", "join", "read_configuration"]


@dataclass(slots=True)
class Query:
    """One request's question.

    Args:
        texts: the instances: texts for labels and sentence vectors, words for vectors and neighbours.
        output: what is asked of each.
        k: how many labels or neighbours.
        threshold: labels below this probability are left out.
        separator: the byte between two answers, where they may come as JSON; b"" where objects are wanted.
    """

    texts: list[str]
    output: Output
    k: int = 1
    threshold: float = 0.0
    separator: bytes = b""


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
    k = configuration.get("k", default_k(output))
    if type(k) is not int or k < 1:
        raise UsageError("k: expected an integer of 1 or more")
    threshold = configuration.get("threshold", 0.0)
    # A boolean is an int to isinstance, and no number here.
    if (
        isinstance(threshold, bool)
        or not isinstance(threshold, (int, float))
        or not 0 <= threshold <= 1
    ):
        raise UsageError("threshold: expected a number from 0 to 1")
    if isinstance(predictor, TextEncoder):
        return Query(texts, output)
    largest = len(predictor.labels if isinstance(predictor, Classifier) else predictor.words)
    return Query(texts, output, min(k, max(largest, 1)), float(threshold))


def ask(predictor: Predictor, query: Query) -> Answer:
    """Answer a query; see `Answer` for what comes back."""
    if query.separator:
        rows = models.ask_for_json(
            predictor,
            query.output,
            query.texts,
            query.k,
            query.threshold,
            separator=query.separator,
        )
        if rows is not None:
            return rows
    return models.ask(predictor, query.output, query.texts, query.k, query.threshold)


def as_json(query: Query, answer: Answer) -> bytes:
    """The answers as JSON objects, parted by the query's separator, or by commas where it has none."""
    if isinstance(answer, bytes):
        return answer
    return models.answer_json(query.output, query.texts, answer, query.separator or b",")


def divide(query: Query, size: int) -> Iterator[Query]:
    """The query in parts of at most `size` instances."""
    for start in range(0, len(query.texts), size):
        yield replace(query, texts=query.texts[start : start + size])


def join(query: Query, answers: Sequence[Answer]) -> Answer:
    """The answer to a query from the answers to its parts (at least one), which `divide` has made."""
    if len(answers) == 1:
        return answers[0]
    if any(isinstance(answer, bytes) for answer in answers):
        # Of labels; and not of all parts, where one of them was too much to be written at once.
        return query.separator.join(as_json(query, answer) for answer in answers)
    if isinstance(answers[0], np.ndarray):
        return np.concatenate(answers)
    return cast(Answer, [one for answer in answers for one in answer])
