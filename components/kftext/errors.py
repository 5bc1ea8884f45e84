"""The one hierarchy of exceptions.

::

    KftextError                     everything this package raises on purpose        exit code 1
    ├── UsageError                  a command or function was called wrongly         exit code 2
    │   └── HyperparameterError     a hyperparameter is unknown or out of range      exit code 2
    ├── DataError                   a data file is not what its format says          exit code 1
    ├── ModelFormatError            a model file or folder can't be read             exit code 1
    ├── StorageError                a path can't be read or written                  exit code 1
    ├── MissingExtraError           an optional dependency is not installed          exit code 1
    ├── ResourceError               not enough memory, no GPU, no free port          exit code 1
    ├── QualityError                a model is not as good as was asked for          exit code 1
    └── DeploymentError             the cluster refuses, or the endpoint is wrong    exit code 1

Each message says what was wrong, where, and what is valid: it is all that a person sees.
"""

from __future__ import annotations

__all__ = [
    "DataError",
    "DeploymentError",
    "HyperparameterError",
    "KftextError",
    "MissingExtraError",
    "ModelFormatError",
    "QualityError",
    "ResourceError",
    "StorageError",
    "UsageError",
]


class KftextError(Exception):
    """Base of all errors raised on purpose. `exit_code` is what a command ends with."""

    exit_code = 1


class UsageError(KftextError, ValueError):
    """A command or a function was called with arguments that make no sense together."""

    exit_code = 2


class HyperparameterError(UsageError):
    """A hyperparameter is unknown, missing, or has a value outside what is valid.

    Args:
        name: the hyperparameter.
        value: what was given; None: nothing was.
        valid: what is valid, in words ("an integer > 0").
    """

    def __init__(self, name: str, value: object, valid: str):
        self.name, self.value, self.valid = name, value, valid
        given = " is missing" if value is None else f"={value!r}"
        super().__init__(f"hyperparameter {name}{given}: expected {valid}")


class DataError(KftextError):
    """A data file is not what its format says.

    Args:
        message: what was wrong and what is expected.
        file: path or URI of the file, where one file is at fault.
        line: 1-based line number, where one line is at fault.
    """

    def __init__(self, message: str, *, file: str | None = None, line: int | None = None):
        self.file, self.line = file, line
        where = "".join([f"{file}:" if file else "", f"{line}:" if line is not None else ""])
        super().__init__(f"{where} {message}" if where else message)


class ModelFormatError(KftextError):
    """A model file or folder is damaged, or is of a kind that is not understood."""


class StorageError(KftextError):
    """A local path or an object can't be read or written."""


class MissingExtraError(KftextError, ImportError):
    """An optional dependency is not installed.

    Args:
        what: what needs it ("training on a GPU").
        extra: the extra of this package that brings it ("cuda").
    """

    def __init__(self, what: str, extra: str):
        super().__init__(f"{what} needs more packages: pip install 'kftext[{extra}]'")


class ResourceError(KftextError):
    """The machine lacks what the work needs: memory, a GPU, a free port."""


class QualityError(KftextError):
    """A model is not as good as was asked for: it goes no further."""


class DeploymentError(KftextError):
    """The cluster refuses, the model never gets ready, or the endpoint's answer is wrong."""
