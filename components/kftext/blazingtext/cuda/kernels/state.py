"""What the kernels are handed, and what their pieces hand one another: named tuples, which the compiler takes apart into registers.

Matrices are flat float32 arrays of rows of `Shape.stride` floats, as on the CPU.
"""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = [
    "Draws",
    "Features",
    "Labels",
    "Line",
    "Lines",
    "Pending",
    "Sampling",
    "Schedule",
    "Scratch",
    "Span",
    "Streams",
    "Subwords",
    "Tally",
    "Task",
    "TextTask",
    "Texts",
    "Weights",
    "Worker",
]

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


class Texts(NamedTuple):
    """A part of the classifier's texts: text i is ids[offsets[i]:offsets[i + 1]] with labels[label_offsets[i]:label_offsets[i + 1]].

    Attributes:
        ids: int32[n].
        offsets: int32[texts + 1], from 0 to n.
        labels: int32[m].
        label_offsets: int32[texts + 1], from 0 to m.
        bounds: int32[streams + 1], stream s has the texts bounds[s] to bounds[s + 1].
    """

    ids: Array
    offsets: Array
    labels: Array
    label_offsets: Array
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


class Features(NamedTuple):
    """What tells the rows of a text, as the CPU's `features.Features`.

    Attributes:
        hashes: uint32[distinct ids], fastText's hash of each word.
        words: int64, ids below it have a row of their own.
        buckets: uint64, rows that word n-grams are hashed to.
        reciprocal: uint64, the greatest whole number not above (2^64 - 1) / buckets.
        longest: int64, the longest word n-gram, 1 for none.
        offsets, rows: int64[distinct ids + 1] and int32[n], where `TextShape.subwords` is on: an id stands for
            rows[offsets[id]:offsets[id + 1]].
    """

    hashes: Array
    words: Any
    buckets: Any
    reciprocal: Any
    longest: Any
    offsets: Array
    rows: Array


class Labels(NamedTuple):
    """What a text's label is trained against.

    Attributes:
        size: int64, how many labels there are.
        negatives: int64, labels drawn against it for the loss ns.
        table: uint64[labels], the entries of the CPU's `sampling.AliasTable` that those are drawn from.
        offsets, nodes, turns: int64[labels + 1], int32[n], float32[n]: the CPU's `state.Paths`, for the loss hs.
    """

    size: Any
    negatives: Any
    table: Array
    offsets: Array
    nodes: Array
    turns: Array


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


class Task(NamedTuple):
    """What all streams train, and on what.

    Attributes:
        ids: `Lines.ids`.
        weights, sampling, subwords: as above.
    """

    ids: Array
    weights: Weights
    sampling: Sampling
    subwords: Subwords


class TextTask(NamedTuple):
    """What all streams of a classifier train, and on what: see above."""

    texts: Texts
    weights: Weights
    features: Features
    labels: Labels


class Worker(NamedTuple):
    """What a warp calls its own, as seen by one of its lanes (`workspace` says what lies where).

    Attributes:
        lane: int32, which of the warp's threads this is.
        lanes: how many those are; the compiler knows `Shape.lanes`, the simulator asks.
        exchange: float32[EXCHANGE_FLOATS], for the simulator.
        integers: int32, shared memory, or device memory of all streams.
        integers_at: where this stream's begin.
        floats: float32, likewise.
        floats_at: likewise.
    """

    lane: Any
    lanes: int
    exchange: Array
    integers: Array
    integers_at: Any
    floats: Array
    floats_at: Any


class Line(NamedTuple):
    """The line at hand: ids[start:stop], and the state that its subsampling draws after."""

    start: Any
    stop: Any
    random: Any


class Span(NamedTuple):
    """The window at hand: the word at `position`, and its neighbours from `first` to `stop`, in a line of which `kept` words are known."""

    position: Any
    first: Any
    stop: Any
    kept: Any


class Draws(NamedTuple):
    """The state that the next window's negatives are drawn after, and the generator's."""

    tosses: Any
    state: Any


class Pending(NamedTuple):
    """Pairs that wait for their batch to fill, and the position of the oldest one's middle word."""

    pairs: Any
    oldest: Any


class Tally(NamedTuple):
    """Steps seen, and of those that were looked at the sum of the losses and the number of examples."""

    seen: Any
    loss: Any
    examples: Any
