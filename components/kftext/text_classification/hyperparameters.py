"""The hyperparameters of Text Classification - TensorFlow: names, synonyms, defaults and valid values of the reference.

Reference: Amazon SageMaker, "Text Classification - TensorFlow Hyperparameters". Not of the reference: `class_weights`, `mixed_precision`, `xla`.
The defaults of this class are the reference's; those of a model (`kftext.text_classification.catalogue`) take their place.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from kftext.errors import HyperparameterError, UsageError
from kftext.hyperparameters import Hyperparameters

__all__ = ["OPTIMIZERS", "SYNONYMS", "TextClassificationHyperparameters"]

OPTIMIZERS = ("adamw", "adam", "sgd", "nesterov", "rmsprop", "adagrad", "adadelta")

SYNONYMS = {"eps": "epsilon", "train_only_on_top_layer": "train_only_top_layer"}
"""Other spelling -> name."""

PositiveInt = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


def _capitalized(value: object) -> object:
    """A boolean, however it is written, as the reference writes it."""
    text = str(value).strip().capitalize()
    return text if text in ("Auto", "True", "False") else value


class TextClassificationHyperparameters(Hyperparameters):
    """Hyperparameters of the training step."""

    epochs: PositiveInt = Field(10, description="passes over the training data, at most")
    batch_size: PositiveInt = Field(
        32,
        description="examples in one step, spread over the GPUs; 4 to 128 is worth tuning",
    )
    learning_rate: Annotated[float, Field(gt=0, le=1)] = Field(
        0.001,
        description="step size, at its peak where optimizer is adamw; 1e-6 to 0.5 is worth tuning",
    )
    optimizer: Literal["adamw", "adam", "sgd", "nesterov", "rmsprop", "adagrad", "adadelta"] = (
        Field("adam", description="how gradients change the weights")
    )
    beta_1: Share = Field(0.9, description="decay of the first moment (adam, adamw)")
    beta_2: Share = Field(0.999, description="decay of the second moment (adam, adamw)")
    epsilon: Annotated[float, Field(ge=1e-8, le=1)] = Field(
        1e-7,
        description="keeps divisions finite (adam, adamw, rmsprop, adagrad, adadelta); also spelt eps",
    )
    momentum: Share = Field(0.9, description="momentum (sgd, nesterov)")
    rho: Share = Field(0.95, description="decay of the mean squared gradient (adadelta, rmsprop)")
    initial_accumulator_value: Share = Field(
        0.0001, description="what the squared gradients' sums start with (adagrad)"
    )
    warmup_steps_fraction: Share = Field(
        0.1,
        description="share of all steps in which the learning rate rises from 0, before it falls to 0 (adamw)",
    )
    dropout_rate: Share = Field(
        0.2, description="share of the embedding that is dropped in training, when the head is new"
    )
    regularizers_l2: Share = Field(
        0.0001, description="L2 penalty on the dense layer's weights, when the head is new"
    )
    reinitialize_top_layer: Annotated[
        Literal["Auto", "True", "False"], BeforeValidator(_capitalized)
    ] = Field(
        "Auto",
        description="whether training from an earlier model starts with a new head; Auto: only where the classes differ",
    )
    train_only_top_layer: bool = Field(
        False,
        description="whether the encoder stays as it is and the head alone is trained; also spelt train_only_on_top_layer",
    )
    early_stopping: bool = Field(
        False, description="whether training ends once validation accuracy no longer rises"
    )
    early_stopping_patience: PositiveInt = Field(
        5, description="epochs without a better validation accuracy that early stopping waits for"
    )
    early_stopping_min_delta: Share = Field(
        0.0, description="smallest rise of validation accuracy that counts for early stopping"
    )
    validation_split_ratio: Share = Field(
        0.2, description="share of the training data held out where there is no validation data"
    )
    class_weights: Literal["none", "balanced"] = Field(
        "none",
        description="balanced: an example counts inversely to how frequent its class is",
    )

    mixed_precision: Annotated[Literal["Auto", "True", "False"], BeforeValidator(_capitalized)] = (
        Field(
            "Auto",
            description="whether a transformer's matrix products are in bfloat16; Auto: where the CPU has instructions for it",
        )
    )
    xla: bool = Field(
        False,
        description="whether XLA compiles a transformer's step: worth trying on a GPU, many times slower on a CPU",
    )

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.validation_split_ratio == 1:
            raise ValueError(
                "hyperparameter validation_split_ratio=1.0: expected a number < 1: no row is left to train on"
            )
        return self

    @classmethod
    def read(cls, *sources: Mapping[str, Any]) -> Self:
        """Build from dictionaries, as `Hyperparameters.read`; names may be spelt by their synonyms.

        Raises:
            HyperparameterError: for the first name or value that is not valid.
            UsageError: one source spells a hyperparameter in two ways with different values.
        """
        return super().read(*(rename(source) for source in sources))

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """Give a command line one flag for each hyperparameter, and one for each synonym."""
        super().add_arguments(parser)
        for synonym, name in SYNONYMS.items():
            parser.add_argument(f"--{synonym}", metavar="VALUE", help=f"the same as --{name}")


def rename(source: Mapping[str, Any]) -> dict[str, Any]:
    """Return the source with each hyperparameter under its own name, and without those that are None.

    Raises:
        UsageError: a hyperparameter is spelt in two ways with different values.
    """
    values: dict[str, Any] = {}
    for spelling, value in source.items():
        if value is None:
            continue
        name = SYNONYMS.get(spelling, spelling)
        if name in values and str(values[name]) != str(value):
            raise UsageError(
                f"hyperparameter {name} is given twice, as {values[name]!r} and {value!r}"
            )
        values[name] = value
    return values


def is_true(name: str, value: object) -> bool:
    """Read one boolean hyperparameter ahead of the others.

    Raises:
        HyperparameterError: it is no boolean.
    """
    text = str(value).strip().lower()
    if text not in ("true", "false", "1", "0"):
        raise HyperparameterError(name, value, "True or False")
    return text in ("true", "1")
