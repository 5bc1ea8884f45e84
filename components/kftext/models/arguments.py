"""The arguments that a fastText binary carries: what prediction needs to know of how the model was trained."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

__all__ = ["Args", "Loss", "Model"]


class Model(IntEnum):
    """Kind of model, numbered as in the file."""

    CBOW = 1
    SKIPGRAM = 2
    SUPERVISED = 3


class Loss(IntEnum):
    """Loss function, numbered as in the file."""

    HS = 1
    NS = 2
    SOFTMAX = 3
    OVA = 4


@dataclass(frozen=True)
class Args:
    """fastText's training arguments, in the order in which the file holds them.

    Attributes:
        dim: size of a vector.
        ws: size of the context window.
        epoch: passes over the training data.
        min_count: fewest occurrences of a word that is kept.
        neg: negatives drawn for each example.
        word_ngrams: longest word n-gram; 1 means none.
        loss: loss function.
        model: kind of model.
        bucket: number of rows that word and character n-grams are hashed to.
        minn: shortest character n-gram.
        maxn: longest character n-gram; 0 means none.
        lr_update_rate: tokens between two updates of the learning rate.
        t: threshold of the subsampling of frequent words.
    """

    dim: int = 100
    ws: int = 5
    epoch: int = 5
    min_count: int = 5
    neg: int = 5
    word_ngrams: int = 1
    loss: Loss = Loss.NS
    model: Model = Model.SKIPGRAM
    bucket: int = 2_000_000
    minn: int = 3
    maxn: int = 6
    lr_update_rate: int = 100
    t: float = 1e-4

    @property
    def supervised(self) -> bool:
        """Whether the model is a classifier."""
        return self.model == Model.SUPERVISED

    @property
    def has_subwords(self) -> bool:
        """Whether words are composed from character n-grams."""
        return self.maxn > 0 and self.maxn >= self.minn

    @property
    def hashes_ngrams(self) -> bool:
        """Whether any n-gram, of characters or words, is hashed to a bucket."""
        return self.has_subwords or self.word_ngrams > 1
