"""fastText's dictionary: from tokens to the rows of the input matrix.

A word has the row of its id. Character n-grams of a word ("subwords": Bojanowski et al., "Enriching Word Vectors with
Subword Information", TACL 2017, section 3.2) and n-grams of words (Joulin et al., "Bag of Tricks for Efficient Text
Classification", 2016, section 2.2) are hashed to one of `bucket` rows behind the words' rows. A pruned (quantized) model
keeps only some of those rows, and holds a table of where each went.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from kftext.data.tokens import END_OF_SENTENCE, LABEL_PREFIX, tokenize
from kftext.models.arguments import Args

__all__ = ["BOW", "EOS", "EOW", "Dictionary", "fasttext_hash"]

EOS = END_OF_SENTENCE.encode()
BOW = b"<"
EOW = b">"

_OFFSET = 2166136261
_PRIME = 16777619
_MASK32 = 0xFFFFFFFF
_MASK64 = 0xFFFFFFFFFFFFFFFF
_WORD_NGRAM_PRIME = 116049371

# fastText hashes `char`, which is signed where its models were trained: a byte above 127 sets the upper bits as well.
_SIGN_EXTENDED = tuple(byte if byte < 128 else byte | 0xFFFFFF00 for byte in range(256))


def fasttext_hash(data: bytes) -> int:
    """Return fastText's 32-bit hash: FNV-1a over signed characters."""
    h = _OFFSET
    for byte in data:
        h = ((h ^ _SIGN_EXTENDED[byte]) * _PRIME) & _MASK32
    return h


