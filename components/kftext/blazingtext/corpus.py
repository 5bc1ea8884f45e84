"""Files to arrays: one pass over the text gives the vocabulary and the ids.

Threads take blocks in turn; each turns its blocks into ids of its own table of distinct tokens. Then the tables become one
vocabulary, and the ids of each block are renamed and strung together. The result does not depend on the number of threads.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from kftext.blazingtext.blocks import BUFFER_SIZE, BlockLoader, iterate_blocks
from kftext.blazingtext.encoded import EncodedCorpus, EncodedExamples, Int32Array
from kftext.blazingtext.kernels.compilation import kernel
from kftext.blazingtext.memory import available_memory, release_pages
from kftext.blazingtext.token_store import TokenStore
from kftext.blazingtext.tokenizer import END_OF_SENTENCE_ID, TokenTable
from kftext.blazingtext.vocabulary import (
    FIRST_LABEL,
    Distinct,
    Vocabulary,
    VocabularyRules,
)
from kftext.cores import available_cores
from kftext.data.formats import Format, ReadOptions
from kftext.data.tokens import END_OF_SENTENCE
from kftext.errors import DataError

__all__ = ["MAX_LINE_WORDS", "Reading", "read_corpus", "read_examples"]

MAX_LINE_WORDS = 1024
"""Words of a line for Word2Vec: a longer one continues as another (`Dictionary::MAX_LINE_SIZE` of fastText)."""

_NEVER = np.iinfo(np.int32).min
# Columns of the state of an assembly.
_WORDS, _LINE_START, _LINES, _LABELS, _LABEL_START = range(5)


@dataclass(frozen=True)
class Reading:
    """How to read, whatever is read.

    Attributes:
        threads: at most that many at once.
        work_dir: where ids go that don't fit in memory; the system's folder for temporary files by default.
        memory_limit: bytes of ids that are held in memory; half of what is available by default.
        on_bytes: told how many bytes were read from storage, one call at a time.
    """

    threads: int = field(default_factory=available_cores)
    work_dir: str | os.PathLike[str] | None = None
    memory_limit: int | None = None
    on_bytes: Callable[[int], object] | None = None


def read_corpus(
    paths: Sequence[str],
    rules: VocabularyRules,
    reading: Reading | None = None,
    format: Format = Format.CORPUS,
    options: ReadOptions | None = None,
) -> tuple[Vocabulary, EncodedCorpus]:
    """Read running text for Word2Vec.

    As in fastText, a line ends at a newline (or where the text itself says `</s>`) only if `</s>` is in the vocabulary: with
    fewer lines than min_count, the text is one run of words, cut every `MAX_LINE_WORDS`. A file's end always ends a line.

    Args:
        paths: local paths or URIs of files, folders, prefixes: one corpus, in that order. Plain or gzip.
        rules: which tokens are words.
        reading: how to read.
        format: of the data; of labelled data the texts are read.
        options: how to read a manifest.

    Raises:
        DataError: there is no token, or no word is as frequent as min_count asks; a gzip file is damaged; a line is at fault in
            a manifest or CSV file.
        StorageError: a file is not there or can't be read.
        ResourceError: ids fit neither in memory nor in the work folder.
    """
    with _Tokens(paths, format, options, rules, reading or Reading()) as tokens:
        numbering = tokens.numbering
        size = len(numbering.vocabulary.words)
        in_vocabulary = (numbering.numbers >= 0) & (numbering.numbers < size)
        ids = tokens.store.allocate(int(numbering.counts[in_vocabulary].sum()), np.int32)
        most_lines = tokens.line_limit + len(ids) // MAX_LINE_WORDS
        line_offsets = tokens.store.allocate(most_lines + 1, np.int64)
        line_offsets[0] = 0
        state = np.zeros(5, np.int64)
        end = np.int32(tokens.end_of_sentence)
        for block, ends_file in tokens.renamed():
            _append_corpus(block, ends_file, end, size, ids, line_offsets, state)
            release_pages(ids)
            release_pages(line_offsets)
        line_offsets = line_offsets[: state[_LINES] + 1]
        return numbering.vocabulary, EncodedCorpus(ids, line_offsets, tokens.count)


def read_examples(
    paths: Sequence[str],
    format: Format,
    rules: VocabularyRules,
    options: ReadOptions | None = None,
    reading: Reading | None = None,
) -> tuple[Vocabulary, EncodedExamples]:
    """Read labelled text for the classifier. Lines without a (known) label are left out.

    Args:
        paths: local paths or URIs of files, folders, prefixes: one data set, in that order.
        format: labeled-text, manifest or csv.
        rules: which tokens are words, and what labels start with.
        options: how to read a manifest.
        reading: how to read.

    Raises:
        DataError: there is no token, no label, no word as frequent as min_count asks, or a line at fault in a manifest or CSV file.
        StorageError, ResourceError: as for `read_corpus`.
    """
    with _Tokens(paths, format, options, rules, reading or Reading()) as tokens:
        numbering = tokens.numbering
        numbers, counts = numbering.numbers, numbering.counts
        if not numbering.vocabulary.labels or not counts[numbers <= FIRST_LABEL].any():
            raise DataError(
                f"no label in the data: expected words that start with {rules.label_prefix.decode()}"
                + (" and that the training data have too" if rules.fixed else ""),
                file=", ".join(paths),
            )
        ids = tokens.store.allocate(int(counts[numbers >= 0].sum()), np.int32)
        labels = tokens.store.allocate(int(counts[numbers <= FIRST_LABEL].sum()), np.int32)
        line_offsets = tokens.store.allocate(tokens.line_limit + 1, np.int64)
        label_offsets = tokens.store.allocate(tokens.line_limit + 1, np.int64)
        line_offsets[0] = label_offsets[0] = 0
        state = np.zeros(5, np.int64)
        end = np.int32(tokens.end_of_sentence)
        for block, ends_file in tokens.renamed():
            _append_examples(block, ends_file, end, ids, labels, line_offsets, label_offsets, state)
            for array in (ids, labels, line_offsets, label_offsets):
                release_pages(array)
        examples = EncodedExamples(
            ids[: state[_WORDS]],
            line_offsets[: state[_LINES] + 1],
            labels[: state[_LABELS]],
            label_offsets[: state[_LINES] + 1],
            numbering.word_hashes,
            tokens.count,
            numbering.unknown_words,
        )
        return numbering.vocabulary, examples


class _Tokens:
    """The tokens of a data set: read, counted, numbered.

    Attributes:
        store: their ids, by block.
        numbering: what the distinct ones are called.
        count: how many there are.
        end_of_sentence: number of `</s>`, one that never occurs where the text has none.
        line_limit: no more lines than that.
    """

    def __init__(
        self,
        paths: Sequence[str],
        format: Format,
        options: ReadOptions | None,
        rules: VocabularyRules,
        reading: Reading,
    ):
        limit = reading.memory_limit
        self.store = TokenStore(
            available_memory() // 2 if limit is None else limit, reading.work_dir
        )
        self._threads = max(reading.threads, 1)
        self._on_bytes = reading.on_bytes or (lambda count: None)
        self._stopped = False
        self._lock = threading.Lock()
        # For each block: the number of the table its ids are of, and whether a file ends with it.
        self._blocks: dict[int, tuple[int, bool]] = {}
        tables = self._scan(iterate_blocks(paths, format, options, self._on_bytes))
        distinct = Distinct(tables, rules)
        self._remaps = distinct.remaps
        self.numbering = numbering = distinct.number()
        self.count = int(numbering.counts.sum())
        ends = int(numbering.counts[END_OF_SENTENCE_ID])
        self.end_of_sentence = int(numbering.numbers[END_OF_SENTENCE_ID]) if ends else _NEVER
        self.line_limit = ends + sum(ends_file for _, ends_file in self._blocks.values()) + 1
        self._check(paths, rules)

    def __enter__(self) -> _Tokens:
        return self

    def __exit__(self, *_: object) -> None:
        self.store.close()

    def _scan(self, loaders: Iterator[BlockLoader]) -> list[TokenTable]:
        """Tokenize all blocks; return one table a thread."""
        tables = [TokenTable() for _ in range(self._threads)]
        numbered = enumerate(loaders)

        def work(thread: int) -> None:
            buffer = np.empty(BUFFER_SIZE, np.uint8)
            while True:
                with self._lock:
                    index, load = next(numbered, (-1, None))
                if load is None or self._stopped:
                    return
                block = load(buffer)
                ids = tables[thread].scan(block.text, block.length, block.position)
                self.store.put(index, ids)
                with self._lock:
                    self._blocks[index] = thread, block.ends_file
                    self._on_bytes(block.bytes_read)

        with ThreadPoolExecutor(self._threads) as pool:
            try:
                for future in [pool.submit(work, thread) for thread in range(self._threads)]:
                    future.result()
            finally:
                self._stopped = True
        return tables

    def _check(self, paths: Sequence[str], rules: VocabularyRules) -> None:
        where = ", ".join(paths)
        vocabulary, counts = self.numbering.vocabulary, self.numbering.counts
        if not self.count or self.count == counts[END_OF_SENTENCE_ID]:
            raise DataError("the data hold no word", file=where)
        if not [word for word in vocabulary.words[:2] if word != END_OF_SENTENCE.encode()]:
            words = np.flatnonzero(self.numbering.numbers >= 0)
            words = words[words != END_OF_SENTENCE_ID]
            most = (
                f"the most frequent is seen {counts[words].max()} times"
                if len(words)
                else "there are labels alone"
            )
            raise DataError(
                f"no word is seen min_count={rules.min_count} times or more: {most}; "
                "lower min_count or train on more text",
                file=where,
            )

    def renamed(self) -> Iterator[tuple[Int32Array, bool]]:
        """Yield each block's numbers and whether a file ends with it, in the order of the corpus. To be used once."""
        renaming = [self.numbering.numbers[remap] for remap in self._remaps]

        def rename(index: int) -> Int32Array:
            ids = self.store.take(index)
            _rename(ids, renaming[self._blocks[index][0]])
            return ids

        group = 2 * self._threads
        with ThreadPoolExecutor(self._threads) as pool:
            for start in range(0, len(self._blocks), group):
                indexes = range(start, min(start + group, len(self._blocks)))
                for index, ids in zip(indexes, pool.map(rename, indexes), strict=True):
                    yield ids, self._blocks[index][1]


