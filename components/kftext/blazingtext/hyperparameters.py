"""The hyperparameters of BlazingText: names, defaults and valid values of the reference, and a few of fastText's beside them.

Reference: Amazon SageMaker, "BlazingText Hyperparameters". Not of the reference: `loss`, `exact`, and in the mode
`supervised` `negative_samples`, `subwords`, `min_char` and `max_char`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from kftext.errors import HyperparameterError
from kftext.hyperparameters import Hyperparameters

__all__ = [
    "MODES",
    "SupervisedHyperparameters",
    "Word2VecHyperparameters",
    "only_of_mode",
    "read_hyperparameters",
]

MODES = ("cbow", "skipgram", "batch_skipgram", "supervised")

# fastText's binary stores integers in 32 bits.
_LARGEST = 2**31 - 1
PositiveInt = Annotated[int, Field(gt=0, le=_LARGEST)]
NonNegativeInt = Annotated[int, Field(ge=0, le=_LARGEST)]
PositiveFloat = Annotated[float, Field(gt=0)]


class Word2VecHyperparameters(Hyperparameters):
    """Hyperparameters of the modes `cbow`, `skipgram` and `batch_skipgram`."""

    mode: Literal["cbow", "skipgram", "batch_skipgram"] = Field(
        description="Word2Vec architecture used for training"
    )
    batch_size: PositiveInt = Field(
        11,
        description="input words that share one set of negatives in mode batch_skipgram; about 2 x window_size + 1",
    )
    buckets: PositiveInt = Field(
        2_000_000, description="rows that the character n-grams are hashed to when subwords is on"
    )
    epochs: PositiveInt = Field(5, description="passes over the training data")
    evaluation: bool = Field(
        True, description="whether the vectors are judged on word-similarity sets after training"
    )
    exact: bool = Field(
        False,
        description="whether each pair of words draws its own negatives, as in fastText; otherwise a window shares them, "
        "which is faster",
    )
    learning_rate: PositiveFloat = Field(
        0.05, description="step size at the start; it falls linearly to 0"
    )
    loss: Literal["ns", "hs"] = Field(
        "ns", description="ns: negative sampling; hs: hierarchical softmax over a Huffman tree"
    )
    max_char: PositiveInt = Field(6, description="longest character n-gram when subwords is on")
    min_char: PositiveInt = Field(3, description="shortest character n-gram when subwords is on")
    min_count: NonNegativeInt = Field(5, description="words seen fewer times are left out")
    negative_samples: PositiveInt = Field(5, description="negative words drawn for each word")
    sampling_threshold: PositiveFloat = Field(
        1e-4,
        description="words more frequent than this share of the text are randomly skipped; (0, 1e-3] is useful",
    )
    subwords: bool = Field(
        False,
        description="whether words are built from character n-grams, so that unknown words have vectors",
    )
    vector_dim: PositiveInt = Field(100, description="length of the word vectors")
    window_size: PositiveInt = Field(
        5, description="words to each side of a word that count as its context"
    )

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        _check_lengths(self.subwords, self.min_char, self.max_char)
        if self.mode == "batch_skipgram" and (self.exact or self.loss != "ns"):
            raise ValueError(
                "mode=batch_skipgram is a batch of words against one shared set of negatives: "
                "expected loss=ns and exact=False; mode=skipgram takes the others"
            )
        if self.exact and self.loss != "ns":
            raise ValueError(
                f"hyperparameters exact=True and loss={self.loss}: exact is about negatives, "
                "expected loss=ns beside it"
            )
        return self


class SupervisedHyperparameters(Hyperparameters):
    """Hyperparameters of the mode `supervised`."""

    mode: Literal["supervised"] = Field(description="text classification")
    buckets: PositiveInt = Field(
        2_000_000,
        description="rows that the word n-grams are hashed to when word_ngrams > 1, and the character n-grams when subwords is on",
    )
    early_stopping: bool = Field(
        False,
        description="whether training ends once the accuracy on the validation file no longer rises; the best epoch's "
        "weights are kept",
    )
    epochs: PositiveInt = Field(5, description="passes over the training data, at most")
    learning_rate: PositiveFloat = Field(
        0.05, description="step size at the start; it falls linearly to 0"
    )
    loss: Literal["softmax", "hs", "ns", "ova"] = Field(
        "softmax",
        description="softmax; hs: hierarchical softmax, for many labels; ns: negative sampling; ova: an independent "
        "probability for each label, for texts with several",
    )
    max_char: PositiveInt = Field(6, description="longest character n-gram when subwords is on")
    min_char: PositiveInt = Field(3, description="shortest character n-gram when subwords is on")
    min_count: NonNegativeInt = Field(5, description="words seen fewer times are left out")
    min_epochs: PositiveInt = Field(5, description="epochs before early_stopping begins to watch")
    negative_samples: PositiveInt = Field(
        5, description="labels drawn against each true one when loss is ns"
    )
    patience: PositiveInt = Field(
        4, description="epochs with no better accuracy before early_stopping ends the training"
    )
    subwords: bool = Field(
        False,
        description="whether a word's character n-grams are features too, so that unknown words tell something",
    )
    vector_dim: PositiveInt = Field(100, description="length of the embedding")
    word_ngrams: PositiveInt = Field(
        2, description="longest run of words that is a feature of its own"
    )

    @property
    def ngram_rows(self) -> int:
        """Rows of the input matrix behind the words': none where there are no n-grams."""
        return self.buckets if self.word_ngrams > 1 or self.subwords else 0

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        _check_lengths(self.subwords, self.min_char, self.max_char)
        return self


def _check_lengths(subwords: bool, min_char: int, max_char: int) -> None:
    if subwords and min_char > max_char:
        raise ValueError(
            f"hyperparameters min_char={min_char} and max_char={max_char}: "
            "expected min_char <= max_char"
        )


def read_hyperparameters(
    *sources: Mapping[str, Any],
) -> Word2VecHyperparameters | SupervisedHyperparameters:
    """Build the hyperparameters of the algorithm that `mode` names.

    Args:
        sources: dictionaries; a later one wins over an earlier one, and None means "not given". Values may be strings.

    Raises:
        HyperparameterError: a name or value is not valid for that mode, or there is no mode.
        UsageError: values that don't go together.
    """
    modes = [source["mode"] for source in sources if source.get("mode") is not None]
    mode = modes[-1].strip() if modes and isinstance(modes[-1], str) else None
    if mode not in MODES:
        raise HyperparameterError(
            "mode", modes[-1] if modes else None, f"one of {', '.join(MODES)}"
        )
    if mode == "supervised":
        return SupervisedHyperparameters.read(*sources)
    return Word2VecHyperparameters.read(*sources)


def only_of_mode(mode: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the hyperparameters that a mode does not have and that have their default, as in a form that lists all.

    What is left may still hold one that the mode does not have, for `read_hyperparameters` to refuse.
    """
    classes: tuple[type[Hyperparameters], ...] = (
        Word2VecHyperparameters,
        SupervisedHyperparameters,
    )
    own, other = reversed(classes) if mode == "supervised" else classes
    return {
        name: value
        for name, value in values.items()
        if name in own.model_fields or value != other.model_fields[name].default
    }
