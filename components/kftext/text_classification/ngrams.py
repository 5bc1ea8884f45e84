"""fastText's character n-grams, computed inside a TensorFlow graph, so that a SavedModel gives unknown words a vector.

Bojanowski et al., "Enriching Word Vectors with Subword Information", TACL 2017, section 3.2. The plain Python twin is
`kftext.models.Dictionary.character_ngrams`; both give the same buckets in the same order.
"""

from __future__ import annotations

import tensorflow as tf

__all__ = ["ngram_buckets"]

_OFFSET = 2166136261
_PRIME = 16777619
_MASK32 = 0xFFFFFFFF
_LONGEST_CHARACTER = 4
"""Bytes of a character in UTF-8."""


def ngram_buckets(words: tf.Tensor, minn: int, maxn: int, buckets: int) -> tf.RaggedTensor:
    """Return the bucket of each character n-gram of `<word>`.

    Memory is linear in the words' bytes, times the bytes of the longest n-gram.

    Args:
        words: string[n], UTF-8.
        minn: characters of the shortest n-gram.
        maxn: characters of the longest.
        buckets: how many there are.

    Returns:
        int64[n, (n-grams)], in fastText's order: by first character, then by length.
    """
    split = tf.strings.bytes_split(tf.strings.join(["<", words, ">"]))
    values = tf.cast(tf.reshape(tf.io.decode_raw(split.values, tf.uint8), [-1]), tf.int64)
    word_of = split.value_rowids()
    first = tf.gather(split.row_splits, word_of)
    end = tf.gather(split.row_splits, word_of + 1)
    # fastText hashes signed characters: a byte above 127 sets the upper bits as well.
    signed = tf.where(values < 128, values, values + 0xFFFFFF00)
    starts_character = tf.bitwise.bitwise_and(values, 0xC0) != 0x80
    size = tf.size(values, tf.int64)
    begin = tf.range(size)

    def at(flags: tf.Tensor, position: tf.Tensor) -> tf.Tensor:
        return tf.gather(flags, tf.minimum(position, size - 1))

    hashed = tf.fill([size], tf.constant(_OFFSET, tf.int64))
    characters = tf.zeros([size], tf.int64)
    steps = _LONGEST_CHARACTER * maxn
    found = tf.TensorArray(tf.bool, steps, element_shape=[None])
    hashes = tf.TensorArray(tf.int64, steps, element_shape=[None])
    # Each position's n-grams continue the hash of the one before, a byte at a time.
    for step in tf.range(steps):
        position = begin + tf.cast(step, tf.int64)
        inside = position < end
        characters += tf.cast(inside & at(starts_character, position), tf.int64)
        mixed = tf.bitwise.bitwise_xor(hashed, at(signed, position)) * _PRIME
        hashed = tf.where(inside, tf.bitwise.bitwise_and(mixed, _MASK32), hashed)
        after = position + 1
        whole = inside & ((after >= end) | at(starts_character, after))
        bracket = (characters == 1) & ((begin == first) | (after == end))
        long_enough = (characters >= minn) & (characters <= maxn)
        found = found.write(step, starts_character & whole & long_enough & ~bracket)
        hashes = hashes.write(step, hashed)
    mask = tf.transpose(found.stack())
    chosen = tf.boolean_mask(tf.transpose(hashes.stack()), mask) % buckets
    counts = tf.math.segment_sum(tf.reduce_sum(tf.cast(mask, tf.int64), axis=1), word_of)
    return tf.RaggedTensor.from_row_lengths(chosen, counts)
