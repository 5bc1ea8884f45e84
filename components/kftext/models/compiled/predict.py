"""The entry points of compiled prediction."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import numpy.typing as npt

from kftext.models.arguments import Loss
from kftext.models.compiled.compilation import Callback, compiled, entry
from kftext.models.compiled.json_job import (
    FAULTY,
    RESULT,
    UNWRITTEN,
    line_places,
    numbers_of,
    written,
)
from kftext.models.compiled.json_text import write_rows
from kftext.models.compiled.memory import Field, data_pointer
from kftext.models.compiled.model import CompiledModel
from kftext.models.compiled.rows import line_rows, most_rows
from kftext.models.compiled.scores import best_labels, hidden_vector
from kftext.models.compiled.tokens import token_scratch
from kftext.models.fasttext_format import FastTextModel
from kftext.models.hierarchical_softmax import HuffmanTree
from kftext.models.matrix import DenseMatrix

__all__ = ["CompiledClassifier"]

_LARGEST_COPY = 64 << 20
"""Bytes of an output matrix up to which it is copied into the layout that multiplies fastest."""

_BLOCK = 8192
"""Rows that are found before they are summed up; their indexes stay in the second cache."""

_DIM, _LABELS = int(Field.DIM), int(Field.LABELS)


@compiled
def _predict_document(state, text, k, threshold, values, indices):
    """As `_predict_one`, for a text that is a pointer to its bytes and how many they are."""
    data, length = text
    rows = np.empty(most_rows(state, data, 0, length), np.int64)
    count = line_rows(state, data, 0, length, length, rows, token_scratch(length))
    if count == 0:
        return 0
    hidden, scores = (
        np.empty(state[_DIM], np.float32),
        np.empty(state[_LABELS], np.float32),
    )
    hidden_vector(state, rows, (0, count, count), hidden)
    return best_labels(state, hidden, k, np.float32(threshold), scores, values, indices)


@entry
def _predict_one(state, text, k, threshold, values, indices):
    """Predict one text (bytes); return the number of labels, -1 where the model's numbers are not finite.

    The threshold comes as a float64: a `numpy.float32` made in Python costs as much as the rest of the call.
    """
    content = data_pointer(text), len(text)
    return _predict_document(state, content, k, threshold, values, indices)


@entry
def _predict_first(state, text, threshold):
    """Predict one text's best label; return the number of labels (0, 1 or -1), its probability and its id."""
    values, indices = np.empty(2, np.float32), np.empty(2, np.int32)
    size = _predict_one(state, text, 1, threshold, values, indices)
    if size != 1:
        return size, np.float32(0), np.int32(0)
    return size, np.float32(math.exp(np.float64(values[0]))), indices[0]


@compiled
def _predict_span(state, text, span, threshold, values, indices, sizes):
    """Predict lines first to last - 1 of a text.

    Args:
        state: int64[fields].
        text: pointer to the bytes, and how many of them there are.
        span: starts and ends of the lines, first and last: see `_predict_range`.
        threshold: float32, smallest probability.
        values: as for `_predict_range`.
        indices: as for `_predict_range`.
        sizes: as for `_predict_range`.
    """
    data, readable = text
    starts, ends, first, last = span
    k = values.shape[1]
    longest = bound = total = 0
    for line in range(first, last):
        longest = max(longest, ends[line] - starts[line])
        most = most_rows(state, data, starts[line], ends[line])
        bound, total = max(bound, most), total + most
    rows = np.empty(min(total, bound + _BLOCK), np.int64)
    ends_of_rows = np.empty(min(last - first, _BLOCK), np.int64)
    scratch = token_scratch(longest)
    hidden = np.empty(state[_DIM], np.float32)
    scores = np.empty(state[_LABELS], np.float32)
    best, labels = np.empty(k + 1, np.float32), np.empty(k + 1, np.int32)
    line = first
    while line < last:
        # The rows of some lines are found first, so that they can be asked for long before they are summed up.
        known = found = 0
        while known < _BLOCK and found < _BLOCK and line + found < last:
            start, end = starts[line + found], ends[line + found]
            known += line_rows(state, data, start, end, readable, rows[known:], scratch)
            ends_of_rows[found] = known
            found += 1
        begin = 0
        for i in range(found):
            end, size = ends_of_rows[i], 0
            if end > begin:
                hidden_vector(state, rows, (begin, end, known), hidden)
                size = best_labels(state, hidden, k, threshold, scores, best, labels)
            begin = end
            sizes[line] = size
            for j in range(size):
                values[line, j], indices[line, j] = best[j], labels[j]
            line += 1


