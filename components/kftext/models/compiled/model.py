"""A model's arrays, laid out for the compiled functions, and the vectors of its words."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from kftext.models.compiled.compilation import Callback, compiled, entry
from kftext.models.compiled.json_job import JsonJob, line_places
from kftext.models.compiled.json_text import NUMBER_BYTES, ROW_BYTES
from kftext.models.compiled.memory import Field, borrowed, data_pointer, keep
from kftext.models.compiled.rows import (
    most_rows,
    most_word_rows,
    unknown_word_rows,
    word_rows,
)
from kftext.models.compiled.scores import hidden_vector
from kftext.models.compiled.tokens import ask_for_token, fill_slots
from kftext.models.fasttext_format import FastTextModel
from kftext.models.matrix import DenseMatrix

__all__ = ["CompiledArrays", "CompiledModel"]

_PRUNED_MULTIPLIER = 0x9E3779B1  # as in rows.py


@entry
def _fill_table(table, names, starts, shift):
    """Enter all names into a hash table; see `fill_slots`."""
    fill_slots(table, data_pointer(names), starts, shift)


@entry
def _fill_pruned(table, pairs):
    """Enter all pairs of bucket and row into a hash table: bucket << 32 | row + 1; of equal buckets the last one counts."""
    mask = len(table) - 1
    for i in range(len(pairs)):
        bucket = np.int64(pairs[i, 0])
        slot = (bucket * _PRUNED_MULTIPLIER) & mask
        while table[slot] != np.uint64(0) and np.int64(table[slot] >> np.uint64(32)) != bucket:
            slot = (slot + 1) & mask
        table[slot] = (np.uint64(bucket) << np.uint64(32)) | np.uint64(pairs[i, 1] + 1)


@entry
def _compose(state, names, starts, first, last, vectors):
    """Write the vectors of words first to last - 1: the mean of each word's row and its n-grams' rows.

    Args:
        state: int64[fields].
        names: uint8[bytes], the words one after the other.
        starts: int64[words + 1], where each starts in it.
        first: the first word.
        last: the word behind the last one.
        vectors: float32[words, dim], written.
    """
    data, bound = data_pointer(names), 0
    for word in range(first, last):
        bound = max(bound, most_rows(state, data, starts[word], starts[word + 1]))
    rows = np.empty(bound + 1, np.int64)
    for word in range(first, last):
        count = word_rows(state, data, starts[word], starts[word + 1], word, rows)
        hidden_vector(state, rows, (0, count, count), vectors[word])


@compiled
def _compose_blocks(state, text, span, rows, ends_of_rows, vectors):
    """As `_compose_spans`, with room for the rows of a block of words and where each word's end."""
    (data, readable), (starts, ends) = text, span
    first, words = 0, len(starts)
    while first < words:
        # All is asked for long before it is used: the places of some words in the table, then their rows.
        last = min(first + _BLOCK, words)
        for word in range(first, last):
            ask_for_token(state, data, starts[word], ends[word], readable)
        known, word = 0, first
        while word < last and known < _BLOCK:
            space = rows[known:]
            known += unknown_word_rows(state, data, starts[word], ends[word], readable, space)
            ends_of_rows[word - first] = known
            word += 1
        begin = 0
        for index in range(first, word):
            end = ends_of_rows[index - first]
            if end > begin:
                hidden_vector(state, rows, (begin, end, known), vectors[index])
            else:
                vectors[index, :] = np.float32(0)
            begin = end
        first = word


@compiled
def _compose_spans(state, text, starts, ends, vectors):
    """Write the vectors of any words: zeros for one that has no row.

    Args:
        state: int64[fields].
        text: pointer to the bytes, and how many they are.
        starts: int64[words], where each word starts in it.
        ends: int64[words], where it ends.
        vectors: float32[words, dim], written.
    """
    longest = 0
    for word in range(len(starts)):
        longest = max(longest, ends[word] - starts[word])
    rows = np.empty(_BLOCK + most_word_rows(state, longest), np.int64)
    ends_of_rows = np.empty(_BLOCK, np.int64)
    span, out = (borrowed(starts), borrowed(ends)), borrowed(vectors)
    _compose_blocks(borrowed(state), text, span, borrowed(rows), borrowed(ends_of_rows), out)
    keep((rows, ends_of_rows))


