"""The arguments of the fasttext package's training functions: names, order, defaults, other spellings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from kftext.cores import available_cores
from kftext.data.tokens import LABEL_PREFIX
from kftext.errors import HyperparameterError, UsageError
from kftext.models import Loss, Model

__all__ = ["ArgumentError", "TrainingArguments", "read_arguments"]

_SPELLINGS = {
    "min_count": "minCount",
    "word_ngrams": "wordNgrams",
    "lr_update_rate": "lrUpdateRate",
    "label_prefix": "label",
    "pretrained_vectors": "pretrainedVectors",
}
_LOSSES = {
    "ns": Loss.NS,
    "hs": Loss.HS,
    "softmax": Loss.SOFTMAX,
    "ova": Loss.OVA,
    "one-vs-all": Loss.OVA,
}
_MODELS = {"cbow": Model.CBOW, "skipgram": Model.SKIPGRAM, "supervised": Model.SUPERVISED}
_SUPERVISED = {
    "lr": 0.1,
    "minCount": 1,
    "minn": 0,
    "maxn": 0,
    "loss": "softmax",
    "model": "supervised",
}
# The order of the positional arguments; that of train_unsupervised has the model behind the input.
_ORDER = [
    "input",
    "lr",
    "dim",
    "ws",
    "epoch",
    "minCount",
    "minCountLabel",
    "minn",
    "maxn",
    "neg",
    "wordNgrams",
    "loss",
    "bucket",
    "thread",
    "lrUpdateRate",
    "t",
    "label",
    "verbose",
    "pretrainedVectors",
]
_AUTOTUNE = [
    "seed",
    "autotuneValidationFile",
    "autotuneMetric",
    "autotunePredictions",
    "autotuneDuration",
    "autotuneModelSize",
]


class ArgumentError(UsageError, TypeError):
    """An argument of a function is unknown, missing or given twice: a `TypeError`, as in the original."""


@dataclass(frozen=True)
class TrainingArguments:
    """What to train, under fastText's names; the defaults are those of word vectors."""

    input: str
    model: str = "skipgram"
    lr: float = 0.05
    dim: int = 100
    ws: int = 5
    epoch: int = 5
    minCount: int = 5  # noqa: N815
    minCountLabel: int = 0  # noqa: N815
    minn: int = 3
    maxn: int = 6
    neg: int = 5
    wordNgrams: int = 1  # noqa: N815
    loss: str = "ns"
    bucket: int = 2_000_000
    thread: int = 0  # 0: all cores
    lrUpdateRate: int = 100  # noqa: N815
    t: float = 1e-4
    label: str = LABEL_PREFIX
    verbose: int = 2
    pretrainedVectors: str = ""  # noqa: N815
    seed: int = 0
    autotuneValidationFile: str = ""  # noqa: N815
    autotuneMetric: str = "f1"  # noqa: N815
    autotunePredictions: int = 1  # noqa: N815
    autotuneDuration: int = 300  # noqa: N815
    autotuneModelSize: str = ""  # noqa: N815

    def __post_init__(self) -> None:
        for name, known in (("model", _MODELS), ("loss", _LOSSES)):
            if getattr(self, name) not in known:
                raise HyperparameterError(name, getattr(self, name), f"one of {', '.join(known)}")
        smallest = {
            "dim": 1, "ws": 1, "epoch": 1, "minCount": 0, "minCountLabel": 0, "minn": 0, "maxn": 0,
            "neg": 1, "wordNgrams": 1, "bucket": 0, "thread": 0,
        }  # fmt: skip
        for name, least in smallest.items():
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise HyperparameterError(name, value, f"an integer >= {least}")
        if not self.lr > 0:
            raise HyperparameterError("lr", self.lr, "a number > 0")

    @property
    def supervised(self) -> bool:
        """Whether a classifier is to be trained."""
        return self.model == "supervised"

    @property
    def loss_function(self) -> Loss:
        """The loss function by its number in the file."""
        return _LOSSES[self.loss]

    @property
    def model_kind(self) -> Model:
        """The kind of model by its number in the file."""
        return _MODELS[self.model]

    @property
    def has_subwords(self) -> bool:
        """Whether words have character n-grams."""
        return 0 < self.maxn >= self.minn

    @property
    def buckets(self) -> int:
        """Rows for n-grams: none where there are no n-grams."""
        return self.bucket if self.wordNgrams > 1 or self.has_subwords else 0

    @property
    def threads(self) -> int:
        """How many threads train."""
        return self.thread or available_cores()

    def attributes(self) -> dict[str, Any]:
        """What a trained model carries as attributes beside what its file holds."""
        names = ("lr", "minCountLabel", "label", "verbose", "pretrainedVectors")
        return {name: value for name, value in asdict(self).items() if name in names} | {
            "thread": self.threads
        }


def read_arguments(
    positional: Iterable[Any], named: Mapping[str, Any], *, supervised: bool
) -> tuple[TrainingArguments, set[str]]:
    """Read the arguments of a training function.

    Returns:
        The arguments, and the names of those that were given: autotune leaves them as they are.

    Raises:
        ArgumentError: an argument is unknown or given twice, or `input` is missing.
    """
    order = [*_ORDER, *_AUTOTUNE] if supervised else ["input", "model", *_ORDER[1:], "seed"]
    given = dict(zip(order, positional, strict=False))
    for name, value in named.items():
        name = _SPELLINGS.get(name, name)
        if name not in order:
            raise ArgumentError(
                f"unexpected keyword argument '{name}': expected one of {', '.join(order)}"
            )
        if name in given:
            raise ArgumentError(f"multiple values for argument '{name}'")
        given[name] = value
    if "input" not in given:
        raise ArgumentError("missing argument 'input': the path of the training file")
    types = {field.name: type(field.default) for field in fields(TrainingArguments)}
    values: dict[str, Any] = (_SUPERVISED if supervised else {}) | given
    for name, value in values.items():
        if types[name] is float and isinstance(value, int):
            values[name] = float(value)
        elif types[name] is str or name == "input":
            values[name] = str(value)
    return TrainingArguments(**values), set(given)
