"""BERT in TensorFlow, from a checkpoint: Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers", 2019.

Tokenization (WordPiece) is part of the graph, so that the SavedModel takes texts.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import tensorflow as tf

from kftext.errors import UsageError
from kftext.text_classification.bert_checkpoint import BertCheckpoint, read_bert
from kftext.text_classification.encoder import TextModule, few_lengths
from kftext.text_classification.wordpiece import WordPiece

__all__ = ["MAX_LENGTH", "POOLINGS", "BertModule", "bert_module"]

POOLINGS = ("pooled", "mean", "cls")

MAX_LENGTH = 128
"""Word pieces of a text that count, [CLS] and [SEP] among them: as in the hub's preprocessing models."""

_MASKED = -1e9


class BertModule(TextModule):
    """The encoder as a TensorFlow module.

    Args:
        checkpoint: the weights.
        pooling: "pooled" for the first position through the pooler, "mean" for the mean over the text's positions, "cls" for the
            first position as it is.
    """

    def __init__(self, checkpoint: BertCheckpoint, pooling: str):
        super().__init__()
        self._config, self._pooling = checkpoint.config, pooling
        self._length = min(MAX_LENGTH, checkpoint.config.max_position_embeddings)
        self._cls, self._sep = checkpoint.cls, checkpoint.sep
        self.tokenizer = WordPiece(checkpoint.vocabulary, checkpoint.rules)
        self.embeddings = [tf.Variable(values) for values in checkpoint.embeddings]
        self.embedding_norm = [tf.Variable(values) for values in checkpoint.embedding_norm]
        self.layers = [
            {
                name: [tf.Variable(values) for values in getattr(layer, name)]
                for name in layer.__dataclass_fields__
            }
            for layer in checkpoint.layers
        ]
        pooled = pooling == "pooled" and checkpoint.pooler is not None
        self.pooler = [tf.Variable(values) for values in checkpoint.pooler or ()] if pooled else []
        weights = tf.nest.flatten([self.embeddings, self.embedding_norm, self.layers, self.pooler])
        self.track(weights, weights)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="texts")])
    def features(self, texts):
        """Return `input_word_ids` and `input_mask`, int32[n, length], about as long as the longest of the texts needs."""
        pieces = self.tokenizer.tokenize(texts)[:, : self._length - 2]
        count = pieces.nrows()
        ids = tf.concat(
            [
                tf.fill([count, 1], tf.constant(self._cls, tf.int64)),
                pieces,
                tf.fill([count, 1], tf.constant(self._sep, tf.int64)),
            ],
            axis=1,
        )
        ids = tf.cast(ids, tf.int32)
        length = few_lengths(tf.cast(ids.bounding_shape(1), tf.int32), self._length)
        shape = tf.stack([tf.cast(count, tf.int32), length])
        return {
            "input_word_ids": tf.ensure_shape(ids.to_tensor(0, shape=shape), [None, None]),
            "input_mask": tf.ensure_shape(
                tf.ones_like(ids).to_tensor(0, shape=shape), [None, None]
            ),
        }

    @tf.function
    def embed(self, features, training):
        """Return float32[n, hidden]."""
        hidden = self.hidden(features, training)
        if self._pooling == "mean":
            mask = tf.cast(features["input_mask"], tf.float32)[:, :, None]
            return tf.reduce_sum(hidden * mask, axis=1) / tf.reduce_sum(mask, axis=1)
        first = hidden[:, 0]
        return tf.tanh(_dense(first, self.pooler)) if self._pooling == "pooled" else first

    def hidden(self, features, training):
        """Return the last layer's output, float32[n, length, hidden]."""
        words, positions, types = self.embeddings
        ids = features["input_word_ids"]
        count, length = tf.unstack(tf.shape(ids))
        hidden = tf.gather(words, ids) + positions[:length] + types[0]
        if training:
            # A row a token: had layers a matrix for each text, each kernel's gradient would be made for every text apart and
            # summed then, which takes a step half as long again. One text alone is embedded faster as it is.
            hidden = tf.reshape(hidden, [-1, self._config.hidden_size])
        hidden = self._drop(self._norm(hidden, self.embedding_norm), training)
        mask = tf.cast(features["input_mask"], tf.float32)
        bias = ((1.0 - mask) * _MASKED)[:, None, None, :]
        for layer in self.layers:
            hidden = self._layer(hidden, bias, layer, training)
        return tf.reshape(hidden, [count, length, self._config.hidden_size])

    def _layer(self, hidden, bias, layer, training):
        """Return the next layer's output, in the shape of `hidden`."""
        attended = _dense(self._attention(hidden, bias, layer, training), layer["attention_output"])
        hidden = self._norm(hidden + self._drop(attended, training), layer["attention_norm"])
        inner = self._activation(_dense(hidden, layer["intermediate"]))
        output = self._drop(_dense(inner, layer["output"]), training)
        return self._norm(hidden + output, layer["output_norm"])

    def _attention(self, hidden, bias, layer, training):
        """Scaled dot-product attention: Vaswani et al., "Attention Is All You Need", 2017, section 3.2.

        Args:
            hidden: float32[n, length, hidden] or [n * length, hidden].
            bias: float32[n, 1, 1, length], what is added to the scores of each position.
            layer: the weights.
            training: whether weights are dropped.
        """
        heads = self._config.num_attention_heads
        width = self._config.hidden_size // heads
        shape = [tf.shape(bias)[0], tf.shape(bias)[3], 3, heads, width]
        mixed = tf.reshape(_dense(hidden, layer["attention"]), shape)
        query, key, value = tf.unstack(tf.transpose(mixed, [2, 0, 3, 1, 4]), num=3)
        scores = tf.matmul(query * (1.0 / math.sqrt(width)), key, transpose_b=True) + bias
        weights = tf.nn.softmax(scores)
        rate = self._config.attention_probs_dropout_prob
        if training and rate:
            weights = tf.nn.dropout(weights, rate)
        context = tf.transpose(tf.matmul(weights, value), [0, 2, 1, 3])
        return tf.reshape(context, tf.shape(hidden))

    def _activation(self, values):
        if self._config.hidden_act == "relu":
            return tf.nn.relu(values)
        return tf.nn.gelu(values, approximate=not self._config.exact_gelu)

    def _norm(self, values, weights):
        scale, offset = weights
        mean, variance = tf.nn.moments(values, -1, keepdims=True)
        factor = tf.math.rsqrt(variance + self._config.layer_norm_eps)
        return (values - mean) * factor * scale + offset

    def _drop(self, values, training):
        rate = self._config.hidden_dropout_prob
        return tf.nn.dropout(values, rate) if training and rate else values


def _dense(values: Any, weights: Any) -> Any:
    kernel, bias = weights
    return tf.matmul(values, kernel) + bias


def bert_module(folder: Path, pooling: str = "") -> BertModule:
    """Make an encoder from a checkpoint's folder.

    Args:
        folder: with config.json, vocab.txt and model.safetensors.
        pooling: "pooled", "mean" or "cls"; "" for what the checkpoint says (1_Pooling/config.json), else "pooled".

    Raises:
        ModelFormatError: the checkpoint is damaged, or no BERT.
        UsageError: a pooling that there is not, or "pooled" and the checkpoint has no pooler.
    """
    if pooling and pooling not in POOLINGS:
        raise UsageError(f"pooling={pooling!r}: expected one of {', '.join(POOLINGS)}")
    checkpoint = read_bert(folder)
    pooling = pooling or checkpoint.pooling or "pooled"
    if pooling == "pooled" and checkpoint.pooler is None:
        raise UsageError(f"{folder}: pooling=pooled needs a pooler, and there is none: use mean")
    return BertModule(checkpoint, pooling)
