"""The classifier's CUDA kernel against the oracle of its CPU twin, and against that twin: every loss."""

import numpy as np
import pytest

pytest.importorskip("numba_cuda", reason="numba-cuda is not installed: pip install 'kftext[cuda]'")

from blazingtext.cuda.simulator import in_simulator
from blazingtext.cuda.supervised_cases import TextCase
from blazingtext.kernels import naive_kernels as naive
from kftext.blazingtext.cuda.kernels import features
from kftext.blazingtext.cuda.kernels.compilation import SIMULATED
from kftext.blazingtext.cuda.kernels.shape import LANES, TextShape
from kftext.blazingtext.cuda.kernels.state import Features

LOSSES = ["softmax", "ova", "ns", "hs"]
SHAPES = [
    {"labels": 2, "dim": 1, "ngrams": 1},
    {"labels": 9, "dim": 20, "ngrams": 2},
    {"labels": 37, "dim": 17, "ngrams": 4},
]
each_loss = pytest.mark.parametrize("loss", LOSSES)


@in_simulator
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@each_loss
def test_kernel_equals_its_oracle(loss, shape, monkeypatch):
    TextCase(loss, **shape).check(monkeypatch)


@in_simulator
@each_loss
def test_kernel_equals_the_cpus(loss):
    TextCase(loss, ngrams=3, schedule_over=1e9).check_against_the_cpu()


@in_simulator
@each_loss
def test_lanes_share_the_work(loss, monkeypatch):
    """Texts have more words than there are lanes."""
    TextCase(loss, labels=11, ngrams=3, lanes=4, count=6).check(monkeypatch)


@in_simulator
@pytest.mark.parametrize("lanes", [1, 4])
def test_words_have_character_n_grams(lanes, monkeypatch):
    TextCase("softmax", subwords=True, lanes=lanes, count=8).check(monkeypatch)


@in_simulator
@pytest.mark.parametrize("loss", ["softmax", "ova"])
def test_whole_warp(loss, monkeypatch):
    """Sums by shuffles, as on a GPU; fewer lanes take a shorter way."""
    TextCase(loss, lanes=LANES, dim=40, count=2).check(monkeypatch)


@in_simulator
@pytest.mark.parametrize(("dim", "group"), [(300, 5), (1024, 1)])
@pytest.mark.parametrize("loss", ["softmax", "ns"])
def test_large_vectors_have_smaller_groups(loss, dim, group, monkeypatch):
    case = TextCase(loss, dim=dim, count=3, labels=7)
    assert case.shape.group == group
    case.check(monkeypatch)


@in_simulator
@each_loss
def test_one_label(loss):
    """Nothing can be drawn against it, and its path is empty."""
    case = TextCase(loss, labels=1, count=5)
    matrices = case.run()
    assert all(np.isfinite(matrix).all() for matrix in matrices)
    if loss == "hs":
        np.testing.assert_array_equal(matrices[0], case.before[0])


@in_simulator
def test_scores_of_many_labels_lie_in_device_memory(monkeypatch):
    case = TextCase("softmax", streams=2, count=4, room=1 << 14)
    assert not case.shape.in_shared_memory
    case.check(monkeypatch)


@in_simulator
@each_loss
def test_streams_share_the_weights_and_the_learning_rate(loss, monkeypatch):
    TextCase(loss, streams=3, schedule_over=1).check(monkeypatch)


@in_simulator
def test_bucket_is_the_remainder():
    """The simulator's twin; on a GPU the comparison with the oracle covers the division by multiplication."""
    for buckets in (1, 50, 2_000_000):
        none = np.zeros(0, np.int32)
        table = Features(none, 0, np.uint64(buckets), 0, 2, none, none)
        for words in ([5, 4_000_000_000], [0, 0, 7], [2**31, 2**31 - 1]):
            h = features._first_hash(np.uint32(words[0]))
            for word in words[1:]:
                h = features._extend(h, np.uint32(word))
            rows = naive.ngram_rows(range(len(words)), words, 0, buckets, len(words))
            # The last of those that begin with the first word.
            assert features._bucket(h, table) == rows[len(words) - 2]


@pytest.mark.gpu
@pytest.mark.skipif(SIMULATED, reason="the simulator is on")
@pytest.mark.parametrize(
    "shape",
    [*SHAPES, {"dim": 100}, {"dim": 300}, {"dim": 1024}, {"room": 1 << 14}, {"subwords": True}],
    ids=str,
)
@each_loss
def test_kernel_equals_its_oracle_on_a_gpu(loss, shape, monkeypatch, gpu):
    TextCase(loss, lanes=LANES, on_device=gpu.to_device, **shape).check(monkeypatch)


def test_shape_says_what_it_needs():
    for dim in range(1, 1025):
        shape = TextShape(dim, "softmax")
        assert shape.rows_at_once * shape.chunks <= 32
        assert shape.chunks * LANES >= shape.stride
        assert shape.scratch_floats == shape.scratch_integers == 0
    assert TextShape(10, "softmax").rows_at_once == 32
    assert TextShape(10, "ova").floats == 0
    assert TextShape(10, "softmax", 1 << 14).scratch_floats == 1 << 14
