"""The classifier on a GPU end to end, in numba's simulator: the CPU's accuracy, early stopping, pauses, the model folder."""

import dataclasses

import numpy as np
import pytest
from numba import cuda

pytest.importorskip("numba_cuda", reason="numba-cuda is not installed: pip install 'kftext[cuda]'")

from blazingtext.cuda.simulator import GPU, in_simulator
from blazingtext.test_supervised import (
    BUCKETS,
    LABELS,
    WORDS,
    Scripted,
    accuracy,
    data_of,
    hyperparameters,
    texts,
)
from kftext.blazingtext import hogwild
from kftext.blazingtext.checkpoint import CheckpointOptions, Checkpoints
from kftext.blazingtext.cuda import chunks, device, launch
from kftext.blazingtext.cuda import supervised as on_gpu
from kftext.blazingtext.cuda.chunks import Column
from kftext.blazingtext.cuda.kernels.state import Texts
from kftext.blazingtext.cuda.replica import Replica
from kftext.blazingtext.cuda.supervised import CudaSupervisedTraining
from kftext.blazingtext.hogwild import Hooks
from kftext.blazingtext.subwords import compute_subwords
from kftext.blazingtext.supervised import SupervisedTraining, train_supervised
from kftext.blazingtext.training import TrainingRequest
from kftext.blazingtext.training import train as train_step
from kftext.errors import KftextError, ResourceError, UsageError
from kftext.models import load

each_loss = pytest.mark.parametrize("loss", ["softmax", "ova", "ns", "hs"])


@pytest.fixture(autouse=True)
def small_chunks(few_streams, monkeypatch):
    monkeypatch.setattr(chunks, "SMALLEST_CHUNK", 150)


def start(train=None, devices=(GPU,), seed=3, validate=None, **changes):
    """Return a run of 30 texts, of two epochs, in three chunks."""
    data = data_of(texts(30) if train is None else train)
    settings = hyperparameters(**{"epochs": 2, "word_ngrams": 1, **changes})
    return CudaSupervisedTraining(data, settings, devices=devices, seed=seed, validate=validate)


def finish(run):
    while not run.over:
        run.run_epoch()
    return run.finish()


@in_simulator
@each_loss
def test_learns_what_the_cpu_learns(loss, monkeypatch):
    # The learning rate falls in steps as small as on the GPU.
    monkeypatch.setattr(hogwild, "_SMALLEST_SLICE", 32)
    train, held_out = texts(200), texts(200, seed=77)
    settings = hyperparameters(loss=loss, epochs=2, learning_rate=1.0, word_ngrams=1)
    run = CudaSupervisedTraining(data_of(train), settings, devices=[GPU], seed=3)
    assert run.limits[0].streams == 3
    matrices = finish(run)
    cpu = [train_supervised(data_of(train), settings, seed=seed) for seed in range(4)]
    losses = [result.curve[-1].loss for result in cpu]
    assert 0.7 * min(losses) < matrices.curve[-1].loss < 1.3 * max(losses)
    if loss != "hs":
        reached = [accuracy(held_out, result.input, result.output) for result in cpu]
        assert min(reached) > 0.5, "nothing was learnt"
        found = accuracy(held_out, matrices.input, matrices.output)
        assert found > min(reached) - 0.05
    assert matrices.input.shape == (WORDS, 10)
    assert matrices.output.shape == (LABELS, 10)
    assert matrices.input.flags.c_contiguous
    assert matrices.best_epoch == 2
    assert [record.learning_rate for record in matrices.curve] == pytest.approx([0.5, 0])


@in_simulator
def test_n_grams_have_rows_behind_the_words():
    run = start(texts(10), epochs=1, word_ngrams=2)
    before = run.input.copy()
    matrices = finish(run)
    assert matrices.input.shape == (WORDS + BUCKETS, 10)
    changed = np.abs(matrices.input - before).max(axis=1) > 0
    assert changed[WORDS:].sum() > 30
    assert not changed.all()


