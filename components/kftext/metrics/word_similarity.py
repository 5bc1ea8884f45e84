"""Spearman's rank correlation between people's and a model's similarity of word pairs.

Finkelstein et al., "Placing Search in Context: The Concept Revisited" (2002), section 4; the counts and their names are
those of BlazingText's `eval.json`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from kftext.data.word_pairs import WordPairs

__all__ = ["PairSetSimilarity", "VectorLookup", "to_eval_json", "word_similarity"]


class VectorLookup(Protocol):
    """What is asked of a model: `kftext.models.WordVectors` is one."""

    def __contains__(self, word: str) -> bool: ...

    def vectors(self, words: Sequence[str]) -> np.ndarray:
        """Return float32 [n, dim]: zeros for a word that has no vector."""
        ...


@dataclass(frozen=True)
class PairSetSimilarity:
    """How a model did on one set.

    Attributes:
        name: the set's name.
        total_pairs: pairs in the set.
        not_found: pairs with a word outside the vocabulary, counted before any vector is composed from subwords.
        words_not_found: distinct words outside the vocabulary.
        human, cosine: float64 [scored pairs], the two scores of each pair that both words have a vector for.
        spearmans_rho: their rank correlation, or None where fewer than two pairs could be scored or one side is constant.
    """

    name: str
    total_pairs: int
    not_found: int
    words_not_found: int
    human: np.ndarray
    cosine: np.ndarray
    spearmans_rho: float | None


def word_similarity(model: VectorLookup, pair_set: WordPairs) -> PairSetSimilarity:
    """Score one set. A word is looked up as it is written, then in lower case."""
    spelled = {
        word: word if word in model or word.lower() not in model else word.lower()
        for first, second, _ in pair_set.pairs
        for word in (first, second)
    }
    missing = {word for word, spelling in spelled.items() if spelling not in model}
    first = model.vectors([spelled[a] for a, _, _ in pair_set.pairs]).astype(np.float64)
    second = model.vectors([spelled[b] for _, b, _ in pair_set.pairs]).astype(np.float64)
    human = np.array([score for _, _, score in pair_set.pairs])
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    scored = lengths > 0
    cosine = (first[scored] * second[scored]).sum(axis=1) / lengths[scored]
    return PairSetSimilarity(
        name=pair_set.name,
        total_pairs=len(pair_set.pairs),
        not_found=sum(a in missing or b in missing for a, b, _ in pair_set.pairs),
        words_not_found=len({word.lower() for word in missing}),
        human=human[scored],
        cosine=cosine,
        spearmans_rho=_spearman(human[scored], cosine),
    )


def _spearman(a: np.ndarray, b: np.ndarray) -> float | None:
    # scipy takes longer to import than a small model takes to evaluate: only who evaluates pays.
    from scipy.stats import spearmanr

    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(spearmanr(a, b).statistic)


def to_eval_json(results: Iterable[PairSetSimilarity]) -> dict[str, Any]:
    """Return the content of `eval.json`. `mean_rho` is the mean of the rhos that could be computed, None without any."""
    results = list(results)
    content: dict[str, Any] = {
        result.name: {
            "not_found": result.not_found,
            "words_not_found": result.words_not_found,
            "spearmans_rho": result.spearmans_rho,
            "total_pairs": result.total_pairs,
        }
        for result in results
    }
    rhos = [result.spearmans_rho for result in results if result.spearmans_rho is not None]
    content["mean_rho"] = float(np.mean(rhos)) if rhos else None
    return content
