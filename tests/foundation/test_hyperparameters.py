"""What all hyperparameter classes share."""

from __future__ import annotations

import argparse
from enum import StrEnum
from typing import Annotated, Literal

import pytest
from pydantic import Field, model_validator

from kftext.errors import HyperparameterError, StorageError, UsageError
from kftext.hyperparameters import Hyperparameters, describe_valid


class Color(StrEnum):
    RED = "red"
    BLUE = "blue"


class Example(Hyperparameters):
    mode: Literal["fast", "exact"] = Field(description="how it is done")
    epochs: Annotated[int, Field(gt=0, le=100)] = Field(
        5, description="passes over 100% of the data"
    )
    rate: float = Field(0.05, gt=0, lt=1, description="step size")
    stopping: bool = Field(False, description="whether it may end early")
    color: Color = Field(Color.RED, description="a color")
    name: str = Field("", description="a name")
    limit: int | None = Field(None, ge=1, description="a limit")

    @model_validator(mode="after")
    def _together(self) -> Example:
        if self.stopping and self.epochs < 2:
            raise ValueError(f"stopping=True needs epochs of at least 2, found {self.epochs}")
        return self


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"epochs": "7"}, {"epochs": 7}),
        ({"epochs": "7.0"}, {"epochs": 7}),
        ({"rate": "1e-3"}, {"rate": 0.001}),
        ({"stopping": "True"}, {"stopping": True}),
        ({"stopping": "false"}, {"stopping": False}),
        ({"name": " spaces around "}, {"name": "spaces around"}),
        ({"color": "blue"}, {"color": Color.BLUE}),
        ({"limit": "3"}, {"limit": 3}),
        ({"epochs": None}, {"epochs": 5}),
    ],
)
def test_strings_are_coerced(given, expected):
    values = Example.read({"mode": "fast"}, given).model_dump()
    assert {name: values[name] for name in expected} == expected


def test_a_later_source_wins_and_none_means_not_given():
    example = Example.read({"mode": "fast", "epochs": 2}, {"epochs": 3}, {"epochs": None})
    assert example.epochs == 3


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"epochs": "many"}, "hyperparameter epochs='many': expected an integer > 0 and <= 100"),
        ({"epochs": 0}, "hyperparameter epochs=0: expected an integer > 0 and <= 100"),
        ({"epochs": "101"}, "hyperparameter epochs='101': expected an integer > 0 and <= 100"),
        ({"epochs": 1.5}, "hyperparameter epochs=1.5: expected an integer > 0 and <= 100"),
        ({"rate": "nan"}, "hyperparameter rate='nan': expected a number > 0 and < 1"),
        ({"rate": float("inf")}, "hyperparameter rate=inf: expected a number > 0 and < 1"),
        ({"stopping": "perhaps"}, "hyperparameter stopping='perhaps': expected True or False"),
        ({"mode": "slow"}, "hyperparameter mode='slow': expected one of fast, exact"),
        ({"color": "green"}, "hyperparameter color='green': expected one of red, blue"),
        ({"limit": "0"}, "hyperparameter limit='0': expected an integer >= 1"),
    ],
)
def test_an_error_names_parameter_value_and_what_is_valid(given, message):
    with pytest.raises(HyperparameterError) as caught:
        Example.read({"mode": "fast"}, given)
    assert str(caught.value) == message


def test_missing_and_unknown_names():
    with pytest.raises(
        HyperparameterError, match="hyperparameter mode is missing: expected one of fast"
    ):
        Example.read({})
    with pytest.raises(
        HyperparameterError, match="epoch='3': expected one of the names mode, epochs"
    ):
        Example.read({"mode": "fast", "epoch": "3"})


def test_a_rule_between_parameters():
    with pytest.raises(UsageError) as caught:
        Example.read({"mode": "fast", "stopping": True, "epochs": 1})
    assert str(caught.value) == "stopping=True needs epochs of at least 2, found 1"


def test_read_file(tmp_path):
    path = tmp_path / "hyperparameters.json"
    path.write_text('{"mode": "fast", "epochs": "9"}')
    assert Example.read(Example.read_file(path)).epochs == 9
    path.write_text('{"mode": "fast",\n oops}')
    with pytest.raises(UsageError, match=r"hyperparameters.json:2: not JSON"):
        Example.read_file(path)
    path.write_text("[1]")
    with pytest.raises(UsageError, match="expected a JSON object of hyperparameters, found list"):
        Example.read_file(path)
    path.unlink()
    with pytest.raises(StorageError, match=r"hyperparameters.json: No such file"):
        Example.read_file(path)
    path.write_bytes(b"\xff\xfe{}")
    with pytest.raises(UsageError, match="not JSON"):
        Example.read_file(path)


def test_flags_by_their_own_names(capsys):
    parser = argparse.ArgumentParser()
    parser.add_argument("--mode", choices=["fast", "exact"])  # declared by the command itself
    Example.add_arguments(parser)
    options = vars(parser.parse_args(["--mode", "fast", "--epochs", "12", "--stopping", "True"]))
    assert options["rate"] is None
    assert Example.read(options) == Example(mode="fast", epochs=12, stopping=True)
    with pytest.raises(SystemExit):
        parser.parse_args(["--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "passes over 100% of the data (an integer > 0 and <= 100; default 5)" in shown


def test_the_table_for_the_documentation():
    rows = Example.table().splitlines()
    assert rows[0] == "| name | default | valid | meaning |"
    assert "| `mode` | required | one of fast, exact | how it is done |" in rows
    assert "| `color` | `red` | one of red, blue | a color |" in rows
    assert describe_valid(Example.model_fields["limit"]) == "an integer >= 1"


def test_values_do_not_change_afterwards():
    with pytest.raises(ValueError, match="frozen"):
        Example(mode="fast").epochs = 3
