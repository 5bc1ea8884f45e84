"""Counting tokens and distinct words in bulk agrees with the definition of a token."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kftext.data.tokens import tokenize
from kftext.validation.words import DistinctWords, find_tokens, hash_tokens, token_counts

TEXTS = st.lists(st.binary(max_size=40).map(lambda text: text.replace(b"\n", b" ")), min_size=1)


@settings(deadline=None)
@given(TEXTS)
def test_tokens_are_those_of_tokenize(texts: list[bytes]):
    data = b"\n".join(texts)
    starts, ends = find_tokens(data)
    tokens = [data[start:end] for start, end in zip(starts, ends, strict=True)]
    assert tokens == tokenize(data)
    breaks = np.flatnonzero(np.frombuffer(data, np.uint8) == 10)
    assert token_counts(starts, breaks).tolist() == [len(tokenize(text)) for text in texts]


def test_hashes_tell_words_apart():
    generator = random.Random(1)
    words = {generator.randbytes(generator.randint(1, 30)) for _ in range(20000)}
    words |= {bytes([65 + n % 26]) * n for n in range(1, 300)}
    words |= {
        b"a",
        b"aa",
        b"a" * 8,
        b"a" * 9,
        b"a" * 16,
        b"a" * 17,
        b"b" + b"a" * 200,
        b"a" * 200 + b"b",
    }
    words = {word for word in words if tokenize(word) == [word]}
    data = b" ".join(words) + b"\t" + b"\t".join(words)
    hashes = hash_tokens(data, *find_tokens(data))
    assert len(hashes) == 2 * len(words)
    assert len(np.unique(hashes)) == len(words)
    # A word has the same hash wherever it stands, and whatever comes behind it.
    assert (hashes[: len(words)] == hashes[len(words) :]).all()


def test_distinct_words_are_exact_up_to_the_limit_and_estimated_beyond():
    words = [b"word%d" % number for number in range(50_000)]
    data = b" ".join(words)
    hashes = hash_tokens(data, *find_tokens(data))
    exact, estimated = DistinctWords(limit=50_000), DistinctWords(limit=4096)
    for _ in range(8):
        for part in np.array_split(hashes, 7):
            exact.add(part)
            estimated.add(part)
    assert exact.estimate() == (50_000, True)
    count, is_exact = estimated.estimate()
    assert not is_exact
    assert abs(count / 50_000 - 1) < 4 * 1.2 / 4096**0.5
    assert estimated.estimate() == (count, False)
    assert DistinctWords().estimate() == (0, True)