@entry
def _predict_range(state, text, starts, ends, first, last, threshold, values, indices, sizes):
    """Predict lines first to last - 1 of a text.

    Args:
        state: int64[fields].
        text: uint8[bytes].
        starts: int64[lines], where each line starts in the text.
        ends: int64[lines], where it ends.
        first: the first line to predict.
        last: the line behind the last one.
        threshold: float32, smallest probability.
        values: float32[lines, k], written: logarithms of probabilities + 1e-5.
        indices: int32[lines, k], written.
        sizes: int32[lines], written: number of labels of each line, -1 where a number is not finite.
    """
    span = starts, ends, first, last
    content = data_pointer(text), len(text)
    _predict_span(state, content, span, threshold, values, indices, sizes)


@compiled
def predict_json(state, text, count, k, threshold, separator, out):
    """Predict documents, and write their answers as JSON.

    Args:
        state: int64[fields].
        text: pointer to the documents, which have a newline between each two, and how many bytes they are; one document alone may
            hold newlines.
        count: how many documents.
        k: how many labels for each at most.
        threshold: float64, smallest probability.
        separator: the byte between two answers.
        out: uint8[...], written; with the room that `write_rows` needs.

    Returns:
        The number of bytes; FAULTY or UNWRITTEN.
    """
    sizes = np.empty(count, np.int32)
    # One more than k, as a single document's heap needs it.
    values, indices = np.empty((count, k + 1), np.float32), np.empty((count, k + 1), np.int32)
    if count == 1:
        sizes[0] = _predict_document(state, text, k, threshold, values[0], indices[0])
    else:
        starts, ends = line_places(text, count)
        span, limit = (starts, ends, 0, count), np.float32(threshold)
        _predict_span(state, text, span, limit, values[:, :k], indices[:, :k], sizes)
    for i in range(count):
        if sizes[i] < 0:
            return FAULTY
        for j in range(sizes[i]):
            values[i, j] = np.float32(math.exp(np.float64(values[i, j])))
    size = write_rows(state, values, indices, sizes, np.uint8(separator), out)
    return size if size >= 0 else UNWRITTEN


@entry
def _predict_json(state, text, count, k, threshold, separator, out):
    """As `predict_json`, for bytes."""
    content = data_pointer(text), len(text)
    return predict_json(state, content, count, k, threshold, separator, out)


def _do_json_job(where):
    """Do a job of `predict_json`."""
    job, state, text, (count, k, threshold, separator), out = numbers_of(where)
    job[RESULT] = predict_json(state, text, count, k, threshold, separator, out)
    return 0


