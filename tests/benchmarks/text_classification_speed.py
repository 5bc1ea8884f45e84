"""Fine-tuning and frozen training of a BERT, against a bare Keras loop over the same model and batches, in one run.

    KFTEXT_DATA=... python tests/benchmarks/text_classification_speed.py                    # 6 layers of 384 units, all of SST-2
    KFTEXT_DATA=... python tests/benchmarks/text_classification_speed.py --rows 320 --layers 2 --width 128 --threads 1
    KFTEXT_DATA=... python tests/benchmarks/text_classification_speed.py --only command     # three epochs by the command, start to end

The encoder is a checkpoint with random weights, made on the spot: speed does not depend on their values. The bare loop is
`keras.Model.fit` over batches that lie in memory as tensors; here they come from the files that tokenization wrote. Rounds
alternate; a ratio is that of one round, and the table has the median (least to greatest). One thread is counted in CPU seconds, many in
wall seconds. "Recomputing" runs the frozen encoder in every step of every epoch: its first epoch is measured, and a later one, which
counts for the other nine. All is in float32 but for the command, which is run in both.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from contest import machine, need_data, run_command, spread

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


class Clock:
    """Seconds of work: of the processor for one thread, which other processes don't disturb, else on the wall."""

    def __init__(self, threads: int):
        self.now = time.process_time if threads == 1 else time.perf_counter

    def timed(self, work: Callable[[], object]) -> float:
        start = self.now()
        work()
        return self.now() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=6920)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--rounds", type=int, default=5, help="epochs of each kind")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--only", choices=("loop", "frozen", "command"))
    options = parser.parse_args()
    need_data()
    print(
        f"{machine()}, {options.threads} threads, {options.layers} layers of {options.width} units"
    )
    backend.prepare(options.threads)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        words = make_data(root / "data", options.rows)
        make_checkpoint(root / "bert", options.layers, options.width, words)
        print("\n| | bare or recomputing | kftext | ratio | to reach |\n|---|---|---|---|---|")
        if options.only != "command":
            work, clock = Work(root), Clock(options.threads)
            if options.only != "frozen":
                loop(work, options.rounds, clock)
            if options.only != "loop":
                frozen(work, root, min(options.rounds, 3), clock)
        if options.only in ("command", None):
            command(root, options.threads)


class Work:
    """The encoder, its data, and networks over it."""

    def __init__(self, root: Path):
        from kftext.text_classification.bert_encoder import bert_module
        from kftext.text_classification.encoder import Encoder
        from kftext.text_classification.examples import Source, read_examples
        from kftext.text_classification.fitting import Part
        from kftext.text_classification.inputs import make_inputs, plan_batches

        self.encoder = Encoder(bert_module(root / "bert"))
        examples = read_examples(Source(str(root / "data")), root / "texts")
        self.inputs = make_inputs(self.encoder, examples, root, "benchmark")
        self.rows = np.arange(len(examples))
        weights = np.ones(len(examples), np.float32)
        self.part = Part(self.inputs, examples.labels, weights, self.rows)
        self._plan = plan_batches

    def plan(self, seed: int) -> list[Any]:
        """The batches of one epoch."""
        return self._plan(self.inputs.lengths, self.rows, BATCH, np.random.default_rng(seed))

    def layer(self) -> Any:
        from kftext.text_classification.network import EncoderLayer

        return EncoderLayer(self.encoder, self.inputs.signature())

    def network(self, layer: Any, rate: float, at_once: int = 1) -> Any:
        from tensorflow import keras

        from kftext.text_classification.network import Network

        model = Network(layer, self.encoder.dim, 2, 0.2, 1e-4)
        model.compile(
            keras.optimizers.AdamW(rate),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
            jit_compile=False,
            steps_per_execution=at_once,
        )
        return model

    def in_memory(self, plan: list[Any]) -> Any:
        """The bare loop's batches: tensors before its clock starts."""
        import tensorflow as tf

        part = self.part
        tensors = [
            tf.nest.map_structure(
                tf.constant, (part.inputs.batch(rows), part.labels[rows], part.weights[rows])
            )
            for rows in plan
        ]
        signature = tf.nest.map_structure(
            lambda value: tf.TensorSpec([None] * value.shape.rank, value.dtype), tensors[0]
        )
        generated = tf.data.Dataset.from_generator(
            lambda: iter(tensors), output_signature=signature
        )
        return generated.prefetch(4).apply(tf.data.experimental.assert_cardinality(len(plan)))