@in_simulator
def test_text_in_chunks_is_trained_once_an_epoch():
    run = start()
    assert len(run.position.done) == 3
    run.run_epoch()
    assert int(run._replicas[0]._streams.done.copy_to_host()[0]) == 30 * 11
    finish(run)


@in_simulator
@pytest.mark.parametrize("most", [1, 40, 1 << 30])
def test_chunks_lie_evenly_over_the_texts(most):
    """Each is made of pieces of all parts of the file, and all of them together of each text once."""
    train = texts(50)
    columns = [
        Column(train.ids, train.line_offsets),
        Column(train.labels, train.label_offsets),
    ]
    cut = chunks.cut_chunks(columns, 1, most, 4)
    spans = zip(cut.firsts.ravel().tolist(), cut.stops.ravel().tolist(), strict=True)
    assert sorted(line for first, stop in spans for line in range(first, stop)) == list(range(50))
    assert cut.tokens[-1] == 50 * 11
    if most == 40:
        assert (cut.stops[0] - cut.firsts[0]).tolist() == [1, 1, 1, 1]
        assert (np.abs(np.diff(cut.firsts[0]) - 50 / 4) <= 1).all()
    buffer, stream = chunks.Buffer(cut, 2), cuda.stream()
    for index in range(min(cut.count, 3)):
        buffer.fill(index, stream)
        found = Texts(*(array.copy_to_host() for array in buffer.as_kind(Texts)))
        lines = [
            line
            for first, stop in zip(cut.firsts[index], cut.stops[index], strict=True)
            for line in range(first, stop)
        ]
        n = len(lines)
        assert found.offsets[: n + 1].tolist() == list(range(0, 10 * n + 1, 10))
        ids = train.ids.reshape(50, 10)[lines].ravel()
        np.testing.assert_array_equal(found.ids[: 10 * n], ids)
        np.testing.assert_array_equal(found.labels[:n], train.labels[lines])
        assert found.bounds[[0, -1]].tolist() == [0, n]


@in_simulator
def test_words_have_character_n_grams():
    train = texts(10)
    subwords = subwords_of()
    settings = hyperparameters(epochs=1, subwords=True, buckets=BUCKETS, word_ngrams=1)
    data = dataclasses.replace(data_of(train), subwords=subwords)
    run = CudaSupervisedTraining(data, settings, devices=[GPU], seed=3, validate=Scripted(0.5))
    before = run.input.copy()
    matrices = finish(run)
    assert matrices.input.shape == (WORDS + BUCKETS, 10)
    used = {
        row
        for word in np.unique(train.ids)
        for row in subwords.rows[subwords.offsets[word] : subwords.offsets[word + 1]]
    }
    changed = set(np.flatnonzero(np.abs(matrices.input - before).max(axis=1) > 0).tolist())
    # The first text that a stream trains meets labels that are zero still.
    assert changed <= used
    assert len(changed) > len(used) / 2
    np.testing.assert_array_equal(run._used_rows(), sorted(used))
    with pytest.raises(UsageError, match="subwords=True needs"):
        CudaSupervisedTraining(data_of(train), settings, devices=[GPU])


def subwords_of():
    return compute_subwords([b"word%d" % n for n in range(WORDS)], 3, 4, BUCKETS)


@in_simulator
def test_one_stream_repeats_and_the_seed_matters(monkeypatch):
    monkeypatch.setattr(launch, "STREAMS_A_MULTIPROCESSOR", 1)
    first, again, other = (finish(start(seed=seed, loss="ns")) for seed in (5, 5, 6))
    assert first.output.tobytes() == again.output.tobytes()
    assert first.output.tobytes() != other.output.tobytes()