@entry
def _compose_words(state, text, starts, vectors):
    """As `_compose_spans`, for words that stand in bytes one after the other: text[starts[i]:starts[i + 1]]."""
    content = data_pointer(text), len(text)
    _compose_spans(state, content, starts[:-1], starts[1:], vectors)


@entry
def _compose_lines(state, text, vectors):
    """As `_compose_spans`, for words that stand in bytes with a newline between each two."""
    content = data_pointer(text), len(text)
    starts, ends = line_places(content, len(vectors))
    _compose_spans(state, content, starts, ends, vectors)


_BLOCK = 256
"""Words, and about as many rows, that are found before they are summed up."""

_LARGEST_JSON = 16 << 20
"""Bytes of an answer up to which it is written as JSON here: room is made for the longest that it may be."""


class CompiledArrays:
    """Numbers and arrays of a model, laid out for the compiled functions; to begin with, all zeros.

    Attributes:
        state: int64[fields], numbers and addresses by `Field`. The addresses are good as long as this object lives.
        json_callback: the function that does a job of `json_job`; only classifiers have it.
    """

    json_callback: Callback

    def __init__(self) -> None:
        self.state = np.zeros(len(Field), dtype=np.int64)
        self._arrays: list[npt.NDArray[Any]] = []

    def _set(self, field: Field, value: int | npt.NDArray[Any]) -> None:
        if isinstance(value, np.ndarray):
            array = np.ascontiguousarray(value)
            self._arrays.append(array)
            value = array.ctypes.data
        self.state[field] = value

    def set_label_names(self, labels: Sequence[str]) -> None:
        """Lay out the names of labels, by index, as the JSON in which they are written."""
        names = [orjson.dumps(label) for label in labels]
        starts = np.zeros(len(names) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, names), np.int64, len(names)), out=starts[1:])
        self._set(Field.LABEL_JSON, np.frombuffer(b"".join(names), np.uint8))
        self._set(Field.LABEL_JSON_STARTS, starts)
        self._longest_name = max(map(len, names))

    def json_room(self, count: int, k: int) -> int:
        """Bytes that the JSON of `count` answers with k labels each takes at most; 0 where that is more than is written here."""
        room = count * (ROW_BYTES + k * (NUMBER_BYTES + self._longest_name))
        return room if room <= _LARGEST_JSON else 0

    def json_job(
        self, text: bytes, count: int, k: int, threshold: float, separator: int
    ) -> JsonJob | None:
        """Return the job of a prediction in JSON, its arguments those of `JsonJob`; None where that is not written here."""
        if not self.json_room(count, k):
            return None
        return JsonJob(self, text, count, k, threshold, separator)

    def _set_names(self, names: Sequence[bytes]) -> None:
        """Lay out names, by index, and the table in which they are found."""
        self._names = np.frombuffer(b"".join(names) + bytes(8), dtype=np.uint8)
        self._starts = np.zeros(len(names) + 1, dtype=np.int64)
        np.cumsum(np.fromiter(map(len, names), np.int64, len(names)), out=self._starts[1:])
        bits = _table_bits(len(names))
        table = np.zeros((1 << bits, 4), dtype=np.uint64)
        _fill_table(table, self._names, self._starts, 64 - bits)
        self._set(Field.NAMES, self._names)
        self._set(Field.NAME_STARTS, self._starts)
        self._set(Field.TABLE, table)
        self._set(Field.TABLE_SHIFT, 64 - bits)


