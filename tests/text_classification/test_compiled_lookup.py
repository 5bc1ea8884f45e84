"""The compiled look-up of word vectors against the NumPy and Python code beside it."""

from __future__ import annotations

import gc
import importlib.util
import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import orjson
import pytest

from kftext.errors import ModelFormatError
from kftext.text_classification.word_vector_lookup import LookupClassifier, WordVectorLookup
from text_classification.lookup_texts import VOCABULARY, random_texts

if importlib.util.find_spec("numba") is None:
    pytest.skip("Numba is not installed", allow_module_level=True)

from kftext.text_classification import lookup_rows
from kftext.text_classification.compiled_lookup import NOT_FINITE, CompiledLookup

EDGES = [
    "",
    " \t\n\x0b\f\r\x00",
    "...",
    "--- !?",
    "\x00the\x00movie\x00",
    "</s>",
    "the </s> movie </s></s> the",
    "</s> " * 300,
    "THE,MOVIE;the.Movie",
    "l'été L'ÉTÉ",
    "“the movie”",
    "\ud800",
    "the\udcff movie \ud83d",
    "the \x1c\x7f\x01movie",
    "a" * 100_000,
    "A," * 300,
    "é" * 5_000,
    *("x" * length for length in (7, 8, 9, 15, 16, 17, 63, 64, 65)),
    *(" " * length + "movie" for length in (58, 59, 60, 63, 64)),
]
TEXTS = [*EDGES, *random_texts(1000, seed=1)]


def make_lookup(
    *, dim: int = 20, pooling: str = "mean", ngrams: tuple[int, int, int] | None = None
) -> WordVectorLookup:
    """Random vectors, at an address that no float has in an array of its own."""
    generator = np.random.default_rng(dim)
    words = [word.encode() for word in VOCABULARY]
    rows = 1 + len(words) + (ngrams[2] if ngrams else 0)
    table = np.zeros(4 * rows * dim + 5, np.uint8)[5:].view(np.float32).reshape(rows, dim)
    table[1:] = generator.standard_normal((rows - 1, dim))
    weights = np.ones(len(words) + 1, np.float32)
    if pooling == "sif":
        weights[:] = generator.random(len(weights))
    return WordVectorLookup(words, table, weights, ngrams)


def make_classifier(labels: int, **options) -> LookupClassifier:
    lookup = make_lookup(**options)
    generator = np.random.default_rng(labels)
    kernel = generator.standard_normal((lookup.table.shape[1], labels), np.float32) / 3
    return LookupClassifier(lookup, kernel, generator.standard_normal(labels, np.float32))


LOOKUPS = {
    "words": {},
    "weighted words": {"pooling": "sif", "dim": 100},
    "subwords": {"ngrams": (3, 6, 997), "dim": 7},
    "weighted subwords": {"pooling": "sif", "ngrams": (1, 3, 50), "dim": 33},
    "long subwords": {"ngrams": (5, 5, 2), "dim": 1},
    "no subwords": {"pooling": "sif", "ngrams": (4, 3, 10), "dim": 3},
}


def assert_same_labels(found, rows):
    """The most probable label of each row; of those that differ in the last digits either will do."""
    labels, probabilities = found
    chosen = rows[np.arange(len(rows)), labels]
    np.testing.assert_allclose(probabilities, rows.max(axis=1), atol=1e-5)
    np.testing.assert_allclose(probabilities, chosen, atol=1e-5)


@pytest.mark.parametrize("options", LOOKUPS.values(), ids=LOOKUPS)
def test_embeddings_are_those_of_the_oracle(options):
    oracle = make_lookup(**options)
    compiled = CompiledLookup(oracle)
    expected = oracle(TEXTS)
    np.testing.assert_allclose(compiled(TEXTS), expected, atol=5e-6)
    for index in range(0, len(TEXTS), 9):
        one = TEXTS[index : index + 1]
        np.testing.assert_allclose(compiled(one)[0], expected[index], atol=5e-6)
        np.testing.assert_allclose(oracle(one)[0], expected[index], atol=5e-6)
    assert compiled([]).shape == oracle([]).shape


@pytest.mark.parametrize("labels", [1, 2, 19, 20, 70])
@pytest.mark.parametrize("options", [LOOKUPS["words"], LOOKUPS["weighted subwords"]])
def test_probabilities_are_those_of_the_oracle(options, labels):
    """Labels fewer than columns, for which the rows are multiplied beforehand, and more."""
    oracle = make_classifier(labels, **options)
    compiled = CompiledLookup(oracle)
    expected = oracle(TEXTS)
    np.testing.assert_allclose(compiled(TEXTS), expected, atol=1e-5)
    assert_same_labels(compiled.firsts(TEXTS), expected)
    assert_same_labels(compiled.first_of_each(TEXTS), expected)
    assert [len(one) for one in compiled.firsts([])] == [0, 0]


def test_ascii_texts_are_never_refused(monkeypatch):
    compiled = CompiledLookup(make_classifier(3, **LOOKUPS["weighted subwords"]))
    texts = [text for text in TEXTS if text.isascii()]
    assert len(texts) > 300
    expected = compiled(texts)
    monkeypatch.setattr(compiled, "_oracle", None)
    np.testing.assert_array_equal(compiled(texts), expected)
    assert_same_labels(compiled.first_of_each(texts), expected)
    # So are not known words, whatever they are made of.
    known = [word for word in VOCABULARY if not word.isascii()]
    assert compiled([" ".join(known)]).shape == (1, 3)


