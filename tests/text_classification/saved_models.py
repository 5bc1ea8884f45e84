"""SavedModels with the signatures of TensorFlow Hub's own models, made without this package."""

from __future__ import annotations

import hashlib
from pathlib import Path

import tensorflow as tf
import tensorflow_text as text

from text_classification.texts import WORDS

VOCABULARY = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS, "##s", ",", ".")
INPUTS = ("input_word_ids", "input_mask", "input_type_ids")


class Preprocessor(tf.Module):
    """Like https://tfhub.dev/tensorflow/bert_en_uncased_preprocess/3: string[n] -> int32[n, 128] by name."""

    def __init__(self, vocabulary: Path, length: int):
        super().__init__()
        vocabulary.write_text("\n".join(VOCABULARY) + "\n")
        self.tokenizer = text.BertTokenizer(str(vocabulary), lower_case=True)
        self.length = length

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def __call__(self, inputs):
        pieces = tf.cast(self.tokenizer.tokenize(inputs).merge_dims(1, 2), tf.int32)
        pieces = pieces[:, : self.length - 2]
        ends = [tf.fill([pieces.nrows(), 1], VOCABULARY.index(name)) for name in VOCABULARY[2:4]]
        ids = tf.concat([ends[0], pieces, ends[1]], axis=1)
        shape = [None, self.length]
        return {
            "input_word_ids": ids.to_tensor(shape=shape),
            "input_mask": tf.ones_like(ids).to_tensor(shape=shape),
            "input_type_ids": tf.zeros_like(ids).to_tensor(shape=shape),
        }


class Transformer(tf.Module):
    """Like https://tfhub.dev/tensorflow/bert_en_uncased_L-12_H-768_A-12/3, with one attention of two heads."""

    variables: list[tf.Variable] | None = None
    trainable_variables: list[tf.Variable] | None = None

    def __init__(self, width: int, *, length: int | None = None, seed: int = 0):
        super().__init__()
        normal = tf.random.Generator.from_seed(seed).normal
        self.table = tf.Variable(normal([len(VOCABULARY), width]))
        self.attention = tf.Variable(normal([width, 3 * width]) / width**0.5)
        self.pooler = tf.Variable(normal([width, width]) / width**0.5)
        self.width, self.length = width, length
        self.variables = [self.table, self.attention, self.pooler]
        self.trainable_variables = list(self.variables)
        self.regularization_losses = [
            tf.function(lambda: 1e-4 * tf.nn.l2_loss(self.pooler), input_signature=[])
        ]

    @tf.function
    def __call__(self, inputs, training=False, mask=None):
        hidden = tf.gather(self.table, inputs["input_word_ids"])
        query, key, value = tf.split(hidden @ self.attention, 3, axis=-1)
        bias = (1.0 - tf.cast(inputs["input_mask"], tf.float32)) * -1e9
        scores = tf.matmul(query, key, transpose_b=True) / self.width**0.5 + bias[:, None, :]
        sequence = hidden + tf.nn.softmax(scores) @ value
        if training:
            sequence = tf.nn.dropout(sequence, 0.1)
        pooled = tf.tanh(sequence[:, 0] @ self.pooler)
        return {"pooled_output": pooled, "sequence_output": sequence, "default": pooled}

    def save(self, folder: Path) -> Path:
        specs = {name: tf.TensorSpec([None, self.length], tf.int32, name=name) for name in INPUTS}
        for training in (True, False):
            self.__call__.get_concrete_function(specs, training=training)
        tf.saved_model.save(self, str(folder))
        return folder


class TextEmbedding(tf.Module):
    """Like https://tfhub.dev/google/nnlm-en-dim50/2: string[n] -> float32[n, dim], no `training`."""

    variables: list[tf.Variable] | None = None
    trainable_variables: list[tf.Variable] | None = None

    def __init__(self, width: int = 8, buckets: int = 200):
        super().__init__()
        self.table = tf.Variable(tf.random.Generator.from_seed(1).normal([buckets, width]))
        self.buckets = buckets
        self.variables = self.trainable_variables = [self.table]
        self.regularization_losses: list = []

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def __call__(self, sentences):
        words = tf.strings.split(tf.strings.lower(sentences))
        rows = tf.strings.to_hash_bucket_fast(words, self.buckets)
        return tf.reduce_sum(tf.gather(self.table, rows), axis=1)


def hub_transformer(
    cache: Path, encoder: str, preprocessing: str, *, width: int = 16, length: int | None = None
) -> None:
    """Put an encoder and its preprocessing into the hub's cache, under their handles."""
    cache.mkdir(parents=True, exist_ok=True)
    # The file lies where nothing finds it later: a SavedModel must hold all it needs.
    vocabulary = cache / "vocab.txt"
    tf.saved_model.save(Preprocessor(vocabulary, length or 128), str(cached(cache, preprocessing)))
    vocabulary.unlink()
    Transformer(width, length=length).save(cached(cache, encoder))


def cached(cache: Path, handle: str) -> Path:
    """Return where the hub's cache holds a handle."""
    return cache / hashlib.sha1(handle.encode()).hexdigest()
