"""What a training step costs by how it is computed: float32, bfloat16 products, XLA; and sparse against dense gradients of word vectors.

    python tests/benchmarks/text_classification_options.py --threads 1         # about 6 minutes on one core
    python tests/benchmarks/text_classification_options.py --only rows

Transformer: 6 layers of 384 units, batches of 32 texts of 24 pieces, AdamW. Word vectors: a table of 2 million rows of 100 numbers, batches of
32 texts of 20 words, adam; the dense gradient is Keras's own for a table that it trains. Each row is the median of the steps (least to
greatest), measured in a process of its own. `mixed_precision` and `xla` are as they are by default because of this table.
"""

from __future__ import annotations

import argparse
import importlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from contest import machine

from kftext.text_classification import backend

BATCH, PIECES, WORDS = 32, 24, 20
ROWS, DIM = 2_000_000, 100
STEPS: dict[str, dict[str, tuple[str, ...]]] = {
    "transformer": {
        "float32": (),
        "bfloat16 products": ("bfloat16",),
        "XLA": ("xla",),
        "XLA, bfloat16 products": ("xla", "bfloat16"),
    },
    "rows": {"sparse gradient": ("sparse",), "dense gradient": ()},
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--steps", type=int, default=7, help="that are measured, of each kind")
    parser.add_argument("--only", choices=STEPS)
    parser.add_argument("--measure", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure is not None:
        backend.prepare(options.threads)
        step = transformer_step if options.only == "transformer" else table_step
        print(*measure(step(set(options.measure)), options.steps))
        return
    print(f"{machine()}, {options.threads} threads\n")
    print("| | ms a step | against the first |\n|---|---|---|", flush=True)
    for contest in [options.only] if options.only else STEPS:
        first = None
        for name, ways in STEPS[contest].items():
            command = [sys.executable, __file__, "--only", contest, "--threads", str(options.threads),
                       "--steps", str(options.steps), "--measure", *ways]  # fmt: skip
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            times = [float(value) for value in done.stdout.split()]
            middle = statistics.median(times)
            first = first or middle
            spread = f"{middle:.1f} ({min(times):.1f} to {max(times):.1f})"
            print(f"| {contest}, {name} | {spread} | {middle / first:.2f} x |", flush=True)


def measure(step: Callable[[], Any], count: int) -> list[float]:
    """Return the milliseconds of each step, after two that trace, compile and allocate."""
    times = []
    for _ in range(count + 2):
        start = time.perf_counter()
        step()
        times.append(1e3 * (time.perf_counter() - start))
    return times[2:]


def transformer_step(ways: set[str]) -> Callable[[], Any]:
    import tensorflow as tf
    from tensorflow import keras

    from kftext.text_classification.bert_encoder import bert_module
    from kftext.text_classification.encoder import Encoder
    from kftext.text_classification.network import EncoderLayer, Network
    from kftext.text_classification.precision import bfloat16_products

    sys.path.insert(0, str(Path(__file__).parents[1]))
    speed = importlib.import_module("text_classification_speed")
    words = [f"w{number}" for number in range(5000)]
    with tempfile.TemporaryDirectory() as name:
        speed.make_checkpoint(Path(name, "bert"), 6, 384, set(words))
        encoder = Encoder(bert_module(Path(name, "bert")))
    random = np.random.default_rng(0)
    texts = [" ".join(random.choice(words, PIECES - 2)).encode() for _ in range(BATCH)]
    features = {key: tf.constant(value) for key, value in encoder.features(texts).items()}
    specs = {key: tf.TensorSpec([None, None], value.dtype) for key, value in features.items()}
    network = Network(EncoderLayer(encoder, specs), encoder.dim, 2, 0.2, 1e-4)
    network.compile(
        keras.optimizers.AdamW(3e-5),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile="xla" in ways,
    )
    labels, weights = tf.constant(random.integers(2, size=BATCH), tf.int32), tf.ones(BATCH)

    def step() -> None:
        with bfloat16_products(wanted="bfloat16" in ways):
            network.train_on_batch(features, labels, sample_weight=weights)

    return step


def table_step(ways: set[str]) -> Callable[[], Any]:
    import tensorflow as tf
    from tensorflow import keras

    from kftext.text_classification.hyperparameters import TextClassificationHyperparameters
    from kftext.text_classification.network import Network, TableLayer, TableNetwork

    random = np.random.default_rng(0)
    values = tf.Variable(tf.random.stateless_uniform([ROWS, DIM], [0, 0], -0.5, 0.5))
    layer: keras.layers.Layer = TableLayer(values)
    if "sparse" not in ways:
        # The same look-up, over a weight that Keras knows.
        weight = keras.Variable(initializer=values, trainable=True)
        layer._track_variable(weight)
        layer._holder = (weight.value,)  # type: ignore[attr-defined]
    chosen = TextClassificationHyperparameters()
    network = (TableNetwork if "sparse" in ways else Network)(layer, DIM, 2, 0.5, 0.0)
    network.compile(
        keras.optimizers.Adam(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    if isinstance(network, TableNetwork):
        network.optimizer.build(network.trainable_variables)
        network.use_rows(chosen)
    features = {
        "rows": tf.constant(random.integers(1, ROWS, size=(BATCH, WORDS)), tf.int32),
        "weights": tf.fill([BATCH, WORDS], 1.0 / WORDS),
    }
    labels, weights = tf.constant(random.integers(2, size=BATCH), tf.int32), tf.ones(BATCH)
    return lambda: network.train_on_batch(features, labels, sample_weight=weights)


if __name__ == "__main__":
    main()
