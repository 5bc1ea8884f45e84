"""What a run needs of a GPU's memory, known from its sizes before anything is trained."""

from __future__ import annotations

from dataclasses import dataclass

from kftext.blazingtext.cuda.device import Device
from kftext.errors import ResourceError

__all__ = ["MemoryPlan"]

_KEPT_FREE = 256 << 20
"""For the kernels' code and the driver's own needs."""


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes of device memory.

    Attributes:
        input: the input matrix, with the rows of n-grams.
        output: the output matrix.
        vocabulary: tables of subsampling and negatives, and what words are made of.
        corpus: two parts of the corpus, one in training and one on its way.
        scratch: work space of streams that need more than shared memory.
        averaging: what other GPUs' matrices are fetched to, in parts.
    """

    input: int
    output: int
    vocabulary: int
    corpus: int
    scratch: int
    averaging: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return sum(vars(self).values())

    def check(self, device: Device) -> None:
        """Raise ResourceError unless a GPU has so much memory free."""
        free = device.free - _KEPT_FREE
        if self.total <= free:
            return
        parts = ", ".join(
            f"{name} {size / 2**30:.2f}"
            for name, size in vars(self).items()
            if size > self.total // 50
        )
        raise ResourceError(
            f"training needs {self.total / 2**30:.2f} GiB of GPU memory ({parts}), and GPU {device.index} ({device.name}) "
            f"has {max(free, 0) / 2**30:.2f} of {device.total / 2**30:.1f} GiB left: lower buckets or vector_dim, raise "
            "min_count, end what else runs on the GPU, or train with device=cpu"
        )