class CompiledModel(CompiledArrays):
    """A model's dictionary and input matrix, laid out for the compiled functions.

    Args:
        model: a model of any kind.
    """

    def __init__(self, model: FastTextModel):
        super().__init__()
        arguments, dictionary = model.arguments, model.dictionary
        self._dim = arguments.dim
        self._set(Field.WORDS, len(dictionary.words))
        self._set(Field.DIM, arguments.dim)
        self._set(Field.LOSS, arguments.loss)
        self._set(Field.BUCKET, arguments.bucket)
        inverse = np.array([(2**64 - 1) // max(1, arguments.bucket)], dtype=np.uint64)
        self._set(Field.BUCKET_INVERSE, int(inverse.view(np.int64)[0]))
        self._set(Field.MINN, arguments.minn)
        self._set(Field.MAXN, arguments.maxn if arguments.has_subwords else 0)
        self._set(Field.WORD_NGRAMS, arguments.word_ngrams)
        self._set(Field.END_OF_SENTENCE, dictionary.word_id(b"</s>"))
        self._set(Field.PREFIX, np.frombuffer(dictionary.label_prefix, dtype=np.uint8))
        self._set(Field.PREFIX_LENGTH, len(dictionary.label_prefix))
        self._set_names([*dictionary.words, *dictionary.labels])
        if dictionary.pruned is not None:
            self._set_pruned(dictionary.pruned)
        self._set_input(model)

    def _set_pruned(self, pruned: npt.NDArray[np.int32]) -> None:
        buckets = np.zeros(1 << _table_bits(len(pruned)), dtype=np.uint64)
        _fill_pruned(buckets, np.ascontiguousarray(pruned))
        self._set(Field.PRUNED, buckets)
        self._set(Field.PRUNED_MASK, len(buckets) - 1)

    def _set_input(self, model: FastTextModel) -> None:
        matrix = model.input
        if isinstance(matrix, DenseMatrix):
            self._set(Field.INPUT, matrix.values)
            return
        self._set(Field.CODES, matrix.codes)
        self._set(Field.NSUBQ, matrix.quantizer.nsubq)
        self._set(Field.DSUB, matrix.quantizer.dsub)
        self._set(Field.CENTROIDS, matrix.quantizer.table)
        if matrix.norm_codes is not None and matrix.norm_quantizer is not None:
            self._set(Field.NORM_CODES, matrix.norm_codes)
            self._set(Field.NORM_CENTROIDS, matrix.norm_quantizer.centroids)

    def vectors(self, words: Sequence[bytes]) -> npt.NDArray[np.float32]:
        """Return float32[len(words), dim], the vectors of any words."""
        starts = np.zeros(len(words) + 1, dtype=np.int64)
        end = 0
        for index, word in enumerate(words, 1):
            end += len(word)
            starts[index] = end
        vectors = np.empty((len(words), self._dim), dtype=np.float32)
        _compose_words(self.state, b"".join(words), starts, vectors)
        return vectors

    def vectors_of_lines(self, text: bytes, count: int) -> npt.NDArray[np.float32]:
        """Return float32[count, dim], the vectors of any words, at least one, that have a newline between each two."""
        vectors = np.empty((count, self._dim), dtype=np.float32)
        _compose_lines(self.state, text, vectors)
        return vectors

    def all_vectors(self, threads: int = 1) -> npt.NDArray[np.float32]:
        """Return float32[words, dim], the vector of each word."""
        words = int(self.state[Field.WORDS])
        vectors = np.empty((words, self._dim), dtype=np.float32)

        def run(first: int, last: int) -> None:
            _compose(self.state, self._names, self._starts, first, last, vectors)

        cuts = np.linspace(0, words, max(1, threads) * 4 + 1).astype(int).tolist()
        with ThreadPoolExecutor(max(1, threads)) as pool:
            list(pool.map(run, cuts[:-1], cuts[1:]))
        return vectors


def _table_bits(entries: int) -> int:
    """The binary logarithm of the size of a hash table that `entries` fill to half at most."""
    return max(4, (2 * entries - 1).bit_length())
