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

import contextlib
import importlib.util
import logging
import math
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from kftext.errors import ModelFormatError
from kftext.models.classifier import (
    NOT_FINITE,
    Classifier,
    Prediction,
    PredictionArrays,
)
from kftext.models.documents import join_lines
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
    FEW_LABELS,
    Firsts,
    FunctionOfTexts,
    LookupClassifier,
    WordVectorLookup,
    differing_text,
    open_lookup,
)

if TYPE_CHECKING:
    from kftext.models.compiled.json_job import JsonJob
    from kftext.text_classification.compiled_lookup import CompiledLookup

__all__ = [
    "SavedModelClassifier",
    "SavedModelEncoder",
    "open_encoder_as_it_is",
    "open_predictor",
]

LOG = logging.getLogger(__name__)

_SIGNATURE = "serving_default"
_OUTPUT = "probabilities"


class _Function:
    """A SavedModel's function of texts: its graph, or from the warm-up on what computes the same without it.

    Args:
        graph: the graph.
        without: makes the same function without the graph; None where there is no such thing.
        labels: the names of a classifier's labels.

    Attributes:
        compiled: the same, compiled, from the warm-up on; None where Numba is not installed, or the graph is run.
    """

    def __init__(
        self,
        graph: TextFunction,
        without: Callable[[], WordVectorLookup | LookupClassifier] | None,
        labels: Sequence[str] = (),
    ):
        self._labels = labels
        self._function: FunctionOfTexts = graph
        self._without = without
        self.compiled: CompiledLookup | None = None

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
        graph, without = self._function, self._without
        self._without = None
        if not isinstance(graph, TextFunction):
            return
        if without is not None:
            plain = without()
            compiled = _compiled(plain, self._labels)
            bests: list[Callable[[Sequence[str]], Firsts]] = []
            if compiled is not None and isinstance(plain, LookupClassifier):
                bests = [compiled.firsts, compiled.first_of_each]
            function = compiled or plain
            text = differing_text(plain.words, function, lambda texts: _finite(graph(texts)), bests)
            if text is None:
                self._function, self.compiled = function, compiled
                return
            LOG.warning("slower, by the graph: without it, %r has another answer", text)
        graph.warm_up()


def _compiled(
    plain: WordVectorLookup | LookupClassifier, labels: Sequence[str]
) -> CompiledLookup | None:
    if importlib.util.find_spec("numba") is None:
        return None
    from kftext.text_classification.compiled_lookup import CompiledLookup

    return CompiledLookup(plain, labels)


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
        without = None
        if kernel is not None and (lookup := _open_lookup(path, encoder)) is not None:
            without = partial(LookupClassifier, lookup, kernel.numpy(), model.bias.numpy())
        self._function = _Function(graph, without, self.labels)

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
        # Compiles what it needs; a model whose numbers are not finite says so when it is asked.
        with contextlib.suppress(ModelFormatError):
            self.predict_json([""])
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
        # As the probabilities are.
        limit = float(np.float32(threshold)) if threshold else 0.0
        if k == 1:
            compiled = self._function.compiled
            if compiled is None or len(texts) != 1:
                return self._best(texts, limit)
            label, best = compiled.first(texts[0])
            if label < 0:
                raise ModelFormatError(NOT_FINITE)
            return [
                Prediction([self.labels[label]], [best]) if best >= limit else Prediction([], [])
            ]
        k = self.check_k(k)
        if len(texts) == 1 and len(self.labels) <= FEW_LABELS:
            row = self.probabilities(texts)[0].tolist()
            order = sorted(range(len(row)), key=row.__getitem__, reverse=True)
            order = [label for label in order[:k] if row[label] >= limit]
            return [Prediction([self.labels[label] for label in order], [row[i] for i in order])]
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
        """As for every classifier; None for more than one label a text, or where the graph is run."""
        compiled = self._function.compiled
        if compiled is None or self.check_k(k) != 1:
            return None
        text = join_lines(texts, _encode)
        return compiled.predict_json(text, len(texts), float(threshold), separator[0])

    def json_job(
        self,
        texts: Sequence[str],
        k: int = 1,
        threshold: float = 0.0,
        *,
        separator: bytes = b",",
    ) -> JsonJob | None:
        """As for every classifier, for what `predict_json` answers."""
        compiled = self._function.compiled
        if compiled is None or self.check_k(k) != 1:
            return None
        text = join_lines(texts, _encode)
        return compiled.json_job(text, len(texts), 1, float(threshold), separator[0])

    def _best(self, texts: Sequence[str], limit: float) -> list[Prediction]:
        """The most probable label of each text, where its probability reaches the limit."""
        compiled = self._function.compiled
        if compiled is None:
            probabilities = self.probabilities(texts)
            labels, values = probabilities.argmax(axis=1), probabilities.max(axis=1)
        else:
            labels, values = compiled.firsts(texts)
            if labels.min(initial=0) < 0:
                raise ModelFormatError(NOT_FINITE)
        names, new = self.labels, tuple.__new__
        return [
            # Without the Python function of a named tuple, which takes longer than the rest.
            new(Prediction, ([names[label]], [best]) if best >= limit else ([], []))
            for label, best in zip(labels.tolist(), values.tolist(), strict=True)
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
        self._function = _Function(graph, None if lookup is None else lambda: lookup)

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


def _encode(text: str) -> bytes:
    """The bytes that TensorFlow is given."""
    return text.encode("utf-8", "replace")


def _finite(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    # The sum is one call, and finite where all numbers are; where it is not, it may have overflowed.
    if not math.isfinite(np.add.reduce(rows, axis=None)) and not np.isfinite(rows).all():
        raise ModelFormatError(NOT_FINITE)
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
