"""Small SavedModels like those that others publish, made without this package."""

from __future__ import annotations

import json
from pathlib import Path

import tensorflow as tf

TEXTS = [tf.TensorSpec([None], tf.string, name="text")]
LABELS = ("cold", "warm")


class Embedding(tf.Module):
    """The letters a, b and c of each text, counted, times `scale`: string[n] -> float32[n, 3]."""

    def __init__(self, scale: float):
        super().__init__()
        self.scale = tf.Variable(scale)

    @tf.function(input_signature=TEXTS)
    def __call__(self, text):
        letters = tf.strings.bytes_split(text)
        counts = [tf.reduce_sum(tf.cast(letters == letter, tf.float32), axis=1) for letter in "abc"]
        return self.scale * tf.stack(counts, axis=1)


class Classifier(Embedding):
    """The more letters "a", the warmer; a text with a "!" is one that it fails on."""

    @tf.function(input_signature=TEXTS)
    def classify(self, text):
        broken = tf.reduce_any(tf.strings.regex_full_match(text, ".*!.*"))
        with tf.control_dependencies([tf.debugging.Assert(~broken, ["exclamation"])]):
            warm = tf.sigmoid(self(text)[:, 0])
        return {"probabilities": tf.stack([1 - warm, warm], axis=1)}


def write_embedding(folder: Path, scale: float = 1.0) -> Path:
    """A SavedModel as the hub has it."""
    tf.saved_model.save(Embedding(scale), str(folder))
    return folder


def write_classifier(folder: Path, scale: float = 1.0) -> Path:
    """A SavedModel in a folder named by its version, as TensorFlow Serving has it, with names for its labels."""
    model = Classifier(scale)
    tf.saved_model.save(model, str(folder / "1"), signatures={"serving_default": model.classify})
    indexes = {label: index for index, label in enumerate(LABELS)}
    (folder / "class_label_to_prediction_index.json").write_text(json.dumps(indexes))
    return folder
