"""Fixtures of the CUDA tests."""

import sys

import pytest

from kftext.errors import KftextError


@pytest.fixture(scope="session")
def gpu():
    """numba.cuda, where there is a GPU that can train."""
    from kftext.blazingtext.cuda.device import find_devices, require_numba_cuda

    try:
        find_devices()
    except KftextError as error:
        pytest.skip(str(error))
    return require_numba_cuda()


@pytest.fixture
def few_streams(monkeypatch):
    """Let runs have few streams: they are simulated one after the other."""
    from kftext.blazingtext.cuda import launch

    monkeypatch.setattr(launch, "STREAMS_A_MULTIPROCESSOR", 3)
    monkeypatch.setattr(launch, "TOKENS_A_STREAM", 20)
    interval = sys.getswitchinterval()
    # The simulator's threads wait for one another all the time, and its manager polls.
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)