class Dictionary:
    """Words and labels with their counts, and the rules that turn a line into rows.

    Args:
        arguments: `word_ngrams`, `bucket`, `minn` and `maxn` say which n-grams there are.
        words: the words, by id (descending frequency).
        counts: int64[len(words)], occurrences in the training data.
        labels: the labels, by id, with their prefix.
        label_counts: int64[len(labels)].
        token_count: tokens read in training, dropped ones included.
        pruned: int32[n, 2] pairs of (bucket, row behind the words' rows) of a pruned model, else None.
        label_prefix: a token that starts with it is a label, though no known one. fastText's files don't hold it.
    """

    def __init__(
        self,
        arguments: Args,
        words: Sequence[bytes],
        counts: npt.ArrayLike,
        labels: Sequence[bytes] = (),
        label_counts: npt.ArrayLike = (),
        *,
        token_count: int = 0,
        pruned: npt.NDArray[np.int32] | None = None,
        label_prefix: bytes = LABEL_PREFIX.encode(),
    ):
        self.arguments = arguments
        self.words = list(words)
        self.counts = np.asarray(counts, dtype=np.int64)
        self.labels = list(labels)
        self.label_counts = np.asarray(label_counts, dtype=np.int64)
        self.token_count = token_count
        self.pruned = pruned
        self.label_prefix = label_prefix
        # token -> (rows, hash): filled as words are met, so that opening a model with millions of words costs nothing.
        self._known: dict[bytes, tuple[tuple[int, ...], int]] = {}

    @cached_property
    def word_ids(self) -> dict[bytes, int]:
        """Id of each word."""
        return {word: index for index, word in enumerate(self.words)}

    @cached_property
    def label_ids(self) -> dict[bytes, int]:
        """Id of each label."""
        return {label: index for index, label in enumerate(self.labels)}

    @cached_property
    def _pruned_rows(self) -> dict[int, int]:
        if self.pruned is None:
            return {}
        return dict(zip(self.pruned[:, 0].tolist(), self.pruned[:, 1].tolist(), strict=True))

    def word_id(self, word: bytes) -> int:
        """Return the id of a word, -1 where it is not in the dictionary."""
        return self.word_ids.get(word, -1)

    def label_id(self, label: bytes) -> int:
        """Return the id of a label, -1 where it is not in the dictionary."""
        return self.label_ids.get(label, -1)

    def bucket_row(self, bucket: int) -> int:
        """Return the row of the input matrix for a bucket, -1 where pruning dropped it."""
        if self.pruned is None:
            return len(self.words) + bucket
        row = self._pruned_rows.get(bucket, -1)
        return row if row < 0 else len(self.words) + row

    def character_ngrams(self, word: bytes) -> list[tuple[bytes, int]]:
        """Return the character n-grams of `<word>` and their buckets, in fastText's order."""
        arguments = self.arguments
        if not arguments.has_subwords or word == EOS:
            return []
        minn, maxn, bucket = arguments.minn, arguments.maxn, arguments.bucket
        wrapped = BOW + word + EOW
        length = len(wrapped)
        # Boundaries of UTF-8 characters: every byte that does not continue one.
        starts = [i for i, byte in enumerate(wrapped) if byte & 0xC0 != 0x80]
        ends = [*starts[1:], length]
        ngrams = []
        for first, start in enumerate(starts):
            h, position = _OFFSET, start
            # An n-gram one character longer continues the hash of the one before.
            for n in range(1, min(maxn, len(starts) - first) + 1):
                end = ends[first + n - 1]
                for byte in wrapped[position:end]:
                    h = ((h ^ _SIGN_EXTENDED[byte]) * _PRIME) & _MASK32
                position = end
                # "<" and ">" alone are no n-grams.
                if n >= minn and not (n == 1 and (start == 0 or end == length)):
                    ngrams.append((wrapped[start:end], h % bucket))
        return ngrams

    def _ngram_rows(self, word: bytes) -> list[int]:
        if self.pruned is None:
            first = len(self.words)
            return [first + bucket for _, bucket in self.character_ngrams(word)]
        rows = (self.bucket_row(bucket) for _, bucket in self.character_ngrams(word))
        return [row for row in rows if row >= 0]

    def subword_rows(self, word: bytes) -> list[int]:
        """Return the rows that make up a word's vector: its own where it is known, then those of its n-grams."""
        index = self.word_id(word)
        return ([index] if index >= 0 else []) + self._ngram_rows(word)

    def subwords(self, word: bytes) -> tuple[list[bytes], list[int]]:
        """Return the n-grams that make up a word's vector and their rows, the word itself first where it is known."""
        index = self.word_id(word)
        names, rows = ([word], [index]) if index >= 0 else ([], [])
        for ngram, bucket in self.character_ngrams(word):
            row = self.bucket_row(bucket)
            if row >= 0:
                names.append(ngram)
                rows.append(row)
        return names, rows

    def _token(self, token: bytes) -> tuple[tuple[int, ...], int] | None:
        """Return a token's rows and hash; None for a label."""
        index = self.word_ids.get(token, -1)
        if index < 0:
            if token in self.label_ids or token.startswith(self.label_prefix):
                return None
            return tuple(self._ngram_rows(token)), fasttext_hash(token)
        rows = (index, *self._ngram_rows(token))
        entry = (rows, fasttext_hash(token))
        self._known[token] = entry
        return entry

    def line(self, text: bytes, *, end_of_line: bool = True) -> tuple[list[int], list[int]]:
        """Turn one line into rows of the input matrix and ids of known labels, as fastText's `getLine`.

        Args:
            text: the line, without its newline.
            end_of_line: whether a newline ends it; the last line of a file may lack one, and then no `</s>` is added.
        """
        tokens = tokenize(text)
        if EOS in tokens:
            # fastText takes it for the end of the line wherever it stands.
            tokens = tokens[: tokens.index(EOS) + 1]
        elif end_of_line:
            tokens.append(EOS)
        known = self._known
        rows: list[int] = []
        labels: list[int] = []
        hashes: list[int] = []
        for token in tokens:
            entry = known.get(token) or self._token(token)
            if entry is None:
                label = self.label_ids.get(token, -1)
                if label >= 0:
                    labels.append(label)
            else:
                rows.extend(entry[0])
                hashes.append(entry[1])
        if self.arguments.word_ngrams > 1:
            rows.extend(self.word_ngram_rows(hashes))
        return rows, labels

    def word_ngram_rows(self, hashes: Iterable[int]) -> list[int]:
        """Return the rows of all word n-grams of 2 to `word_ngrams` tokens, given the tokens' 32-bit hashes."""
        n, bucket, first = self.arguments.word_ngrams, self.arguments.bucket, len(self.words)
        # fastText keeps hashes as int32, so that the upper half of a 64-bit one is all ones where bit 31 is set.
        signed = [h if h < 0x80000000 else h | 0xFFFFFFFF00000000 for h in hashes]
        buckets = []
        for i, h in enumerate(signed):
            for other in signed[i + 1 : i + n]:
                h = (h * _WORD_NGRAM_PRIME + other) & _MASK64
                buckets.append(h % bucket)
        if self.pruned is None:
            return [first + b for b in buckets]
        return [row for row in map(self.bucket_row, buckets) if row >= 0]
