"""Where TensorFlow trains: what is said where there is no GPU, and that nothing else is trained on without a word."""

import sys

import pytest

from kftext.errors import ResourceError, UsageError
from kftext.text_classification import device, train
from kftext.text_classification.step import StepOptions, train_step

tf = pytest.importorskip("tensorflow", reason="TensorFlow is not installed")


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])


def test_another_device_is_refused_before_tensorflow_is_asked(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    for choose in (device.check_device, device.choose_device):
        with pytest.raises(UsageError, match="device=tpu: expected one of auto, cpu, cuda"):
            choose("tpu")
    options = StepOptions("data", "model", "report.html", "encoder", {}, device="gpu")
    with pytest.raises(UsageError, match="device=gpu: expected one of auto, cpu, cuda"):
        train_step(options)
    arguments = ["--train", "data", "--model-dir", "model", "--model-id", "x", "--device", "tpu"]
    with pytest.raises(SystemExit) as end:
        train.main(arguments)
    assert end.value.code == 2
    assert "tpu" in capsys.readouterr().err


def test_cuda_without_a_gpu_is_an_error_that_says_what_was_found(no_gpu):
    with pytest.raises(
        ResourceError, match=r"^device=cuda: (TensorFlow .* CUDA|no GPU can be used)"
    ):
        device.choose_device("cuda")


def test_auto_without_a_gpu_says_why_it_is_the_cpu(no_gpu):
    assert device.choose_device("cpu") == "Training on the CPU"
    assert device.choose_device("auto").startswith("Training on the CPU: ")


def test_why_there_is_none(monkeypatch):
    assert device._why_no_gpu("2.20", False) == "TensorFlow 2.20 was built without CUDA"
    monkeypatch.setattr(device.ctypes, "CDLL", lambda name: None)
    assert "CUDA_VISIBLE_DEVICES" in device._why_no_gpu("2.20", True)

    def no_driver(name):
        raise OSError

    monkeypatch.setattr(device.ctypes, "CDLL", no_driver)
    assert "there is no NVIDIA driver" in device._why_no_gpu("2.20", True)


def test_gpus_are_named_and_hidden_from_a_run_on_the_cpu(monkeypatch):
    gpus, hidden = [tf.config.PhysicalDevice("/physical_device:GPU:0", "GPU")] * 2, []
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: gpus)
    monkeypatch.setattr(
        tf.config.experimental, "get_device_details", lambda gpu: {"device_name": "NVIDIA H100"}
    )
    monkeypatch.setattr(tf.config, "set_visible_devices", lambda *what: hidden.append(what))
    for name in ("auto", "cuda"):
        assert device.choose_device(name) == "Training on 2 GPUs: NVIDIA H100, NVIDIA H100"
    assert not hidden
    assert device.choose_device("cpu") == "Training on the CPU"
    assert hidden == [([], "GPU")]

    def at_work(*what):
        raise RuntimeError

    monkeypatch.setattr(tf.config, "set_visible_devices", at_work)
    with pytest.raises(ResourceError, match="runs already in this process"):
        device.choose_device("cpu")
