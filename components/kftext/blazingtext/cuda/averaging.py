"""Replicas become their mean, from device memory to device memory.

Each replica that has trained owns a part of each matrix: it fetches that part of the others and adds them up, and then hands out the mean
(reduce-scatter and all-gather: Patarasuk and Yuan, "Bandwidth optimal all-reduce algorithms for clusters of workstations", 2009). GPUs
copy directly where they can reach each other's memory, over NVLink or PCIe; elsewhere the driver goes through the host's memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numba import cuda

from kftext.blazingtext.cuda.kernels.compilation import SIMULATED
from kftext.blazingtext.cuda.replica import Replica

__all__ = ["BUFFER_FLOATS", "Averaging"]

BUFFER_FLOATS = 1 << 22
"""Floats that a replica fetches at a time; each has room for so many."""

_BLOCKS, _THREADS = (1, 1) if SIMULATED else (1024, 256)


@cuda.jit
def _add(target, begin, source, n, scale):
    """Set target[begin:begin + n] to (itself + source[:n]) * scale."""
    for i in range(cuda.grid(1), n, cuda.gridsize(1)):
        target[begin + i] = (target[begin + i] + source[i]) * scale


class Averaging:
    """Averages the replicas of a run.

    Args:
        replicas: all of them.
    """

    def __init__(self, replicas: Sequence[Replica]):
        self._replicas = replicas
        self._buffers: dict[Replica, Any] = {}
        if not SIMULATED:
            _let_devices_reach_each_other({replica.device.index for replica in replicas})
        for replica in replicas:
            with replica.context():
                self._buffers[replica] = cuda.device_array(BUFFER_FLOATS, np.float32)

    def average(self, at_work: Sequence[Replica]) -> None:
        """Give all replicas the mean of the matrices of those that have trained. All must have ended; they have ended again on return."""
        for matrix in range(2):
            size = at_work[0].weights[matrix].size
            ends = np.linspace(0, size, len(at_work) + 1).astype(np.int64).tolist()
            parts = list(zip(at_work, pairwise(ends), strict=True))
            for owner, (begin, end) in parts:
                self._gather(owner, at_work, matrix, begin, end)
            for owner in at_work:
                owner.wait()
            for owner, (begin, end) in parts:
                mean = owner.weights[matrix][begin:end]
                for other in self._replicas:
                    if other is not owner and end > begin:
                        owner.copy(mean, owner, other.weights[matrix][begin:end], other)
            for owner in at_work:
                owner.wait()

    def _gather(
        self, owner: Replica, at_work: Sequence[Replica], matrix: int, begin: int, end: int
    ) -> None:
        """Begin to make the owner's elements from `begin` to `end` the mean."""
        others = [replica for replica in at_work if replica is not owner]
        target, buffer = owner.weights[matrix], self._buffers[owner]
        for first in range(begin, end, BUFFER_FLOATS):
            n = min(BUFFER_FLOATS, end - first)
            for i, other in enumerate(others):
                scale = np.float32(1 / len(at_work) if i + 1 == len(others) else 1)
                source = other.weights[matrix][first : first + n]
                owner.copy(source, other, buffer[:n], owner)
                with owner.context():
                    _add[_BLOCKS, _THREADS, owner.stream](target, first, buffer, n, scale)


def _let_devices_reach_each_other(indices: set[int]) -> None:
    """Switch on direct access between GPUs, by pairs, where it can be had."""
    from cuda.bindings import driver as bindings
    from numba.cuda.cudadrv.driver import CudaAPIError

    for one in indices:
        for other in indices - {one}:
            peer = cuda.gpus[other].get_primary_context().handle
            with cuda.gpus[one]:
                context = cuda.current_context()
                if not context.can_access_peer(other):
                    continue
                try:
                    context.enable_peer_access(peer)
                except CudaAPIError as error:
                    if error.code != bindings.CUresult.CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED:
                        raise
