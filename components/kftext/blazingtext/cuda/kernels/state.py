"""What the kernels are handed: named tuples of arrays in device memory.

Matrices are flat float32 arrays of rows of `Shape.stride` floats, as on the CPU.
"""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["Lines", "Sampling", "Schedule", "Scratch", "Streams", "Subwords", "Weights"]

Array = Any
"""An array of numba-cuda, or of its simulator."""


class Lines(NamedTuple):
    """A part of a corpus: line i is ids[offsets[i]:offsets[i + 1]], stream s the lines bounds[s] to bounds[s + 1].

    Attributes:
        ids: int32[n].
        offsets: int32[lines + 1], from 0 to n.
        bounds: int32[streams + 1].
    """

    ids: Array
    offsets: Array
    bounds: Array


class Weights(NamedTuple):
    """The two matrices.

    Attributes:
        input: float32[rows * stride], words, then n-grams.
        output: float32[words * stride], or more.
    """

    input: Array
    output: Array


class Sampling(NamedTuple):
    """What is drawn at random.

    Attributes:
        keep: uint32[words], see the CPU's `sampling.keep_thresholds`.
        negatives: uint64[words], the entries of the CPU's `sampling.AliasTable`.
    """

    keep: Array
    negatives: Array


class Subwords(NamedTuple):
    """Word w is made of the rows rows[offsets[w]:offsets[w + 1]]. Of no account where `Shape.subwords` is off.

    Attributes:
        offsets: int64[words + 1].
        rows: int32[n].
    """

    offsets: Array
    rows: Array


class Schedule(NamedTuple):
    """The learning rate falls linearly with the tokens done.

    Attributes:
        rate: float64, at the start of the run.
        total: float64, tokens of the whole run, all epochs.
    """

    rate: float
    total: float


class Streams(NamedTuple):
    """What outlives a launch.

    Attributes:
        random: uint64[streams], states of the generators.
        totals: float64[2 * streams], for each the sum of the losses looked at and how many those are.
        done: int64[1], tokens that all streams have done.
    """

    random: Array
    totals: Array
    done: Array


class Scratch(NamedTuple):
    """Work space in device memory, for what does not fit in shared memory.

    Attributes:
        floats: float32[streams * Shape.scratch_floats], at least one.
        integers: int32[streams * Shape.scratch_integers], at least one.
    """

    floats: Array
    integers: Array
