"""The hierarchy of exceptions and what their messages say."""

from __future__ import annotations

import re

import pytest

from kftext import errors


def test_the_tree_in_the_docstring_is_the_tree():
    drawn = re.findall(r"([A-Za-z]+Error) .*exit code (\d)", errors.__doc__)
    assert [name for name, _ in drawn] and {name for name, _ in drawn} == set(errors.__all__)
    for name, code in drawn:
        error = getattr(errors, name)
        assert issubclass(error, errors.KftextError)
        assert error.exit_code == int(code)


def test_standard_types_are_kept():
    assert issubclass(errors.UsageError, ValueError)
    assert issubclass(errors.MissingExtraError, ImportError)


@pytest.mark.parametrize(
    ("where", "text"),
    [
        ({"file": "a.txt", "line": 3}, "a.txt:3: bad"),
        ({"file": "a.txt"}, "a.txt: bad"),
        ({"line": 3}, "3: bad"),
        ({}, "bad"),
    ],
)
def test_data_error_says_where(where, text):
    assert str(errors.DataError("bad", **where)) == text


def test_hyperparameter_error_says_what_is_valid():
    error = errors.HyperparameterError("epochs", "many", "an integer > 0")
    assert str(error) == "hyperparameter epochs='many': expected an integer > 0"
    assert (error.name, error.value, error.valid) == ("epochs", "many", "an integer > 0")


def test_missing_extra_error_gives_the_command():
    error = errors.MissingExtraError("training on a GPU", "cuda")
    assert str(error) == "training on a GPU needs more packages: pip install 'kftext[cuda]'"
