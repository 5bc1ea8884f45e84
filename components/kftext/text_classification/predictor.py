"""Prediction with SavedModels: what `kftext.models.load` returns for them, for evaluation, serving and batch prediction.

`open_predictor(path)` looks at what lies there:

- a model folder of this package (`model.json` with `algorithm` "tensorflow-text-classification"): a `SavedModelClassifier`, or a
  `SavedModelEncoder` where `kind` is "text-encoder";
- any other SavedModel, as it is or in a folder named by its version, as TensorFlow Serving has it: a `SavedModelClassifier` where
  the signature `serving_default` takes texts and returns `probabilities`, else a `SavedModelEncoder` where the model takes texts and
  returns embeddings.

`open_encoder_as_it_is(reference)` takes a catalogue's id, a hub handle or a path too, word vectors and BERT checkpoints among them.

Both predictors have `warm_up()`, after which no call is slower for being the first, and word vectors are looked up without running
the graph (`word_vector_lookup`); both may be called by any number of threads.
Importing this module does not import TensorFlow; opening a model does.
"""

from __future__ import annotations

import logging
import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kftext.errors import ModelFormatError
from kftext.models.classifier import Classifier, Prediction, PredictionArrays
from kftext.models.metadata import ModelMetadata
from kftext.models.text_encoder import TextEncoder
from kftext.text_classification import backend
from kftext.text_classification.artifact import (
    ALGORITHM,
    CLASSES_FILE,
    read_classes,
    saved_model_folder,
)
from kftext.text_classification.text_function import TextFunction
from kftext.text_classification.word_vector_lookup import (
    WordVectorLookup,
    differing_text,
    open_lookup,
)

__all__ = [
    "SavedModelClassifier",
    "SavedModelEncoder",
    "open_encoder_as_it_is",
    "open_predictor",
]

LOG = logging.getLogger(__name__)

FunctionOfTexts = Callable[[Sequence[str]], npt.NDArray[np.float32]]

_SIGNATURE = "serving_default"
_OUTPUT = "probabilities"

_FEW_LABELS = 32
"""Up to so many, a loop in Python is faster than NumPy for one text."""


