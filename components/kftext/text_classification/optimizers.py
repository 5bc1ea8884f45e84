"""The seven optimizers: Keras's for all weights but word vectors, and the same rules for the rows of those that a step met.

A dense gradient over a table of two million rows costs twenty times the step, and Keras's optimizers turn every gradient into one.
`RowOptimizer` changes the rows alone that the batch holds, and their moments; the other rows' moments don't decay meanwhile
(TensorFlow Addons called such an optimizer lazy). Its rules are Keras's: where a batch meets each row, both agree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
from tensorflow import keras

from kftext.text_classification.hyperparameters import TextClassificationHyperparameters

__all__ = ["WEIGHT_DECAY", "RowOptimizer", "WarmUp", "make_optimizer"]

WEIGHT_DECAY = 0.01
"""Of adamw: BERT's (Devlin et al., 2019, appendix A.2). Biases and normalization are spared, as there."""


class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """A rate that rises linearly from 0 to its peak and falls linearly to 0: BERT's.

    Args:
        peak: the highest rate.
        steps: of the whole training.
        warmup_fraction: share of the steps in which it rises.
    """

    def __init__(self, peak: float, steps: int, warmup_fraction: float):
        self.peak, self.steps, self.warmup_fraction = peak, steps, warmup_fraction

    def __call__(self, step):
        """Return the rate at a step, counted from 0."""
        done = tf.cast(step, tf.float32) + 1.0
        warm = max(1.0, round(self.steps * self.warmup_fraction))
        falling = (self.steps + 1.0 - done) / max(1.0, self.steps + 1.0 - warm)
        return self.peak * tf.clip_by_value(tf.minimum(done / warm, falling), 0.0, 1.0)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {
            "peak": self.peak,
            "steps": self.steps,
            "warmup_fraction": self.warmup_fraction,
        }


def make_optimizer(
    chosen: TextClassificationHyperparameters, steps: int
) -> keras.optimizers.Optimizer:
    """Return the Keras optimizer of some hyperparameters.

    Args:
        chosen: the hyperparameters.
        steps: of the whole training; the schedule of adamw needs it.
    """
    rate, epsilon = chosen.learning_rate, chosen.epsilon
    moments = {"beta_1": chosen.beta_1, "beta_2": chosen.beta_2, "epsilon": epsilon}
    match chosen.optimizer:
        case "adamw":
            schedule = WarmUp(rate, steps, chosen.warmup_steps_fraction)
            return keras.optimizers.AdamW(schedule, weight_decay=WEIGHT_DECAY, **moments)
        case "adam":
            return keras.optimizers.Adam(rate, **moments)
        case "sgd":
            return keras.optimizers.SGD(rate, momentum=chosen.momentum)
        case "nesterov":
            return keras.optimizers.SGD(rate, momentum=chosen.momentum, nesterov=True)
        case "rmsprop":
            return keras.optimizers.RMSprop(rate, rho=chosen.rho, epsilon=epsilon)
        case "adagrad":
            start = chosen.initial_accumulator_value
            return keras.optimizers.Adagrad(rate, initial_accumulator_value=start, epsilon=epsilon)
        case "adadelta":
            return keras.optimizers.Adadelta(rate, rho=chosen.rho, epsilon=epsilon)


Tensors = Sequence[Any]
Rule = Callable[[Any, Any, Tensors, Any, Any], tuple[Any, Tensors]]
"""Of rows, their gradient, their slots, the learning rate and the number of the step: the change of the rows, the new slots."""


class RowOptimizer:
    """Changes those rows of a table that a gradient names.

    Args:
        chosen: the hyperparameters.
        table: float32[rows, dim].
    """

    def __init__(self, chosen: TextClassificationHyperparameters, table: tf.Variable):
        self._table = table
        self._rule, starts = _rule(chosen)
        self.slots = [
            tf.Variable(tf.fill(table.shape, float(start)), trainable=False) for start in starts
        ]

    def apply(self, gradient: tf.IndexedSlices, learning_rate: Any, step: Any) -> None:
        """Make one step.

        Args:
            gradient: values float32[n, dim] for the rows at indices int[n], which may repeat.
            learning_rate: of this step.
            step: number of steps before it.
        """
        rows, index = tf.unique(gradient.indices)
        summed = tf.math.unsorted_segment_sum(gradient.values, index, tf.size(rows))
        slots = [tf.gather(slot, rows) for slot in self.slots]
        count = tf.cast(step, tf.float32) + 1.0
        change, changed = self._rule(
            tf.gather(self._table, rows), summed, slots, learning_rate, count
        )
        self._table.scatter_add(tf.IndexedSlices(change, rows))
        for slot, value in zip(self.slots, changed, strict=True):
            slot.scatter_update(tf.IndexedSlices(value, rows))


def _rule(chosen: TextClassificationHyperparameters) -> tuple[Rule, tuple[float, ...]]:
    """Return an optimizer's rule, and what each of its slots starts with."""
    epsilon, rho, momentum = chosen.epsilon, chosen.rho, chosen.momentum

    def adam(rows, gradient, slots, rate, count):
        mean = slots[0] + (gradient - slots[0]) * (1 - chosen.beta_1)
        square = slots[1] + (tf.square(gradient) - slots[1]) * (1 - chosen.beta_2)
        correction = tf.sqrt(1 - chosen.beta_2**count) / (1 - chosen.beta_1**count)
        return -rate * correction * mean / (tf.sqrt(square) + epsilon), (mean, square)

    def adamw(rows, gradient, slots, rate, count):
        change, slots = adam(rows, gradient, slots, rate, count)
        return change - rate * WEIGHT_DECAY * rows, slots

    def sgd(rows, gradient, slots, rate, count):
        velocity = momentum * slots[0] - rate * gradient
        return velocity, (velocity,)

    def nesterov(rows, gradient, slots, rate, count):
        velocity = momentum * slots[0] - rate * gradient
        return momentum * velocity - rate * gradient, (velocity,)

    def rmsprop(rows, gradient, slots, rate, count):
        square = rho * slots[0] + (1 - rho) * tf.square(gradient)
        return -rate * gradient * tf.math.rsqrt(square + epsilon), (square,)

    def adagrad(rows, gradient, slots, rate, count):
        total = slots[0] + tf.square(gradient)
        return -rate * gradient * tf.math.rsqrt(total + epsilon), (total,)

    def adadelta(rows, gradient, slots, rate, count):
        square = rho * slots[0] + (1 - rho) * tf.square(gradient)
        change = -gradient * tf.sqrt(slots[1] + epsilon) * tf.math.rsqrt(square + epsilon)
        return rate * change, (square, rho * slots[1] + (1 - rho) * tf.square(change))

    rules: dict[str, tuple[Rule, tuple[float, ...]]] = {
        "adam": (adam, (0.0, 0.0)),
        "adamw": (adamw, (0.0, 0.0)),
        "sgd": (sgd, (0.0,)),
        "nesterov": (nesterov, (0.0,)),
        "rmsprop": (rmsprop, (0.0,)),
        "adagrad": (adagrad, (chosen.initial_accumulator_value,)),
        "adadelta": (adadelta, (0.0, 0.0)),
    }
    return rules[chosen.optimizer]
