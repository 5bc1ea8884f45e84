"""Prediction with a classifier that is a SavedModel: what evaluation, serving and batch prediction get from `models.load`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kftext.errors import ModelFormatError, ResourceError
from kftext.models.classifier import Classifier, Prediction, PredictionArrays
from kftext.text_classification import backend
from kftext.text_classification.artifact import SAVED_MODEL_FOLDER, read_classes

__all__ = ["SavedModelClassifier"]

_SIGNATURE = "serving_default"
_OUTPUT = "probabilities"
_AT_ONCE = 64
"""Texts in one call: those of about the same length, so that little is padded."""


class SavedModelClassifier(Classifier):
    """A classifier whose probabilities come from a SavedModel. Any number of threads may predict with one at once.

    Its labels are those of the data, as they stand there. Whatever is fastText's alone (rows of a matrix, compiled kernels) it
    does not have.

    Args:
        folder: the model folder.

    Raises:
        MissingExtraError: TensorFlow is not installed.
        ModelFormatError: the SavedModel or the class file is damaged, or they don't fit each other.
    """

    def __init__(self, folder: str | Path):
        folder = Path(folder)
        self.labels = list(read_classes(folder))
        backend.prepare()
        import tensorflow as tf

        from kftext.text_classification.encoder import load_saved_model

        self._tf = tf
        # The loaded object owns the variables: it must live as long as the function.
        self._loaded = load_saved_model(folder / SAVED_MODEL_FOLDER)
        function: Any = getattr(self._loaded, "signatures", {}).get(_SIGNATURE)
        outputs = function.structured_outputs if function is not None else {}
        if _OUTPUT not in outputs:
            raise ModelFormatError(
                f"{folder}: the SavedModel has no signature {_SIGNATURE} with an output {_OUTPUT}"
            )
        inputs = function.structured_input_signature[1]
        if [spec.dtype for spec in inputs.values()] != [tf.string]:
            raise ModelFormatError(f"{folder}: the signature {_SIGNATURE} does not take texts")
        (self._input,) = inputs
        self._function: Any = function
        width = outputs[_OUTPUT].shape[-1]
        if width != len(self.labels):
            raise ModelFormatError(
                f"{folder}: {width} probabilities, but the class file names {len(self.labels)} labels"
            )

    @property
    def dim(self) -> int:
        """Size of the embedding."""
        return int(self._loaded.kernel.shape[0])

    def warm_up(self) -> bool:
        """Run the model once, so that no client waits for a first time."""
        self.probabilities(["warm"])
        return True

    def probabilities(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return float32[texts, labels].

        Raises:
            ModelFormatError: the model's numbers are not finite.
            ResourceError: not enough memory.
        """
        tf = self._tf
        content = [text.encode("utf-8", "replace") for text in texts]
        order = sorted(range(len(content)), key=lambda index: len(content[index]))
        result = np.zeros((len(content), len(self.labels)), dtype=np.float32)
        for start in range(0, len(order), _AT_ONCE):
            rows = order[start : start + _AT_ONCE]
            batch = tf.constant([content[row] for row in rows], tf.string)
            try:
                result[rows] = self._function(**{self._input: batch})[_OUTPUT].numpy()
            except tf.errors.ResourceExhaustedError as error:
                raise ResourceError(
                    f"out of memory in prediction: {str(error).splitlines()[0]}"
                ) from None
        if not np.isfinite(result).all():
            raise ModelFormatError("the model's numbers are not finite: it diverged in training")
        return result

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
        labels, values, counts = self.predict_arrays(texts, k, threshold, threads=threads)
        return [
            Prediction([self.labels[label] for label in row[:count]], numbers[:count])
            for row, numbers, count in zip(
                labels.tolist(), values.tolist(), counts.tolist(), strict=True
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
        outside = np.arange(k) >= counts[:, None]
        best[outside] = 0
        return PredictionArrays(np.where(outside, 0, order).astype(np.int32), best, counts)
