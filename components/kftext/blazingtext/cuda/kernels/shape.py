"""What a kernel is compiled for: its sizes are constants, so that rows live in registers and loops unroll."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LANES", "RowShape", "Shape", "TextShape"]

LANES = 32
"""Threads of a warp."""

_ROW_MULTIPLE = 16
_SHARED_BYTES = 40 << 10
# Rows of so many chunks of 32 floats, twice (values and changes) and that many at a time, fit in 255 registers.
_GROUPS = ((8, 6), (10, 5), (13, 4), (18, 3), (24, 2), (32, 1))
# What a lane may hold of rows and inputs: the rest of the registers go to addresses, scores and the generator.
_ROW_REGISTERS = 140
# Floats a lane that a classifier reads before it waits.
_ROWS_IN_FLIGHT = 32


class RowShape:
    """Rows of floats, dealt out to the lanes of a warp, and a stream's work space."""

    dim: int
    lanes: int

    @property
    def floats(self) -> int:
        """Floats of a stream's work space."""
        return 0

    @property
    def integers(self) -> int:
        """Integers of a stream's work space."""
        return 0

    @property
    def stride(self) -> int:
        """Floats of a row: `dim` rounded up to a multiple of 16, as in the CPU's matrices."""
        return -(-self.dim // _ROW_MULTIPLE) * _ROW_MULTIPLE

    @property
    def chunks(self) -> int:
        """Floats of a row that each lane holds."""
        return -(-self.stride // self.lanes)

    @property
    def whole_chunks(self) -> int:
        """Those of them that every lane has a float of: in the last one some may have none."""
        return self.stride // self.lanes

    @property
    def group(self) -> int:
        """Output rows that are trained at a time: as many as registers hold, six at most, as on the CPU."""
        chunks = -(-self.stride // LANES)
        return next(group for most, group in _GROUPS if chunks <= most)

    @property
    def in_shared_memory(self) -> bool:
        """Whether the work space fits in shared memory; otherwise it lies in device memory."""
        return 4 * (self.floats + self.integers) <= _SHARED_BYTES

    @property
    def shared_bytes(self) -> int:
        """Shared memory that a stream takes."""
        return 4 * (self.floats + self.integers) if self.in_shared_memory else 0

    @property
    def scratch_floats(self) -> int:
        """Floats of device memory that a stream needs."""
        return 0 if self.in_shared_memory else self.floats

    @property
    def scratch_integers(self) -> int:
        """Integers of device memory that a stream needs."""
        return 0 if self.in_shared_memory else self.integers


@dataclass(frozen=True)
class Shape(RowShape):
    """Sizes of a kernel of Word2Vec.

    Attributes:
        dim: length of the vectors, 1 to 1024.
        window: the farthest context word.
        negatives: negatives drawn for a word, at least 1.
        subwords: whether a word's vector is the mean of several rows.
        exact: whether each pair of words draws its own negatives (skipgram alone).
        batch_size: pairs of a batch (batch_skipgram alone).
        lanes: threads of a warp; fewer in the simulator, where each is slow.
    """

    dim: int
    window: int
    negatives: int
    subwords: bool = False
    exact: bool = False
    batch_size: int = 0
    lanes: int = LANES

    @property
    def reads_ahead(self) -> bool:
        """Whether registers have room for the next input beside the one in training."""
        chunks = -(-self.stride // LANES)
        return (2 * self.group + 2) * chunks <= _ROW_REGISTERS

    @property
    def groups(self) -> int:
        """Groups that a word and its negatives fill at most."""
        return -(-(1 + self.negatives) // self.group)

    @property
    def word_places(self) -> int:
        """Places of the ring of words, a power of two: the window, a batch that waits, and what is kept ahead."""
        reach = 2 * self.window + 2 + self.lanes + self.batch_size
        return 1 << (reach - 1).bit_length()

    @property
    def ring_places(self) -> int:
        """Places of the ring of vectors, which only subwords need."""
        return 2 * self.window + 1 + self.batch_size if self.subwords else 0

    @property
    def ring_floats(self) -> int:
        """Floats of the ring: each vector as it is, and as it was when it came in."""
        return 2 * self.ring_places * self.stride

    @property
    def batch_floats(self) -> int:
        """Floats of a batch: gradients, and changes of 32 dimensions."""
        outputs = self.groups * self.group
        return (
            self.batch_size * outputs + (2 * self.batch_size + outputs) * self.lanes
            if self.batch_size
            else 0
        )

    @property
    def floats(self) -> int:
        """Floats of a stream's work space."""
        return self.ring_floats + self.batch_floats

    @property
    def integers(self) -> int:
        """Integers of a stream's work space: words, negatives, those chosen for a batch, positions of a batch's pairs."""
        return self.word_places + 2 * self.negatives + 2 * self.batch_size


@dataclass(frozen=True)
class TextShape(RowShape):
    """Sizes of the classifier's kernel.

    Attributes:
        dim: length of the vectors, 1 to 1024.
        loss: softmax, ova, ns or hs.
        labels: labels that there is room for, a power of two; softmax alone keeps a score for each.
        subwords: whether words have character n-grams.
        lanes: threads of a warp; fewer in the simulator.
    """

    dim: int
    loss: str
    labels: int = LANES
    subwords: bool = False
    lanes: int = LANES

    @property
    def floats(self) -> int:
        """Floats of a stream's work space: the labels' scores."""
        return self.labels if self.loss == "softmax" else 0

    @property
    def integers(self) -> int:
        """Integers of a stream's work space: rows of the text at hand, one a lane."""
        return self.lanes

    @property
    def rows_at_once(self) -> int:
        """Rows of a text that are read before the first of them is added up, so that they are waited for together."""
        return max(_ROWS_IN_FLIGHT // self.chunks, 1)
