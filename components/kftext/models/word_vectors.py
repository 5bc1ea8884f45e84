"""Word vectors: of known words, of unknown ones through their character n-grams, of sentences; neighbours; analogies.

Bojanowski et al., "Enriching Word Vectors with Subword Information", TACL 2017: a word's vector is the mean of its own row
and its n-grams' rows.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from kftext.cores import available_cores
from kftext.errors import ModelFormatError, UsageError
from kftext.models.arguments import Args
from kftext.models.dictionary import Dictionary
from kftext.models.documents import encode_document
from kftext.models.fasttext_format import FastTextModel
from kftext.models.matrix import DenseMatrix
from kftext.models.top_k import top_k

if TYPE_CHECKING:
    from kftext.models.compiled.model import CompiledModel

__all__ = ["WordVectors"]

_CHUNK = 16384
"""Words whose vectors are composed at a time."""

_MOST_ROWS = 1 << 20
"""Rows that are gathered at once for a list of words; longer lists go word by word."""

_WORTH_COMPILING = 20_000
"""Words from which on importing Numba takes less time than it saves."""

# Numbers of a damaged file may be anything; a vector that is not finite is told by its values, not by warnings.
_QUIET = np.errstate(all="ignore")

Floats = npt.NDArray[np.float32]


class WordVectors:
    """Vectors of words. Any number of threads may use one at once.

    Args:
        model: a model of any kind; a classifier's input rows are word vectors as well.
    """

    def __init__(self, model: FastTextModel):
        self.model = model
        self.dictionary = model.dictionary
        self._compiled: CompiledModel | None = None

    def warm_up(self) -> bool:
        """Prepare the compiled composition of vectors, which is many times as fast; a server calls it once, before the first request.

        Returns:
            Whether it is compiled now: not so where Numba is not installed.
        """
        if self._compiled is None and importlib.util.find_spec("numba") is not None:
            from kftext.models.compiled.model import CompiledModel

            compiled = CompiledModel(self.model)
            compiled.vectors([b""])
            compiled.vectors_of_lines(b"", 1)
            self._compiled = compiled
        return self._compiled is not None

    @classmethod
    def from_matrix(cls, words: Sequence[bytes], matrix: Floats) -> WordVectors:
        """Make word vectors without subwords from float32[len(words), dim]."""
        if matrix.ndim != 2 or len(words) != len(matrix):
            raise ModelFormatError(f"{len(words)} words for a matrix of shape {matrix.shape}")
        arguments = Args(dim=matrix.shape[1], bucket=0, minn=0, maxn=0)
        dictionary = Dictionary(arguments, words, np.ones(len(words), dtype=np.int64))
        empty = DenseMatrix(np.empty((0, matrix.shape[1]), dtype=np.float32))
        model = FastTextModel(arguments, dictionary, DenseMatrix(matrix), empty)
        model.validate()
        return cls(model)

    @property
    def dim(self) -> int:
        """Size of a vector."""
        return self.model.arguments.dim

    @property
    def has_subwords(self) -> bool:
        """Whether a word that is not in the vocabulary has a vector, too."""
        return self.model.arguments.has_subwords

    @cached_property
    def words(self) -> list[str]:
        """The vocabulary, by descending frequency."""
        return [word.decode("utf-8", "replace") for word in self.dictionary.words]

    def __contains__(self, word: str) -> bool:
        return self.dictionary.word_id(encode_document(word)) >= 0

    def vector(self, word: str) -> Floats:
        """Return float32[dim]: zeros for an unknown word of a model without subwords."""
        return self._mean(self.dictionary.subword_rows(encode_document(word)))

    def vectors(self, words: Iterable[str]) -> Floats:
        """Return float32[len(words), dim]."""
        words = list(words)
        if self._compiled is not None and words:
            lines = "\n".join(words)
            # A newline within a word, or half of a character: each word for itself.
            with contextlib.suppress(UnicodeEncodeError):
                if lines.count("\n") == len(words) - 1:
                    return self._compiled.vectors_of_lines(lines.encode(), len(words))
        return self._compose([encode_document(word) for word in words])

    def _compose(self, words: Sequence[bytes]) -> Floats:
        if self._compiled is not None:
            return self._compiled.vectors(words)
        return self._means([self.dictionary.subword_rows(word) for word in words])

    @_QUIET
    def _mean(self, rows: Sequence[int]) -> Floats:
        if not rows:
            return np.zeros(self.dim, dtype=np.float32)
        return self.model.input.sum(rows) * np.float32(1.0 / len(rows))

    @_QUIET
    def _means(self, rows: Sequence[Sequence[int]]) -> Floats:
        """Return float32[len(rows), dim], the mean of each list of input rows, zeros for an empty one."""
        result = np.zeros((len(rows), self.dim), dtype=np.float32)
        lengths = np.array([len(r) for r in rows], dtype=np.intp)
        if not lengths.any():
            return result
        if lengths.sum() > _MOST_ROWS:
            return np.stack([self._mean(r) for r in rows])
        flat = np.fromiter((row for r in rows for row in r), dtype=np.intp, count=lengths.sum())
        filled = np.flatnonzero(lengths)
        starts = (np.cumsum(lengths) - lengths)[filled]
        sums = np.add.reduceat(self.model.input.rows(flat), starts, axis=0)
        result[filled] = sums * (1.0 / lengths[filled]).astype(np.float32)[:, None]
        return result

    def all_vectors(self) -> Floats:
        """Return float32[words, dim], the vector of each word of the vocabulary, in order."""
        count = len(self.dictionary.words)
        if not self.model.arguments.has_subwords:
            if isinstance(self.model.input, DenseMatrix):
                return self.model.input.values[:count]
            return self.model.input.rows(np.arange(count))
        if count >= _WORTH_COMPILING and self.warm_up() and self._compiled is not None:
            return self._compiled.all_vectors(available_cores())
        result = np.empty((count, self.dim), dtype=np.float32)
        for start in range(0, count, _CHUNK):
            words = self.dictionary.words[start : start + _CHUNK]
            result[start : start + _CHUNK] = self._compose(words)
        return result

    @_QUIET
    def sentence_vector(self, text: str) -> Floats:
        """Return float32[dim], the mean of the unit vectors of the text's words, as fastText's `getSentenceVector`.

        A word whose vector is zero does not count. For a classifier it is the hidden vector of the text, with `</s>`.
        """
        line = encode_document(text)
        if self.model.arguments.supervised:
            return self._mean(self.dictionary.line(line)[0])
        # The C++ stream that fastText reads words from, here alone, takes NUL for part of a word.
        words = line.split()
        total, count = np.zeros((1, self.dim), dtype=np.float32), 0
        for start in range(0, len(words), _CHUNK):
            vectors = self._compose(words[start : start + _CHUNK])
            norms = np.linalg.norm(vectors, axis=1)
            kept = norms > 0
            count += int(kept.sum())
            units = vectors[kept] / norms[kept, None]
            total = np.concatenate([total, units]).sum(axis=0, keepdims=True)
        return total[0] / np.float32(max(count, 1))

    @cached_property
    @_QUIET
    def unit_vectors(self) -> Floats:
        """float32[words, dim], the vocabulary's vectors divided by their norms; made at first use."""
        vectors = self.all_vectors()
        norms = np.linalg.norm(vectors, axis=1)
        norms[norms == 0] = 1
        return vectors / norms[:, None]

    def nearest_neighbors(
        self, word_or_vector: str | npt.ArrayLike, k: int = 10
    ) -> list[tuple[str, float]]:
        """Return the k words with the largest cosine to a word (itself left out) or to a vector (float[dim]), best first."""
        if isinstance(word_or_vector, str):
            query = self.vector(word_or_vector)
            return self._nearest(query, k, {encode_document(word_or_vector)})
        query = np.asarray(word_or_vector, dtype=np.float32)
        if query.shape != (self.dim,):
            raise UsageError(f"a vector of shape {query.shape}: expected ({self.dim},)")
        return self._nearest(query, k, set())

    @_QUIET
    def analogies(self, a: str, b: str, c: str, k: int = 10) -> list[tuple[str, float]]:
        """Return the k words nearest to a - b + c, best first, and their cosines: "berlin" - "germany" + "france"."""
        query = np.zeros(self.dim, dtype=np.float32)
        for word, sign in ((a, 1.0), (b, -1.0), (c, 1.0)):
            vector = self.vector(word)
            query += np.float32(sign / (float(np.linalg.norm(vector)) + 1e-8)) * vector
        return self._nearest(query, k, {encode_document(word) for word in (a, b, c)})

    @_QUIET
    def _nearest(self, query: Floats, k: int, banned: set[bytes]) -> list[tuple[str, float]]:
        if k <= 0:
            raise UsageError(f"k={k}: expected an integer > 0")
        norm = float(np.linalg.norm(query))
        cosines = self.unit_vectors @ query / np.float32(norm if norm >= 1e-8 else 1.0)
        cosines[np.isnan(cosines)] = -np.inf
        for word in banned:
            index = self.dictionary.word_id(word)
            if index >= 0:
                cosines[index] = -np.inf
        return [(self.words[index], score) for score, index in top_k(cosines, k)]