class _Function:
    """A SavedModel's function of texts: its graph, or from the warm-up on what computes the same without it.

    Args:
        graph: the graph.
        lookup: its encoder without the graph, where there is such a thing.
        around: makes the whole function without the graph, given the look-up.
    """

    def __init__(
        self,
        graph: TextFunction,
        lookup: WordVectorLookup | None,
        around: Callable[[WordVectorLookup], FunctionOfTexts],
    ):
        self._function: FunctionOfTexts = graph
        self._detour = None if lookup is None else (lookup, around)

    @property
    def on_tensorflow(self) -> bool:
        """Whether the graph is run."""
        return isinstance(self._function, TextFunction)

    def __call__(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return a row for each text.

        Raises:
            ModelFormatError: the numbers are not finite, or the graph fails on these texts.
            ResourceError: not enough memory.
        """
        return _finite(self._function(texts))

    def warm_up(self) -> None:
        """Do without the graph where that gives the same; else run it in each of its shapes."""
        graph, detour = self._function, self._detour
        self._detour = None
        if not isinstance(graph, TextFunction):
            return
        if detour is not None:
            lookup, around = detour
            without = around(lookup)
            text = differing_text(lookup.words, without, lambda texts: _finite(graph(texts)))
            if text is None:
                self._function = without
                return
            LOG.warning("slower, by the graph: without it, %r has another answer", text)
        graph.warm_up()


class SavedModelClassifier(Classifier):
    """A classifier whose probabilities come from a SavedModel. Any number of threads may predict with one at once.

    Its labels are those of the data, as they stand there; "0" to "n-1" where a foreign SavedModel has no class file. Whatever is
    fastText's alone (rows of a matrix, compiled kernels) it does not have.

    Args:
        folder: a model folder, or a folder with a SavedModel of the same signature.
        model: the SavedModel, where it has been loaded already.

    Raises:
        MissingExtraError: TensorFlow is not installed.
        StorageError: a model folder of this package has no class file.
        ModelFormatError: the SavedModel or the class file is damaged, or they don't fit each other.
    """

    def __init__(self, folder: str | Path, model: Any = None):
        path = Path(folder)
        # A damaged class file is found before seconds go into loading the model.
        classes = read_classes(path) if _is_ours(path) or (path / CLASSES_FILE).exists() else None
        model = _load(path) if model is None else model
        import tensorflow as tf

        function: Any = getattr(model, "signatures", {}).get(_SIGNATURE)
        if not _has_probabilities(model):
            raise ModelFormatError(
                f"{path}: the SavedModel has no signature {_SIGNATURE} with an output {_OUTPUT}"
            )
        inputs = function.structured_input_signature[1]
        if [spec.dtype for spec in inputs.values()] != [tf.string]:
            raise ModelFormatError(f"{path}: the signature {_SIGNATURE} does not take texts")
        (name,) = inputs
        encoder = getattr(model, "encoder", None)
        graph = TextFunction(
            lambda texts: tf.cast(function(**{name: texts})[_OUTPUT], tf.float32),
            model,
            fill=hasattr(encoder, "table"),
        )
        width = graph.width
        if width is None:
            width = graph(["a text"]).shape[1]
        self.labels = list(classes) if classes else [str(label) for label in range(width)]
        if width != len(self.labels):
            raise ModelFormatError(
                f"{path}: {width} probabilities, but the class file names {len(self.labels)} labels"
            )
        kernel = getattr(model, "kernel", None)
        self._dim = 0 if kernel is None else int(kernel.shape[0])
        lookup = None if kernel is None else _open_lookup(path, encoder)
        self._function = _Function(graph, lookup, lambda found: _without_graph(found, model))

    @property
    def dim(self) -> int:
        """Size of the embedding; 0 where a foreign SavedModel does not tell."""
        return self._dim

    @property
    def on_tensorflow(self) -> bool:
        """Whether TensorFlow makes the predictions: a call of it costs far more than one more text in a call."""
        return self._function.on_tensorflow

    def warm_up(self) -> bool:
        """Run the model in each of its shapes, so that no client waits for a first time."""
        self._function.warm_up()
        return True

    def probabilities(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return float32[texts, labels].

        Raises:
            ModelFormatError: the model's numbers are not finite.
            ResourceError: not enough memory.
        """
        # Of no texts, a foreign graph does not tell how many labels there are.
        return self._function(texts).reshape(len(texts), len(self.labels))

    def predict(
        self,
        texts: Sequence[str],
        k: int = 1,
        threshold: float = 0.0,
        *,
        threads: int | None = None,
    ) -> list[Prediction]:
        """Predict the labels of texts; arguments as those of every classifier.

        Raises:
            UsageError: k is neither positive nor -1.
            ModelFormatError: the model's numbers are not finite.
        """
        if k == 1:
            return self._best(texts, float(np.float32(threshold)))
        labels, values, counts = self.predict_arrays(texts, k, threshold, threads=threads)
        return [
            Prediction([self.labels[label] for label in row[:count]], numbers[:count])
            for row, numbers, count in zip(
                labels.tolist(), values.tolist(), counts.tolist(), strict=True
            )
        ]

    def predict_json(
        self,
        texts: Sequence[str],
        k: int = 1,
        threshold: float = 0.0,
        *,
        separator: bytes = b",",
    ) -> bytes | None:
        """None: the answers are objects."""
        return None

    def json_job(
        self,
        texts: Sequence[str],
        k: int = 1,
        threshold: float = 0.0,
        *,
        separator: bytes = b",",
    ) -> None:
        """None, for the same reason."""
        return

    def _best(self, texts: Sequence[str], threshold: float) -> list[Prediction]:
        probabilities = self.probabilities(texts)
        names = self.labels
        if len(texts) == 1:
            row = probabilities[0].tolist()
            best = max(row)
            return [
                Prediction([names[row.index(best)]], [best])
                if best >= threshold
                else Prediction([], [])
            ]
        return [
            Prediction([names[label]], [best]) if best >= threshold else Prediction([], [])
            for label, best in zip(
                probabilities.argmax(axis=1).tolist(),
                probabilities.max(axis=1).tolist(),
                strict=True,
            )
        ]

    def predict_arrays(
        self,
        texts: Sequence[str],
        k: int = 1,
        threshold: float = 0.0,
        *,
        threads: int | None = None,
    ) -> PredictionArrays:
        """Predict the labels of many texts, and leave the answers in arrays; TensorFlow has its own threads."""
        k = self.check_k(k)
        probabilities = self.probabilities(texts)
        order = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
        best = np.take_along_axis(probabilities, order, axis=1)
        counts = (best >= threshold).sum(axis=1, dtype=np.int32)
        outside = np.arange(order.shape[1]) >= counts[:, None]
        best[outside] = 0
        return PredictionArrays(np.where(outside, 0, order).astype(np.int32), best, counts)


class SavedModelEncoder(TextEncoder):
    """A pretrained encoder as it is.

    Args:
        encoder: a `kftext.text_classification.encoder.Encoder`.
        where: what it is called, for messages.
        lookup: the same encoder without its graph, where there is such a thing.

    Raises:
        ModelFormatError: it does not take texts.
    """

    def __init__(self, encoder: Any, where: str, lookup: WordVectorLookup | None = None):
        from kftext.text_classification.encoder import check

        check(encoder, where)
        self._dim = int(encoder.dim)
        fill = encoder.table is not None
        graph = TextFunction(lambda texts: encoder.module(texts), encoder, fill=fill)
        self._function = _Function(graph, lookup, lambda found: found)

    @property
    def dim(self) -> int:
        """Size of an embedding."""
        return self._dim

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return float32[texts, dim].

        Raises:
            ModelFormatError: the model's numbers are not finite.
            ResourceError: not enough memory.
        """
        return self._function(texts).reshape(len(texts), self._dim)

    @property
    def on_tensorflow(self) -> bool:
        """As for `SavedModelClassifier`."""
        return self._function.on_tensorflow

    def warm_up(self) -> bool:
        """Run the model in each of its shapes, so that no client waits for a first time."""
        self._function.warm_up()
        return True


def open_predictor(path: str | Path) -> SavedModelClassifier | SavedModelEncoder:
    """Open a folder that holds a SavedModel.

    Args:
        path: the folder: see the top of this module.

    Raises:
        MissingExtraError: TensorFlow is not installed.
        StorageError: a model folder of this package lacks a file.
        ModelFormatError: it holds no SavedModel, a damaged one, or one that does not take texts.
    """
    path = Path(path)
    metadata = ModelMetadata.read(path)
    if metadata is not None and metadata.kind == "text-classifier":
        return SavedModelClassifier(path)
    model = _load(path)
    if metadata is None and _has_probabilities(model):
        return SavedModelClassifier(path, model)
    from kftext.text_classification.encoder import wrap

    return SavedModelEncoder(wrap(model, None, str(path)), str(path), _open_lookup(path, model))


def open_encoder_as_it_is(
    reference: str, preprocessing: str | None = None, pooling: str = ""
) -> SavedModelEncoder:
    """Open an encoder to be used with no training step.

    Args:
        reference: id of the catalogue, hub handle, or path of a SavedModel, of word vectors or of a BERT checkpoint.
        preprocessing: the same for its preprocessing model; the catalogue's own where it is None.
        pooling: of word vectors or a BERT checkpoint; "" for the usual one.

    Raises:
        MissingExtraError: TensorFlow is not installed.
        StorageError: it is nowhere to be found.
        ModelFormatError: it is no encoder, or a damaged one.
        UsageError: preprocessing or pooling for a model that takes none.
    """
    backend.prepare(training=False)
    from kftext.text_classification.loading import find_model, open_encoder

    with tempfile.TemporaryDirectory(prefix="kftext-") as folder:
        work_dir = Path(folder)
        found = find_model(reference, work_dir, preprocessing)
        encoder, _ = open_encoder(found, work_dir, pooling)
        # All that the graph needs has been read once it has run.
        return SavedModelEncoder(encoder, reference)


def _open_lookup(path: Path, encoder: Any) -> WordVectorLookup | None:
    """The encoder of a SavedModel without its graph; None where it has none of ours, made from word vectors."""
    folder = saved_model_folder(path)
    return None if folder is None else open_lookup(folder, encoder)


def _without_graph(lookup: WordVectorLookup, model: Any) -> FunctionOfTexts:
    """A classifier of ours over a look-up: the dense layer and its softmax, float32[texts, labels]."""
    kernel, bias = model.kernel.numpy(), model.bias.numpy()
    short = kernel.shape[1] < kernel.shape[0]
    products = lookup.through(kernel) if short else lambda texts: lookup(texts) @ kernel

    def probabilities(texts: Sequence[str]) -> npt.NDArray[np.float32]:
        scores = products(texts)
        scores += bias
        if len(texts) == 1 and len(bias) <= _FEW_LABELS:
            return np.array([_softmax(scores[0].tolist())], np.float32)
        scores -= np.maximum.reduce(scores, axis=1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= np.add.reduce(scores, axis=1, keepdims=True)
        return scores

    return probabilities


def _softmax(scores: list[float]) -> list[float]:
    """The softmax of a few numbers, for which NumPy's calls would take longer."""
    highest = max(scores)
    powers = [math.exp(score - highest) for score in scores]
    total = sum(powers)
    return [power / total for power in powers]


def _finite(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    # The sum is one call, and finite where all numbers are; where it is not, it may have overflowed.
    if not math.isfinite(np.add.reduce(rows, axis=None)) and not np.isfinite(rows).all():
        raise ModelFormatError("the model's numbers are not finite: it diverged in training")
    return rows


def _is_ours(path: Path) -> bool:
    metadata = ModelMetadata.read(path)
    return metadata is not None and metadata.algorithm == ALGORITHM


def _has_probabilities(model: Any) -> bool:
    function = getattr(model, "signatures", {}).get(_SIGNATURE)
    return function is not None and _OUTPUT in function.structured_outputs


def _load(path: Path) -> Any:
    folder = saved_model_folder(path)
    if folder is None:
        raise ModelFormatError(f"{path}: no SavedModel in this folder: expected saved_model.pb")
    backend.prepare(training=False)
    from kftext.text_classification.encoder import load_saved_model

    return load_saved_model(folder)
