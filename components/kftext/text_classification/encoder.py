"""Text encoders: string[n] in, float32[n, dim] out, in two parts.

`features` is what no weight takes part in (tokenization, look-up of ids): it runs once for each text. `embed` is the rest: it
runs in every step. Whatever an encoder came as, once saved it is a SavedModel with both, and with the interface of TensorFlow
Hub's text embeddings (`__call__(texts)`, `variables`, `trainable_variables`, `regularization_losses`:
https://www.tensorflow.org/hub/common_saved_model_apis/text), so that the hub's own tools take it too.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import tensorflow as tf

from kftext.errors import ModelFormatError
from kftext.text_classification.backend import register_text_operations

__all__ = [
    "Encoder",
    "HubTextEmbedding",
    "PreprocessedEncoder",
    "TextModule",
    "check",
    "few_lengths",
    "load_saved_model",
    "wrap",
]

_UNKNOWN_OPERATION = "Op type not registered"
_LENGTH_STEP = 8
_POOLED = ("pooled_output", "default")


class TextModule(tf.Module):
    """What is saved: a text embedding whose tokenization is apart. Subclasses define `features` and `embed`.

    Attributes:
        variables: all weights.
        trainable_variables: those that fine-tuning changes.
        regularization_losses: functions of nothing, whose values the model's makers want added to the loss.
    """

    # The hub's interface wants lists that are saved; tf.Module's properties of these names are not.
    variables: Any = None
    trainable_variables: Any = None

    def __init__(self) -> None:
        super().__init__(name="text_encoder")
        self.regularization_losses: list[Any] = []

    def track(self, variables: Sequence[tf.Variable], trainable: Sequence[tf.Variable]) -> None:
        """Name the weights, as the hub's interface has them."""
        self.variables, self.trainable_variables = list(variables), list(trainable)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="texts")])
    def __call__(self, texts):
        """Return float32[n, dim] for string[n]."""
        return self.embed(self.features(texts), False)

    def trace(self) -> None:
        """Make the concrete functions that a SavedModel holds, for training and for use."""
        specs = {
            name: tf.TensorSpec([None, *([None] * (value.shape.rank - 1))], value.dtype, name=name)
            for name, value in self.features(tf.constant(["a text"])).items()
        }
        for training in (True, False):
            self.embed.get_concrete_function(specs, training)
        self.__call__.get_concrete_function()


class HubTextEmbedding(TextModule):
    """A model of the hub that takes texts as they are (nnlm, universal-sentence-encoder).

    Args:
        model: the loaded SavedModel.
    """

    def __init__(self, model: Any):
        super().__init__()
        self.model = model
        self._call = _callable(model)
        self.track(*_variables(model))
        self.regularization_losses = list(getattr(model, "regularization_losses", ()))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="texts")])
    def features(self, texts):
        """Nothing can be done ahead: the texts themselves."""
        return {"text": texts}

    @tf.function
    def embed(self, features, training):
        """Return float32[n, dim]."""
        return _pooled(self._call(features["text"], training))


class PreprocessedEncoder(TextModule):
    """A transformer of the hub behind its preprocessing model.

    Args:
        preprocessor: the loaded SavedModel, string[n] -> int32[n, length] by name of the encoder's input.
        encoder: the loaded SavedModel that takes these.
    """

    def __init__(self, preprocessor: Any, encoder: Any):
        super().__init__()
        self.preprocessor, self.encoder = preprocessor, encoder
        self._preprocess, self._encode = _callable(preprocessor), _callable(encoder)
        self._length = _fixed_length(encoder)
        self.track(*_variables(encoder))
        self.regularization_losses = list(getattr(encoder, "regularization_losses", ()))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="texts")])
    def features(self, texts):
        """Return the encoder's inputs, int32[n, length], about as long as the longest of the texts needs."""
        inputs = dict(self._preprocess(texts, False))
        if "input_mask" in inputs:
            mask = inputs["input_mask"]
            length = few_lengths(tf.reduce_max(tf.reduce_sum(mask, axis=1)), tf.shape(mask)[1])
            inputs = {name: value[:, :length] for name, value in inputs.items()}
        return inputs

    @tf.function
    def embed(self, features, training):
        """Return the pooled output, float32[n, dim]."""
        if self._length is not None:
            missing = self._length - tf.shape(features["input_mask"])[1]
            features = {
                name: tf.ensure_shape(tf.pad(value, [[0, 0], [0, missing]]), [None, self._length])
                for name, value in features.items()
            }
        return _pooled(self._encode(features, training))


