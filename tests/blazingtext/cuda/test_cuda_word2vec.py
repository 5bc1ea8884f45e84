"""Word2Vec on a GPU end to end, in numba's simulator: the CPU's objective, chunks, replicas, pauses."""

import dataclasses

import numpy as np
import pytest

pytest.importorskip("numba_cuda", reason="numba-cuda is not installed: pip install 'kftext[cuda]'")

from blazingtext.cuda.simulator import GPU, SIMULATOR_MARKS
from blazingtext.test_word2vec import WORDS, hyperparameters, language, subwords_of
from kftext.blazingtext import hogwild
from kftext.blazingtext.cuda import averaging, chunks, device, launch
from kftext.blazingtext.cuda.chunks import Column, cut_chunks
from kftext.blazingtext.cuda.kernels.state import Lines
from kftext.blazingtext.cuda.replica import Replica
from kftext.blazingtext.cuda.word2vec import CudaWord2VecTraining
from kftext.blazingtext.encoded import EncodedCorpus
from kftext.blazingtext.hogwild import Hooks
from kftext.blazingtext.training import TrainingRequest
from kftext.blazingtext.training import train as train_step
from kftext.blazingtext.word2vec import Word2VecTraining, initial_bound, train_word2vec
from kftext.errors import KftextError, ResourceError, UsageError
from kftext.models import load

pytestmark = SIMULATOR_MARKS


@pytest.fixture(autouse=True)
def small_chunks(few_streams, monkeypatch):
    monkeypatch.setattr(chunks, "SMALLEST_CHUNK", 60)


def settings_for(**changes):
    return hyperparameters(
        **{"epochs": 1, "vector_dim": 12, "window_size": 2, "negative_samples": 2, **changes}
    )


def start(lines=20, devices=(GPU,), subwords=None, seed=3, **changes):
    """The simulator trains some hundred words a second: a run has 160."""
    corpus, counts = language(lines=lines, length=8)
    settings = settings_for(subwords=subwords is not None, **changes)
    return CudaWord2VecTraining(corpus, counts, settings, subwords, devices=devices, seed=seed)


def train(run):
    while run.position.epoch < run.hyperparameters.epochs:
        run.run_epoch()
    return run.finish()


def two_topics(lines=40, length=8):
    """Return a corpus of two topics of six words, a topic a line, and its counts. Words of one topic are all even or all odd."""
    generator = np.random.default_rng(1)
    ids = 2 * generator.integers(0, 6, (lines, length)) + generator.integers(0, 2, (lines, 1))
    offsets = np.arange(0, ids.size + 1, length)
    return EncodedCorpus(ids.astype(np.int32).ravel(), offsets, ids.size), np.bincount(ids.ravel())


def quality(matrices, corpus):
    """Return how much closer words of one topic are than those of two, and the mean loss of all pairs of neighbours."""
    unit = matrices.input / np.linalg.norm(matrices.input, axis=1, keepdims=True)
    cosine, topic = unit @ unit.T, np.arange(len(unit)) % 2
    same = topic[:, None] == topic
    ids = corpus.ids.reshape(-1, 8)
    left, right = ids[:, 1:].ravel(), ids[:, :-1].ravel()
    scores = np.einsum("ij,ij->i", matrices.input[left], matrices.output[right])
    separation = cosine[same & ~np.eye(len(unit), dtype=bool)].mean() - cosine[~same].mean()
    return float(separation), float(np.log1p(np.exp(-scores)).mean())


@pytest.mark.parametrize("mode", ["skipgram", "cbow", "batch_skipgram"])
def test_learns_what_the_cpu_learns(mode, monkeypatch):
    # The learning rate falls in steps as small as on the GPU.
    monkeypatch.setattr(hogwild, "_SMALLEST_SLICE", 32)
    corpus, counts = two_topics()
    settings = settings_for(
        mode=mode, epochs=2, window_size=3, learning_rate=0.1, sampling_threshold=1.0
    )
    run = CudaWord2VecTraining(corpus, counts, settings, devices=[GPU], seed=3)
    assert run.limits[0].streams == 3
    matrices = train(run)
    on_the_cpu = [train_word2vec(corpus, counts, settings, seed=seed) for seed in range(6)]
    separations, losses = zip(*(quality(result, corpus) for result in on_the_cpu), strict=True)
    separation, loss = quality(matrices, corpus)
    assert min(separations) > 0.8, "nothing was learnt"
    assert separation > min(separations) - 0.15
    assert 0.9 * min(losses) < loss < 1.1 * max(losses)
    assert matrices.input.shape == matrices.output.shape == (12, 12)
    assert matrices.input.dtype == np.float32
    assert matrices.input.flags.c_contiguous
    assert matrices.best_epoch == 2
    assert [record.learning_rate for record in matrices.curve] == pytest.approx([0.05, 0])


