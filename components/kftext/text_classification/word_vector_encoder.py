"""An encoder made from word vectors: ours, or any fastText `.bin`, `.ftz` or `.vec`. It needs no network and no GPU.

A text's embedding is the mean of its words' vectors. A word of the vocabulary has one row, its vector as fastText composes it; a
word that is not in the vocabulary is the mean of its character n-grams' rows, where the vectors have any. A token is looked up as it
stands, then in lower case, then in parts without punctuation, so that raw text meets a tokenized vocabulary. Fine-tuning changes the
rows: those of known words as a whole, which is one row a word in place of twenty.

Pooling `sif` weighs words by a / (a + frequency), so that frequent words count less: Arora et al., "A Simple but Tough-to-Beat
Baseline for Sentence Embeddings", ICLR 2017, equation 3, without its second step (no component is removed).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from kftext import models
from kftext.errors import ModelFormatError, UsageError
from kftext.models import WordVectors
from kftext.text_classification.encoder import TextModule
from kftext.text_classification.ngrams import ngram_buckets

__all__ = ["POOLINGS", "WordVectorModule", "word_vector_module"]

POOLINGS = ("mean", "sif")

_SIF = 1e-3
# What fastText splits at, and tf.strings.split too but for NUL.
_NUL = r"\x00"
_PUNCTUATION = r"[\pP\pS]+"


class WordVectorModule(TextModule):
    """The encoder as a TensorFlow module.

    Args:
        words: the vocabulary, by id; none holds white space.
        table: float32[1 + words + buckets, dim]: a row of zeros for padding, the words' vectors, the n-grams' rows.
        word_weights: float32[words + 1], what each word counts in the mean; the last is for words that are not known.
        ngrams: shortest and longest character n-gram and number of buckets; None where the vectors have none.
        work_dir: folder for the vocabulary's file, which must be there until the module has been saved.
    """

    def __init__(
        self,
        words: list[bytes],
        table: npt.NDArray[np.float32],
        word_weights: npt.NDArray[np.float32],
        ngrams: tuple[int, int, int] | None,
        work_dir: Path,
    ):
        super().__init__()
        file = work_dir / "vocabulary.txt"
        file.write_bytes(b"".join(word + b"\n" for word in words))
        # A SavedModel holds a copy of the file, as an asset.
        self.vocabulary = tf.lookup.StaticHashTable(
            tf.lookup.TextFileInitializer(
                str(file),
                tf.string,
                tf.lookup.TextFileIndex.WHOLE_LINE,
                tf.int64,
                tf.lookup.TextFileIndex.LINE_NUMBER,
                vocab_size=len(words),
            ),
            default_value=-1,
        )
        self.table = tf.Variable(table, name="table")
        self.word_weights = tf.Variable(word_weights, trainable=False, name="word_weights")
        self._word_count, self._ngrams = len(words), ngrams
        if ngrams is not None:
            # For whoever computes this without the graph: `word_vector_lookup`.
            self.ngrams = tf.Variable(ngrams, trainable=False, dtype=tf.int64, name="ngrams")
        self.track([self.table, self.word_weights], [self.table])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="texts")])
    def features(self, texts):
        """Return `rows`, int32[n, length] of the table, and `weights`, float32[n, length], which sum to 1 for each text."""
        count = tf.size(texts, tf.int64)
        words, text_of = self._words(texts)
        ids = self._look_up(words)
        known = ids >= 0
        known_ids = tf.boolean_mask(ids, known)
        known_texts = tf.boolean_mask(text_of, known)
        known_weights = tf.gather(self.word_weights, known_ids)
        rows = _ragged(known_ids + 1, known_texts, count)
        weights = _ragged(known_weights, known_texts, count)
        if self._ngrams is not None:
            other, other_weights, other_texts = self._unknown(
                tf.boolean_mask(words, ~known),
                tf.boolean_mask(text_of, ~known),
                *self._ngrams,
            )
            rows = tf.concat([rows, _ragged(other, other_texts, count)], axis=1)
            weights = tf.concat([weights, _ragged(other_weights, other_texts, count)], axis=1)
        total = tf.maximum(tf.reduce_sum(weights, axis=1), 1e-12)
        return {
            "rows": tf.cast(rows.to_tensor(0), tf.int32),
            "weights": weights.to_tensor(0.0) / total[:, None],
        }

    def _words(self, texts):
        """Return string[words] and int64[words], the text of each: tokens, or their parts where a token is not known."""
        tokens, text_of = _split(tf.strings.regex_replace(texts, _NUL, " "))
        parts = tf.strings.regex_replace(tokens, _PUNCTUATION, " ")
        known = self._look_up(tokens) >= 0
        words, token_of = _split(tf.where(known, tokens, parts))
        return words, tf.gather(text_of, token_of)

    def _look_up(self, words):
        """Return int64[n], the id of each word as it stands or else in lower case, or -1."""
        ids = self.vocabulary.lookup(words)
        missing = tf.where(ids < 0)
        lower = tf.strings.lower(tf.gather_nd(words, missing), "utf-8")
        return tf.tensor_scatter_nd_update(ids, missing, self.vocabulary.lookup(lower))

    def _unknown(self, words, text_of, minn, maxn, buckets):
        """Return rows, weights and texts of the n-grams of words that are not in the vocabulary."""
        distinct, index = tf.unique(words)
        ngrams = tf.gather(ngram_buckets(distinct, minn, maxn, buckets), index)
        counts = ngrams.row_lengths()
        share = self.word_weights[-1] / tf.maximum(tf.cast(counts, tf.float32), 1.0)
        rows = ngrams.values + (1 + self._word_count)
        return rows, tf.repeat(share, counts), tf.repeat(text_of, counts)

    @tf.function
    def embed(self, features, training):
        """Return float32[n, dim], the weighted mean of the rows."""
        vectors = tf.gather(self.table, features["rows"])
        return tf.einsum("nl,nld->nd", features["weights"], vectors)


def _split(texts):
    """Return the words of all texts, string[words], and the text of each, int64[words]; as tf.strings.split with fewer operations."""
    found = tf.raw_ops.StringSplitV2(input=texts, sep="")
    return found.values, found.indices[:, 0]


def _ragged(values, text_of, count):
    """Return the ragged tensor without the checks, which take longer than all else: the texts are in order by construction."""
    return tf.RaggedTensor.from_value_rowids(values, text_of, count, validate=False)


def word_vector_module(path: Path, work_dir: Path, pooling: str = "mean") -> WordVectorModule:
    """Make an encoder from word vectors.

    Args:
        path: a model folder, a fastText binary, or vectors as text.
        work_dir: folder for a file that must be there until the module has been saved.
        pooling: "mean", or "sif" for a mean in which frequent words count less.

    Raises:
        ModelFormatError: it holds no word vectors, or pruned ones.
        UsageError: pooling by frequency, and the file holds no frequencies.
    """
    if pooling not in POOLINGS:
        raise UsageError(f"pooling={pooling!r}: expected one of {', '.join(POOLINGS)}")
    predictor = models.load(path)
    if isinstance(predictor, models.Classifier):
        vectors = WordVectors(predictor.model)
    elif isinstance(predictor, WordVectors):
        vectors = predictor
    else:
        raise ModelFormatError(f"{path}: expected word vectors, found an encoder of texts")
    dictionary, arguments = vectors.dictionary, vectors.model.arguments
    if dictionary.pruned is not None:
        raise ModelFormatError(f"{path}: pruned word vectors can't be an encoder")
    words = len(dictionary.words)
    buckets = arguments.bucket if vectors.has_subwords else 0
    table = np.zeros((1 + words + buckets, vectors.dim), dtype=np.float32)
    table[1 : words + 1] = vectors.all_vectors()
    if buckets:
        table[words + 1 :] = vectors.model.input.rows(np.arange(words, words + buckets))
    if not np.isfinite(table).all():
        raise ModelFormatError(f"{path}: the vectors are not finite")
    ngrams = (arguments.minn, arguments.maxn, buckets) if buckets else None
    weights = _word_weights(dictionary.counts, pooling, str(path))
    return WordVectorModule(dictionary.words, table, weights, ngrams, work_dir)


def _word_weights(
    counts: npt.NDArray[np.int64], pooling: str, where: str
) -> npt.NDArray[np.float32]:
    """Return float32[words + 1]; an unknown word counts as one that never occurs."""
    if pooling == "mean":
        return np.ones(len(counts) + 1, dtype=np.float32)
    if counts.min(initial=1) == counts.max(initial=1):
        raise UsageError(
            f"{where}: pooling=sif needs the words' frequencies, which vectors as text don't hold: use the .bin"
        )
    frequency = np.append(counts / counts.sum(), 0.0)
    return (_SIF / (_SIF + frequency)).astype(np.float32)
