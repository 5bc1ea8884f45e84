"""Hashing, n-grams and rows against a naive version."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kftext.models import Model
from kftext.models.dictionary import fasttext_hash
from models import naive
from models.making import WORDS, make_model


@pytest.mark.parametrize(
    ("text", "expected"),
    # Fixed values: of FNV-1a's authors for ASCII; for a byte above 127 the signed variant, worked out by hand.
    [("", 0x811C9DC5), ("a", 0xE40C292C), ("foobar", 0xBF9CF968)],
)
def test_hash_of_known_texts(text, expected):
    assert fasttext_hash(text.encode()) == expected


@given(st.binary(max_size=30))
def test_hash(data):
    assert fasttext_hash(data) == naive.fnv(data)


def test_hash_is_signed():
    assert fasttext_hash(b"\xe9") == ((2166136261 ^ 0xFFFFFFE9) * 16777619) % 2**32


@settings(max_examples=200, deadline=None)
@given(
    word=st.text(min_size=1, max_size=10).filter(lambda w: w.encode("utf-8", "replace").decode()),
    minn=st.integers(0, 5),
    maxn=st.integers(0, 7),
)
def test_character_ngrams(word, minn, maxn):
    dictionary = make_model(Model.SKIPGRAM, subwords=(minn, maxn)).dictionary
    data = word.encode("utf-8", "replace")
    expected = [(n, naive.fnv(n) % 50) for n in naive.ngrams(data, minn, maxn)]
    assert dictionary.character_ngrams(data) == expected


TEXTS = st.lists(
    st.one_of(
        st.sampled_from([*WORDS, "__label__pos", "__label__unknown", "</s>", "labels"]),
        st.text(max_size=5),
    ),
    max_size=8,
).flatmap(lambda words: st.sampled_from([" ", "\t", "\0 ", "\u00a0"]).map(lambda s: s.join(words)))


@settings(max_examples=300, deadline=None)
@given(
    text=TEXTS,
    word_ngrams=st.integers(1, 4),
    subwords=st.sampled_from([(0, 0), (1, 3), (3, 6)]),
    pruned=st.booleans(),
)
def test_rows_of_a_line(text, word_ngrams, subwords, pruned):
    model = make_model(word_ngrams=word_ngrams, subwords=subwords, pruned=pruned, quantize=pruned)
    line = text.encode("utf-8", "replace").replace(b"\n", b" ")
    for _ in range(2):  # the second time from what the first one kept
        assert model.dictionary.line(line)[0] == naive.line_rows(model, line)


def test_labels_of_a_line():
    dictionary = make_model().dictionary
    rows, labels = dictionary.line(b"__label__neg the __label__pos __label__unknown movie")
    assert labels == [1, 0]
    assert rows == [1, 2, 0]


def test_end_of_line():
    dictionary = make_model().dictionary
    assert dictionary.line(b"the movie", end_of_line=False)[0] == [1, 2]
    assert dictionary.line(b"the </s> movie")[0] == [1, 0]
    assert dictionary.line(b"")[0] == [0]


def test_subwords_of_known_and_unknown_words():
    dictionary = make_model(Model.SKIPGRAM, subwords=(3, 3)).dictionary
    names, rows = dictionary.subwords(b"bad")
    assert names == [b"bad", b"<ba", b"bad", b"ad>"]
    assert rows[0] == WORDS.index("bad")
    assert rows[1:] == [len(WORDS) + naive.fnv(n) % 50 for n in names[1:]]
    assert dictionary.subwords(b"ab")[0] == [b"<ab", b"ab>"]
    assert dictionary.subwords(b"</s>") == ([b"</s>"], [0])
