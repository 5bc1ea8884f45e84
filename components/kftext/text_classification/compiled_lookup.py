"""The look-up of word vectors, and the dense layer over it, compiled: the rules of `word_vector_lookup`, which is its oracle.

Rows are found by `lookup_rows` and summed up by the compiled functions of fastText's classifiers. A text that is refused there goes the
oracle's way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

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
from kftext.models.compiled.memory import (
    Field,
    borrowed,
    data_pointer,
    keep,
    load_f32,
    pointer,
    prefetch,
)
from kftext.models.compiled.model import CompiledArrays
from kftext.models.compiled.scores import softmax
from kftext.models.compiled.sums import AHEAD, add_products, add_rows
from kftext.models.compiled.tokens import token_scratch
from kftext.models.documents import join_documents
from kftext.text_classification.lookup_rows import (
    REFUSED,
    cut,
    most_rows,
    push_tokens,
    shares_scratch,
)
from kftext.text_classification.word_vector_lookup import (
    SUMMED,
    Firsts,
    LookupClassifier,
    WordVectorLookup,
)

__all__ = ["NOT_FINITE", "CompiledLookup"]

NOT_FINITE = -1
"""In place of a label: the numbers are not finite."""

_BLOCK = 1024
"""Bytes of texts that are looked up before rows are summed up: what is noted of them stays in the first cache."""

_LEAST = 1e-12
"""What a mean is divided by at least."""

BIAS, DIM, INPUT = int(Field.BIAS), int(Field.DIM), int(Field.INPUT)
LABELS, OUTPUT, WORD_WEIGHTS = int(Field.LABELS), int(Field.OUTPUT), int(Field.WORD_WEIGHTS)


@compiled
def _sum(state, rows, shares, span, target):
    """Write the sum of rows, each times its share, to target, float32[dim]; `span` is that of `add_rows`. Returns the shares' sum."""
    dim, base = state[DIM], pointer(state[INPUT])
    first, last, known = span
    if state[WORD_WEIGHTS] == 0:
        add_rows(base, dim, rows, span, target)
        return np.float64(last - first)
    target[:dim] = np.float32(0)
    total = 0.0
    for i in range(first, last):
        prefetch(base, 4 * dim * rows[min(i + AHEAD, known - 1)])
        share, row = shares[i], rows[i] * dim
        total += share
        for j in range(dim):
            target[j] += share * load_f32(base, row + j)
    return total


@compiled
def _mean(state, rows, shares, span, target):
    """Write the mean of rows to target, float32[dim]; arguments as those of `_sum`. Zeros where there are none."""
    dim = state[DIM]
    first, last, known = span
    if last - first <= SUMMED:
        total = max(_sum(state, rows, shares, span, target), _LEAST)
        for j in range(dim):
            target[j] /= np.float32(total)
        return
    sums, total = np.zeros(dim, np.float64), 0.0
    for begin in range(first, last, SUMMED):
        part = begin, min(begin + SUMMED, last), known
        total += _sum(state, rows, shares, part, target)
        for j in range(dim):
            sums[j] += target[j]
    for j in range(dim):
        target[j] = sums[j] / max(total, _LEAST)


@compiled
def _answer(state, rows, shares, span, hidden, values):
    """Write a text's embedding or probabilities.

    Args:
        state: int64[fields].
        rows: int64[n].
        shares: float32[n], where words have weights.
        span: that of `add_rows`.
        hidden: float32[dim], scratch.
        values: float32[width], written.

    Returns:
        The most probable label, of equal ones the first, and its probability; NOT_FINITE in its place; 0 for an encoder.
    """
    if state[OUTPUT] == 0:
        _mean(state, rows, shares, span, values)
    else:
        _mean(state, rows, shares, span, hidden)
        add_products(pointer(state[OUTPUT]), state[LABELS], hidden, state[DIM], values)
    if state[BIAS] == 0:
        return 0, np.float32(0)
    labels, bias = state[LABELS], pointer(state[BIAS])
    for label in range(labels):
        values[label] += load_f32(bias, label)
    if not math.isfinite(softmax(values, labels)):
        return NOT_FINITE, np.float32(0)
    best = 0
    for label in range(1, labels):
        if values[label] > values[best]:
            best = label
    return best, values[best]


@compiled
def _answer_one(state, text, length, room, floats):
    """Answer for a text of `length` bytes, as `_answer`; `room` is the first three of `_answer_blocks`, `floats` hidden and values."""
    rows, shares, scratch = room
    tokens = cut(state, text, 0, length, length, scratch)
    span = 0, tokens, length, length
    _, count = push_tokens(state, rows, shares, 0, text, span, scratch)
    if count < 0:
        return REFUSED, np.float32(0)
    return _answer(state, rows, shares, (0, count, count), *floats)


