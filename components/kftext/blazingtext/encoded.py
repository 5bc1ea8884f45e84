"""The boundary between corpus reading and the training kernels: text as arrays of integers.

Reading turns each token into a number once; the kernels then go over these arrays once an epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kftext.blazingtext.memory import release_pages

__all__ = [
    "EncodedCorpus",
    "EncodedExamples",
    "Int32Array",
    "Int64Array",
    "UInt32Array",
    "line_lengths",
]

_LINES_AT_A_TIME = 1 << 18

Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]
UInt32Array = npt.NDArray[np.uint32]


@dataclass(frozen=True)
class EncodedCorpus:
    """Running text for Word2Vec.

    Attributes:
        ids: int32[n], the words of all lines one after the other. Words below `min_count` and labels are left out; each
            line ends with the id of the end-of-sentence token where that token is in the vocabulary. May be memory-mapped.
        line_offsets: int64[lines + 1], line i is `ids[line_offsets[i]:line_offsets[i + 1]]`, at most 1024 words.
        token_count: tokens read, those left out included: fastText's `ntokens`, and what words/s are counted in.
    """

    ids: Int32Array
    line_offsets: Int64Array
    token_count: int

    @property
    def line_count(self) -> int:
        """Number of lines."""
        return len(self.line_offsets) - 1


@dataclass(frozen=True)
class EncodedExamples:
    """Labelled text for the classifier. Lines without a label are left out.

    Attributes:
        ids: int32[n], the words of all examples one after the other. An id below the vocabulary's size is a word; one at or
            above it is a word that is not in the vocabulary, which takes part in word n-grams alone. May be memory-mapped.
        line_offsets: int64[examples + 1], example i has the words `ids[line_offsets[i]:line_offsets[i + 1]]`.
        labels: int32[m], the labels of all examples one after the other.
        label_offsets: int64[examples + 1], example i has the labels `labels[label_offsets[i]:label_offsets[i + 1]]`, one or more.
        word_hashes: uint32[distinct ids], fastText's hash of the word behind each id.
        token_count: tokens read: words, labels and ends of lines, of all lines.
        unknown_words: the words behind the ids from the vocabulary's size on, where they were asked for.
    """

    ids: Int32Array
    line_offsets: Int64Array
    labels: Int32Array
    label_offsets: Int64Array
    word_hashes: UInt32Array
    token_count: int
    unknown_words: Sequence[bytes] = ()

    @property
    def example_count(self) -> int:
        """Number of examples."""
        return len(self.line_offsets) - 1


def line_lengths(offsets: Int64Array) -> tuple[int, int]:
    """Return the lengths of the shortest and of the longest line, 0 and 0 where there is none.

    Looks at some lines at a time: the offsets may be memory-mapped, and larger than memory.
    """
    shortest, longest = [], []
    for first in range(0, len(offsets) - 1, _LINES_AT_A_TIME):
        lengths = np.diff(offsets[first : first + _LINES_AT_A_TIME + 1])
        shortest.append(int(lengths.min()))
        longest.append(int(lengths.max()))
        release_pages(offsets)
    return min(shortest, default=0), max(longest, default=0)
