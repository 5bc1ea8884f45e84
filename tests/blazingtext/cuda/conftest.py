"""Fixtures of the CUDA tests."""

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