@in_simulator
def test_early_stopping_keeps_the_best_epochs_weights(monkeypatch):
    sent, write = [], Replica.write_matrices
    monkeypatch.setattr(
        Replica, "write_matrices", lambda *arguments: (sent.append(1), write(*arguments))
    )
    validate = Scripted(0.8, 0.7, 0.9)
    run = start(
        texts(8), early_stopping=True, min_epochs=2, patience=1, epochs=9, validate=validate
    )
    matrices = finish(run)
    # Asked from epoch 2 on; the second is the best, the third is no better.
    asked = [record.validation_accuracy for record in matrices.curve]
    assert asked == [None, 0.8, 0.7]
    assert matrices.best_epoch == 2
    np.testing.assert_array_equal(matrices.input, validate.seen[0][0])
    np.testing.assert_array_equal(matrices.output, validate.seen[0][1])
    assert (matrices.input != validate.seen[1][0]).any()
    assert len(sent) == 1, "what validation has looked at is on the GPU still"


@in_simulator
def test_checkpoint_is_gone_on_from(tmp_path, monkeypatch):
    """In the middle of an epoch, and with the best epoch's weights, into a run that began elsewhere."""
    monkeypatch.setattr(launch, "STREAMS_A_MULTIPROCESSOR", 1)
    settings = {"early_stopping": True, "min_epochs": 1, "epochs": 3, "patience": 3}
    whole = finish(start(seed=9, validate=Scripted(0.9, 0.2, 0.3), **settings))

    class StoppedError(Exception):
        pass

    first = start(seed=9, validate=Scripted(0.9), **settings)
    options = CheckpointOptions(str(tmp_path / "checkpoint"))
    checkpoints = Checkpoints(options, {"seed": 9}, first)
    first.run_epoch()

    def stop():
        checkpoints.save()
        raise StoppedError

    with pytest.raises(StoppedError):
        first.run_epoch(Hooks(on_pause=stop, pause_seconds=1e-9))
    second = start(seed=1234, validate=Scripted(0.2, 0.3), **settings)
    assert Checkpoints(options, {"seed": 9}, second).restore()
    assert second.position.epoch == 1
    assert 0 < second.position.done.sum() < len(second.position.done)
    result = finish(second)
    assert result.best_epoch == whole.best_epoch == 1
    np.testing.assert_array_equal(result.input, whole.input)
    np.testing.assert_array_equal(result.output, whole.output)


@in_simulator
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_divergence_is_an_error():
    with pytest.raises(KftextError, match=r"diverged.*lower learning_rate \(here 1e\+30\)"):
        finish(start(texts(8), learning_rate=1e30, epochs=3))


@in_simulator
def test_too_little_memory_is_foreseen():
    small = dataclasses.replace(GPU, name="small", free=300 << 20)
    with pytest.raises(
        ResourceError,
        match=r"needs 0.12 GiB of GPU memory \(input 0.12\).*GPU 0 \(small\) has 0.04",
    ):
        start(devices=[small], word_ngrams=2, buckets=2_000_000)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"vector_dim": 2000}, "vector_dim=2000: expected 1024 at most"),
        ({"devices": ()}, "at least one device"),
        ({"early_stopping": True}, "needs a validation set"),
    ],
)
def test_what_a_gpu_does_not_train_is_refused(changes, match):
    with pytest.raises(UsageError, match=match):
        start(**changes)


def test_rows_are_numbered_by_32_bits(monkeypatch):
    monkeypatch.setattr(on_gpu, "_MOST_ROWS", WORDS + BUCKETS - 1)
    with pytest.raises(UsageError, match=f"{WORDS} words and buckets={BUCKETS}: expected"):
        start(word_ngrams=2)


