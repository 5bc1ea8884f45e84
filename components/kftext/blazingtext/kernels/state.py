"""What the kernels are handed: named tuples of arrays, so that a kernel has a handful of arguments and each has a name.

Matrices are flat float32 arrays of rows of `stride` floats: the dimension rounded up to a multiple of 16, the rest of a row zeros.
A kernel goes over a slice of a corpus, short enough that its learning rate is constant (`kftext.blazingtext.hogwild`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kftext.blazingtext.kernels.logistic import GROUP, Step, allocate_step, groups_for
from kftext.blazingtext.kernels.sampling import AliasTable

__all__ = ["Lines", "Paths", "Sampling", "Weights", "Worker", "allocate_worker", "no_paths"]

Float32Array = npt.NDArray[np.float32]


class Lines(NamedTuple):
    """A slice of a corpus: line i is ids[offsets[i]:offsets[i + 1]].

    Attributes:
        ids: int32[n].
        offsets: int64[lines + 1], from 0 to n.
    """

    ids: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]


class Weights(NamedTuple):
    """The two matrices that are trained.

    Attributes:
        input: float32[rows * stride], word vectors, then the rows of character or word n-grams.
        output: float32[(rows + 1) * stride]; the last row is spare: zeros, which fill up a group of rows.
        stride: floats in a row, a multiple of 16.
    """

    input: Float32Array
    output: Float32Array
    stride: int


class Paths(NamedTuple):
    """Huffman codes: word w turns turns[k] at inner node nodes[k], for k in offsets[w]:offsets[w + 1].

    Attributes:
        offsets: int64[words + 1].
        nodes: int32[n].
        turns: float32[n], 0 or 1.
    """

    offsets: npt.NDArray[np.int64]
    nodes: npt.NDArray[np.int32]
    turns: Float32Array


class Sampling(NamedTuple):
    """What is drawn at random, and what a word is trained against.

    Attributes:
        keep: uint32[words], see `sampling.keep_thresholds`.
        negatives: the table that negatives are drawn from.
        paths: Huffman paths, used in place of negatives where a worker draws none.
        window: the farthest context word.
        exact: whether each pair of words draws its own negatives.
    """

    keep: npt.NDArray[np.uint32]
    negatives: AliasTable
    paths: Paths
    window: int
    exact: bool


class Worker(NamedTuple):
    """What a thread calls its own.

    Attributes:
        random: uint64[1], state of the generator.
        line: int64[longest line], the words of the line at hand that subsampling kept.
        next_negatives: int64[negatives], those of the window after the one at hand.
        later_negatives: int64[negatives], those of the window after that.
        rows_ahead: int64[groups * GROUP], where the output rows of later_negatives start, some of them twice to fill up a group.
        contexts: int64[inputs], where the input vectors of the context words start.
        shares: float32[inputs], how many rows each of those is the mean of.
        step: work space of `logistic.train_step`.
        hidden: float32[2 * stride], a mean of input vectors and its gradient.
        totals: float64[2], sum of the losses looked at and how many those are.
    """

    random: npt.NDArray[np.uint64]
    line: npt.NDArray[np.int64]
    next_negatives: npt.NDArray[np.int64]
    later_negatives: npt.NDArray[np.int64]
    rows_ahead: npt.NDArray[np.int64]
    contexts: npt.NDArray[np.int64]
    shares: Float32Array
    step: Step
    hidden: Float32Array
    totals: npt.NDArray[np.float64]


def no_paths() -> Paths:
    """Return what stands in for Huffman paths where the loss is another."""
    return Paths(np.zeros(1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32))


def allocate_worker(
    seed: int, *, longest_line: int, negatives: int, inputs: int, outputs: int, stride: int
) -> Worker:
    """Make a thread's own arrays.

    Args:
        seed: where its generator starts.
        longest_line: most words in a line.
        negatives: negatives drawn for a word, 0 for hierarchical softmax.
        inputs: most input vectors in a step.
        outputs: most output rows in a step.
        stride: floats in a row.
    """
    return Worker(
        np.array([seed], np.uint64),
        np.zeros(longest_line + 1, np.int64),
        np.zeros(negatives, np.int64),
        np.zeros(negatives, np.int64),
        np.zeros(groups_for(negatives) * GROUP, np.int64),
        np.zeros(inputs, np.int64),
        np.zeros(inputs, np.float32),
        allocate_step(inputs, outputs),
        np.zeros(2 * stride, np.float32),
        np.zeros(2, np.float64),
    )
