"""The classifier as a SavedModel: texts in, probabilities out; it needs nothing of this package where it is loaded.

Its signature `serving_default` takes `text`, string[n], and gives `probabilities`, float32[n, classes]. TensorFlow Serving answers
{"instances": ["a text", "another"]} with it. Beside it the encoder stands as it was, ready for further training.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from kftext.text_classification.encoder import Encoder, TextModule

__all__ = ["ClassifierModule", "save_classifier", "save_encoder"]


class ClassifierModule(tf.Module):
    """An encoder's module and a dense layer with softmax.

    Args:
        encoder: the module, its variables as training left them.
        kernel: float32[dim, classes].
        bias: float32[classes].
    """

    def __init__(
        self, encoder: Any, kernel: npt.NDArray[np.float32], bias: npt.NDArray[np.float32]
    ):
        super().__init__(name="classifier")
        self.encoder = encoder
        self.kernel = tf.Variable(kernel, name="kernel")
        self.bias = tf.Variable(bias, name="bias")

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def predict(self, text):
        """Return {"probabilities": float32[n, classes]} for string[n]."""
        embedding = self.encoder.embed(self.encoder.features(text), False)
        return {"probabilities": tf.nn.softmax(embedding @ self.kernel + self.bias)}


def save_classifier(
    encoder: Encoder,
    kernel: npt.NDArray[np.float32],
    bias: npt.NDArray[np.float32],
    folder: Path,
) -> None:
    """Write a classifier's SavedModel.

    Args:
        encoder: the encoder, its variables as training left them.
        kernel: float32[dim, classes].
        bias: float32[classes].
        folder: the folder to make.
    """
    if isinstance(encoder.module, TextModule):
        encoder.module.trace()
    module = ClassifierModule(encoder.module, kernel, bias)
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.predict})


def save_encoder(encoder: Encoder, folder: Path) -> None:
    """Write an encoder as a reusable SavedModel with the hub's text-embedding interface."""
    if isinstance(encoder.module, TextModule):
        encoder.module.trace()
    tf.saved_model.save(encoder.module, str(folder))
