"""A SavedModel's function of texts, called in few shapes.

TensorFlow prepares each operation for the shapes it meets (oneDNN's kernels, the allocator's blocks): a server whose clients send
any number of texts pays for that again and again. So a call has a power of two of texts: what is missing is filled up with empty
texts, and their rows are cut off again. Texts of about the same length are together, since a transformer's call takes as long as
its longest text.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from kftext.errors import ModelFormatError, ResourceError

__all__ = ["LARGEST_BATCH", "TextFunction", "batch_sizes"]

LARGEST_BATCH = 64
"""Texts in one call. More don't make a transformer faster; a look-up of word vectors takes hardly longer than for one."""

_WARM_UP_SECONDS = 5.0
_LONG_TEXT = "a longer text to warm up with, " * 40


def batch_sizes(count: int, *, fill: bool) -> Iterator[int]:
    """Cut a number of texts into calls.

    Args:
        count: texts.
        fill: whether empty texts cost nothing. Else a call is filled up only where at most a quarter of it is empty, and what
            is left goes into smaller ones.

    Returns:
        Powers of two, the largest first. Their sum is `count` at least.
    """
    while count > 0:
        size = min(LARGEST_BATCH, 1 << (count - 1).bit_length())
        if not fill and count < 0.75 * size:
            size //= 2
        yield size
        count -= size


class TextFunction:
    """A graph that is traced once; any number of threads may call it at once.

    Args:
        call: of a tensor string[n], returns float32[n, width].
        owner: what owns the graph's variables: it lives as long as this object.
        fill: whether empty texts cost nothing: see `batch_sizes`.

    Raises:
        ModelFormatError: the function does not take texts, or does not return rows of numbers.
    """

    def __init__(self, call: Callable[[Any], Any], owner: Any, *, fill: bool):
        import tensorflow as tf

        self._tf, self._owner, self._fill = tf, owner, fill
        texts = tf.TensorSpec([None], tf.string, name="texts")
        try:
            self._graph = tf.function(call, input_signature=[texts]).get_concrete_function()
            shape = getattr(self._graph.structured_outputs, "shape", None)
        except (ValueError, TypeError, KeyError, tf.errors.OpError) as error:
            reason = str(error).strip().splitlines()[0]
            raise ModelFormatError(f"the SavedModel does not take texts ({reason})") from None
        if shape is None or shape.rank not in (2, None):
            raise ModelFormatError(f"the SavedModel returns {shape}: expected a row for each text")
        self.width: int | None = None if shape.rank is None else shape[-1]

    def __call__(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return float32[texts, width], in the order of the texts.

        Raises:
            ModelFormatError: the graph fails on these texts.
            ResourceError: not enough memory.
        """
        content = [text.encode("utf-8", "replace") for text in texts]
        if len(content) == 1:
            return self._run(content)
        order = sorted(range(len(content)), key=lambda index: len(content[index]), reverse=True)
        parts, start = [], 0
        for size in batch_sizes(len(order), fill=self._fill):
            batch = [content[index] for index in order[start : start + size]]
            found = self._run(batch + [b""] * (size - len(batch)))
            parts.append(found[: len(batch)])
            start += size
        if not parts:
            return np.zeros((0, self.width or 0), np.float32)
        result = np.empty((len(content), parts[0].shape[1]), np.float32)
        result[order] = np.concatenate(parts)
        return result

    def warm_up(self) -> None:
        """Call it in each batch size, with short and with long texts, as many as a few seconds allow."""
        deadline = time.monotonic() + _WARM_UP_SECONDS
        size = 1
        while size <= LARGEST_BATCH and time.monotonic() < deadline:
            for text in ("warm", _LONG_TEXT):
                self([text] * size)
            size *= 2

    def _run(self, content: list[bytes]) -> npt.NDArray[np.float32]:
        tf = self._tf
        try:
            return self._graph(tf.constant(content, tf.string)).numpy()
        except tf.errors.ResourceExhaustedError as error:
            raise ResourceError(f"out of memory in prediction: {_first_line(error)}") from None
        except tf.errors.OpError as error:
            raise ModelFormatError(f"the SavedModel fails: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
