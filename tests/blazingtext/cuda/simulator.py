"""What tests in numba's simulator share."""

from __future__ import annotations

import pytest

from kftext.blazingtext.cuda.device import Device
from kftext.blazingtext.cuda.kernels.compilation import SIMULATED

GPU = Device(0, "simulated", (9, 0), 1, 8 << 30, 8 << 30, "12.9", 1 << 20)

SIMULATOR_MARKS = [
    pytest.mark.cuda_sim,
    pytest.mark.skipif(
        not SIMULATED, reason="these run in numba's simulator: NUMBA_ENABLE_CUDASIM=1"
    ),
]


def in_simulator(test):
    for mark in SIMULATOR_MARKS:
        test = mark(test)
    return test