def test_subwords_train_the_rows_of_n_grams():
    run = start(subwords=subwords_of())
    before = run.input.copy()
    matrices = train(run)
    assert matrices.input.shape == (WORDS + 1000, 12)
    assert (np.abs(matrices.input - before).max(axis=1) > 0)[WORDS:].sum() > 50


def test_seed_matters_and_one_stream_repeats(monkeypatch):
    monkeypatch.setattr(launch, "STREAMS_A_MULTIPROCESSOR", 1)
    first, again, other = (train(start(seed=seed)) for seed in (5, 5, 6))
    assert first.input.tobytes() == again.input.tobytes()
    assert first.input.tobytes() != other.input.tobytes()


def test_chunks_are_whole_lines_and_cover_all():
    corpus, _ = language(lines=50)
    for replicas, most in [(1, 1 << 30), (1, 90), (3, 1 << 30), (2, 1), (200, 1 << 30)]:
        cut = cut_chunks([Column(corpus.ids, corpus.line_offsets)], replicas, most)
        assert cut.firsts[0, 0] == 0
        assert cut.stops[-1, 0] == 50
        assert (cut.stops > cut.firsts).all()
        np.testing.assert_array_equal(cut.firsts[1:], cut.stops[:-1])
        assert cut.tokens[-1] == 1000
        assert cut.count >= min(replicas, 50)
        assert cut.most_tokens <= max(most, 20) + 20


@pytest.mark.parametrize("size", [20, 1 << 20])
def test_all_of_the_corpus_is_trained_whatever_the_chunks(size, monkeypatch):
    monkeypatch.setattr(chunks, "SMALLEST_CHUNK", size)
    run = start()
    assert (len(run.position.done) == 1) == (size > 160)
    run.run_epoch()
    assert int(run._replicas[0]._streams.done.copy_to_host()[0]) == 160


def test_next_chunk_is_prepared_while_one_is_trained(monkeypatch):
    monkeypatch.setattr(chunks, "SMALLEST_CHUNK", 20)
    done, run = [], start(lines=10)
    for name in ("prepare", "launch", "wait"):
        method = getattr(Replica, name)

        def noted(replica, *arguments, name=name, method=method):
            done.append(name)
            method(replica, *arguments)

        monkeypatch.setattr(Replica, name, noted)
    run.run_epoch()
    count = len(run.position.done)
    assert count > 2
    assert done == [
        "prepare", *["launch", "prepare", "wait"] * (count - 1), "launch", "wait"
    ]  # fmt: skip


def test_matrices_stay_on_the_gpu_until_they_are_asked_for(monkeypatch):
    sent, write = [], Replica.write_matrices
    monkeypatch.setattr(
        Replica, "write_matrices", lambda *arguments: (sent.append(1), write(*arguments))
    )
    run = start(epochs=3, lines=5)
    run.run_epoch()
    run.run_epoch()
    assert len(sent) == 1
    run.output[-1] = 5
    run.run_epoch()
    assert len(sent) == 2
    assert np.abs(run.output[-1] - 5).max() < 1


def test_chunk_that_was_prepared_and_not_trained_is_forgotten(monkeypatch):
    monkeypatch.setattr(chunks, "SMALLEST_CHUNK", 20)
    run = start(lines=10)
    run._send_matrices()
    (replica,) = run._replicas
    replica.prepare(3)
    replica.prepare(0)
    replica.launch()
    replica.wait()
    lines, (column,) = replica._buffers[0].as_kind(Lines), run._chunks.columns
    first = column.offsets[run._chunks.stops[0, 0]]
    np.testing.assert_array_equal(lines.ids.copy_to_host()[:first], column.values[:first])