@pytest.mark.parametrize("options", LOOKUPS.values(), ids=LOOKUPS)
def test_no_text_has_more_rows_than_there_is_room_for(options):
    oracle = make_lookup(**options)
    compiled = CompiledLookup(oracle)
    dense = ["a,b," * 40 + "c", "a,b", "a", "ab", "a b c", "," * 30]
    for text in [*dense, *TEXTS]:
        rows: list[int] = []
        oracle._look_up(text, rows, [])
        size = len(text.encode("utf-8", "replace"))
        # The oracle has a row of zeros in front.
        assert len(rows) - 1 <= lookup_rows.most_rows.py_func(compiled.state, size)


def test_texts_with_newlines_are_one_text_each():
    oracle = make_lookup()
    texts = ["the\nmovie", "", "a\n", "\n", "überaus\nGOOD\ud800"]
    np.testing.assert_allclose(CompiledLookup(oracle)(texts), oracle(texts), atol=1e-6)


def test_of_equal_labels_the_first():
    oracle = make_classifier(5)
    oracle.lookup.table[:], oracle.bias[:] = 0, [0, 1, 1, 0, 1]
    compiled = CompiledLookup(oracle)
    assert compiled.firsts(["the movie", ""])[0].tolist() == [1, 1]
    assert compiled.first("the movie")[0] == 1


def test_memory_is_kept():
    """The arrays live as long as what holds their addresses."""
    compiled = CompiledLookup(make_classifier(30, pooling="sif"))
    expected = make_classifier(30, pooling="sif")(TEXTS)
    gc.collect()
    noise = [np.full(size, np.nan, np.float32) for size in range(1, 2000)]
    np.testing.assert_allclose(compiled(TEXTS), expected, atol=1e-5)
    assert len(noise) == 1999


def test_threads():
    compiled = CompiledLookup(make_classifier(4, **LOOKUPS["weighted subwords"]))
    expected = compiled(TEXTS)

    def run(seed: int) -> None:
        order = random.Random(seed).sample(range(len(TEXTS)), 300)
        some = [TEXTS[index] for index in order]
        np.testing.assert_array_equal(compiled(some), expected[order])
        assert_same_labels(compiled.first_of_each(some), expected[order])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run, range(8)))


def test_numbers_that_are_not_finite():
    """Of the texts, those alone that they come into; in a text for the oracle as well."""
    oracle = make_classifier(3)
    oracle.lookup.table[1 + VOCABULARY.index("movie")] = np.inf
    compiled = CompiledLookup(oracle)
    texts = ["the movie", "the", "unknöwn movie", "unknöwn"]
    with np.errstate(all="ignore"):
        labels, _ = compiled.firsts(texts)
        assert [label == NOT_FINITE for label in labels] == [True, False, True, False]
        assert [compiled.first(text)[0] == NOT_FINITE for text in texts] == (
            [True, False, True, False]
        )
        assert np.isfinite(compiled(texts)).all(axis=1).tolist() == [False, True, False, True]


@pytest.mark.parametrize("name", LOOKUPS)
@pytest.mark.parametrize("labels", [2, 60])
def test_answers_in_json_are_those_of_the_objects(name, labels):
    from kftext.models.compiled.json_job import JsonJob
    from kftext.models.compiled.threads import run
    from kftext.models.documents import join_lines

    names = [f'"{index}" 映画' for index in range(labels)]
    compiled = CompiledLookup(make_classifier(labels, **LOOKUPS[name]), names)
    refused = 0
    ascii_texts = [text for text in TEXTS if text.isascii()]
    for texts in (*([text] for text in TEXTS[:200]), ascii_texts, TEXTS):
        found, best = compiled.firsts(texts)
        for threshold, separator in ((0.0, b","), (0.6, b"\n")):
            text = join_lines(texts, lambda one: one.encode("utf-8", "replace"))
            arguments = text, len(texts), threshold, separator[0]
            rows = compiled.predict_json(*arguments)
            job = JsonJob(compiled, text, len(texts), 1, threshold, separator[0])
            run(job) if len(texts) > 1 else None
            if rows is None:
                # What the oracle has to answer.
                assert not all(text.isascii() for text in texts)
                assert len(texts) == 1 or job.result() is None
                refused += 1
                continue
            assert len(texts) == 1 or job.result() == rows
            expected = [
                {"prob": [number], "label": [names[label]]}
                if number >= np.float32(threshold)
                else {"prob": [], "label": []}
                for label, number in zip(found.tolist(), best.tolist(), strict=True)
            ]
            assert orjson.loads(b"[%b]" % rows.replace(b"}\n{", b"},{")) == expected
    assert refused


def test_numbers_that_are_not_finite_are_an_error_in_json():
    oracle = make_classifier(3)
    oracle.bias[1] = np.inf
    compiled = CompiledLookup(oracle, ["a", "b", "c"])
    with pytest.raises(ModelFormatError, match="not finite"):
        compiled.predict_json(b"the movie", 1, 0.0, 0)
