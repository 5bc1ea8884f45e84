"""What is counted over the rows of a data set, in bounded memory."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import numpy as np

from kftext.data.rows import Row
from kftext.validation.words import DistinctWords, find_tokens, hash_tokens, token_counts

__all__ = ["PartStatistics"]

_LISTED_LABELS = 1000
_BATCH = 1 << 18


class PartStatistics:
    """Counts over the rows of one part, training or validation.

    Attributes:
        rows: number of rows.
        tokens: number of tokens of the texts, labels not counted.
        rejected: number of lines at fault, which are no rows.
        lengths: number of rows by their number of tokens.
        labels: number of rows by label.
        labels_a_row: number of rows by their number of labels.
        duplicates: rows whose text an earlier row of the part has.
        conflicts: those of them whose labels differ from the first such row's.
        leaks: rows of the validation part whose text the training part has.
    """

    def __init__(self):
        self.rows = self.tokens = self.rejected = 0
        self.duplicates = self.conflicts = self.leaks = 0
        self.lengths: Counter[int] = Counter()
        self.labels: Counter[str] = Counter()
        self.labels_a_row: Counter[int] = Counter()
        self._words = DistinctWords()
        self._texts: list[str] = []
        self._size = 0

    def add(self, row: Row) -> None:
        """Count a row. Its tokens are counted some rows later, by `flush` at the latest."""
        _, _, labels, text, _ = row
        self.rows += 1
        self._texts.append(text)
        self._size += len(text)
        if self._size > _BATCH:
            self.flush()
        if labels:
            self.labels_a_row[len(labels)] += 1
            for label in set(labels) if len(labels) > 1 else labels:
                self.labels[label] += 1

    def flush(self) -> None:
        """Count the tokens of the rows that wait for it."""
        if not self._texts:
            return
        texts, self._texts, self._size = self._texts, [], 0
        data = "\n".join(texts).encode()
        breaks = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n"))
        if len(breaks) >= len(texts):
            # A text holds a line break itself: what parts the texts must be counted out.
            breaks = np.cumsum([len(text.encode()) + 1 for text in texts[:-1]]) - 1
        starts, ends = find_tokens(data)
        self.tokens += len(starts)
        counts, rows = np.unique(token_counts(starts, breaks), return_counts=True)
        for count, number in zip(counts.tolist(), rows.tolist(), strict=True):
            self.lengths[count] += number
        self._words.add(hash_tokens(data, starts, ends))

    def distinct_words(self) -> tuple[int, bool]:
        """Return the number of distinct words of the texts, and whether it is exact."""
        return self._words.estimate()

    def quantile(self, share: float) -> int:
        """Return the smallest length, in tokens, that at least this share of the rows does not exceed."""
        lengths = sorted(self.lengths.items())
        sums = itertools.accumulate(count for _, count in lengths)
        for (length, _), below in zip(lengths, sums, strict=True):
            if below >= share * self.rows:
                return length
        return 0

    def to_dict(self) -> dict[str, Any]:
        """Return all counts as JSON values; of the labels the commonest 1,000."""
        words, exact = self.distinct_words()
        return {
            "rows": self.rows,
            "rejected": self.rejected,
            "tokens": self.tokens,
            "distinct_words": words,
            "distinct_words_exact": exact,
            "tokens_a_row": {
                "min": min(self.lengths, default=0),
                "mean": round(self.tokens / self.rows, 2) if self.rows else 0.0,
                "median": self.quantile(0.5),
                "p95": self.quantile(0.95),
                "p99": self.quantile(0.99),
                "max": max(self.lengths, default=0),
            },
            "distinct_labels": len(self.labels),
            "labels_a_row": {str(count): rows for count, rows in sorted(self.labels_a_row.items())},
            "labels": dict(self.labels.most_common(_LISTED_LABELS)),
            "duplicates": self.duplicates,
            "conflicting_labels": self.conflicts,
            "leaks": self.leaks,
        }
