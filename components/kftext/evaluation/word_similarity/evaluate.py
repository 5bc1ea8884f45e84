"""Score a model's vectors on similarity sets, and look up the neighbours of a few words."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kftext import models
from kftext.data.word_pairs import WordPairs, find_word_pairs
from kftext.errors import ModelFormatError, UsageError
from kftext.metrics.word_similarity import PairSetSimilarity, to_eval_json, word_similarity

__all__ = ["WordVectorEvaluation", "evaluate"]

_QUERIES = 8
_NEIGHBORS = 8
_SHORTEST_QUERY = 4


@dataclass(frozen=True)
class WordVectorEvaluation:
    """What was measured.

    Attributes:
        words, dimension: size of the vocabulary and of a vector.
        similarity: one result a set; empty when no set is at hand.
        neighbors: for each word asked about, its nearest words with their cosines, nearest first.
        unknown: words asked about that the model has no vector for.
    """

    words: int
    dimension: int
    similarity: list[PairSetSimilarity]
    neighbors: dict[str, list[tuple[str, float]]]
    unknown: list[str]

    @property
    def eval_json(self) -> dict[str, Any]:
        """The content of `eval.json`, in the shape that BlazingText writes."""
        return to_eval_json(self.similarity)

    @property
    def metrics(self) -> dict[str, float]:
        """The figures to show beside the run: pairs asked, pairs found, and the mean rho where there is one."""
        pairs = sum(result.total_pairs for result in self.similarity)
        missing = sum(result.not_found for result in self.similarity)
        figures: dict[str, float] = {
            "words": self.words,
            "dimension": self.dimension,
            "pairs": pairs,
            "pairs_found": pairs - missing,
        }
        mean_rho = self.eval_json["mean_rho"]
        return figures if mean_rho is None else {**figures, "mean_rho": mean_rho}


def evaluate(
    model_path: str, pair_files: Sequence[str] = (), neighbors_of: Sequence[str] = ()
) -> WordVectorEvaluation:
    """Measure the word vectors in a model folder or file.

    Args:
        model_path: model folder, fastText binary or word2vec text file.
        pair_files: files, folders or prefixes of similarity sets; those that are installed when none is named.
        neighbors_of: words to look up; when empty, the most frequent words of the similarity sets.

    Raises:
        UsageError: the model is a classifier.
        ModelFormatError: the model can't be read, or holds no words.
        DataError, StorageError: a similarity set can't be read.
    """
    sets = find_word_pairs(pair_files)
    model = models.load(model_path)
    if not isinstance(model, models.WordVectors):
        raise UsageError(f"{model_path}: expected word vectors, found a text classifier")
    if not model.words:
        raise ModelFormatError(f"{model_path}: the vocabulary is empty")
    asked = list(neighbors_of) or _queries(model, sets)
    known = [word for word in asked if model.vector(word).any()]
    return WordVectorEvaluation(
        words=len(model.words),
        dimension=model.dim,
        similarity=[word_similarity(model, pair_set) for pair_set in sets],
        neighbors={word: model.nearest_neighbors(word, _NEIGHBORS) for word in known},
        unknown=[word for word in asked if word not in known],
    )


def _queries(model: models.WordVectors, sets: Sequence[WordPairs]) -> list[str]:
    judged = {word.lower() for pair_set in sets for a, b, _ in pair_set.pairs for word in (a, b)}
    frequent = [word for word in model.words if word.lower() in judged]
    frequent += [word for word in model.words if len(word) >= _SHORTEST_QUERY]
    return list(itertools.islice(dict.fromkeys(frequent), _QUERIES))
