"""Answers that compiled prediction writes as JSON, against orjson."""

from __future__ import annotations

import importlib.util
import itertools

import numpy as np
import orjson
import pytest

from kftext.errors import ModelFormatError
from kftext.models import (
    Classifier,
    DenseMatrix,
    FastTextModel,
    Loss,
    Output,
    answer_json,
    ask,
    ask_for_json,
)
from models.making import make_model

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("numba") is None, reason="Numba is not installed"
)

SOME = ["the movie was good", "bad bad", "", "a\nnewline in überaus 映画", "unknown"]


def warm(model: FastTextModel) -> Classifier:
    classifier = Classifier(model)
    assert classifier.warm_up()
    return classifier


def written(values: np.ndarray) -> list[bytes | None]:
    """What `write_number` makes of float32[n]."""
    from numba import njit

    from kftext.models.compiled.json_text import NUMBER_BYTES, write_number

    @njit
    def write_all(values, out, ends):
        for i in range(len(values)):
            ends[i] = write_number(out, i * NUMBER_BYTES, values[i])

    out = np.zeros(len(values) * NUMBER_BYTES, np.uint8)
    ends = np.zeros(len(values), np.int64)
    write_all(values, out, ends)
    text = out.tobytes()
    starts = range(0, len(text), NUMBER_BYTES)
    return [None if end < 0 else text[s:end] for s, end in zip(starts, ends.tolist(), strict=True)]


def test_numbers_have_orjsons_digits():
    generator = np.random.default_rng(3)
    smallest, largest = np.log(1.1e-10), np.log(9.9)
    values = np.concatenate(
        [
            [0, 1, 0.5, 0.1, 1e-5, 9.99999e-6, 1.1e-10, 1.00001, 0.99999994, 9.5],
            2.0 ** np.arange(3, -34, -1),
            generator.random(100_000),
            np.exp(generator.uniform(smallest, largest, 100_000)),
            # With few bits they lie halfway between two shorter ones, or need few digits.
            (generator.integers(1, 2**17, 50_000) / 2.0 ** generator.integers(14, 34, 50_000)),
        ]
    ).astype(np.float32)
    values = values[(values == 0) | ((values >= 1e-10) & (values < 10))]
    expected = [orjson.dumps(value) for value in values.astype(np.float64).tolist()]
    assert written(values) == expected


def test_other_numbers_are_not_written():
    values = np.array([1e-11, 10, -0.5, np.inf, np.nan], np.float32)
    assert written(values) == [None] * len(values)


@pytest.mark.parametrize("loss", list(Loss))
def test_answers_are_those_of_the_objects(loss):
    classifier = warm(make_model(loss=loss, word_ngrams=2))
    cases = itertools.product((1, 2, -1), (0.0, 0.3), (b",", b"\n"))
    for k, threshold, separator in cases:
        for texts in (SOME, *([text] for text in SOME)):
            objects = ask(classifier, Output.LABELS, texts, k, threshold)
            expected = answer_json(Output.LABELS, texts, objects, separator)
            found = ask_for_json(
                classifier, Output.LABELS, texts, k, threshold, separator=separator
            )
            assert found == expected
            if separator == b"\n":
                rows = [orjson.loads(row) for row in expected.split(b"\n")]
                assert [row["label"] for row in rows] == [one.labels for one in objects]


def test_names_of_labels_are_escaped():
    model = make_model()
    names = [b'__label__"quoted"\\', b"__label__\xe6\x98\xa0\x01", b"__label__\xff", b"__label__x"]
    model.dictionary.labels[:] = names
    classifier = warm(model)
    rows = classifier.predict_json(SOME, 4)
    assert rows is not None
    objects = [
        {"prob": numbers, "label": labels} for labels, numbers in classifier.predict(SOME, 4)
    ]
    assert b"[%b]" % rows == orjson.dumps(objects)


def test_small_probabilities_of_deep_trees():
    """Below 1e-10 they are left to orjson; nothing is lost."""
    model = make_model(loss=Loss.HS)
    large = DenseMatrix(model.output.values * np.float32(40))
    classifier = warm(FastTextModel(model.arguments, model.dictionary, model.input, large))
    objects = classifier.predict(SOME, -1)
    rows = classifier.predict_json(SOME, -1)
    smallest = min(min(one.probabilities, default=1.0) for one in objects)
    assert (rows is None) == (smallest < 1e-10)


def test_what_is_too_much_is_left_to_objects():
    classifier = warm(make_model())
    assert classifier.predict_json(["good"] * 200_000, 4) is None
    assert Classifier(make_model()).predict_json(SOME) is None


def test_numbers_that_are_not_finite_are_an_error():
    model = make_model()
    values = model.output.values.copy()
    values[1, 1] = np.nan
    classifier = warm(
        FastTextModel(model.arguments, model.dictionary, model.input, DenseMatrix(values))
    )
    for texts in (["the movie"], ["the movie", "was bad"]):
        with pytest.raises(ModelFormatError, match="not finite"):
            classifier.predict_json(texts)
