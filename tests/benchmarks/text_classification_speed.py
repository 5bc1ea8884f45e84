"""Fine-tuning and frozen training of a BERT, against a bare Keras loop over the same model and batches, in one run.

    KFTEXT_DATA=... python tests/benchmarks/text_classification_speed.py                    # 6 layers of 384 units, all of SST-2
    KFTEXT_DATA=... python tests/benchmarks/text_classification_speed.py --rows 640 --rounds 3 --threads 2

The encoder is a checkpoint with random weights, made on the spot: speed does not depend on their values. The bare loop is
`keras.Model.fit` over batches that lie in memory as tensors; here they come from the files that tokenization wrote. Rounds
alternate, and the ratio is that of the medians. "Recomputing" runs the frozen encoder in every step of every epoch: one epoch of
it is measured and multiplied.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from kftext.text_classification import backend

sys.path.insert(0, str(Path(__file__).parents[1]))
naive_bert = importlib.import_module("text_classification.naive_bert")

FROZEN_EPOCHS = 10
BATCH = 32


def make_checkpoint(folder: Path, layers: int, width: int, words: set[str]) -> None:
    """Write a BERT whose vocabulary is that of the data."""
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *sorted(words)]
    config = naive_bert.CONFIG | {
        "vocab_size": len(vocabulary),
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": width // 32,
        "intermediate_size": 4 * width,
        "max_position_embeddings": 128,
    }
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    tensors = {name: 0.05 * values for name, values in naive_bert.make_tensors(config).items()}
    naive_bert.write_safetensors(folder / "model.safetensors", tensors)


def make_data(folder: Path, rows: int) -> set[str]:
    """Write the first rows of SST-2 as a data folder; return their words."""
    source = Path(os.environ["KFTEXT_DATA"], "sst2", "sentences_train.tsv")
    lines = [line.rsplit("\t", 1) for line in source.read_text().splitlines()][:rows]
    folder.mkdir()
    content = "".join(f'{label},"{text.replace(chr(34), chr(34) * 2)}"\n' for text, label in lines)
    (folder / "data.csv").write_text(content)
    return {word for text, _ in lines for word in text.split()}


def timed(work: Callable[[], object]) -> float:
    start = time.monotonic()
    work()
    return time.monotonic() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=6920)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--rounds", type=int, default=3, help="epochs of each kind")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    if "KFTEXT_DATA" not in os.environ:
        parser.error("KFTEXT_DATA is not set: it names the folder of the real data sets")
    backend.prepare(options.threads)
    with tempfile.TemporaryDirectory() as name:
        measure(Path(name), options)


def measure(root: Path, options: argparse.Namespace) -> None:
    import tensorflow as tf
    from tensorflow import keras

    from kftext.text_classification.bert_encoder import bert_module
    from kftext.text_classification.encoder import Encoder
    from kftext.text_classification.examples import Source, read_examples
    from kftext.text_classification.fitting import Part, epoch_data
    from kftext.text_classification.hyperparameters import TextClassificationHyperparameters
    from kftext.text_classification.inputs import Dense, embed_all, make_inputs, plan_batches
    from kftext.text_classification.network import EncoderLayer, Network

    words = make_data(root / "data", options.rows)
    make_checkpoint(root / "bert", options.layers, options.width, words)
    encoder = Encoder(bert_module(root / "bert"))
    examples = read_examples(Source(str(root / "data")), root / "texts")
    inputs = make_inputs(encoder, examples, root, "benchmark")
    rows = np.arange(len(examples))
    weights = np.ones(len(examples), np.float32)
    chosen = TextClassificationHyperparameters()

    def network(layer: keras.layers.Layer | None, rate: float, at_once: int = 1) -> Network:
        model = Network(layer, encoder.dim, 2, chosen.dropout_rate, chosen.regularizers_l2)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(
            keras.optimizers.AdamW(rate),
            loss,
            metrics=["accuracy"],
            jit_compile=False,
            steps_per_execution=at_once,
        )
        return model

    part = Part(inputs, examples.labels, weights, rows)
    plans = [
        plan_batches(inputs.lengths, rows, BATCH, np.random.default_rng(seed))
        for seed in range(options.rounds + 1)
    ]
    ours, bare = (network(EncoderLayer(encoder, inputs.signature()), 3e-5) for _ in range(2))
    seconds: dict[str, list[float]] = {"kftext": [], "bare": []}
    for number, plan in enumerate(plans):
        # The bare loop's batches are tensors before its clock starts.
        tensors = [
            tf.nest.map_structure(tf.constant, (inputs.batch(b), examples.labels[b], weights[b]))
            for b in plan
        ]
        signature = tf.nest.map_structure(
            lambda t: tf.TensorSpec([None] * t.shape.rank, t.dtype), tensors[0]
        )
        in_memory = tf.data.Dataset.from_generator(
            lambda t=tensors: iter(t), output_signature=signature
        ).prefetch(4)
        one = timed(lambda p=plan: ours.fit(epoch_data(part, lambda: p, len(p)), verbose=0))
        other = timed(lambda d=in_memory: bare.fit(d, verbose=0))
        if number:  # the first of each compiles
            seconds["kftext"].append(one)
            seconds["bare"].append(other)
    steps = len(plans[0])
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for name, value in medians.items():
        print(f"{name}: {steps / value:.2f} steps/s, {value:.1f} s an epoch of {len(rows)} texts")
    print(f"ratio: {medians['bare'] / medians['kftext']:.3f} (to reach: 0.97)")

    frozen = EncoderLayer(encoder, inputs.signature())
    frozen.trainable = False
    slow = network(frozen, 1e-3)
    slow.fit(epoch_data(part, lambda: plans[0][:2], 2), verbose=0)
    recomputing = FROZEN_EPOCHS * timed(
        lambda: slow.fit(epoch_data(part, lambda: plans[1], steps), verbose=0)
    )
    start = time.monotonic()
    dense = Dense(embed_all(encoder, inputs, len(rows), 64, root / "embeddings.npy"))
    part = Part(dense, examples.labels, weights, rows)
    head = network(None, 1e-3, 16)
    for plan in plans[:1] * FROZEN_EPOCHS:
        head.fit(epoch_data(part, lambda p=plan: p, steps), verbose=0)
    once = time.monotonic() - start
    print(f"frozen, {FROZEN_EPOCHS} epochs: {once:.1f} s, recomputing {recomputing:.1f} s")
    print(f"ratio: {recomputing / once:.1f} (to reach: 8)")


if __name__ == "__main__":
    main()
