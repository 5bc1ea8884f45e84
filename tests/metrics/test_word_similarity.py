"""Rank correlation with human scores, beside gensim's own evaluation of the same vectors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from kftext.data.word_pairs import WordPairs, installed_word_pairs
from kftext.metrics.word_similarity import to_eval_json, word_similarity


class Vectors:
    """Vectors in a dictionary; `composed` are those of words outside the vocabulary, as subwords would give."""

    def __init__(self, known: dict[str, np.ndarray], composed: dict[str, np.ndarray] | None = None):
        self.known = known
        self.composed = composed or {}
        self.dim = len(next(iter(known.values())))

    def __contains__(self, word: str) -> bool:
        return word in self.known

    def vectors(self, words: Sequence[str]) -> np.ndarray:
        zeros = np.zeros(self.dim, np.float32)
        return np.array(
            [self.known.get(word, self.composed.get(word, zeros)) for word in words], np.float32
        )


def random_vectors(words: Sequence[str], seed: int = 0) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    return {word: generator.standard_normal(20).astype(np.float32) for word in words}


def test_equals_gensims_evaluation(tmp_path: Path) -> None:
    from gensim.models import KeyedVectors
    from gensim.test.utils import datapath

    (ws353,) = installed_word_pairs()
    words = sorted({word.lower() for a, b, _ in ws353.pairs for word in (a, b)})
    known = random_vectors([word for i, word in enumerate(words) if i % 5])
    reference = KeyedVectors(20)
    reference.add_vectors(list(known), list(known.values()))
    _, rho, missing_ratio = reference.evaluate_word_pairs(datapath("wordsim353.tsv"))

    result = word_similarity(Vectors(known), ws353)
    assert result.total_pairs == 353
    assert result.spearmans_rho == pytest.approx(rho.statistic, abs=1e-6)
    assert 100 * result.not_found / 353 == pytest.approx(missing_ratio)
    assert result.words_not_found == len(words) - len(known)
    assert len(result.human) == len(result.cosine) == 353 - result.not_found


PAIRS = WordPairs("set", (("a", "b", 9.0), ("a", "c", 5.0), ("b", "c", 1.0), ("a", "gone", 4.0)))
KNOWN = {
    "a": np.array([1.0, 0.0]),
    "b": np.array([0.9, 0.1]),
    "c": np.array([0.5, 0.9]),
}


def test_counts_pairs_and_words_that_are_not_found() -> None:
    result = word_similarity(Vectors(KNOWN), PAIRS)
    assert (result.total_pairs, result.not_found, result.words_not_found) == (4, 1, 1)
    # a-b is closest and people score it highest; b-c comes before a-c by cosine, not by score.
    assert result.spearmans_rho == pytest.approx(0.5)


def test_a_composed_vector_is_scored_and_still_counted_as_not_found() -> None:
    result = word_similarity(Vectors(KNOWN, {"gone": np.array([-1.0, 0.0])}), PAIRS)
    assert (result.not_found, result.words_not_found, len(result.cosine)) == (1, 1, 4)
    assert result.cosine[3] == pytest.approx(-1.0)


def test_a_word_is_looked_up_as_written_and_then_in_lower_case() -> None:
    pairs = WordPairs("set", (("A", "B", 1.0), ("a", "C", 2.0)))
    result = word_similarity(Vectors({**KNOWN, "A": np.array([0.0, 1.0])}), pairs)
    assert result.not_found == 0
    assert result.cosine[0] == pytest.approx(0.1 / np.hypot(0.9, 0.1))


@pytest.mark.parametrize(
    "pairs",
    [(("a", "b", 1.0),), (("a", "b", 1.0), ("a", "c", 1.0)), (("x", "y", 1.0), ("y", "z", 2.0))],
    ids=["one pair", "constant scores", "nothing found"],
)
def test_a_correlation_that_cant_be_computed_is_none_and_not_in_the_mean(pairs) -> None:
    vectors = Vectors(KNOWN)
    undefined = word_similarity(vectors, WordPairs("undefined", pairs))
    assert undefined.spearmans_rho is None
    assert to_eval_json([undefined])["mean_rho"] is None
    content = to_eval_json([undefined, word_similarity(vectors, PAIRS)])
    assert content["mean_rho"] == pytest.approx(0.5)
    assert content["undefined"]["spearmans_rho"] is None


def test_eval_json_has_the_references_shape() -> None:
    assert to_eval_json([word_similarity(Vectors(KNOWN), PAIRS)]) == {
        "set": {
            "not_found": 1,
            "words_not_found": 1,
            "spearmans_rho": pytest.approx(0.5),
            "total_pairs": 4,
        },
        "mean_rho": pytest.approx(0.5),
    }