def read(replica, run):
    matrices = tuple(np.empty_like(matrix) for matrix in run._flat)
    replica.read_matrices(matrices)
    return matrices


def test_two_replicas_on_one_device_are_averaged(monkeypatch):
    # Fetched in many parts.
    monkeypatch.setattr(averaging, "BUFFER_FLOATS", 100)
    run = start(devices=(GPU, GPU))
    run.run_epoch()
    assert np.abs(run.input).max() > 0
    for matrices in zip(*(read(replica, run) for replica in run._replicas), run._flat, strict=True):
        for matrix in matrices[1:]:
            np.testing.assert_array_equal(matrix, matrices[0])
    # By hand: each chunk of the first round by a replica of its own, from the same matrices.
    alone = start(devices=(GPU, GPU))
    alone._send_matrices()
    alone._write_streams()
    for chunk, replica in enumerate(alone._replicas):
        replica.prepare(chunk)
        replica.launch()
        replica.wait()
    trained = [read(replica, alone) for replica in alone._replicas]
    assert np.abs(trained[0][0] - trained[1][0]).max() > 1e-6
    alone._averaging.average(alone._replicas)
    for replica in alone._replicas:
        for matrix, one, other in zip(read(replica, alone), *trained, strict=True):
            np.testing.assert_allclose(matrix, (one + other) / 2, atol=1e-7)


@pytest.mark.parametrize("at_work", [1, 2, 3])
def test_replicas_that_had_no_chunk_take_over_the_mean_of_the_others(at_work):
    run = start(devices=(GPU,) * 3, vector_dim=5)
    generator = np.random.default_rng(1)
    held = [
        tuple(generator.normal(size=matrix.size).astype(np.float32) for matrix in run._flat)
        for _ in run._replicas
    ]
    for replica, matrices in zip(run._replicas, held, strict=True):
        replica.write_matrices(matrices)
    run._averaging.average(run._replicas[:at_work])
    for replica in run._replicas:
        for kind, matrix in enumerate(read(replica, run)):
            expected = np.mean([matrices[kind] for matrices in held[:at_work]], axis=0)
            np.testing.assert_allclose(matrix, expected, atol=1e-6)


def test_run_that_pauses_and_goes_on_elsewhere_is_the_same_run(monkeypatch):
    monkeypatch.setattr(launch, "STREAMS_A_MULTIPROCESSOR", 1)
    whole = train(start(seed=9))

    class StoppedError(Exception):
        pass

    first = start(seed=9)

    def on_pause():
        raise StoppedError

    with pytest.raises(StoppedError):
        first.run_epoch(Hooks(on_pause=on_pause, pause_seconds=1e-9))
    assert 0 < first.position.done.sum() < len(first.position.done)
    second = start(seed=1234)
    second.input[:], second.output[:], second.position = first.input, first.output, first.position
    np.testing.assert_array_equal(train(second).input, whole.input)


def test_reports_tell_progress():
    reports = []
    start(epochs=2).run_epoch(Hooks(on_report=reports.append))
    assert reports[-1].progress == pytest.approx(0.5)
    assert reports[-1].learning_rate == pytest.approx(0.025)
    assert np.isfinite(reports[-1].loss)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_divergence_is_an_error():
    with pytest.raises(KftextError, match=r"diverged.*lower learning_rate \(here 1e\+30\)"):
        train(start(learning_rate=1e30))


def test_too_little_memory_is_foreseen():
    small = dataclasses.replace(GPU, name="small", free=300 << 20)
    with pytest.raises(
        ResourceError, match=r"needs .* GiB of GPU memory .*GPU 0 \(small\) has 0.04 of 8.0 GiB"
    ):
        start(devices=(small,), subwords=dataclasses.replace(subwords_of(), row_count=2_000_000))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"loss": "hs"}, "loss=hs trains on the CPU"),
        ({"vector_dim": 2000}, "vector_dim=2000: expected 1024 at most"),
        ({"devices": ()}, "at least one device"),
    ],
)
def test_what_a_gpu_does_not_train_is_refused(changes, match):
    with pytest.raises(UsageError, match=match):
        start(**changes)


