"""The encoder made from word vectors, computed from its SavedModel's variables without running the graph.

A call of the graph runs some hundred operations of a microsecond's work each, and costs half a millisecond, whatever the text: many
times what is to be computed. Here are the same look-ups and the same mean, step by step those of `word_vector_encoder`. The
table is that of the SavedModel, in the same memory. Whoever uses this compares it with the graph first: see `differing_text`.
This is NumPy's and Python's way; `compiled_lookup` is Numba's.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kftext.models import Args, Dictionary

__all__ = [
    "FEW_LABELS",
    "SUMMED",
    "Firsts",
    "FunctionOfTexts",
    "LookupClassifier",
    "WordVectorLookup",
    "differing_text",
    "open_lookup",
]

_VOCABULARY = Path("assets", "vocabulary.txt")

_ROWS_AT_ONCE = 1 << 14
"""Rows that are gathered before they are summed up; those of one text are never divided."""

SUMMED = 64
"""Rows whose sum is taken in float32, which loses a digit with every tenfold of them; that of more rows is one in float64."""

FEW_LABELS = 32
"""Up to so many, a loop in Python is faster than NumPy for one text."""

_TOLERANCE = 1e-5

_SAMPLE_WORDS = 64
_SAMPLE_TEXTS = (
    "",
    "a text",
    "The second, LONGER text: it has (punctuation) and 3.14!",
    " \t white\x00space \x0b and \u00a0others \u3000 ",
    "ÜBERAUS İstanbul ΣΊΣΥΦΟΣ naïve-ness 映画。 🎬movie",
    "</s> unheard-of quizzacious ☃",
)

FunctionOfTexts = Callable[[Sequence[str]], npt.NDArray[np.float32]]

Firsts = tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]
"""Of each text the most probable label, and its probability."""


class WordVectorLookup:
    """Texts in, the weighted means of their words' vectors out. Any number of threads may use one at once.

    Args:
        words: the vocabulary, by id.
        table: float32[1 + words + buckets, dim]: zeros, the words' vectors, the n-grams' rows.
        word_weights: float32[words + 1], what each word counts in the mean; the last is for words that are not known.
        ngrams: shortest and longest character n-gram and number of buckets; None where the vectors have none.

    Attributes:
        alike: whether all rows count alike.
        ngrams: what finds a word's character n-grams; None as above.
    """

    def __init__(
        self,
        words: Sequence[bytes],
        table: npt.NDArray[np.float32],
        word_weights: npt.NDArray[np.float32],
        ngrams: tuple[int, int, int] | None,
    ):
        self.words, self.table, self.word_weights = words, table, word_weights
        self._rows = {word: row for row, word in enumerate(words, 1)}
        # The weight of each row of a word, by its row.
        self._weights = np.concatenate([np.zeros(1, np.float32), word_weights[:-1]])
        self._unknown_weight = float(word_weights[-1])
        self.alike = bool((word_weights == 1).all()) and ngrams is None
        self.ngrams = None
        if ngrams is not None:
            minn, maxn, buckets = ngrams
            self.ngrams = Dictionary(Args(minn=minn, maxn=maxn, bucket=buckets), [], [])

    def through(self, kernel: npt.NDArray[np.float32]) -> WordVectorLookup:
        """Return what gives float32[texts, n], the means times `kernel`, float32[dim, n].

        The mean of products is the product of the mean: where n is smaller than dim the rows become shorter, once for all texts.
        """
        other = copy(self)
        other.table = self.table @ kernel
        return other

    def __call__(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return float32[texts, dim], or as wide as `through` has made it; zeros for a text of which nothing is known."""
        if len(texts) == 1:
            return self._mean_of(texts[0])
        if not texts:
            return np.zeros((0, self.table.shape[1]), np.float32)
        parts = []
        rows: list[int] = []
        shares: list[float] = []
        starts: list[int] = []
        for text in texts:
            starts.append(len(rows))
            self._look_up(text, rows, shares)
            if len(rows) >= _ROWS_AT_ONCE:
                parts.append(self._means(rows, shares, starts))
                rows, shares, starts = [], [], []
        if starts:
            parts.append(self._means(rows, shares, starts))
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _mean_of(self, text: str) -> npt.NDArray[np.float32]:
        """Return float32[1, dim]. One text is the most common request: most of its time are NumPy's calls, so that it has few."""
        rows: list[int] = []
        shares: list[float] = []
        self._look_up(text, rows, shares)
        vectors = self.table.take(rows, axis=0)
        total: float = max(len(rows) - 1, 1)
        if not self.alike:
            vectors *= np.array(shares, np.float32)[:, None]
            total = max(sum(shares), 1e-12)
        if len(rows) > SUMMED:
            sums = np.add.reduce(vectors, axis=0, dtype=np.float64, keepdims=True)
            return (sums / total).astype(np.float32)
        means = np.add.reduce(vectors, axis=0, keepdims=True)
        means /= np.float32(total)
        return means

    def _look_up(self, text: str, rows: list[int], shares: list[float]) -> None:
        """Append the rows of a text's words behind the row of zeros; where not all rows count alike, what each counts as well."""
        known = self._rows
        tokens = text.encode("utf-8", "replace").replace(b"\x00", b" ").split()
        found = [row for token in tokens if (row := known.get(token)) is not None]
        unknown: list[bytes] = []
        if len(found) < len(tokens):
            found, unknown = self._look_closer(tokens)
        # With the row of zeros no text is without rows, which `reduceat` has no place for.
        rows.append(0)
        rows += found
        if self.alike:
            return
        shares.append(0.0)
        shares += self._weights.take(found).tolist()
        if self.ngrams is None:
            return
        first = 1 + len(self.words)
        for word in unknown:
            buckets = [bucket for _, bucket in self.ngrams.character_ngrams(word)]
            rows += [first + bucket for bucket in buckets]
            shares += [self._unknown_weight / max(len(buckets), 1)] * len(buckets)

    def _look_closer(self, tokens: list[bytes]) -> tuple[list[int], list[bytes]]:
        """Return rows of known words, as they stand or in lower case, whole or in parts without punctuation; and unknown parts."""
        found, unknown = [], []
        for token in tokens:
            row = self._row(token)
            if row is not None:
                found.append(row)
                continue
            for part in _without_punctuation(token):
                row = self._row(part)
                if row is None:
                    unknown.append(part)
                else:
                    found.append(row)
        return found, unknown

    def _row(self, word: bytes) -> int | None:
        row = self._rows.get(word)
        if row is None:
            lower = word.lower() if word.isascii() else word.decode().lower().encode()
            row = self._rows.get(lower)
        return row

    def _means(
        self, rows: list[int], shares: list[float], starts: list[int]
    ) -> npt.NDArray[np.float32]:
        """Return float32[starts, dim], the mean of the rows from each start to the next, the first of them left out."""
        vectors = self.table.take(rows, axis=0)
        if self.alike:
            ends = [*starts[1:], len(rows)]
            totals = np.array(
                [max(end - start - 1, 1) for start, end in zip(starts, ends, strict=True)],
                np.float32,
            )
        else:
            weights = np.array(shares, np.float32)
            vectors *= weights[:, None]
            totals = np.maximum(np.add.reduceat(weights, starts), np.float32(1e-12))
        sums = np.add.reduceat(vectors, starts, axis=0)
        sums /= totals[:, None]
        return sums


