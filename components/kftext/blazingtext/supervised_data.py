"""What a classifier is trained or judged on: labelled texts as numbers, and what those numbers stand for."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kftext.blazingtext.encoded import EncodedExamples, Int64Array, line_lengths
from kftext.blazingtext.hyperparameters import SupervisedHyperparameters
from kftext.blazingtext.kernels.features import (
    Features,
    allocate_features,
    mark_rows,
    most_subwords,
)
from kftext.blazingtext.kernels.state import Weights
from kftext.blazingtext.memory import release_pages
from kftext.blazingtext.subwords import Subwords
from kftext.blazingtext.word2vec import check_ids, check_offsets
from kftext.errors import UsageError

__all__ = ["SupervisedData", "check_data", "features_of", "used_rows", "writable"]

_LINES_AT_A_TIME = 1 << 16


@dataclass(frozen=True)
class SupervisedData:
    """Labelled texts, and of the vocabulary that their numbers are of what training needs.

    Attributes:
        examples: the texts. Those to validate on are read with the vocabulary of those to train on.
        word_count: words in the vocabulary.
        label_counts: int64[labels], how often each label occurs in the texts to train on, in descending order.
        subwords: the rows of each id of the examples where words have character n-grams, else None.
    """

    examples: EncodedExamples
    word_count: int
    label_counts: Int64Array
    subwords: Subwords | None = None

    @property
    def label_count(self) -> int:
        """Number of labels."""
        return len(self.label_counts)


def check_data(data: SupervisedData, hyperparameters: SupervisedHyperparameters) -> None:
    """Check what the kernels trust: they have no bounds checks.

    Raises:
        UsageError: ids or labels that are not in the vocabulary, offsets that don't rise, no example, subwords where there should be
            none or none where there should be.
    """
    examples = data.examples
    if len(examples.line_offsets) < 2 or data.label_count == 0:
        raise UsageError("training needs at least one example with a label")
    if data.word_count < 0:
        raise UsageError(f"word_count={data.word_count}: expected an integer >= 0")
    check_offsets("line_offsets", examples.line_offsets, len(examples.ids))
    check_offsets("label_offsets", examples.label_offsets, len(examples.labels))
    if len(examples.line_offsets) != len(examples.label_offsets):
        raise UsageError(
            f"line_offsets of {examples.example_count} examples and label_offsets of {len(examples.label_offsets) - 1}: "
            "expected as many"
        )
    check_ids("ids", examples.ids, len(examples.word_hashes))
    check_ids("labels", examples.labels, data.label_count)
    if hyperparameters.subwords != (data.subwords is not None):
        raise UsageError("subwords=True needs each word's character n-grams, False has none")
    if data.subwords is not None and len(data.subwords.offsets) != len(examples.word_hashes) + 1:
        raise UsageError(
            f"subwords of {len(data.subwords.offsets) - 1} words, expected {len(examples.word_hashes)}"
        )


def features_of(
    data: SupervisedData, hyperparameters: SupervisedHyperparameters
) -> Callable[[], Features]:
    """Return what makes a thread's features: what tells the rows of a text."""
    examples, subwords, most = data.examples, data.subwords, 0
    if subwords is not None:
        ids, offsets = writable(examples.ids, np.int32), examples.line_offsets
        for first in range(0, examples.example_count, _LINES_AT_A_TIME):
            part = np.array(offsets[first : first + _LINES_AT_A_TIME + 1])
            most = max(most, most_subwords(ids, part, subwords.offsets))
            release_pages(ids[part[0] : part[-1]])
    return functools.partial(
        allocate_features,
        examples.word_hashes,
        data.word_count,
        hyperparameters.buckets,
        hyperparameters.word_ngrams,
        line_lengths(examples.line_offsets)[1],
        subwords,
        most,
    )


def used_rows(
    data: SupervisedData, hyperparameters: SupervisedHyperparameters, weights: Weights
) -> Int64Array:
    """Return int64[n], the rows of the input matrix that training changes, those of the texts, in ascending order."""
    examples, features = data.examples, features_of(data, hyperparameters)()
    matrix, stride = weights.input, weights.stride
    used = np.zeros(matrix.size // stride, np.bool_)
    for first in range(0, examples.example_count, _LINES_AT_A_TIME):
        offsets = examples.line_offsets[first : first + _LINES_AT_A_TIME + 1]
        ids = examples.ids[offsets[0] : offsets[-1]]
        mark_rows(np.array(ids), offsets - offsets[0], features, matrix, stride, used)
        release_pages(ids)
    return np.flatnonzero(used)


def writable(array: npt.NDArray[Any], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return the array as the kernels are compiled for, without a copy where it is so already."""
    return np.require(array, dtype, ["C", "W"])