@compiled
def _answer_blocks(state, text, bounds, room, hidden, answers):
    """Answer for texts, a block at a time: one long text, or as many short ones as there is room for.

    Args:
        state: int64[fields].
        text: pointer to the bytes.
        bounds: `starts` and `ends` of `_answer_texts`, and where the bytes end that may be read.
        room: scratch memory for a block: int64[rows], float32[rows], `token_scratch(...)`, int64[_BLOCK].
        hidden: float32[dim], scratch.
        answers: `values`, `labels` and `probabilities` of `_answer_texts`.
    """
    starts, ends, readable = bounds
    rows, shares, scratch, ends_of_rows = room
    values, labels, probabilities = answers
    texts, only_labels, first = len(starts), len(values) < len(starts), 0
    while first < texts:
        last = first + 1
        while last < texts and last - first < _BLOCK and ends[last] - starts[first] <= _BLOCK:
            last += 1
        # All is asked for long before it is used: the places of a block's tokens in the table, then the rows of its words.
        tokens = cut(state, text, starts[first], ends[last - 1], readable, scratch)
        t = known = 0
        for i in range(first, last):
            span = t, tokens, ends[i], readable
            t, count = push_tokens(state, rows, shares, known, text, span, scratch)
            labels[i] = min(count, 0)
            known = max(known, count)
            ends_of_rows[i - first] = known
        begin = 0
        for i in range(first, last):
            end = ends_of_rows[i - first]
            if labels[i] != REFUSED:
                row = values[0 if only_labels else i]
                answer = _answer(state, rows, shares, (begin, end, known), hidden, row)
                labels[i], probabilities[i] = answer
            begin = end
        first = last


@entry
def _predict_first(state, text):
    """Predict one text (bytes); return its most probable label (NOT_FINITE, REFUSED) and the probability."""
    length = len(text)
    most = most_rows(state, length)
    rows, shares = np.empty(most, np.int64), shares_scratch(state, most)
    scratch, hidden = token_scratch(length), np.empty(state[DIM], np.float32)
    values = np.empty(state[LABELS], np.float32)
    room = borrowed(rows), borrowed(shares), borrowed(scratch)
    floats = borrowed(hidden), borrowed(values)
    answer = _answer_one(borrowed(state), data_pointer(text), length, room, floats)
    keep((rows, shares, scratch, hidden, values))
    return answer


@compiled
def _answer_lines(state, text, starts, ends, values, labels, probabilities):
    """Answer for texts that stand in one buffer, one after the other with white space between them.

    Args:
        state: int64[fields].
        text: pointer to the bytes, and how many they are.
        starts: int64[texts], where each starts in it.
        ends: int64[texts], where it ends.
        values: float32[texts, width], written; of one row where only the labels are wanted.
        labels: int32[texts], written: the most probable one, NOT_FINITE or REFUSED; 0 for an encoder.
        probabilities: float32[texts], written: that of the label.
    """
    (data, length), longest = text, _BLOCK
    for i in range(len(starts)):
        longest = max(longest, ends[i] - starts[i])
    most = most_rows(state, longest)
    rows, shares = np.empty(most, np.int64), shares_scratch(state, most)
    scratch, hidden = token_scratch(longest), np.empty(state[DIM], np.float32)
    ends_of_rows = np.empty(_BLOCK, np.int64)
    _answer_blocks(
        borrowed(state),
        data,
        (borrowed(starts), borrowed(ends), length),
        (borrowed(rows), borrowed(shares), borrowed(scratch), borrowed(ends_of_rows)),
        borrowed(hidden),
        (borrowed(values), borrowed(labels), borrowed(probabilities)),
    )
    keep((rows, shares, scratch, hidden, ends_of_rows))


@entry
def _answer_texts(state, text, starts, ends, values, labels, probabilities):
    """As `_answer_lines`, for uint8[bytes]."""
    content = data_pointer(text), len(text)
    _answer_lines(state, content, starts, ends, values, labels, probabilities)


@compiled
def _write_json(state, text, count, threshold, separator, out):
    """Predict the most probable labels of texts, and write the answers as JSON.

    Args:
        state: int64[fields].
        text: pointer to the texts, which have a newline between each two, and how many bytes they are; one alone may hold newlines.
        count: how many texts.
        threshold: float64, smallest probability.
        separator: the byte between two answers.
        out: uint8[...], written; with the room that `write_rows` needs.

    Returns:
        The number of bytes; FAULTY or UNWRITTEN.
    """
    labels, probabilities = np.empty((count, 1), np.int32), np.empty((count, 1), np.float32)
    values, sizes = np.empty((1, state[LABELS]), np.float32), np.empty(count, np.int32)
    starts, ends = line_places(text, count)
    _answer_lines(state, text, starts, ends, values, labels[:, 0], probabilities[:, 0])
    limit = np.float32(threshold)
    for i in range(count):
        if labels[i, 0] == NOT_FINITE:
            return FAULTY
        if labels[i, 0] == REFUSED:
            return UNWRITTEN
        sizes[i] = 1 if probabilities[i, 0] >= limit else 0
    size = write_rows(state, probabilities, labels, sizes, np.uint8(separator), out)
    return size if size >= 0 else UNWRITTEN


