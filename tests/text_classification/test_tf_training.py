"""Training, end to end in this process: each kind of encoder, what is written, and going on from it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import tensorflow as tf

from kftext import models
from kftext.errors import DataError, ModelFormatError, StorageError, UsageError
from kftext.models import Args, DenseMatrix, Dictionary, FastTextModel, Model, write_model
from kftext.text_classification import train as command
from kftext.text_classification.catalogue import find
from kftext.text_classification.examples import Source
from kftext.text_classification.precision import pays
from kftext.text_classification.predictor import SavedModelClassifier
from kftext.text_classification.training import TrainingRequest, train
from text_classification.naive_bert import write_checkpoint
from text_classification.saved_models import TextEmbedding, cached, hub_transformer
from text_classification.texts import WORDS, sentences, write_csv

FAST = {
    "dropout_rate": 0.1,
    "epochs": 4,
    "learning_rate": 0.03,
    "optimizer": "adam",
    "batch_size": 16,
}


def write_vectors(path: Path, words: list[str], buckets: int) -> str:
    """Write word vectors with random numbers in them; with buckets, they have subwords."""
    lengths = (3, 4) if buckets else (0, 0)
    arguments = Args(dim=8, model=Model.SKIPGRAM, minn=lengths[0], maxn=lengths[1], bucket=buckets)
    dictionary = Dictionary(arguments, [w.encode() for w in words], np.arange(len(words), 0, -1))
    table = np.random.default_rng(3).normal(size=(len(words) + buckets, 8)).astype(np.float32)
    output = DenseMatrix(np.zeros((0, 8), np.float32))
    write_model(FastTextModel(arguments, dictionary, DenseMatrix(table), output), path)
    return str(path)


@pytest.fixture(scope="session")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_vectors(tmp_path_factory.mktemp("vectors") / "vectors.bin", list(WORDS), 0)


@pytest.fixture(scope="session")
def subword_vectors(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A word of each mood is not in the vocabulary."""
    words = [word for word in WORDS if word not in ("bright", "grim")]
    return write_vectors(tmp_path_factory.mktemp("subwords") / "vectors.bin", words, 300)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_csv(tmp_path_factory.mktemp("data"), sentences(240))


