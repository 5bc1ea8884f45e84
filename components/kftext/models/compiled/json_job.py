"""A prediction in JSON that a thread without the interpreter's lock can make: all it needs, as numbers in one array."""

from __future__ import annotations

from enum import IntEnum
from typing import Protocol

import numpy as np
import numpy.typing as npt
from numba import carray

from kftext.errors import ModelFormatError, ResourceError
from kftext.models.classifier import NOT_FINITE
from kftext.models.compiled.compilation import Callback, compiled, entry
from kftext.models.compiled.memory import Field, address, data_pointer, load_u8, pointer
from kftext.models.compiled.threads import Job

__all__ = [
    "FAULTY",
    "RESULT",
    "UNWRITTEN",
    "JsonJob",
    "JsonPredictor",
    "line_places",
    "numbers_of",
    "written",
]

FAULTY, UNWRITTEN = -1, -2
"""In place of a number of bytes: the model's numbers are not finite; the answers can't be written in this way."""

_UNDONE = -3
"""In place of a number of bytes until the job is done; afterwards too, where memory was lacking."""


class _Slot(IntEnum):
    """Index of each number of a job behind those of `threads.Slot`; addresses as in `Field`."""

    STATE = 2
    TEXT = 3
    LENGTH = 4
    COUNT = 5
    K = 6
    THRESHOLD = 7  # the bits of a float64
    SEPARATOR = 8
    OUT = 9
    ROOM = 10
    RESULT = 11  # bytes written


STATE, TEXT, LENGTH, COUNT = (
    int(_Slot.STATE),
    int(_Slot.TEXT),
    int(_Slot.LENGTH),
    int(_Slot.COUNT),
)
K, THRESHOLD, SEPARATOR = int(_Slot.K), int(_Slot.THRESHOLD), int(_Slot.SEPARATOR)
OUT, ROOM, RESULT = int(_Slot.OUT), int(_Slot.ROOM), int(_Slot.RESULT)
_NEWLINE = np.uint8(ord("\n"))
_SLOTS, _FIELDS = 1 + max(_Slot), len(Field)


class JsonPredictor(Protocol):
    """What makes such predictions.

    Attributes:
        state: int64[fields]; see `CompiledArrays`.
        json_callback: the function that does a job.
    """

    state: npt.NDArray[np.int64]
    json_callback: Callback

    def json_room(self, count: int, k: int) -> int:
        """Bytes that the answers take at most."""
        ...


@entry
def _describe(job, state, text, count, k, threshold, separator, out):
    """Fill in a job, int64[slots]; return its address."""
    job[STATE] = address(data_pointer(state))
    job[TEXT], job[LENGTH] = address(data_pointer(text)), len(text)
    job[COUNT], job[K], job[SEPARATOR] = count, k, separator
    job.view(np.float64)[THRESHOLD] = threshold
    job[OUT], job[ROOM] = address(data_pointer(out)), len(out)
    job[RESULT] = _UNDONE
    return address(data_pointer(job))


@compiled
def numbers_of(where):
    """What a job says.

    Args:
        where: its address.

    Returns:
        The job, int64[slots]; state, int64[fields]; the text as pointer and length; what a prediction takes beside them: count, k,
        threshold and separator; and where to write, uint8[...].
    """
    job = carray(pointer(where), _SLOTS, np.int64)
    state = carray(pointer(job[STATE]), _FIELDS, np.int64)
    out = carray(pointer(job[OUT]), job[ROOM], np.uint8)
    text = pointer(job[TEXT]), job[LENGTH]
    threshold = job.view(np.float64)[THRESHOLD]
    return job, state, text, (job[COUNT], job[K], threshold, job[SEPARATOR]), out


@compiled
def line_places(text, count):
    """Return where each of `count` documents starts and ends, int64[count] both, in a text that is a pointer and a length."""
    data, length = text
    starts, ends = np.empty(count, np.int64), np.empty(count, np.int64)
    starts[0] = line = 0
    for position in range(length):
        if load_u8(data, position) == _NEWLINE and line + 1 < count:
            ends[line], line = position, line + 1
            starts[line] = position + 1
    ends[count - 1] = length
    return starts, ends


def written(out: npt.NDArray[np.uint8], size: int) -> bytes | None:
    """What a prediction has written, by the size that it has returned; None where it was not able to.

    Raises:
        ModelFormatError: the model's numbers are not finite.
    """
    if size == FAULTY:
        raise ModelFormatError(NOT_FINITE)
    return out[:size].tobytes() if size >= 0 else None


class JsonJob(Job):
    """A prediction in JSON. It holds what the thread uses, so that all of it lives until the job is done.

    Args:
        predictor: what predicts.
        text: the documents with a newline between each two; one alone may hold newlines.
        count: how many documents.
        k: how many labels for each, at most all.
        threshold: smallest probability.
        separator: the byte between two answers.
    """

    __slots__ = ("_out", "_predictor", "_text")

    def __init__(
        self,
        predictor: JsonPredictor,
        text: bytes,
        count: int,
        k: int,
        threshold: float,
        separator: int,
    ):
        super().__init__(predictor.json_callback.address, _SLOTS)
        self._predictor, self._text = predictor, text
        self._out = np.empty(predictor.json_room(count, k), np.uint8)
        self.address = _describe(
            self.numbers, predictor.state, text, count, k, threshold, separator, self._out
        )

    def result(self) -> bytes | None:
        """The answers, once the job is done; None where they are not written in this way.

        Raises:
            ModelFormatError: the model's numbers are not finite.
            ResourceError: there was not enough memory.
        """
        size = int(self.numbers[RESULT])
        if size == _UNDONE:
            raise ResourceError("not enough memory to predict; send fewer or shorter instances")
        return written(self._out, size)
