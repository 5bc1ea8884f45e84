"""Matrix products in bfloat16, weights and the rest in float32: Kalamkar et al., "A Study of BFLOAT16 for Deep Learning Training", 2019.

TensorFlow rewrites the graph, so that it works for SavedModels of any make. On a CPU that multiplies bfloat16 a transformer's step takes
a quarter less time or better; on another one it takes longer. A GPU is left as it is: TensorFlow's products are in TF32 there.
`tests/benchmarks/text_classification_options.py` measures it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import tensorflow as tf

__all__ = ["bfloat16_products", "pays"]

_OPTION = "auto_mixed_precision_onednn_bfloat16"
_INSTRUCTIONS = {"avx512_bf16", "amx_bf16"}


def pays() -> bool:
    """Whether this machine multiplies bfloat16 faster than float32, and has no GPU that would do it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.startswith("flags")), "")
    return not tf.config.list_logical_devices("GPU") and not _INSTRUCTIONS.isdisjoint(flags.split())


@contextmanager
def bfloat16_products(*, wanted: bool) -> Iterator[None]:
    """Let the graphs that are first run inside multiply in bfloat16; the process's setting is as before afterwards."""
    if not wanted:
        yield
        return
    before = tf.config.optimizer.get_experimental_options().get(_OPTION, False)
    tf.config.optimizer.set_experimental_options({_OPTION: True})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({_OPTION: before})