@pytest.fixture(scope="session")
def held_out(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_csv(tmp_path_factory.mktemp("held-out"), sentences(80, seed=9))


@pytest.fixture
def request_for(data: str, held_out: str, tmp_path: Path) -> Callable[..., TrainingRequest]:
    def make(model: str, **values: Any) -> TrainingRequest:
        hyperparameters = {**FAST, **values.pop("hyperparameters", {})}
        return replace(
            TrainingRequest(
                Source(data), str(tmp_path / "model"), model, Source(held_out), (hyperparameters,)
            ),
            **values,
        )

    return make


def accuracy(folder: str | Path, rows: list[tuple[int, str]]) -> float:
    predictions = SavedModelClassifier(folder).predict([text for _, text in rows])
    hits = [
        found.labels == [str(label)] for found, (label, _) in zip(predictions, rows, strict=True)
    ]
    return float(np.mean(hits))


Request = Callable[..., TrainingRequest]


def test_word_vectors_fine_tuned(
    request_for: Request, vectors: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metadata = train(request_for(vectors))
    folder = tmp_path / "model"
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert len(lines) == 4
    # Every step is counted, and none twice, though several are one call.
    assert re.search(r"Training: 100% (\S+)/\1 \[", printed.err)
    pattern = r"Epoch 1/4: loss=\d\.\d{4} accuracy=\d\.\d{4} val_loss=\d\.\d{4} val_accuracy=\d\.\d{4} seconds="
    assert re.match(pattern, lines[0])
    assert metadata.metrics["val_accuracy"] > 0.9
    curve = orjson.loads((folder / "learning_curve.json").read_bytes())
    best = max(curve, key=lambda record: (record["val_accuracy"], -record["epoch"]))
    assert metadata.metrics["best_epoch"] == best["epoch"]
    # The folder holds the best epoch's weights, and says what they reach.
    assert accuracy(folder, sentences(80, seed=9)) == pytest.approx(best["val_accuracy"])
    classes = orjson.loads((folder / "class_label_to_prediction_index.json").read_bytes())
    assert classes == {"0": 0, "1": 1}
    assert metadata.encoder["kind"] == "word-vectors"
    assert metadata.versions["tensorflow"] == tf.__version__
    events = list((folder / "logs").rglob("events.*"))
    tags = {
        value.tag
        for file in events
        for event in tf.compat.v1.train.summary_iterator(str(file))
        for value in event.summary.value
    }
    assert {"epoch_loss", "epoch_accuracy"} <= tags
    assert len(events) == 2


def test_only_rows_that_the_data_hold_are_changed(
    request_for: Request, subword_vectors: str, tmp_path: Path
) -> None:
    before = models.load(subword_vectors)
    assert isinstance(before, models.WordVectors)
    train(request_for(subword_vectors))
    table = tf.saved_model.load(str(tmp_path / "model" / "1")).encoder.table.numpy()
    words = len(before.words)
    known, ngrams = table[1 : words + 1], table[words + 1 :]
    assert not table[0].any()
    assert (known != before.all_vectors()).any(axis=1).all()
    changed = (ngrams != before.model.input.rows(np.arange(words, words + 300))).any(axis=1)
    # The n-grams of the two words that are not in the vocabulary, and no others.
    met = {
        bucket
        for word in (b"bright", b"grim", b"Bright", b"Grim")
        for _, bucket in before.dictionary.character_ngrams(word)
    }
    assert set(np.flatnonzero(changed)) == met


HUB = {
    "a BERT, the whole of it": ("small-bert-bert-en-uncased-L-2-H-128-A-2", None, False),
    "an encoder that takes 128 pieces, no fewer": ("electra-small-1", 128, False),
    "ALBERT, frozen": ("albert-en-base", None, True),
}


@pytest.mark.parametrize(("name", "length", "frozen"), HUB.values(), ids=HUB)
def test_models_of_the_catalogue(
    request_for: Request, tmp_path: Path, name: str, length: int | None, frozen: bool
) -> None:
    entry = find(name)
    assert entry is not None
    hub_transformer(tmp_path / "hub", entry.handle, entry.preprocessing, length=length)
    before = tf.saved_model.load(str(cached(tmp_path / "hub", entry.handle)))
    chosen = {"train_only_top_layer": frozen, "learning_rate": 0.01}
    metadata = train(request_for(name, hyperparameters=chosen))
    assert metadata.encoder["handle"] == entry.handle
    assert metadata.metrics["val_accuracy"] > (0.5 if frozen else 0.85)
    after = tf.saved_model.load(str(tmp_path / "model" / "1")).encoder
    same = [
        np.array_equal(old, new)
        for old, new in zip(before.trainable_variables, after.trainable_variables, strict=True)
    ]
    assert same == [frozen] * 3


def test_a_text_embedding_of_the_hub(request_for: Request, tmp_path: Path) -> None:
    handle = "https://tfhub.dev/google/nnlm-en-dim50/2"
    tf.saved_model.save(TextEmbedding(), str(cached(tmp_path / "hub", handle)))
    metadata = train(request_for(handle))
    assert metadata.metrics["val_accuracy"] > 0.9
    assert accuracy(tmp_path / "model", sentences(80, seed=9)) > 0.9


def test_other_ways_to_compute_give_about_the_same(request_for: Request, tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "bert")
    # One step, since XLA compiles for seconds.
    few = Source(write_csv(tmp_path / "few", sentences(16)))
    request = request_for(str(tmp_path / "bert"), pooling="mean", train=few, validation=None)
    plain = {"epochs": 1, "validation_split_ratio": 0, "mixed_precision": False, "dropout_rate": 0}
    config = tmp_path / "bert" / "config.json"
    without = {"hidden_dropout_prob": 0, "attention_probs_dropout_prob": 0}
    config.write_bytes(orjson.dumps(orjson.loads(config.read_bytes()) | without))
    loss, mixed, compiled = (
        train(replace(request, hyperparameters=(FAST, plain, changed))).metrics["loss"]
        for changed in ({}, {"mixed_precision": True}, {"xla": True})
    )
    assert compiled == pytest.approx(loss, rel=1e-4)
    assert mixed == pytest.approx(loss, rel=0.05)
    # bfloat16 has 8 bits: had nothing been multiplied in it, both would agree to the last digits.
    assert not pays() or mixed != pytest.approx(loss, rel=1e-5)


def test_a_bert_checkpoint(request_for: Request, tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "bert")
    request = request_for(str(tmp_path / "bert"), pooling="mean")
    metadata = train(replace(request, hyperparameters=(FAST, {"learning_rate": 0.003})))
    assert metadata.encoder["kind"] == "bert-checkpoint"
    # The checkpoint's words are not those of the data: what was written is what is of interest.
    assert accuracy(request.model_dir, sentences(80, seed=9)) == pytest.approx(
        metadata.metrics["val_accuracy"]
    )


def test_embeddings_computed_once_give_the_same_as_the_long_way(
    request_for: Request, tmp_path: Path
) -> None:
    """The long way: the encoder runs in every step, and its weights are not trained."""
    from tensorflow import keras

    from kftext.text_classification.encoder import load_saved_model, wrap
    from kftext.text_classification.examples import read_examples
    from kftext.text_classification.inputs import plan_batches

    entry = find("electra-base-1")
    assert entry is not None
    hub_transformer(tmp_path / "hub", entry.handle, entry.preprocessing)
    chosen = {"train_only_top_layer": True, "epochs": 3, "dropout_rate": 0, "regularizers_l2": 0}
    request = request_for(entry.model_id, hyperparameters=chosen)
    train(request)
    loaded = tf.saved_model.load(str(tmp_path / "model" / "1"))

    encoder = wrap(
        load_saved_model(cached(tmp_path / "hub", entry.handle)),
        load_saved_model(cached(tmp_path / "hub", entry.preprocessing)),
        "",
    )
    examples = read_examples(request.train, tmp_path / "work")
    keras.utils.set_random_seed(0)
    dense = keras.layers.Dense(2)
    dense.build((None, encoder.dim))
    optimizer = keras.optimizers.Adam(0.03)
    loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    best, best_accuracy = None, -1.0
    validation = sentences(80, seed=9)
    for epoch in range(3):
        order = np.random.default_rng([0, 2, epoch])
        for rows in plan_batches(None, np.arange(len(examples)), 16, order):
            embedded = encoder.module(tf.constant(examples.text(rows)))
            with tf.GradientTape() as tape:
                loss = loss_of(examples.labels[rows], dense(embedded))
            variables = dense.trainable_variables
            optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        found = dense(encoder.module(tf.constant([t for _, t in validation]))).numpy().argmax(1)
        reached = np.mean(found == [label for label, _ in validation])
        if reached > best_accuracy:
            best, best_accuracy = dense.get_weights(), reached
    assert best is not None
    np.testing.assert_allclose(loaded.kernel, best[0], atol=2e-4)
    np.testing.assert_allclose(loaded.bias, best[1], atol=2e-4)


def test_embeddings_are_kept_for_the_next_run(
    request_for: Request, vectors: str, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    chosen = {"train_only_top_layer": True}
    request = request_for(vectors, hyperparameters=chosen, embedding_cache=str(cache))
    first = train(request).metrics
    files = sorted(cache.iterdir())
    assert len(files) == 2
    # What the second run uses is what lies there: changed embeddings change the result.
    for file in files:
        np.save(file, np.zeros_like(np.load(file)))
    assert train(request).metrics["val_accuracy"] == 0.5 < first["val_accuracy"]
    other = train(replace(request, pooling="sif"))
    assert len(list(cache.iterdir())) == 4
    assert other.metrics["val_accuracy"] != 0.5
    files[0].write_bytes(b"no numbers")
    with pytest.raises(StorageError, match="damaged: remove it"):
        train(request)


def test_the_same_seed_gives_the_same_model(request_for: Request, vectors: str) -> None:
    def weights(seed: int) -> list[np.ndarray]:
        request = request_for(vectors, seed=seed, validation=None)
        train(request)
        loaded = tf.saved_model.load(request.model_dir + "/1")
        return [loaded.kernel.numpy(), loaded.encoder.table.numpy()]

    first, again = weights(1), weights(1)
    np.testing.assert_allclose(first[0], again[0], atol=1e-5)
    np.testing.assert_allclose(first[1], again[1], atol=1e-5)


def test_further_training_keeps_the_head_where_classes_are_the_same(
    request_for: Request, vectors: str, tmp_path: Path
) -> None:
    train(request_for(vectors))
    first = str(tmp_path / "model")
    none = {"learning_rate": 1e-6, "epochs": 1, "optimizer": "sgd", "dropout_rate": 0.5}
    again = train(request_for(first, model_dir=str(tmp_path / "kept"), hyperparameters=none))
    kept = again.metrics
    anew = train(
        request_for(
            first,
            model_dir=str(tmp_path / "new"),
            hyperparameters=none | {"reinitialize_top_layer": True},
        )
    )
    new = anew.metrics
    # Dropout is the head's: another value counts for a new one alone.
    assert again.hyperparameters["dropout_rate"] == FAST["dropout_rate"]
    assert anew.hyperparameters["dropout_rate"] == 0.5
    assert kept["val_accuracy"] > 0.9
    assert new["val_accuracy"] < kept["val_accuracy"]
    assert models.ModelMetadata.read(tmp_path / "kept").encoder["kind"] == "word-vectors"
    three = write_csv(tmp_path / "three", [*sentences(40), *[(2, "the plot")] * 9, (2, "a story")])
    request = request_for(
        first, model_dir=str(tmp_path / "third"), train=Source(three), validation=None
    )
    assert train(request).kind == "text-classifier"
    assert SavedModelClassifier(tmp_path / "third").labels == ["0", "1", "2"]
    never = {"reinitialize_top_layer": "False"}
    with pytest.raises(
        UsageError, match=r"classes of the data \(0, 1, 2\) are not those of .* \(0, 1\)"
    ):
        train(replace(request, hyperparameters=(FAST, never)))


def test_a_second_half_makes_it_better(request_for: Request, vectors: str, tmp_path: Path) -> None:
    rows = sentences(48, seed=5)
    halves = [
        write_csv(tmp_path / name, part) for name, part in (("one", rows[:24]), ("two", rows[24:]))
    ]
    first = request_for(vectors, train=Source(halves[0]), hyperparameters={"epochs": 6})
    alone = train(first).metrics["val_loss"]
    second = replace(
        first, train=Source(halves[1]), model=first.model_dir, model_dir=str(tmp_path / "second")
    )
    assert train(second).metrics["val_loss"] < alone


@pytest.mark.parametrize(("optimizer", "rate"), [("adamw", 0.1)])
def test_other_optimizers_learn(
    request_for: Request, vectors: str, optimizer: str, rate: float
) -> None:
    chosen = {"optimizer": optimizer, "learning_rate": rate, "epochs": 6}
    assert train(request_for(vectors, hyperparameters=chosen)).metrics["val_accuracy"] > 0.75


def test_early_stopping(request_for: Request, vectors: str) -> None:
    chosen = {
        "epochs": 30,
        "early_stopping": True,
        "early_stopping_patience": 2,
        "early_stopping_min_delta": 0.9,
    }
    metadata = train(request_for(vectors, hyperparameters=chosen))
    assert metadata.metrics["epochs"] == 3
    with pytest.raises(UsageError, match="early_stopping=True needs validation data"):
        train(
            request_for(
                vectors, validation=None, hyperparameters=chosen | {"validation_split_ratio": 0}
            )
        )


def test_class_weights_help_the_rare_class(
    request_for: Request, vectors: str, tmp_path: Path
) -> None:
    rows = [row for index, row in enumerate(sentences(300)) if row[0] == 0 or index % 20 == 1]
    request = request_for(vectors, train=Source(write_csv(tmp_path / "rare", rows)))
    chosen = {**FAST, "epochs": 2}
    recalls = []
    for weights in ("none", "balanced"):
        train(replace(request, hyperparameters=(chosen, {"class_weights": weights})))
        recalls.append(
            accuracy(request.model_dir, [row for row in sentences(200, seed=4) if row[0]])
        )
    assert recalls[1] > recalls[0]


def test_two_devices_share_each_batch(request_for: Request, tmp_path: Path) -> None:
    entry = find("electra-base-1")
    assert entry is not None
    hub_transformer(tmp_path / "hub", entry.handle, entry.preprocessing)
    devices = [device.name for device in tf.config.list_logical_devices("CPU")]
    assert len(devices) == 2
    metadata = train(request_for(entry.model_id, devices=devices, hyperparameters={"epochs": 2}))
    assert metadata.metrics["val_accuracy"] > 0.75


KILLED = """
import sys
from kftext.text_classification import train
sys.exit(train.main(sys.argv[1:]))
"""


def test_killed_and_started_again_it_goes_on(
    request_for: Request, vectors: str, data: str, held_out: str, tmp_path: Path, caplog
) -> None:
    request = request_for(
        vectors, checkpoint=str(tmp_path / "checkpoint"), hyperparameters={"epochs": 20}
    )
    flags = [f"--{name}={value}" for name, value in request.hyperparameters[0].items()]
    command_line = [
        *(sys.executable, "-c", KILLED, "--train", data, "--validation", held_out),
        *("--model-dir", request.model_dir, "--model-id", vectors, "--embedding-cache=none"),
        *("--checkpoint", str(tmp_path / "checkpoint"), "--threads=2", *flags),
    ]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1"}
    with subprocess.Popen(
        command_line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("Epoch 3/"):
                process.send_signal(signal.SIGKILL)
                break
    assert process.wait() == -signal.SIGKILL
    assert not Path(request.model_dir).exists()
    other = replace(request, hyperparameters=({**FAST, "epochs": 5},))
    with pytest.raises(UsageError, match="is of another run: there hyperparameters is"):
        train(other)
    with caplog.at_level("INFO"):
        metadata = train(replace(request, hyperparameters=({**FAST, "epochs": 20},)))
    done = int(re.search(r"Going on from the checkpoint: (\d+) epochs are done", caplog.text)[1])
    assert 2 <= done < 20
    curve = orjson.loads(Path(request.model_dir, "learning_curve.json").read_bytes())
    assert [record["epoch"] for record in curve] == list(range(1, 21))
    assert metadata.metrics["val_accuracy"] > 0.9


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(
    request_for: Request, vectors: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kftext.text_classification import checkpoint

    def table(request: TrainingRequest) -> np.ndarray:
        train(request)
        return tf.saved_model.load(request.model_dir + "/1").encoder.table.numpy()

    request = request_for(vectors, checkpoint=str(tmp_path / "checkpoint"))
    save = checkpoint.Checkpoint.save

    def save_and_stop(self, progress, state) -> None:
        save(self, progress, state)
        if progress.epoch == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.Checkpoint, "save", save_and_stop)
        with pytest.raises(KeyboardInterrupt):
            train(request)
    with pytest.raises(UsageError, match="is of another run: there encoder is"):
        train(replace(request, pooling="sif"))
    resumed = table(request)
    np.testing.assert_allclose(resumed, table(replace(request, checkpoint=None)), atol=1e-5)
    Path(request.checkpoint, "training.npz").write_bytes(b"not a checkpoint")
    with pytest.raises(StorageError, match=r"damaged .* remove it to begin anew"):
        train(request)


def test_wrong_input_leaves_nothing_behind(
    request_for: Request, vectors: str, tmp_path: Path, csv_folder: Callable[..., str]
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "saved_model.pb").write_bytes(b"not a protocol buffer")
    cases: list[tuple[TrainingRequest, type[Exception], str]] = [
        (request_for(vectors, train=Source(csv_folder("0,a\nx,b\n"))), DataError, "data.csv:2: "),
        (request_for(str(broken)), ModelFormatError, "not a SavedModel that can be loaded"),
        (request_for(vectors, pooling="max"), UsageError, "expected one of mean, sif"),
        (request_for(vectors, hyperparameters={"epochs": -1}), UsageError, "epochs=-1"),
    ]
    for request, kind, message in cases:
        with pytest.raises(kind) as error:
            train(request)
        assert message in str(error.value)
    assert not (tmp_path / "model").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".tmp")]


def test_the_command_reports_wrong_usage(
    vectors: str, data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from kftext import cli

    base = ["--train", data, "--model-dir", str(tmp_path / "model")]
    assert cli.run(command.main, [*base, "--model-id", vectors, "--dropout_rate=7"]) == 2
    assert "error: hyperparameter dropout_rate='7': expected a number" in capsys.readouterr().err
    assert cli.run(command.main, [*base, "--model-id", "no-such-model"]) == 1
    assert "error: model 'no-such-model': expected an id" in capsys.readouterr().err
    assert cli.run(command.main, base) == 2


def test_no_network_and_no_mirror_says_what_to_do(
    request_for: Request, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("KFTEXT_MODEL_MIRROR", str(tmp_path / "mirror"))
    # Imported anew: what it warns of is nothing for the user.
    monkeypatch.delitem(sys.modules, "tensorflow_hub", raising=False)
    with warnings.catch_warnings(record=True) as warned, pytest.raises(StorageError) as error:
        warnings.simplefilter("always")
        train(request_for("tensorflow-tc-albert-en-base"))
    assert not [warning for warning in warned if "pkg_resources" in str(warning.message)]
    message = str(error.value)
    assert (
        "https://tfhub.dev/tensorflow/albert_en_base/2 is not in TensorFlow Hub's cache" in message
    )
    assert str(tmp_path / "mirror/tensorflow/albert_en_base/2.tar.gz") in message
    assert "python -m kftext.text_classification.mirror --output" in message
