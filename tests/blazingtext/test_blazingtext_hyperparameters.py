"""Names, defaults and valid values of BlazingText's hyperparameters."""

from __future__ import annotations

import pytest

from kftext.blazingtext.hyperparameters import (
    SupervisedHyperparameters,
    Word2VecHyperparameters,
    only_of_mode,
    read_hyperparameters,
)
from kftext.errors import HyperparameterError, UsageError

# As the documentation of the reference states them.
WORD2VEC_DEFAULTS = {
    "batch_size": 11,
    "buckets": 2_000_000,
    "epochs": 5,
    "evaluation": True,
    "learning_rate": 0.05,
    "min_char": 3,
    "max_char": 6,
    "min_count": 5,
    "negative_samples": 5,
    "sampling_threshold": 0.0001,
    "subwords": False,
    "vector_dim": 100,
    "window_size": 5,
}
SUPERVISED_DEFAULTS = {
    "buckets": 2_000_000,
    "early_stopping": False,
    "epochs": 5,
    "learning_rate": 0.05,
    "min_count": 5,
    "min_epochs": 5,
    "patience": 4,
    "vector_dim": 100,
    "word_ngrams": 2,
}


def test_defaults_are_the_references():
    for mode in ("cbow", "skipgram", "batch_skipgram"):
        values = read_hyperparameters({"mode": mode}).model_dump()
        assert {name: values[name] for name in WORD2VEC_DEFAULTS} == WORD2VEC_DEFAULTS
        assert (values["mode"], values["loss"], values["exact"]) == (mode, "ns", False)
    values = read_hyperparameters({"mode": "supervised"}).model_dump()
    assert {name: values[name] for name in SUPERVISED_DEFAULTS} == SUPERVISED_DEFAULTS
    assert values["loss"] == "softmax"


def test_strings_as_in_a_sagemaker_dictionary():
    given = {"mode": "skipgram", "subwords": "True", "learning_rate": "0.1", "epochs": " 3 "}
    values = read_hyperparameters(given)
    assert isinstance(values, Word2VecHyperparameters)
    assert (values.subwords, values.learning_rate, values.epochs) == (True, 0.1, 3)


def test_later_sources_win_and_none_is_not_given():
    values = read_hyperparameters({"mode": "cbow", "epochs": 3}, {"epochs": 4, "mode": None})
    assert (values.mode, values.epochs) == ("cbow", 4)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "mode is missing: expected one of cbow, skipgram, batch_skipgram, supervised"),
        ({"mode": "glove"}, "mode='glove': expected one of cbow"),
        ({"mode": 7}, "mode=7: expected one of cbow"),
        ({"mode": "cbow", "epochs": 0}, "epochs=0: expected an integer > 0"),
        ({"mode": "cbow", "epochs": "2.5"}, "epochs='2.5': expected an integer > 0"),
        (
            {"mode": "cbow", "vector_dim": 2**31},
            "vector_dim=2147483648: expected an integer > 0 and <= 2147483647",
        ),
        ({"mode": "cbow", "min_count": -1}, "min_count=-1: expected an integer >= 0"),
        ({"mode": "cbow", "learning_rate": "nan"}, "learning_rate='nan': expected a number > 0"),
        ({"mode": "cbow", "sampling_threshold": 0}, "sampling_threshold=0"),
        ({"mode": "cbow", "subwords": "perhaps"}, "subwords='perhaps': expected True or False"),
        ({"mode": "cbow", "loss": "softmax"}, "loss='softmax': expected one of ns, hs"),
        ({"mode": "supervised", "loss": "hinge"}, "expected one of softmax, hs, ns, ova"),
        ({"mode": "supervised", "patience": 0}, "patience=0"),
        ({"mode": "supervised", "window_size": 5}, "window_size=5: expected one of the names"),
        ({"mode": "cbow", "word_ngrams": 2}, "word_ngrams=2: expected one of the names"),
    ],
)
def test_errors_name_the_parameter_the_value_and_what_is_valid(given, message):
    with pytest.raises(HyperparameterError) as caught:
        read_hyperparameters(given)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"mode": "cbow", "subwords": True, "min_char": 7}, "min_char=7 and max_char=6"),
        ({"mode": "batch_skipgram", "loss": "hs"}, "one shared set of negatives"),
        ({"mode": "batch_skipgram", "exact": True}, "one shared set of negatives"),
        ({"mode": "skipgram", "loss": "hs", "exact": True}, "exact is about negatives"),
    ],
)
def test_values_that_do_not_go_together(given, message):
    with pytest.raises(UsageError, match=message):
        read_hyperparameters(given)


def test_a_form_with_all_names():
    everything = {**WORD2VEC_DEFAULTS, **SUPERVISED_DEFAULTS, "loss": None}
    for mode in ("skipgram", "supervised"):
        form = {"mode": mode, **everything}
        assert read_hyperparameters(only_of_mode(mode, form)) == read_hyperparameters(
            {"mode": mode}
        )
    form = {"mode": "supervised", **everything, "window_size": 7}
    with pytest.raises(HyperparameterError, match="window_size=7"):
        read_hyperparameters(only_of_mode("supervised", form))


def test_documentation_has_a_row_for_each():
    for kind in (Word2VecHyperparameters, SupervisedHyperparameters):
        table = kind.table()
        assert all(f"| `{name}` |" in table for name in kind.model_fields)
        assert all(field.description for field in kind.model_fields.values())