class Encoder:
    """An encoder at work, whatever it was made from.

    Args:
        module: what is saved with a classifier.
    """

    def __init__(self, module: Any):
        self.module = module

    @cached_property
    def _sample(self) -> dict[str, tf.Tensor]:
        return dict(self.module.features(tf.constant(["a text"])))

    @cached_property
    def tokenizes(self) -> bool:
        """Whether `features` does anything that is worth doing only once."""
        return any(value.shape.rank > 1 for value in self._sample.values())

    @cached_property
    def dim(self) -> int:
        """Size of an embedding."""
        return int(self.module.embed(self._sample, False).shape[-1])

    @property
    def table(self) -> tf.Variable | None:
        """The matrix of word vectors, for an encoder that is made of one."""
        return getattr(self.module, "table", None)

    @property
    def trainable_variables(self) -> list[tf.Variable]:
        """The weights that fine-tuning changes."""
        return list(self.module.trainable_variables)

    @property
    def regularization_losses(self) -> list[Callable[[], tf.Tensor]]:
        """Functions that the model's makers want added to the loss."""
        return list(self.module.regularization_losses)

    def features(self, texts: Sequence[bytes]) -> dict[str, Any]:
        """Tokenize: string[n] -> arrays by name."""
        result = self.module.features(tf.constant(texts, tf.string))
        return {name: value.numpy() for name, value in result.items()}

    def embed(self, features: Mapping[str, tf.Tensor], *, training: bool) -> tf.Tensor:
        """Return float32[n, dim]."""
        return self.module.embed(dict(features), training)


def few_lengths(longest: tf.Tensor, most: Any) -> tf.Tensor:
    """Return the columns for a longest text, int32[]: its length rounded up, so that a server's calls have few shapes."""
    steps = tf.maximum(-(-longest // _LENGTH_STEP), 1)
    return tf.minimum(steps * _LENGTH_STEP, most)


def load_saved_model(folder: Path) -> Any:
    """Load a SavedModel.

    Raises:
        ModelFormatError: it is none, or is damaged.
    """
    try:
        return _load(folder)
    except (OSError, ValueError, KeyError, RuntimeError, tf.errors.OpError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelFormatError(f"{folder}: not a SavedModel that can be loaded: {reason}") from None


def _load(folder: Path) -> Any:
    try:
        return tf.saved_model.load(str(folder))
    except (OSError, ValueError, RuntimeError, tf.errors.OpError) as error:
        if _UNKNOWN_OPERATION not in str(error):
            raise
    # A tokenizer's. Importing them takes seconds, and most models do without.
    register_text_operations()
    return tf.saved_model.load(str(folder))


def wrap(model: Any, preprocessor: Any | None, where: str) -> Encoder:
    """Make an encoder from a loaded SavedModel: one of ours, a text embedding, or a transformer.

    Args:
        model: the loaded SavedModel.
        preprocessor: the loaded preprocessing model of a transformer, else None.
        where: its path or handle, for messages.

    Raises:
        ModelFormatError: it has no such interface.
    """
    if all(hasattr(model, name) for name in ("features", "embed", "trainable_variables")):
        return Encoder(model)
    if not callable(model):
        raise ModelFormatError(
            f"{where}: not a reusable SavedModel (TF2 format of TensorFlow Hub): it can't be called"
        )
    module = PreprocessedEncoder(preprocessor, model) if preprocessor else HubTextEmbedding(model)
    return Encoder(module)


def check(encoder: Encoder, where: str) -> None:
    """Run an encoder once.

    Args:
        encoder: the encoder.
        where: its path or handle, for messages.

    Raises:
        ModelFormatError: it does not take texts, or its preprocessing model does not fit it.
    """
    try:
        dim = encoder.dim
    except (ValueError, TypeError, KeyError, tf.errors.OpError) as error:
        hint = (
            "the preprocessing model does not fit it"
            if isinstance(encoder.module, PreprocessedEncoder)
            else "it does not take texts: name its preprocessing model"
        )
        reason = str(error).strip().splitlines()[0]
        raise ModelFormatError(f"{where}: {hint} ({reason})") from None
    if dim < 1:
        raise ModelFormatError(f"{where}: embeddings of {dim} numbers")


def _callable(model: Any) -> Callable[[Any, bool], Any]:
    """Return a function of inputs and training; many models have no use for the latter."""
    if "training" in inspect.signature(model.__call__).parameters:
        return lambda inputs, training: model(inputs, training=training)
    return lambda inputs, training: model(inputs)


def _variables(model: Any) -> tuple[list[tf.Variable], list[tf.Variable]]:
    trainable = list(getattr(model, "trainable_variables", ()))
    return list(getattr(model, "variables", trainable)), trainable


def _pooled(outputs: Any) -> tf.Tensor:
    if not isinstance(outputs, Mapping):
        return tf.cast(outputs, tf.float32)
    for name in _POOLED:
        if name in outputs:
            return tf.cast(outputs[name], tf.float32)
    raise ValueError(f"outputs {', '.join(outputs)}: expected {' or '.join(_POOLED)}")


def _fixed_length(encoder: Any) -> int | None:
    """Return the one length that all of the encoder's functions take; None where any will do."""
    lengths = {
        spec.shape[1]
        for function in getattr(encoder.__call__, "concrete_functions", ())
        for spec in tf.nest.flatten(function.structured_input_signature)
        if isinstance(spec, tf.TensorSpec) and spec.shape.rank == 2
    }
    return lengths.pop() if len(lengths) == 1 else None