@kernel
def _rename(ids, numbers):
    for i in range(ids.size):
        ids[i] = numbers[np.uint64(ids[i])]


@kernel
def _append_corpus(block, ends_file, end_of_sentence, vocabulary_size, ids, line_offsets, state):
    """Append the words of a block to the corpus, and the ends of its lines to the offsets."""
    count, line_start, lines = state[_WORDS], state[_LINE_START], state[_LINES]
    for i in range(block.size):
        number = block[i]
        if 0 <= number < vocabulary_size:
            ids[count] = number
            count += 1
            if number == end_of_sentence or count - line_start == MAX_LINE_WORDS:
                lines += 1
                line_offsets[lines] = line_start = count
    if ends_file and count > line_start:
        lines += 1
        line_offsets[lines] = line_start = count
    state[_WORDS], state[_LINE_START], state[_LINES] = count, line_start, lines


@kernel
def _append_examples(
    block, ends_file, end_of_sentence, ids, labels, line_offsets, label_offsets, state
):
    """Append the examples of a block: a line that turns out to have no label is taken back."""
    count, line_start, lines = state[_WORDS], state[_LINE_START], state[_LINES]
    label_count, label_start = state[_LABELS], state[_LABEL_START]
    for i in range(block.size + 1):
        at_end = i == block.size
        number = np.int32(0)
        if not at_end:
            number = block[i]
            if number >= 0:
                ids[count] = number
                count += 1
            elif number <= FIRST_LABEL:
                labels[label_count] = FIRST_LABEL - number
                label_count += 1
        if (at_end and ends_file) or (not at_end and number == end_of_sentence):
            if label_count > label_start and count > line_start:
                lines += 1
                line_offsets[lines], label_offsets[lines] = count, label_count
            else:
                count, label_count = line_start, label_start
            line_start, label_start = count, label_count
    state[_WORDS], state[_LINE_START], state[_LINES] = count, line_start, lines
    state[_LABELS], state[_LABEL_START] = label_count, label_start