def test_streams_follow_labels_and_learning_rate():
    def bears(counts, **changes):
        return launch.most_text_streams(np.array(counts), hyperparameters(**changes))

    few, many = [50, 30, 20], [1000 // n for n in range(1, 500)]
    for loss in ("softmax", "ova", "ns", "hs"):
        assert bears(few, loss=loss, learning_rate=100.0) == 1
        assert bears(few, loss=loss, learning_rate=0.05) > 2 * bears(
            few, loss=loss, learning_rate=0.25
        )
    assert bears(many, loss="ova") < bears(many, loss="softmax") == bears(few, loss="softmax")
    # Each text draws five labels: among a few each is hit more than once, among many hardly one.
    assert bears(few, loss="ns") < bears(few, loss="softmax") < bears(many, loss="ns")


def test_few_texts_train_in_few_streams():
    """5,000 texts of 40 words: what they bear, whatever the GPU has room for."""
    h100 = dataclasses.replace(GPU, multiprocessors=132, shared=228 << 10)
    settings = hyperparameters(learning_rate=0.5)
    shape = launch.text_shape_for(settings, 4)
    bears = launch.most_text_streams(np.array([1250] * 4), settings)
    assert launch.plan_streams(h100, shape, bears, 5000 * 41).streams <= 24


def test_auto_asks_which_is_faster():
    train, h100 = texts(100), dataclasses.replace(GPU, multiprocessors=132, shared=228 << 10)

    def faster(times, **changes):
        settings = hyperparameters(vector_dim=100, epochs=times, **changes)
        return on_gpu.is_faster_than_the_cpu(data_of(train), settings, h100, 4)

    assert not faster(5)
    shape = launch.text_shape_for(hyperparameters(vector_dim=100), 5)
    assert launch.expects_to_be_faster(shape, streams=200, tokens=10**10, threads=4)
    assert not launch.expects_to_be_faster(shape, streams=3, tokens=10**12, threads=4)


def request_for(tmp_path, name, **options):
    text = tmp_path / "text.txt"
    text.write_text("__label__good nice fine day\n__label__bad ugly grey day\n" * 8)
    settings = hyperparameters(
        vector_dim=4, min_count=1, epochs=3, word_ngrams=1, learning_rate=2.0, **options
    )
    validation = [str(text)] if settings.early_stopping else []
    return TrainingRequest(
        [str(text)], str(tmp_path / name), settings, validation=validation, device="cuda", seed=1
    )


@in_simulator
def test_step_trains_on_one_of_two_gpus_writes_the_model_folder_and_goes_on_from_it(
    tmp_path, monkeypatch, capsys
):
    second = dataclasses.replace(GPU, index=1, free=9 << 30)
    monkeypatch.setattr(device, "find_devices", lambda: [GPU, second])
    # The simulator has one device.
    monkeypatch.setattr(Replica, "context", lambda replica: on_gpu_zero())
    request = request_for(tmp_path, "model", early_stopping=True, min_epochs=1)
    metadata = train_step(request)
    assert metadata.metrics["train_accuracy"] == metadata.metrics["validation_accuracy"] == 1
    printed = capsys.readouterr().out
    assert "Training on GPU 1: simulated" in printed
    assert "mode=supervised trains on one of 2 GPUs" in printed
    assert "Streams a GPU: " in printed
    assert set(load(tmp_path / "model").labels) == {"__label__good", "__label__bad"}
    more = dataclasses.replace(request_for(tmp_path, "more"), initial_model=str(tmp_path / "model"))
    assert train_step(more).metrics["train_accuracy"] == 1


def on_gpu_zero():
    from numba import cuda

    return cuda.gpus[0]


@in_simulator
@pytest.mark.parametrize("reason", ["too small", "too few texts"])
def test_auto_trains_on_the_cpu_where_a_gpu_does_not_pay(reason, tmp_path, monkeypatch, capsys):
    small = dataclasses.replace(GPU, free=256 << 20)
    monkeypatch.setattr(device, "find_devices", lambda: [small])
    if reason == "too small":
        monkeypatch.setattr(launch, "START_SECONDS", -1.0)
    train_step(dataclasses.replace(request_for(tmp_path, "model"), device="auto"))
    said = {
        "too small": "Training on the CPU: training needs ",
        "too few texts": "Training on the CPU: no GPU is expected to be faster on these texts",
    }
    assert said[reason] in capsys.readouterr().out
    assert load(tmp_path / "model")


@in_simulator
def test_surface_is_the_cpus():
    names = [name for name in dir(SupervisedTraining) if not name.startswith("_")]
    assert [name for name in names if not hasattr(CudaSupervisedTraining, name)] == []
    train = texts(20)
    cpu = SupervisedTraining(data_of(train), hyperparameters())
    gpu = start()
    for name in [name for name in vars(cpu) if not name.startswith("_")]:
        assert hasattr(gpu, name), name
