"""The vocabulary: which distinct tokens are words, which are labels, and their order."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from kftext.blazingtext.encoded import Int32Array, Int64Array, UInt32Array
from kftext.blazingtext.tokenizer import TokenTable
from kftext.blazingtext.whitespace import pad

__all__ = ["DROPPED", "FIRST_LABEL", "Distinct", "Numbering", "Vocabulary", "VocabularyRules"]

DROPPED = -1
"""Number of a token that takes no part in training."""

FIRST_LABEL = -3
"""Number of label 0; label i has `FIRST_LABEL - i`. (-2 is left for the end of a file.)"""


@dataclass(frozen=True)
class Vocabulary:
    """Words and labels, each sorted by descending count; of equal counts, that which was seen first stands first.

    Attributes:
        words: the words by id, as bytes.
        counts: int64[len(words)], occurrences.
        labels: the labels by id, with their prefix.
        label_counts: int64[len(labels)].
    """

    words: list[bytes] = field(default_factory=list)
    counts: Int64Array = field(default_factory=lambda: np.zeros(0, np.int64))
    labels: list[bytes] = field(default_factory=list)
    label_counts: Int64Array = field(default_factory=lambda: np.zeros(0, np.int64))


@dataclass(frozen=True)
class VocabularyRules:
    """Which tokens become words.

    Attributes:
        min_count: a word seen fewer times is left out. Labels never are.
        label_prefix: what labels start with.
        known: words and labels of an earlier model. They stay whatever their count, and counts are added to theirs.
        fixed: nothing is added to what is known, and its order and counts stay: for validation data.
        keep_unknown: whether the words outside the vocabulary are kept as bytes: their character n-grams are wanted.
    """

    min_count: int = 1
    label_prefix: bytes = b"__label__"
    known: Vocabulary = field(default_factory=Vocabulary)
    fixed: bool = False
    keep_unknown: bool = False


@dataclass(frozen=True)
class Numbering:
    """What each distinct token is called in training.

    Attributes:
        vocabulary: what the ids stand for.
        numbers: int32[distinct], by the token's id in the table: a word's id; an id at or above the vocabulary's size for a word
            outside it; `FIRST_LABEL - i` for label i; `DROPPED` for an unknown label.
        counts: int64[distinct], occurrences in the corpus of each token.
        word_hashes: uint32[words, those outside the vocabulary included], fastText's hash by id.
        unknown_words: the words outside the vocabulary by id, from its size on; empty unless they are to be kept.
    """

    vocabulary: Vocabulary
    numbers: Int32Array
    counts: Int64Array
    word_hashes: UInt32Array
    unknown_words: list[bytes]


class Distinct:
    """The distinct tokens of a corpus, put together from the tables of several threads.

    Args:
        tables: what each thread found. The list is emptied on the way: tables are large.
        rules: see `VocabularyRules`.

    Attributes:
        remaps: for each table, int32[len(table)]: the id here of each id there.
    """

    def __init__(self, tables: list[TokenTable], rules: VocabularyRules):
        self._rules = rules
        self.remaps, counts = [], []
        if rules.known.words or rules.known.labels:
            self._table = TokenTable()
        else:
            self._table = tables.pop(0)
            self.remaps.append(np.arange(len(self._table), dtype=np.int32))
            counts.append(self._table.counts())
        # Known tokens come first in the table, so that it is they who stand first among equal counts.
        self._known_words = self._add(rules.known.words)
        self._known_labels = self._add(rules.known.labels)
        while tables:
            table = tables.pop(0)
            self.remaps.append(self._table.merge(table))
            counts.append(table.counts())
        self._counts = np.zeros(len(self._table), np.int64)
        for ids, of_table in zip(self.remaps, counts, strict=True):
            self._counts[ids] += of_table

    def _add(self, tokens: list[bytes]) -> Int32Array:
        table = TokenTable()
        content = b" ".join(tokens)
        ids = table.scan(pad(content), len(content), 0)
        return self._table.merge(table)[ids]

    def number(self) -> Numbering:
        """Give words and labels their ids."""
        rules, table = self._rules, self._table
        is_label = table.start_with(rules.label_prefix)
        words = self._rank(
            ~is_label, self._known_words, rules.known.counts, max(rules.min_count, 1)
        )
        labels = self._rank(is_label, self._known_labels, rules.known.label_counts, 1)
        numbers = np.full(len(table), DROPPED, np.int32)
        order = np.concatenate([words.kept, words.left_out])
        numbers[order] = np.arange(len(order), dtype=np.int32)
        numbers[labels.kept] = FIRST_LABEL - np.arange(len(labels.kept), dtype=np.int32)
        vocabulary = Vocabulary(
            table.tokens(words.kept), words.counts, table.tokens(labels.kept), labels.counts
        )
        unknown = table.tokens(words.left_out) if rules.keep_unknown else []
        hashes = table.fasttext_hashes()[order]
        return Numbering(vocabulary, numbers, self._counts, hashes, unknown)

    def _rank(
        self, side: np.ndarray, known: Int32Array, known_counts: Int64Array, min_count: int
    ) -> _Ranking:
        """Sort one side of the tokens, words or labels: bool[distinct] says which they are."""
        counts = self._counts.copy()
        is_known = np.zeros(len(counts), bool)
        is_known[known] = True
        if self._rules.fixed:
            left_out = np.flatnonzero(side & ~is_known & (counts > 0))
            return _Ranking(known, known_counts, left_out[self._order(left_out, counts)])
        kept = np.flatnonzero(side & (is_known | (counts >= min_count)))
        left_out = np.flatnonzero(side & ~is_known & (counts > 0) & (counts < min_count))
        counts[known] += known_counts
        kept, left_out = (ids[self._order(ids, counts)] for ids in (kept, left_out))
        return _Ranking(kept, counts[kept], left_out)

    def _order(self, ids: Int64Array, counts: Int64Array) -> Int64Array:
        return np.lexsort((self._table.first_seen()[ids], -counts[ids]))


@dataclass(frozen=True)
class _Ranking:
    """Token ids in the order of the vocabulary, their counts, and those that are not in it."""

    kept: np.ndarray
    counts: Int64Array
    left_out: np.ndarray
