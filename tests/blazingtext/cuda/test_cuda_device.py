"""Choosing a device: what is said where there is none, or one that can't be used."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from blazingtext.test_word2vec import hyperparameters, language
from kftext.blazingtext.cuda import device
from kftext.blazingtext.cuda.device import Device, select_devices
from kftext.blazingtext.cuda.kernels.shape import Shape
from kftext.blazingtext.cuda.memory import MemoryPlan
from kftext.blazingtext.hyperparameters import SupervisedHyperparameters
from kftext.errors import MissingExtraError, ResourceError, UsageError

SKIPGRAM = hyperparameters()
H100 = Device(0, "NVIDIA H100", (9, 0), 132, 70 << 30, 80 << 30, "12.9", 228 << 10)
NO_NUMBA_CUDA = """
import sys
sys.modules["numba_cuda"] = None
from kftext.blazingtext.cuda.device import select_devices
from kftext.blazingtext.hyperparameters import Word2VecHyperparameters
print(select_devices(sys.argv[1], Word2VecHyperparameters(mode="skipgram")))
"""


def run_without_numba_cuda(name):
    return subprocess.run(
        [sys.executable, "-c", NO_NUMBA_CUDA, name], capture_output=True, text=True, check=False
    )


def test_missing_extra_is_named():
    result = run_without_numba_cuda("cuda")
    assert MissingExtraError.__name__ in result.stderr
    assert "training on a GPU needs more packages: pip install 'kftext[cuda]'" in result.stderr


def test_auto_without_the_extra_is_the_cpu_and_says_so():
    result = run_without_numba_cuda("auto")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(
        '([], "Training on the CPU: training on a GPU needs more packages'
    )


def test_cpu_asks_for_nothing():
    assert select_devices("cpu", SKIPGRAM) == ([], "Training on the CPU")


def test_another_device_is_wrong_usage():
    with pytest.raises(UsageError, match="device=tpu: expected one of auto, cpu, cuda"):
        select_devices("tpu", SKIPGRAM)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        (
            SupervisedHyperparameters(mode="supervised", vector_dim=1025),
            "vector_dim=1025: expected 1024 at most",
        ),
        (hyperparameters(loss="hs"), "loss=hs trains on the CPU: expected loss=ns"),
        (hyperparameters(vector_dim=1025), "vector_dim=1025: expected 1024 at most"),
    ],
)
def test_what_a_gpu_can_not_train(settings, match):
    with pytest.raises(UsageError, match=match):
        select_devices("cuda", settings)
    devices, line = select_devices("auto", settings)
    assert devices == []
    assert match in line


def test_devices_found_are_named(monkeypatch):
    found = [H100]
    monkeypatch.setattr(device, "find_devices", lambda: found)
    devices, line = select_devices("auto", SKIPGRAM)
    assert devices == found
    assert line == (
        "Training on GPU 0: NVIDIA H100, compute capability 9.0, 70.0 of 80.0 GiB free, driver for CUDA 12.9"
    )


def test_classifier_trains_on_the_gpu_with_most_memory_free(monkeypatch):
    found = [H100, replace(H100, index=1, free=75 << 30), replace(H100, index=2)]
    monkeypatch.setattr(device, "find_devices", lambda: found)
    devices, line = select_devices("cuda", SupervisedHyperparameters(mode="supervised"))
    assert devices == found[1:2]
    assert line.startswith("Training on GPU 1: NVIDIA H100, ")
    assert line.endswith("; mode=supervised trains on one of 3 GPUs")
    assert select_devices("cuda", SKIPGRAM)[0] == found


def test_driver_is_to_be_of_the_packages_major_version():
    device._check_driver((12, 2), (12, 9))
    device._check_driver((13, 0), (12, 9))
    with pytest.raises(
        ResourceError,
        match=r"too old: it knows CUDA up to 11.8.*are of CUDA 12.9.*for CUDA 12 or later",
    ):
        device._check_driver((11, 8), (12, 9))


def test_machine_without_a_gpu_says_what_is_missing():
    """In a process of its own, since the simulator may be on in this one."""
    pytest.importorskip(
        "numba_cuda", reason="numba-cuda is not installed: pip install 'kftext[cuda]'"
    )
    program = "from kftext.blazingtext.cuda.device import find_devices; print(find_devices())"
    environment = {
        name: value for name, value in os.environ.items() if name != "NUMBA_ENABLE_CUDASIM"
    }
    result = subprocess.run(
        [sys.executable, "-c", program],
        env={**environment, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ResourceError.__name__ in result.stderr
    message = result.stderr.splitlines()[-1]
    assert "no GPU " in message
    assert len(message) < 200


def test_memory_plan_names_the_large_parts():
    gib = 1 << 30
    plan = MemoryPlan(
        6 * gib, 3 * gib, vocabulary=1000, corpus=gib // 4, scratch=0, averaging=gib // 4
    )
    small = replace(H100, index=1, name="small", free=8 * gib, total=16 * gib)
    with pytest.raises(ResourceError) as error:
        plan.check(small)
    assert (
        "training needs 9.50 GiB of GPU memory (input 6.00, output 3.00, corpus 0.25, averaging 0.25), and GPU 1 (small) has "
        "7.75" in str(error.value)
    )
    plan.check(replace(small, name="large", free=12 * gib))


def test_streams_follow_the_text():
    launch = pytest.importorskip(
        "kftext.blazingtext.cuda.launch", reason="numba-cuda is not installed"
    )
    from kftext.blazingtext.kernels.sampling import keep_thresholds
    from kftext.blazingtext.subwords import compute_subwords

    def bears(counts, **changes):
        settings = hyperparameters(sampling_threshold=1e-4, **changes)
        subwords = None
        if settings.subwords:
            subwords = compute_subwords(
                [b"word%d" % n for n in range(len(counts))], 3, 6, settings.buckets
            )
        keep = keep_thresholds(counts, int(counts.sum()), 1e-4)
        return launch.most_streams(counts, keep, settings, subwords)

    small, large = (
        (10_000_000 / np.arange(1, words + 1)).astype(np.int64) for words in (1_000, 100_000)
    )
    assert bears(small) < bears(large)
    assert bears(large, learning_rate=0.025) == pytest.approx(
        2 * bears(large, learning_rate=0.05), abs=2
    )
    assert bears(large, mode="cbow") > bears(large)
    assert bears(large, subwords=True, buckets=100_000) < bears(large)
    assert bears(language()[1]) >= 1


def test_streams_follow_the_gpu_and_the_text():
    launch = pytest.importorskip(
        "kftext.blazingtext.cuda.launch", reason="numba-cuda is not installed"
    )

    small, large = Shape(100, 5, 5), Shape(288, 8, 5, subwords=True)

    def streams(vocabulary, tokens, shape=small):
        return launch.plan_streams(H100, shape, vocabulary, tokens).streams

    assert streams(10**6, 10**9) == 132 * launch.STREAMS_A_MULTIPROCESSOR
    assert streams(10**6, 5000) == 2
    assert streams(7, 10**9) == 7
    assert streams(10**6, 1) == 1
    # A ring of almost 40 KB for each stream: five fit into 228 KB.
    assert 39_000 < large.shared_bytes <= 40 << 10
    assert streams(10**6, 10**9, large) == 132 * 5