class CompiledClassifier(CompiledModel):
    """A classifier's arrays, and prediction with them.

    Args:
        model: a supervised model.
        tree: the tree of hierarchical softmax, for a model with that loss.
        sigmoid: float32[513], the table of sigmoids, for prediction with the losses ns and ova.

    Attributes:
        predict_first: of a text's bytes and a threshold, returns (number of labels, probability, label) of its most probable label.
    """

    predict_first: Callable[[bytes, float], tuple[int, float, int]]
    json_callback = Callback(_do_json_job)

    def __init__(
        self,
        model: FastTextModel,
        tree: HuffmanTree | None = None,
        sigmoid: npt.NDArray[np.float32] | None = None,
    ):
        super().__init__(model)
        # The most common call: without a Python function in between.
        self.predict_first = partial(_predict_first, self.state)
        self._set(Field.LABELS, len(model.dictionary.labels))
        self.set_label_names([one.decode("utf-8", "replace") for one in model.dictionary.labels])
        self._set_output(model)
        if sigmoid is not None:
            self._set(Field.SIGMOID, sigmoid)
        if tree is not None:
            self._set(Field.LEFT, tree.left)
            self._set(Field.RIGHT, tree.right)

    def _set_output(self, model: FastTextModel) -> None:
        matrix = model.output
        labels, dim = matrix.shape
        if isinstance(matrix, DenseMatrix):
            values = matrix.values
        else:
            values = matrix.quantizer.decode(matrix.codes)
            if matrix.norm_codes is not None and matrix.norm_quantizer is not None:
                norms = matrix.norm_quantizer.centroids[matrix.norm_codes]
                self._set(Field.OUTPUT_NORMS, norms)
        by_columns = model.arguments.loss != Loss.HS and values.nbytes <= _LARGEST_COPY
        self._set(Field.OUTPUT, values.T if by_columns else values)
        self._set(Field.OUTPUT_ROW, 1 if by_columns else dim)
        self._set(Field.OUTPUT_COLUMN, labels if by_columns else 1)

    def predict_json(
        self, text: bytes, count: int, k: int, threshold: float, separator: int
    ) -> bytes | None:
        """Return `{"prob":[...],"label":[...]}` for each document.

        Args:
            text: the documents with a newline between each two; one alone may hold newlines.
            count: how many documents.
            k: how many labels for each, at most all.
            threshold: smallest probability.
            separator: the byte between two answers.

        Returns:
            None where the answer is too long, or has a probability that is written in another way.

        Raises:
            ModelFormatError: the model's numbers are not finite.
        """
        room = self.json_room(count, k)
        if not room:
            return None
        out = np.empty(room, np.uint8)
        size = _predict_json(self.state, text, count, k, threshold, separator, out)
        return written(out, size)

    def predict_one(self, text: bytes, k: int, threshold: float) -> list[tuple[float, int]] | None:
        """Return (logarithm, label) of the k best labels of one text; None where the numbers are not finite."""
        values, indices = np.empty(k + 1, np.float32), np.empty(k + 1, np.int32)
        size = _predict_one(self.state, text, k, threshold, values, indices)
        if size < 0:
            return None
        return list(zip(values[:size].tolist(), indices[:size].tolist(), strict=True))

    def predict_lines(
        self,
        text: npt.NDArray[np.uint8],
        starts: npt.NDArray[np.int64],
        ends: npt.NDArray[np.int64],
        k: int,
        threshold: float,
        threads: int,
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """Predict lines of a text.

        Args:
            text: uint8[bytes].
            starts: int64[lines], where each line starts in the text.
            ends: int64[lines], where it ends.
            k: how many labels, at most all.
            threshold: smallest probability.
            threads: how many threads share the lines.

        Returns:
            Logarithms float32[lines, k], labels int32[lines, k], number of labels int32[lines] (-1: not finite).
        """
        lines = len(starts)
        values = np.empty((lines, k), dtype=np.float32)
        indices = np.zeros((lines, k), dtype=np.int32)
        sizes = np.zeros(lines, dtype=np.int32)
        limit = np.float32(threshold)

        def run(first: int, last: int) -> None:
            _predict_range(
                self.state, text, starts, ends, first, last, limit, values, indices, sizes
            )

        if threads <= 1 or lines < 2 * threads:
            run(0, lines)
        else:
            # Several pieces for each thread: lines differ in length, and a thread may be held up.
            cuts = np.linspace(0, lines, min(lines, threads * 4) + 1).astype(int).tolist()
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(run, cuts[:-1], cuts[1:]))
        return values, indices, sizes