def loop(work: Work, rounds: int, clock: Clock) -> None:
    from kftext.text_classification.fitting import epoch_data

    ours, bare = (work.network(work.layer(), 3e-5) for _ in range(2))
    measured: dict[str, list[float]] = {"bare": [], "kftext": []}
    for number in range(rounds + 1):
        plan = work.plan(number)
        data = {
            "kftext": (ours, epoch_data(work.part, lambda p=plan: p, len(plan))),
            "bare": (bare, work.in_memory(plan)),
        }
        # Who is first changes from round to round.
        for name in sorted(data, reverse=bool(number % 2)):
            network, batches = data[name]
            seconds = clock.timed(lambda n=network, b=batches: n.fit(b, verbose=0, shuffle=False))
            if number:  # the first of each compiles
                measured[name].append(len(plan) / seconds)
    row("fine-tuning, steps/s", measured["bare"], measured["kftext"], rates=True, target="0.97")


def frozen(work: Work, root: Path, rounds: int, clock: Clock) -> None:
    """Each round has a network of its own, made and traced within its time, as a training has it."""
    from kftext.text_classification.fitting import Part, epoch_data
    from kftext.text_classification.inputs import Dense, embed_all

    seconds: dict[str, list[float]] = {"recomputing": [], "once": []}
    for number in range(rounds):
        plan = work.plan(number)
        layer = work.layer()
        layer.trainable = False
        slow, batches = (
            work.network(layer, 1e-3),
            epoch_data(work.part, lambda p=plan: p, len(plan)),
        )
        first, later = (
            clock.timed(lambda n=slow, b=batches: n.fit(b, verbose=0, shuffle=False))
            for _ in range(2)
        )
        seconds["recomputing"].append(first + (FROZEN_EPOCHS - 1) * later)
        start = clock.now()
        path = root / f"embeddings-{number}.npy"
        dense = Dense(embed_all(work.encoder, work.inputs, len(work.rows), path))
        part = Part(dense, work.part.labels, work.part.weights, work.rows)
        head = work.network(None, 1e-3, 16)
        batches = epoch_data(part, lambda p=plan: p, len(plan))
        for _ in range(FROZEN_EPOCHS):
            head.fit(batches, verbose=0, shuffle=False)
        seconds["once"].append(clock.now() - start)
    name = f"frozen, {FROZEN_EPOCHS} epochs, s"
    row(name, seconds["recomputing"], seconds["once"], rates=False, target="8")


def command(root: Path, threads: int) -> None:
    for mixed in ("False", "Auto"):
        cost = run_command(
            sys.executable, "-m", "kftext.text_classification.train", "--train", root / "data", "--model-id", root / "bert",
            "--model-dir", root / f"model-{mixed}", "--epochs", "3", "--threads", str(threads), "--mixed_precision", mixed,
            "--validation_split_ratio", "0", "--embedding-cache", "none",
        )  # fmt: skip
        name = f"three epochs by the command, mixed_precision={mixed}, s"
        print(f"| {name} | | {cost.wall:.0f} | | 420 on 4 cores |", flush=True)


def row(name: str, rival: list[float], ours: list[float], *, rates: bool, target: str) -> None:
    """Print a line; for rates the ratio is ours by the rival's, for seconds the rival's by ours."""
    pairs = zip(ours, rival, strict=True)
    ratios = [a / b if rates else b / a for a, b in pairs]
    print(
        f"| {name} | {spread(rival)} | {spread(ours)} | {spread(ratios)} | {target} |", flush=True
    )


if __name__ == "__main__":
    main()
