"""Each CUDA kernel against the oracle of its CPU twin: the same matrices after the same draws.

In numba's simulator a lane is a Python thread, so that most cases have one lane; with several, lanes share out words, draws and dimensions.
On a GPU the same cases run with the 32 lanes of a warp.
"""

import numpy as np
import pytest

pytest.importorskip("numba_cuda", reason="numba-cuda is not installed: pip install 'kftext[cuda]'")

from blazingtext.cuda.cuda_cases import Case
from blazingtext.cuda.simulator import in_simulator
from kftext.blazingtext.cuda.kernels import stream
from kftext.blazingtext.cuda.kernels.compilation import SIMULATED
from kftext.blazingtext.cuda.kernels.shape import LANES, Shape
from kftext.blazingtext.kernels import skipgram as cpu_skipgram

MODES = [
    {"mode": "skipgram"},
    {"mode": "skipgram", "exact": True},
    {"mode": "cbow"},
    {"mode": "batch_skipgram", "batch_size": 1},
    {"mode": "batch_skipgram", "batch_size": 11},
]
SHAPES = [
    {"dim": 1, "window": 1, "negatives": 1, "lines": 5},
    {"dim": 17, "window": 3, "negatives": 5, "lines": 4},
    {"dim": 20, "window": 9, "negatives": 13, "lines": 2},
]


@in_simulator
@pytest.mark.parametrize("subwords", [False, True], ids=["words", "subwords"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("mode", MODES, ids=str)
def test_kernel_equals_its_oracle(mode, shape, subwords, monkeypatch):
    monkeypatch.setattr(stream, "LOSS_EVERY", 3)
    Case(subwords=subwords, **mode, **shape).check(monkeypatch)


@in_simulator
@pytest.mark.parametrize("subwords", [False, True], ids=["words", "subwords"])
@pytest.mark.parametrize(
    "mode",
    [{"mode": "skipgram", "exact": True}, {"mode": "cbow"}, {"mode": "batch_skipgram", "batch_size": 7}],
    ids=str,
)  # fmt: skip
def test_kernel_equals_the_cpus(mode, subwords):
    """The same stream by the kernel and by the CPU's: where a step has one input, or all from before it, they are to agree."""
    case = Case(subwords=subwords, lines=4, schedule_over=1e9, **mode)
    expected = case.train_on_the_cpu()
    for comp, ref, start in zip(case.run(), expected, case.before, strict=True):
        assert np.abs(ref - start).max() > 0.01, "nothing was trained"
        np.testing.assert_allclose(comp, ref, atol=2e-5, rtol=1e-4)


@in_simulator
@pytest.mark.parametrize("mode", MODES[::2], ids=str)
def test_lanes_share_the_work(mode, monkeypatch):
    Case(lines=3, dim=20, lanes=4, subwords=mode["mode"] != "skipgram", **mode).check(monkeypatch)


@in_simulator
def test_whole_warp(monkeypatch):
    """Sums by shuffles, as on a GPU; fewer lanes take a shorter way."""
    Case("skipgram", lines=3, dim=40, window=1, lanes=LANES, longest=6).check(monkeypatch)


@in_simulator
@pytest.mark.parametrize(
    ("dim", "group", "reads_ahead"), [(300, 5, True), (600, 2, True), (1024, 1, True)]
)
def test_large_vectors_have_smaller_groups(dim, group, reads_ahead, monkeypatch):
    case = Case("skipgram", lines=1, dim=dim, negatives=4, window=2)
    assert (case.shape.group, case.shape.reads_ahead) == (group, reads_ahead)
    case.check(monkeypatch)


@in_simulator
def test_inputs_are_read_in_turn_where_registers_are_few(monkeypatch):
    case = Case("skipgram", lines=2, dim=560, negatives=4, window=2)
    assert not case.shape.reads_ahead
    case.check(monkeypatch)


def test_loss_is_looked_at_as_often_as_on_the_cpu():
    assert stream.LOSS_EVERY == cpu_skipgram.LOSS_EVERY


@in_simulator
def test_work_space_that_does_not_fit_in_shared_memory(monkeypatch):
    case = Case("cbow", lines=2, dim=600, window=8, subwords=True, streams=2)
    assert not case.shape.in_shared_memory
    case.check(monkeypatch)


@in_simulator
def test_streams_share_the_weights_and_the_learning_rate(monkeypatch):
    Case("skipgram", lines=9, streams=3, schedule_over=1).check(monkeypatch)


@pytest.mark.gpu
@pytest.mark.skipif(SIMULATED, reason="the simulator is on")
@pytest.mark.parametrize("subwords", [False, True], ids=["words", "subwords"])
@pytest.mark.parametrize(
    "shape",
    [*SHAPES, {"dim": 100, "window": 5, "negatives": 5}, {"dim": 300}, {"dim": 560}, {"dim": 1024}],
    ids=str,
)
@pytest.mark.parametrize("mode", MODES, ids=str)
def test_kernel_equals_its_oracle_on_a_gpu(mode, shape, subwords, monkeypatch, gpu):
    options = {**mode, **shape, "lines": 12, "lanes": LANES, "on_device": gpu.to_device}
    Case(subwords=subwords, **options).check(monkeypatch)


def test_shape_keeps_rows_in_registers_and_says_what_it_needs():
    for dim in range(1, 1025):
        shape = Shape(dim, 5, 5)
        assert shape.stride % 16 == 0
        assert dim <= shape.stride < dim + 16
        assert shape.chunks * LANES >= shape.stride
        assert 1 <= shape.group <= 6
        assert 2 * shape.group * shape.chunks <= 108
        assert shape.in_shared_memory
        assert shape.scratch_floats == shape.scratch_integers == 0
    small, large = Shape(100, 5, 5, subwords=True), Shape(1024, 20, 5, subwords=True)
    assert small.in_shared_memory
    assert large.scratch_floats == 2 * 41 * 1024
    for window in (1, 5, 100):
        places = Shape(100, window, 5, batch_size=11).word_places
        assert places & (places - 1) == 0
        assert places >= 2 * window + 2 + LANES + 11


def test_kernels_import_nothing_but_numpy_and_numba():
    """They are to run on a machine that has a GPU and little else."""
    import ast
    from pathlib import Path

    from kftext.blazingtext.cuda import kernels

    for file in Path(kernels.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                known = name.startswith("kftext.blazingtext.cuda.kernels") or name.split(".")[0] in (
                    "__future__", "collections", "dataclasses", "functools", "llvmlite", "math", "numba", "numpy", "threading", "types", "typing",
                )  # fmt: skip
                assert known, f"{file.name} imports {name}"


def test_generator_is_the_cpus():
    if not SIMULATED:
        pytest.skip("device functions can't be called from Python outside the simulator")
    from blazingtext.kernels import naive_kernels as naive
    from kftext.blazingtext.cuda.kernels import sampling

    random, state = naive.Random(987), sampling.state_of(np.uint64(987))
    assert [sampling.draw(state, k) for k in range(1, 6)] == [random.next() for _ in range(5)]
    assert sampling.advance(state, 5) == random.state
    assert sampling.below((1 << 64) - 1, 10) == 9