def test_step_trains_on_two_gpus_and_writes_the_model_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(device, "find_devices", lambda: [GPU, GPU])
    text = tmp_path / "text.txt"
    text.write_text("one two three\n" * 2)
    settings = settings_for(
        vector_dim=4, window_size=1, negative_samples=1, min_count=1, sampling_threshold=1.0
    )
    request = TrainingRequest([str(text)], str(tmp_path / "model"), settings, device="cuda")
    metadata = train_step(request)
    assert metadata.metrics["words"] == 8
    assert "Streams a GPU: 1, 1" in capsys.readouterr().out
    model = load(tmp_path / "model")
    assert {"one", "two", "three"} <= set(model.words)
    assert np.isfinite(model.vector("two")).all()


def request_for(tmp_path, name):
    text = tmp_path / "text.txt"
    text.write_text("one two three\n" * 2)
    settings = settings_for(min_count=1, evaluation=False)
    return TrainingRequest([str(text)], str(tmp_path / "model"), settings, device=name)


@pytest.mark.parametrize("reason", ["too small", "too short a text"])
def test_auto_trains_on_the_cpu_where_a_gpu_does_not_pay(reason, tmp_path, monkeypatch, capsys):
    small = dataclasses.replace(GPU, free=256 << 20)
    monkeypatch.setattr(device, "find_devices", lambda: [small])
    if reason == "too small":
        monkeypatch.setattr(launch, "START_SECONDS", 0.0)
    train_step(request_for(tmp_path, "auto"))
    said = {
        "too small": "Training on the CPU: training needs ",
        "too short a text": "Training on the CPU: no GPU is expected to be faster on this text",
    }
    assert said[reason] in capsys.readouterr().out
    assert "two" in load(tmp_path / "model")


def test_gpu_that_was_asked_for_and_is_too_small_is_an_error(tmp_path, monkeypatch):
    small = dataclasses.replace(GPU, free=256 << 20)
    monkeypatch.setattr(device, "find_devices", lambda: [small])
    with pytest.raises(ResourceError, match="GiB of GPU memory"):
        train_step(request_for(tmp_path, "cuda"))
    assert not (tmp_path / "model").exists()


def test_long_texts_and_few_threads_are_for_a_gpu():
    def cpu(tokens, threads=4, **changes):
        return launch.ends_before_a_gpu_begins(hyperparameters(**changes), tokens, threads)

    assert cpu(10**6, vector_dim=100)
    assert not cpu(10**9, vector_dim=100)
    most = next(n for n in range(10**6, 10**9, 10**6) if not cpu(n, vector_dim=100))
    assert cpu(most, threads=8, vector_dim=100)
    assert cpu(most, vector_dim=100, mode="cbow")
    assert not cpu(most - 10**6, vector_dim=100, subwords=True)
    assert not cpu(most - 10**6, vector_dim=300)


@pytest.mark.parametrize("mode", ["skipgram", "cbow", "batch_skipgram"])
def test_run_begins_and_draws_as_the_cpus(mode):
    corpus, counts = language(lines=20, length=8)
    cpu = Word2VecTraining(corpus, counts, settings_for(mode=mode), seed=3)
    gpu, sampling = start(mode=mode), cpu._job._sampling
    tables = gpu._plan.program.tables[0]
    np.testing.assert_array_equal(tables.keep, sampling.keep)
    np.testing.assert_array_equal(tables.negatives, sampling.negatives.entries)
    bound = initial_bound(settings_for(mode=mode))
    for matrix in (cpu.input, gpu.input):
        assert 0.9 * bound < np.abs(matrix).max() <= bound
    assert not gpu.output.any()


def test_surface_is_the_cpus():
    names = [name for name in vars(Word2VecTraining) if not name.startswith("_")]
    assert [name for name in names if not hasattr(CudaWord2VecTraining, name)] == []
    corpus, counts = language(lines=20, length=8)
    cpu, gpu = Word2VecTraining(corpus, counts, hyperparameters()), start()
    for name in [name for name in vars(cpu) if not name.startswith("_")]:
        assert hasattr(gpu, name), name
