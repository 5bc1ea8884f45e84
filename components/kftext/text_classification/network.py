"""What is trained: an encoder, or nothing where its embeddings were computed ahead; then dropout and a dense layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow import keras

from kftext.text_classification.encoder import Encoder
from kftext.text_classification.hyperparameters import TextClassificationHyperparameters
from kftext.text_classification.optimizers import RowOptimizer

__all__ = ["EncoderLayer", "Network", "TableLayer", "TableNetwork"]


class EncoderLayer(keras.layers.Layer):
    """A Keras layer over a SavedModel: it tracks the encoder's own variables, so that training changes them in place.

    Args:
        encoder: the encoder.
        signature: TensorFlow's description of its features.
    """

    def __init__(self, encoder: Encoder, signature: Mapping[str, tf.TensorSpec]):
        super().__init__(name="encoder", autocast=False)
        self._encoder = encoder
        self._types = {name: spec.dtype for name, spec in signature.items()}
        for variable in encoder.trainable_variables:
            shared = keras.Variable(initializer=variable, trainable=True)
            self._track_variable(shared)
        self.built = True

    def call(self, features, training=None):
        """Return float32[n, dim] for the encoder's features."""
        for loss in self._encoder.regularization_losses:
            self.add_loss(loss())
        # Over several devices, Keras first traces a step with numbers in place of integers.
        typed = {name: tf.cast(value, self._types[name]) for name, value in features.items()}
        return self._encoder.embed(typed, training=bool(training))


class TableLayer(keras.layers.Layer):
    """Look-up in those rows of an encoder's table that the data hold.

    Args:
        table: float32[rows in use, dim].
    """

    def __init__(self, table: tf.Variable):
        super().__init__(name="encoder")
        # In a list of a plain object, Keras does not take it for a weight: its optimizer must not touch it.
        self._holder = (table,)
        self.built = True

    @property
    def table(self) -> tf.Variable:
        """The rows."""
        return self._holder[0]

    def call(self, features, training=None):
        """Return float32[n, dim], the weighted mean of the rows."""
        vectors = tf.gather(self.table, features["rows"])
        return tf.einsum("nl,nld->nd", features["weights"], vectors)


class Network(keras.Model):
    """Encoder, dropout, dense layer; gives logits.

    Args:
        encoder: the layer in front, or None where the inputs are embeddings.
        dim: size of an embedding.
        classes: how many.
        dropout_rate: share of the embedding that is dropped in training.
        regularizers_l2: penalty on the dense layer's weights.
    """

    def __init__(
        self,
        encoder: keras.layers.Layer | None,
        dim: int,
        classes: int,
        dropout_rate: float,
        regularizers_l2: float,
    ):
        super().__init__(name="classifier")
        self.encoder: Any = encoder
        self.dropout = keras.layers.Dropout(dropout_rate)
        self.head = keras.layers.Dense(
            classes, kernel_regularizer=keras.regularizers.L2(regularizers_l2), name="head"
        )
        self.head.build((None, dim))
        self.built = True

    def call(self, inputs, training=None):
        """Return float32[n, classes]."""
        embedding = inputs if self.encoder is None else self.encoder(inputs, training=training)
        return self.head(self.dropout(embedding, training=training))

    @property
    def state(self) -> list[Any]:
        """All that changes in training and is no metric, in a fixed order."""
        return [*self.variables, *self.optimizer.variables]

    @property
    def learnt(self) -> list[Any]:
        """What the best epoch is remembered by."""
        return list(self.trainable_variables)


class TableNetwork(Network):
    """A network whose encoder is a table, trained by sparse updates."""

    row_optimizer: RowOptimizer

    def use_rows(self, chosen: TextClassificationHyperparameters) -> None:
        """Make the optimizer of the table; called beside `compile`."""
        self.row_optimizer = RowOptimizer(chosen, self.table)

    @property
    def table(self) -> tf.Variable:
        """The rows that are trained."""
        return self.encoder.table

    @property
    def state(self) -> list[Any]:
        """As for any network, with the table and its optimizer's slots."""
        return [*super().state, self.table, *self.row_optimizer.slots]

    @property
    def learnt(self) -> list[Any]:
        """As for any network, with the table."""
        return [*super().learnt, self.table]

    def train_step(self, data):
        """Make one step: Keras's own, but for the table's gradient, which stays sparse."""
        inputs, labels, weights = data
        table = self.table
        with tf.GradientTape() as tape:
            logits = self(inputs, training=True)
            loss = self._compute_loss(
                x=inputs, y=labels, y_pred=logits, sample_weight=weights, training=True
            )
        variables = self.trainable_weights
        gradients = tape.gradient(loss, [*(variable.value for variable in variables), table])
        step = tf.identity(self.optimizer.iterations.value)
        rate = tf.convert_to_tensor(self.optimizer.learning_rate)
        self._loss_tracker.update_state(loss, sample_weight=tf.shape(labels)[0])
        self.optimizer.apply_gradients(zip(gradients[:-1], variables, strict=True))
        self.row_optimizer.apply(gradients[-1], rate, step)
        return self.compute_metrics(inputs, labels, logits, sample_weight=weights)


def values_of(variables: Sequence[Any]) -> list[npt.NDArray[Any]]:
    """Return copies of variables' values."""
    return [np.array(variable.numpy()) for variable in variables]


def assign(variables: Sequence[Any], values: Sequence[npt.NDArray[Any]]) -> None:
    """Set variables, in order."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
