"""How many streams train at once: enough to keep the GPU busy, few enough that they do not train on stale vectors.

Streams read vectors, and add their changes a moment later; in between others train the same words. What that costs was simulated on a
CPU, with streams in lock step, the worst case (16M words of Wikipedia, 69,000 words of vocabulary, one epoch of skip-gram, dim 100,
learning rate 0.05). Analogies are 0.18 with 16 streams, 0.19 with 512, 0.20 with 2,048; with 4,096 training diverges. (CBOW, one step a
window where skip-gram has six, has 0.15 with 16 streams and 0.16 with 4,096.) It begins with the most frequent word, which 8.7 % of the
windows train as an output: the sum of many changes that were each right alone goes too far. So the bound is on the changes under way to
one row. They follow from the counts: a GPU that could run more streams than a text can bear leaves some out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kftext.blazingtext.cuda.device import Device
from kftext.blazingtext.cuda.kernels.batch_skipgram import batch_skipgram
from kftext.blazingtext.cuda.kernels.cbow import cbow
from kftext.blazingtext.cuda.kernels.shape import Shape
from kftext.blazingtext.cuda.kernels.skipgram import skipgram
from kftext.blazingtext.cuda.kernels.supervised import supervised
from kftext.blazingtext.hyperparameters import Word2VecHyperparameters
from kftext.blazingtext.subwords import Subwords
from kftext.blazingtext.word2vec import negative_power

__all__ = ["KERNELS", "Limits", "most_streams", "plan_streams", "shape_for"]

KERNELS: dict[str, Any] = {
    "skipgram": skipgram,
    "cbow": cbow,
    "batch_skipgram": batch_skipgram,
    "supervised": supervised,
}

STREAMS_A_MULTIPROCESSOR = 8
"""Two warps for each of its four schedulers; a window's own instructions hide part of what it waits for."""

_SHARED_OVERHEAD = 1 << 10
"""Bytes of shared memory that CUDA keeps for each block."""

TOKENS_A_STREAM = 2048
"""A stream trains so many tokens of a chunk at least: with fewer, much of the time goes by until the last has ended."""

MOST_OUTPUT_CHANGES = 30.0
"""Sum of the learning rates of the pairs under way at one output row. 53 did no harm in the simulation, 107 diverged."""

MOST_INPUT_CHANGES = 0.8
"""Sum of the learning rates of the windows that hold back changes to one input row, where words have subwords. In the same simulation,
with vectors held back while they are in a window, 0.35 did no harm and 1.4 cost a tenth of the analogies."""


def shape_for(hyperparameters: Word2VecHyperparameters, lanes: int) -> Shape:
    """Return what the kernel of these hyperparameters is compiled for."""
    return Shape(
        dim=hyperparameters.vector_dim,
        window=hyperparameters.window_size,
        negatives=hyperparameters.negative_samples,
        subwords=hyperparameters.subwords,
        exact=hyperparameters.exact,
        batch_size=hyperparameters.batch_size if hyperparameters.mode == "batch_skipgram" else 0,
        lanes=lanes,
    )


def most_streams(
    counts: npt.NDArray[np.int64],
    keep: npt.NDArray[np.uint32],
    hyperparameters: Word2VecHyperparameters,
    subwords: Subwords | None,
) -> int:
    """Return how many streams a vocabulary bears.

    Args:
        counts: int64[words].
        keep: uint32[words], `sampling.keep_thresholds`.
        hyperparameters: of the run.
        subwords: what words are made of, or None.
    """
    kept = np.maximum(counts, 1) * (keep / 2**32)
    share, negative = kept / kept.sum(), np.maximum(counts, 1) ** negative_power(hyperparameters)
    hits = share + hyperparameters.negative_samples * negative / negative.sum()
    # A window reaches evenly from 1 to window_size to both sides.
    pairs = (
        1
        if hyperparameters.exact or hyperparameters.mode == "cbow"
        else hyperparameters.window_size + 1
    )
    if hyperparameters.mode == "batch_skipgram":
        pairs = hyperparameters.batch_size
    rate = hyperparameters.learning_rate
    bound = MOST_OUTPUT_CHANGES / (rate * pairs * float(hits.max()))
    if subwords:
        # A row is a part of a word's mean; the word moves by that part of what the row does.
        rows = np.diff(subwords.offsets)
        weights = np.repeat(share / rows, rows)
        hottest = float(np.bincount(subwords.rows, weights).max())
        held_back = 2 * hyperparameters.window_size + 1
        bound = min(bound, MOST_INPUT_CHANGES / (rate * held_back * hottest))
    return max(int(bound), 1)


@dataclass(frozen=True)
class Limits:
    """How many streams each of the limits leaves.

    Attributes:
        device: the GPU's multiprocessors, and their shared memory.
        vocabulary: `most_streams`.
        corpus: the tokens of a chunk.
    """

    device: int
    vocabulary: int
    corpus: int

    @property
    def streams(self) -> int:
        """The smallest of them."""
        return min(self.device, self.vocabulary, self.corpus)


def plan_streams(device: Device, shape: Shape, vocabulary: int, tokens: int) -> Limits:
    """Return the limits on the number of streams of a GPU.

    Args:
        device: the GPU.
        shape: what the kernel is compiled for.
        vocabulary: how many streams the vocabulary bears.
        tokens: of a chunk: all streams are to be at work until it ends.
    """
    fit = device.shared // (shape.shared_bytes + _SHARED_OVERHEAD)
    resident = device.multiprocessors * min(STREAMS_A_MULTIPROCESSOR, fit)
    return Limits(resident, vocabulary, max(tokens // TOKENS_A_STREAM, 1))
