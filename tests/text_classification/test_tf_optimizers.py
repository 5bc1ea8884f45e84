"""The rules for rows against Keras's own, and rows that no batch meets."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from kftext.text_classification.hyperparameters import (
    OPTIMIZERS,
    TextClassificationHyperparameters,
)
from kftext.text_classification.optimizers import RowOptimizer, WarmUp, make_optimizer

STEPS = 5


def hyperparameters(optimizer: str) -> TextClassificationHyperparameters:
    return TextClassificationHyperparameters.read({"optimizer": optimizer, "learning_rate": 0.1})


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_where_each_row_is_met_both_agree(optimizer: str) -> None:
    random = np.random.default_rng(0)
    start = random.normal(size=(4, 3)).astype(np.float32)
    chosen = hyperparameters(optimizer)
    dense, table = keras.Variable(start), tf.Variable(start)
    reference, rows = make_optimizer(chosen, STEPS), RowOptimizer(chosen, table)
    reference.build([dense])
    for step in range(STEPS):
        gradient = random.normal(size=(4, 3)).astype(np.float32)
        rate = tf.convert_to_tensor(reference.learning_rate)
        # Row 2 comes in two parts, as when two texts of a batch have a word in common.
        half = gradient[2] / 2
        values = np.stack([gradient[3], half, gradient[0], half, gradient[1]])
        rows.apply(tf.IndexedSlices(tf.constant(values), tf.constant([3, 2, 0, 2, 1])), rate, step)
        reference.apply_gradients([(tf.constant(gradient), dense)])
        np.testing.assert_allclose(table.numpy(), dense.numpy(), rtol=2e-5, atol=2e-6)
    assert np.abs(table.numpy() - start).max() > 1e-4


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_other_rows_stay_as_they_are(optimizer: str) -> None:
    start = np.ones((6, 2), np.float32)
    table = tf.Variable(start)
    rows = RowOptimizer(hyperparameters(optimizer), table)
    slots = [slot.numpy() for slot in rows.slots]
    gradient = tf.IndexedSlices(tf.constant([[1.0, 2.0], [3.0, 4.0]]), tf.constant([4, 1]))
    rows.apply(gradient, 0.1, 0)
    untouched = [0, 2, 3, 5]
    np.testing.assert_array_equal(table.numpy()[untouched], start[untouched])
    assert (table.numpy()[[1, 4]] != start[[1, 4]]).all()
    for slot, before in zip(rows.slots, slots, strict=True):
        np.testing.assert_array_equal(slot.numpy()[untouched], before[untouched])


def test_the_rate_rises_and_falls() -> None:
    schedule = WarmUp(1.0, 100, 0.1)
    rates = np.array([float(schedule(step)) for step in range(100)])
    assert rates.argmax() == 9
    assert rates.max() == pytest.approx(1.0)
    np.testing.assert_allclose(np.diff(rates[:10]), 0.1, rtol=1e-4)
    assert (np.diff(rates[10:]) < 0).all()
    assert 0 < rates[-1] < 0.02
    assert [float(WarmUp(1.0, 1, 0.0)(step)) for step in (0, 5)] == [1.0, 0.0]