class LookupClassifier:
    """A dense layer and its softmax over a look-up. Any number of threads may use one at once.

    Args:
        lookup: the encoder.
        kernel: float32[dim, labels].
        bias: float32[labels].

    Attributes:
        lookup: gives the products of the means and the kernel, where there are fewer labels than columns; else the means.
        kernel: None where it has gone into the look-up.
    """

    def __init__(
        self,
        lookup: WordVectorLookup,
        kernel: npt.NDArray[np.float32],
        bias: npt.NDArray[np.float32],
    ):
        short = kernel.shape[1] < kernel.shape[0]
        self.words, self.bias = lookup.words, bias
        self.lookup = lookup.through(kernel) if short else lookup
        self.kernel = None if short else kernel

    def __call__(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return float32[texts, labels], probabilities."""
        scores = self.lookup(texts)
        if self.kernel is not None:
            scores = scores @ self.kernel
        scores += self.bias
        if len(texts) == 1 and len(self.bias) <= FEW_LABELS:
            return np.array([_softmax(scores[0].tolist())], np.float32)
        scores -= np.maximum.reduce(scores, axis=1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= np.add.reduce(scores, axis=1, keepdims=True)
        return scores


def _softmax(scores: list[float]) -> list[float]:
    """The softmax of a few numbers, for which NumPy's calls would take longer."""
    highest = max(scores)
    powers = [math.exp(score - highest) for score in scores]
    total = sum(powers)
    return [power / total for power in powers]


@cache
def _punctuation() -> tuple[bytes, dict[int, str]]:
    """Tables that turn punctuation and symbols (Unicode's categories P and S) into blanks: of bytes for ASCII, of characters."""
    codes = [code for code in range(0x110000) if unicodedata.category(chr(code))[0] in "PS"]
    blanks = bytearray(range(256))
    for code in codes:
        if code < 128:
            blanks[code] = ord(" ")
    return bytes(blanks), dict.fromkeys(codes, " ")


def _without_punctuation(token: bytes) -> list[bytes]:
    ascii_blanks, blanks = _punctuation()
    if token.isascii():
        return token.translate(ascii_blanks).split()
    return token.decode().translate(blanks).encode().split()


def open_lookup(folder: Path, module: Any) -> WordVectorLookup | None:
    """Take an encoder made from word vectors out of a SavedModel.

    Args:
        folder: where the SavedModel lies.
        module: the encoder in it.

    Returns:
        None where it is another encoder, or does not tell all that is needed.
    """
    table, weights = getattr(module, "table", None), getattr(module, "word_weights", None)
    if table is None or weights is None or not (folder / _VOCABULARY).is_file():
        return None
    words = (folder / _VOCABULARY).read_bytes().split(b"\n")[:-1]
    ngrams, buckets = None, 0
    if hasattr(module, "ngrams"):
        minn, maxn, buckets = map(int, module.ngrams.numpy())
        ngrams = minn, maxn, buckets
    if (weights.shape[0], table.shape[0]) != (len(words) + 1, 1 + len(words) + buckets):
        return None
    # The memory of the variables themselves: nobody writes to a model that is served.
    return WordVectorLookup(
        words, np.asarray(table.read_value()), np.asarray(weights.read_value()), ngrams
    )


def differing_text(
    words: Sequence[bytes],
    here: FunctionOfTexts,
    graph: FunctionOfTexts,
    bests: Sequence[Callable[[Sequence[str]], Firsts]] = (),
) -> str | None:
    """Compare what is computed here with what the graph computes, for some texts of all kinds.

    Args:
        words: the vocabulary, of which texts are made.
        here: float32[texts, n], by the look-up.
        graph: the same by the graph.
        bests: the columns of the largest numbers of their rows, and those numbers, each in its own way.

    Returns:
        None where they agree to 1e-5 of the largest number (of 1, where that is larger); else a text for which they don't.
    """
    texts = [*_SAMPLE_TEXTS, *_sample(words)]
    expected = graph(texts)
    allowed = _TOLERANCE * max(1.0, float(np.abs(expected).max(initial=0.0)))
    # One text goes another way than several.
    alone = np.concatenate([here([text]) for text in texts])
    same = (np.abs(here(texts) - expected) <= allowed).all(axis=1)
    same &= (np.abs(alone - expected) <= allowed).all(axis=1)
    for best in bests:
        columns, largest = best(texts)
        chosen = expected[np.arange(len(texts)), columns]
        same &= np.abs(largest - chosen) <= allowed
        same &= expected.max(axis=1) - chosen <= allowed
    return None if same.all() else texts[int(same.argmin())]


def _sample(words: Sequence[bytes]) -> Iterator[str]:
    """Texts of words from all over the vocabulary: as they stand, in upper case, with punctuation, and misspelt."""
    step = max(1, len(words) // _SAMPLE_WORDS)
    some = [word.decode("utf-8", "replace") for word in words[::step]]
    for start in range(0, len(some), 8):
        group = some[start : start + 8]
        yield " ".join(group)
        yield ", ".join(f"“{word.upper()}”" for word in group) + "."
        yield " ".join(word[::-1] + word for word in group)