@entry
def _predict_json(state, text, count, threshold, separator, out):
    """As `_write_json`, for bytes."""
    return _write_json(state, (data_pointer(text), len(text)), count, threshold, separator, out)


def _do_json_job(where):
    """Do a job of `_write_json`."""
    job, state, text, (count, _, threshold, separator), out = numbers_of(where)
    job[RESULT] = _write_json(state, text, count, threshold, separator, out)
    return 0


class CompiledLookup(CompiledArrays):
    """What answers as a look-up or a classifier over it does. Any number of threads may use one at once.

    Args:
        oracle: what is compiled; it answers for the texts that are refused here.
        labels: the names of a classifier's labels.
    """

    json_callback = Callback(_do_json_job)

    def __init__(self, oracle: WordVectorLookup | LookupClassifier, labels: Sequence[str] = ()):
        super().__init__()
        self._oracle = oracle
        lookup = oracle.lookup if isinstance(oracle, LookupClassifier) else oracle
        self._width = lookup.table.shape[1]
        self._set(Field.WORDS, len(lookup.words))
        self._set(Field.DIM, self._width)
        self._set_names(lookup.words)
        # Without the row of zeros, words and n-grams have the rows of fastText's input matrix.
        self._set(Field.INPUT, lookup.table[1:])
        if not lookup.alike:
            self._set(Field.WORD_WEIGHTS, lookup.word_weights)
        if lookup.ngrams is not None and lookup.ngrams.arguments.has_subwords:
            arguments = lookup.ngrams.arguments
            self._set(Field.MINN, arguments.minn)
            self._set(Field.MAXN, arguments.maxn)
            self._set(Field.BUCKET, arguments.bucket)
        if isinstance(oracle, LookupClassifier):
            self._width = len(oracle.bias)
            self._set(Field.LABELS, self._width)
            self._set(Field.BIAS, oracle.bias)
            if oracle.kernel is not None:
                self._set(Field.OUTPUT, oracle.kernel)
            self.set_label_names(labels or [""] * self._width)
        self._first: Callable[[bytes], tuple[int, float]] = partial(_predict_first, self.state)

    def __call__(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return float32[texts, width]: embeddings, or probabilities, which may be not finite."""
        values = np.empty((len(texts), self._width), np.float32)
        labels, _ = self._answer(texts, values)
        refused = np.flatnonzero(labels == REFUSED)
        if len(refused):
            values[refused] = self._oracle([texts[i] for i in refused.tolist()])
        return values

    def predict_json(
        self, text: bytes, count: int, threshold: float, separator: int
    ) -> bytes | None:
        """Return `{"prob":[...],"label":[...]}` with the most probable label of each text.

        Args:
            text: the texts with a newline between each two; one alone may hold newlines.
            count: how many texts.
            threshold: smallest probability.
            separator: the byte between two answers.

        Returns:
            None where the oracle has to answer, the answer is too long, or a probability is written in another way.

        Raises:
            ModelFormatError: the model's numbers are not finite.
        """
        room = self.json_room(count, 1)
        if not room:
            return None
        out = np.empty(room, np.uint8)
        return written(out, _predict_json(self.state, text, count, threshold, separator, out))

    def first(self, text: str) -> tuple[int, float]:
        """Return the most probable label of a text (NOT_FINITE) and its probability."""
        label, probability = self._first(text.encode("utf-8", "replace"))
        if label != REFUSED:
            return label, probability
        labels, probabilities = self.firsts([text])
        return int(labels[0]), float(probabilities[0])

    def firsts(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Return int32[texts] and float32[texts], the most probable label of each text (NOT_FINITE) and its probability."""
        labels, probabilities = self._answer(texts, np.empty((1, self._width), np.float32))
        refused = np.flatnonzero(labels == REFUSED)
        if len(refused):
            rows = self._oracle([texts[i] for i in refused.tolist()])
            finite = np.isfinite(rows).all(axis=1)
            labels[refused] = np.where(finite, rows.argmax(axis=1), NOT_FINITE)
            probabilities[refused] = rows.max(axis=1)
        return labels, probabilities

    def first_of_each(self, texts: Sequence[str]) -> Firsts:
        """Return what `firsts` does, by one call of `first` for each text."""
        labels, probabilities = zip(*map(self.first, texts), strict=True)
        return np.array(labels, np.int32), np.array(probabilities, np.float32)

    def _answer(self, texts: Sequence[str], values: npt.NDArray[np.float32]) -> Firsts:
        labels = np.empty(len(texts), np.int32)
        probabilities = np.empty(len(texts), np.float32)
        text, starts, ends = join_documents(texts, lambda text: text.encode("utf-8", "replace"))
        _answer_texts(self.state, text, starts, ends, values, labels, probabilities)
        return labels, probabilities
