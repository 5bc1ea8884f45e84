"""What the algorithms' hyperparameter classes share: reading from anywhere, errors that say what is valid, documentation.

A class of hyperparameters is a pydantic model. Values may be strings, as in a SageMaker hyperparameter dictionary or on a
command line: `"True"`, `"0.05"`. The valid values of a field are stated once, in its declaration, and both the error
messages and the documentation are made from that.
"""

from __future__ import annotations

import argparse
import types
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Literal, Self, Union, get_args, get_origin

import annotated_types
import orjson
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from kftext.errors import HyperparameterError, StorageError, UsageError

__all__ = ["Hyperparameters", "describe_valid"]


class Hyperparameters(BaseModel):
    """Base of each algorithm's hyperparameters."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, str_strip_whitespace=True, allow_inf_nan=False
    )

    @classmethod
    def read(cls, *sources: Mapping[str, Any]) -> Self:
        """Build from dictionaries; a later one wins over an earlier one, and None means "not given".

        Raises:
            HyperparameterError: for the first name or value that is not valid.
        """
        values = {
            name: value for source in sources for name, value in source.items() if value is not None
        }
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise cls._explain(error, values) from None

    @classmethod
    def _explain(cls, error: ValidationError, values: Mapping[str, Any]) -> UsageError:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else ""
        if first["type"] == "extra_forbidden":
            return HyperparameterError(
                name, values.get(name), f"one of the names {', '.join(cls.model_fields)}"
            )
        if first["type"] == "missing":
            return HyperparameterError(name, None, describe_valid(cls.model_fields[name]))
        if name in cls.model_fields and first["type"] != "value_error":
            valid = describe_valid(cls.model_fields[name], full=first["type"] == "less_than_equal")
            return HyperparameterError(name, first["input"], valid)
        # A rule of the class's own: its message says it all.
        return UsageError(str(first["ctx"]["error"]) if "ctx" in first else first["msg"])

    @classmethod
    def read_file(cls, path: str | Path) -> dict[str, Any]:
        """Read a JSON object of hyperparameters, to be handed to `read`."""
        try:
            values = orjson.loads(Path(path).read_bytes())
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror}") from None
        except orjson.JSONDecodeError as error:
            raise UsageError(f"{path}:{error.lineno}: not JSON: {error.msg}") from None
        if not isinstance(values, dict):
            raise UsageError(
                f"{path}: expected a JSON object of hyperparameters, found {type(values).__name__}"
            )
        return values

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """Give a command line one flag for each hyperparameter, by its own name. Absent flags stay None."""
        known = parser._option_string_actions
        group = parser.add_argument_group(f"hyperparameters ({cls.__name__})")
        for name, field in cls.model_fields.items():
            if f"--{name}" not in known:
                group.add_argument(
                    f"--{name}", metavar="VALUE", help=_help(field).replace("%", "%%")
                )

    @classmethod
    def table(cls) -> str:
        """Return the Markdown table of name, default, valid values and meaning."""
        rows = ["| name | default | valid | meaning |", "|---|---|---|---|"]
        for name, field in cls.model_fields.items():
            default = "required" if field.is_required() else f"`{_plain(field.default)}`"
            rows.append(
                f"| `{name}` | {default} | {describe_valid(field)} | {field.description or ''} |"
            )
        return "\n".join(rows)


_LARGEST_INT32 = 2**31 - 1


def _plain(value: object) -> object:
    return value.value if isinstance(value, Enum) else value


def _help(field: FieldInfo) -> str:
    default = "required" if field.is_required() else f"default {_plain(field.default)}"
    return f"{field.description or ''} ({describe_valid(field)}; {default})"


def describe_valid(field: FieldInfo, *, full: bool = False) -> str:
    """Say in words what values a field takes: "an integer > 0"; `full`: with the bound of 32 bits too."""
    words = _describe_type(field.annotation)
    bounds = []
    for rule in field.metadata:
        for symbol, attribute in ((">", "gt"), (">=", "ge"), ("<", "lt"), ("<=", "le")):
            if hasattr(rule, attribute) and isinstance(rule, annotated_types.BaseMetadata):
                bound = getattr(rule, attribute)
                # What 32 bits can hold needs no word, until somebody asks for more.
                if bound != _LARGEST_INT32 or full:
                    bounds.append(f"{symbol} {bound}")
    return " ".join([words, " and ".join(bounds)]).strip()


def _describe_type(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        values = ", ".join(str(value) for value in get_args(annotation))
        return f"one of {values}" if "," in values else values
    if get_origin(annotation) in (Union, types.UnionType):
        kinds = [_describe_type(kind) for kind in get_args(annotation) if kind is not type(None)]
        return " or ".join(kinds)
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return "one of " + ", ".join(str(member.value) for member in annotation)
    names = {bool: "True or False", int: "an integer", float: "a number", str: "a text"}
    return names.get(annotation, str(annotation))
