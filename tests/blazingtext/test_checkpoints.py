"""A run that is killed with no warning, and started again with the same command, ends as if nothing had been."""

from __future__ import annotations

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import orjson
import pytest

from blazingtext import texts
from kftext import cli
from kftext.blazingtext import train
from kftext.blazingtext.checkpoint import CheckpointOptions, Checkpoints, describe_run
from kftext.blazingtext.corpus import read_corpus
from kftext.blazingtext.hyperparameters import read_hyperparameters
from kftext.blazingtext.vocabulary import VocabularyRules
from kftext.blazingtext.word2vec import Word2VecTraining
from kftext.errors import StorageError, UsageError

# Ten and more where it is asked for: each costs the start of a process.
KILLS = int(os.environ.get("KFTEXT_KILLS", "1"))
WORD2VEC = ["--mode", "skipgram", "--vector-dim", "16", "--min-count", "1", "--evaluation", "0"]
SUPERVISED = ["--mode", "supervised", "--vector-dim", "16", "--min-count", "1", "--buckets", "1000"]
# Eight a second: the run is in the middle of one more often than not.
OFTEN = ["--checkpoint-minutes", "0.002", "--threads", "1"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    path = tmp_path_factory.mktemp("corpus") / "corpus.txt"
    path.write_text(texts.corpus(20_000))
    return path


def run_and_kill(command: list[str], index: pathlib.Path, rng: np.random.Generator) -> bool:
    """Start `command`, let it write a checkpoint, kill it within a tenth of a second: whether it had not ended."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    before = index.stat().st_mtime_ns if index.exists() else 0
    while process.poll() is None and not (index.exists() and index.stat().st_mtime_ns > before):
        time.sleep(0.002)
    time.sleep(rng.uniform(0, 0.1))
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.returncode in (0, -signal.SIGKILL)
    return not orjson.loads(index.read_bytes())["finished"]


@pytest.mark.parametrize("mode", ["skipgram", "supervised"])
def test_killed_at_random_moments(mode, tmp_path):
    data = tmp_path / "train.txt"
    data.write_text(texts.labeled(3_000))
    flags = WORD2VEC if mode == "skipgram" else [*SUPERVISED, "--validation", data]
    if mode == "supervised":
        flags += ["--early-stopping", "1", "--min-epochs", "1", "--patience", "99999"]
    flags += ["--train", data, *OFTEN]

    def command(name: str, epochs: int) -> list[str]:
        arguments = [*flags, "--epochs", epochs, "--model-dir", tmp_path / name, "--checkpoint"]
        return [str(word) for word in (*arguments, tmp_path / f"{name}-checkpoint")]

    rng = np.random.default_rng(0)
    index = tmp_path / "killed-checkpoint" / "checkpoint.json"
    program = [sys.executable, "-m", "kftext.blazingtext.train"]
    epochs, kills = 50 * KILLS, 0
    while kills < KILLS:
        if run_and_kill([*program, *command("killed", epochs)], index, rng):
            kills += 1
            continue
        # It ended before its death: on this machine it takes more epochs to be in the middle of them.
        assert epochs < 1_000_000
        shutil.rmtree(tmp_path / "killed", ignore_errors=True)
        shutil.rmtree(index.parent)
        epochs, kills = 3 * epochs, 0
    assert cli.run(train.main, command("whole", epochs)) == 0
    done = orjson.loads(index.read_bytes())["epoch"]
    assert cli.run(train.main, command("killed", epochs)) == 0
    # One thread repeats bit for bit, over any number of deaths.
    for name in ("vectors.bin",) if mode == "skipgram" else ("model.bin",):
        whole, killed = (tmp_path / run / name for run in ("whole", "killed"))
        assert whole.read_bytes() == killed.read_bytes()
    curves = [
        orjson.loads((tmp_path / run / "learning_curve.json").read_bytes())
        for run in ("whole", "killed")
    ]
    assert [point["loss"] for point in curves[0]] == [point["loss"] for point in curves[1]]
    assert len(curves[1]) == epochs >= done
    # The run is over: its room is given back, and the same command would begin anew.
    assert orjson.loads(index.read_bytes())["finished"]
    assert sum(p.stat().st_size for p in index.parent.rglob("*.f32")) == 0


def start(corpus, path, threads=1, **changes):
    values = {"mode": "skipgram", "vector_dim": 8, "min_count": 1, "epochs": 4, **changes}
    hyperparameters = read_hyperparameters(values)
    vocabulary, encoded = read_corpus([str(corpus)], VocabularyRules(1))
    training = Word2VecTraining(encoded, vocabulary.counts, hyperparameters, threads=threads)
    run = describe_run(hyperparameters, 0, vocabulary, encoded.token_count)
    return training, Checkpoints(CheckpointOptions(str(path), 1e-6), run, training)


def test_another_number_of_threads_goes_on(corpus, tmp_path):
    training, checkpoints = start(corpus, tmp_path, threads=3)
    training.run_epoch()
    checkpoints.end_of_epoch()
    again, restored = start(corpus, tmp_path, threads=2)
    assert restored.restore()
    assert again.position.epoch == 1
    np.testing.assert_array_equal(again.input, training.input)
    np.testing.assert_array_equal(again.output, training.output)
    assert again.curve == training.curve
    again.run_epoch()
    assert again.position.epoch == 2


def test_killed_while_writing_a_checkpoint(corpus, tmp_path):
    training, checkpoints = start(corpus, tmp_path)
    training.run_epoch()
    checkpoints.save()
    kept = training.input.copy()
    index = (tmp_path / "checkpoint.json").read_bytes()
    training.run_epoch()
    checkpoints.save()
    # As if the process had died just before the new index was in place.
    (tmp_path / "checkpoint.json").write_bytes(index)
    again, restored = start(corpus, tmp_path)
    assert restored.restore()
    np.testing.assert_array_equal(again.input, kept)


def test_checkpoint_of_another_run(corpus, tmp_path):
    training, checkpoints = start(corpus, tmp_path)
    training.run_epoch()
    checkpoints.save()
    _, other = start(corpus, tmp_path, learning_rate=0.1)
    with pytest.raises(UsageError, match=r"another run: there learning_rate is 0\.05, here 0\.1"):
        other.restore()


@pytest.mark.parametrize("damage", ["index", "matrix"])
def test_damaged_checkpoint(corpus, tmp_path, damage):
    training, checkpoints = start(corpus, tmp_path)
    training.run_epoch()
    checkpoints.save()
    files = [tmp_path / "checkpoint.json"] if damage == "index" else tmp_path.rglob("input.f32")
    for file in files:
        file.write_bytes(file.read_bytes()[:100])
    _, again = start(corpus, tmp_path)
    with pytest.raises(StorageError, match=r"damaged|shorter"):
        again.restore()


def test_no_checkpoint_yet(corpus, tmp_path):
    _, checkpoints = start(corpus, tmp_path / "nothing")
    assert not checkpoints.restore()
