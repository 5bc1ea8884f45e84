"""How many streams train at once: enough to keep the GPU busy, few enough that they do not train on stale vectors.

Streams read vectors, and add their changes a moment later; in between others train the same words. What that costs was simulated on a
CPU, with streams in lock step, the worst case (16M words of Wikipedia, 69,000 words of vocabulary, one epoch of skip-gram, dim 100,
learning rate 0.05). Analogies are 0.18 with 16 streams, 0.19 with 512, 0.20 with 2,048; with 4,096 training diverges. (CBOW, one step a
window where skip-gram has six, has 0.15 with 16 streams and 0.16 with 4,096.) It begins with the most frequent word, which 8.7 % of the
windows train as an output: the sum of many changes that were each right alone goes too far. So the bound is on the changes under way to
one row. They follow from the counts: a GPU that could run more streams than a text can bear leaves some out.

Texts of a classifier change the same few rows, those of the labels, and bear fewer streams. The same simulation
(tests/benchmarks/cuda_staleness.py; AG News, 33,000 texts, dim 10, 5 epochs of softmax) has a precision of 0.899 with one stream, 0.897
with 64 and 0.894 with 256 at a learning rate of 0.25, and diverges with 1,024; at 1.0 it is 0.897, 0.901 with 16, 0.870 with 64, and
diverges with 256.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kftext.blazingtext.cuda.device import Device
from kftext.blazingtext.cuda.kernels.batch_skipgram import batch_skipgram
from kftext.blazingtext.cuda.kernels.cbow import cbow
from kftext.blazingtext.cuda.kernels.compilation import SIMULATED
from kftext.blazingtext.cuda.kernels.shape import LANES, RowShape, Shape, TextShape
from kftext.blazingtext.cuda.kernels.skipgram import skipgram
from kftext.blazingtext.cuda.kernels.supervised import supervised
from kftext.blazingtext.hyperparameters import SupervisedHyperparameters, Word2VecHyperparameters
from kftext.blazingtext.matrices import stride_for
from kftext.blazingtext.subwords import Subwords
from kftext.blazingtext.supervised_job import NEGATIVE_POWER
from kftext.blazingtext.word2vec import negative_power

__all__ = [
    "KERNELS",
    "Limits",
    "ends_before_a_gpu_begins",
    "expects_to_be_faster",
    "most_streams",
    "most_text_streams",
    "plan_streams",
    "shape_for",
    "text_shape_for",
]

KERNELS: dict[str, Any] = {
    "skipgram": skipgram,
    "cbow": cbow,
    "batch_skipgram": batch_skipgram,
    "supervised": supervised,
}

_LANES = 1 if SIMULATED else LANES
"""Threads that train a stream: a warp, but one in numba's simulator, where threads cost more than they save."""

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


MOST_LABEL_CHANGES = {"softmax": 12.0, "hs": 12.0, "ns": 12.0, "ova": 4.0}
"""Sum of the learning rates of the texts under way at one row of the output matrix, by loss. In the simulation 16 cost 0.006 of the
precision at most; but with ova, where a text moves its words by all labels at once, 16 diverged with 735 labels, and 4 cost 0.001."""

START_SECONDS = 15.0
"""To find the GPU, to compile a kernel and to copy the matrices: an estimate."""

STREAM_FLOATS, THREAD_FLOATS = 1.5e8, 1e9
"""Tokens a second times floats of a row that a stream and a thread of the CPU train. A stream's is an estimate from what a warp waits
for, a thread's was measured."""

WORD_FLOATS = {"skipgram": 1.5e8, "batch_skipgram": 1.5e8, "cbow": 3.6e8}
"""What a thread of the CPU trains in Word2Vec, as `THREAD_FLOATS`: measured with skip-gram and CBOW, windows of 5 words and 5 negatives.
With subwords it is less by `SUBWORDS_SHARE`."""

SUBWORDS_SHARE = 0.46


def shape_for(hyperparameters: Word2VecHyperparameters) -> Shape:
    """Return what the kernel of these hyperparameters is compiled for."""
    return Shape(
        dim=hyperparameters.vector_dim,
        window=hyperparameters.window_size,
        negatives=hyperparameters.negative_samples,
        subwords=hyperparameters.subwords,
        exact=hyperparameters.exact,
        batch_size=hyperparameters.batch_size if hyperparameters.mode == "batch_skipgram" else 0,
        lanes=_LANES,
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


def text_shape_for(hyperparameters: SupervisedHyperparameters, labels: int) -> TextShape:
    """Return what the classifier's kernel is compiled for."""
    room = LANES
    if hyperparameters.loss == "softmax":
        room = max(room, 1 << (labels - 1).bit_length())
    return TextShape(
        hyperparameters.vector_dim, hyperparameters.loss, room, hyperparameters.subwords, _LANES
    )


def most_text_streams(
    label_counts: npt.NDArray[np.int64], hyperparameters: SupervisedHyperparameters
) -> int:
    """Return how many streams the labels bear.

    Args:
        label_counts: int64[labels].
        hyperparameters: of the run.
    """
    # softmax and ova train each label with each text, hs the root of the tree.
    hits = 1.0
    if hyperparameters.loss == "ns":
        counts = np.maximum(label_counts, 1)
        negative = counts**NEGATIVE_POWER
        drawn = hyperparameters.negative_samples * negative / negative.sum()
        hits = float((counts / counts.sum() + drawn).max())
    most = MOST_LABEL_CHANGES[hyperparameters.loss]
    return max(int(most / (hyperparameters.learning_rate * hits)), 1)


def expects_to_be_faster(shape: RowShape, streams: int, tokens: int, threads: int) -> bool:
    """Return whether streams are expected to end before threads of the CPU, with tokens of all epochs to train."""
    floats = float(tokens * shape.stride)
    return START_SECONDS + floats / (STREAM_FLOATS * streams) < floats / (THREAD_FLOATS * threads)


def ends_before_a_gpu_begins(
    hyperparameters: Word2VecHyperparameters, tokens: int, threads: int
) -> bool:
    """Return whether threads of the CPU are expected to have trained Word2Vec while a GPU is still getting ready.

    Args:
        hyperparameters: of the run.
        tokens: of all epochs, words that are left out included.
        threads: of the CPU.
    """
    rate = WORD_FLOATS[hyperparameters.mode] * threads
    if hyperparameters.subwords:
        rate *= SUBWORDS_SHARE
    return tokens * stride_for(hyperparameters.vector_dim) / rate < START_SECONDS


@dataclass(frozen=True)
class Limits:
    """How many streams each of the limits leaves.

    Attributes:
        device: the GPU's multiprocessors, and their shared memory.
        vocabulary: `most_streams`, or `most_text_streams`.
        corpus: the tokens of a chunk.
    """

    device: int
    vocabulary: int
    corpus: int

    @property
    def streams(self) -> int:
        """The smallest of them."""
        return min(self.device, self.vocabulary, self.corpus)


def plan_streams(device: Device, shape: RowShape, vocabulary: int, tokens: int) -> Limits:
    """Return the limits on the number of streams of a GPU.

    Args:
        device: the GPU.
        shape: what the kernel is compiled for.
        vocabulary: how many streams the vocabulary, or the labels, bear.
        tokens: of a chunk: all streams are to be at work until it ends.
    """
    fit = device.shared // (shape.shared_bytes + _SHARED_OVERHEAD)
    resident = device.multiprocessors * min(STREAMS_A_MULTIPROCESSOR, fit)
    return Limits(resident, vocabulary, max(tokens // TOKENS_A_STREAM, 1))
