"""Prediction with a text classifier, the same as fastText's.

Joulin et al., "Bag of Tricks for Efficient Text Classification", 2016: the mean of the input rows of a line's words and
n-grams is the hidden vector; its products with the output rows go through the loss function's link to probabilities.
"""

from __future__ import annotations

import contextlib
import importlib.util
import math
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from kftext.cores import available_cores
from kftext.errors import ModelFormatError, UsageError
from kftext.models.arguments import Loss
from kftext.models.documents import encode_document, join_documents, join_lines
from kftext.models.fasttext_format import FastTextModel
from kftext.models.hierarchical_softmax import HuffmanTree
from kftext.models.top_k import Entry, top_k

if TYPE_CHECKING:
    from kftext.models.compiled.json_job import JsonJob
    from kftext.models.compiled.predict import CompiledClassifier

__all__ = [
    "NOT_FINITE",
    "Classifier",
    "Prediction",
    "PredictionArrays",
]

_WORTH_COMPILING = 10_000
"""Texts from which on importing Numba takes less time than it saves."""

_WORTH_THREADS = 512
"""Texts from which on threads take less time to start than they save."""

_PIECE = (512, 8192)
"""Fewest and most texts that a thread predicts at a time: some pieces for each thread, since texts differ in length."""

Result = TypeVar("Result")

_SIGMOID_TABLE_SIZE, _MAX_SIGMOID = 512, 8


def _sigmoid_table() -> npt.NDArray[np.float32]:
    x = np.arange(_SIGMOID_TABLE_SIZE + 1, dtype=np.float32) * 2 * _MAX_SIGMOID
    x = x / np.float32(_SIGMOID_TABLE_SIZE) - np.float32(_MAX_SIGMOID)
    return (1.0 / (1.0 + np.exp(-x))).astype(np.float32)


_SIGMOID = _sigmoid_table()
NOT_FINITE = "the model's numbers are not finite: it diverged in training, or the file is damaged"


class Prediction(NamedTuple):
    """Labels of one text, the most probable first, and their probabilities.

    A probability is fastText's: the exponential of a logarithm that was shifted by 1e-5, so that it may exceed 1 by as much.
    """

    labels: list[str]
    probabilities: list[float]


class PredictionArrays(NamedTuple):
    """Labels of many texts as arrays.

    Attributes:
        labels: int32[texts, k], indexes into the classifier's labels, the most probable first.
        probabilities: float32[texts, k].
        counts: int32[texts], how many of the k columns hold a label; the rest is zeros.
    """

    labels: npt.NDArray[np.int32]
    probabilities: npt.NDArray[np.float32]
    counts: npt.NDArray[np.int32]


class Classifier:
    """A supervised model. Any number of threads may predict with one at once.

    Args:
        model: a model whose arguments say that it is supervised.

    Raises:
        ModelFormatError: the model is no classifier, or has no labels.
    """

    def __init__(self, model: FastTextModel):
        if not model.arguments.supervised:
            raise ModelFormatError("the model holds word vectors; it is no classifier")
        if not model.dictionary.labels:
            raise ModelFormatError("the classifier has no labels")
        self.model = model
        self.dictionary = model.dictionary
        self.labels = [label.decode("utf-8", "replace") for label in model.dictionary.labels]
        self._compiled: CompiledClassifier | None = None
        self._compiling = threading.Lock()

    @property
    def dim(self) -> int:
        """Size of the hidden vector."""
        return self.model.arguments.dim

    @cached_property
    def _tree(self) -> HuffmanTree:
        return HuffmanTree(self.dictionary.label_counts)

    def warm_up(self) -> bool:
        """Prepare compiled prediction, which is many times as fast; a server calls it once, before the first request.

        It takes a second, and some more where Numba has not yet compiled on this machine. Without it, single texts are
        predicted by NumPy, which needs no preparation.

        Returns:
            Whether prediction is compiled now: not so where Numba is not installed.
        """
        with self._compiling:
            if self._compiled is None and importlib.util.find_spec("numba") is not None:
                from kftext.models.compiled.predict import CompiledClassifier

                tree = self._tree if self.model.arguments.loss == Loss.HS else None
                compiled = CompiledClassifier(self.model, tree, _SIGMOID)
                compiled.predict_first(b"", 0.0)
                compiled.predict_one(b"", 1, 0.0)
                compiled.predict_lines(*join_documents(["", ""]), 1, 0.0, 1)
                # A model whose numbers are not finite says so when it is asked.
                with contextlib.suppress(ModelFormatError):
                    compiled.predict_json(b"", 1, 1, 0.0, 0)
                self._compiled = compiled
        return self._compiled is not None

    def compiled_for(self, texts: int) -> bool:
        """Return whether prediction of so many texts is compiled; warms up where it was not and they are worth it."""
        if self._compiled is None and texts >= _WORTH_COMPILING:
            self.warm_up()
        return self._compiled is not None

    def predict(
        self,
        texts: Sequence[str],
        k: int = 1,
        threshold: float = 0.0,
        *,
        threads: int | None = None,
    ) -> list[Prediction]:
        """Predict the labels of texts.

        Args:
            texts: each is one document; newlines in it count as white space.
            k: how many labels at most for each text; -1 for all.
            threshold: smallest probability of a label that is returned.
            threads: how many threads share many texts; None for as many as there are cores.

        Returns:
            One prediction for each text; one without labels where no label reaches the threshold, or where the model
            knows nothing of the text.

        Raises:
            UsageError: k is neither positive nor -1.
            ModelFormatError: the model's numbers are not finite.
        """
        k = self.check_k(k)
        compiled = self._compiled
        if compiled is not None and len(texts) == 1:
            return [self._predict_one(compiled, texts[0], k, threshold)]
        if not self.compiled_for(len(texts)):
            return [
                self._prediction(self.best(self.document_rows(text), k, threshold))
                for text in texts
            ]
        pieces = _share(lambda piece: self._predict_piece(piece, k, threshold), texts, threads)
        return pieces[0] if len(pieces) == 1 else list(chain.from_iterable(pieces))

    def _predict_piece(self, texts: Sequence[str], k: int, threshold: float) -> list[Prediction]:
        labels, values, counts = self.predict_lines(*join_documents(texts), k, threshold, threads=1)
        names = self.labels
        if k == 1 and counts.all():
            new = tuple.__new__
            return [
                new(Prediction, ([names[label]], [probability]))
                for label, probability in zip(
                    labels[:, 0].tolist(), values[:, 0].tolist(), strict=True
                )
            ]
        return [
            Prediction([names[label] for label in row[:count]], numbers[:count])
            for row, numbers, count in zip(
                labels.tolist(), values.tolist(), counts.tolist(), strict=True
            )
        ]

    def _predict_one(
        self, compiled: CompiledClassifier, text: str, k: int, threshold: float
    ) -> Prediction:
        if k > 1:
            best = compiled.predict_one(encode_document(text), k, float(threshold))
            if best is None:
                raise ModelFormatError(NOT_FINITE)
            return self._prediction(best)
        # A float, since each type of argument is compiled for itself.
        size, probability, label = compiled.predict_first(encode_document(text), float(threshold))
        if size < 0:
            raise ModelFormatError(NOT_FINITE)
        return Prediction([self.labels[label]], [probability]) if size else Prediction([], [])

    def predict_json(
        self,
        texts: Sequence[str],
        k: int = 1,
        threshold: float = 0.0,
        *,
        separator: bytes = b",",
    ) -> bytes | None:
        """Predict the labels of texts, and write the answers as JSON at once, on one thread; errors as those of `predict`.

        Args:
            texts: as for `predict`, at least one.
            k: as for `predict`.
            threshold: as for `predict`.
            separator: the byte between two answers.

        Returns:
            `{"prob":[...],"label":[...]}` for each text, as orjson writes what `predict` returns; None where only `predict` can
            answer: prediction is not compiled, or there is much to be written.
        """
        if self._compiled is None:
            return None
        return self._compiled.predict_json(
            join_lines(texts), len(texts), self.check_k(k), float(threshold), separator[0]
        )

    def json_job(
        self,
        texts: Sequence[str],
        k: int = 1,
        threshold: float = 0.0,
        *,
        separator: bytes = b",",
    ) -> JsonJob | None:
        """As `predict_json`, for one of the threads that predict without the interpreter's lock."""
        if self._compiled is None:
            return None
        return self._compiled.json_job(
            join_lines(texts), len(texts), self.check_k(k), float(threshold), separator[0]
        )

    def predict_arrays(
        self,
        texts: Sequence[str],
        k: int = 1,
        threshold: float = 0.0,
        *,
        threads: int | None = None,
    ) -> PredictionArrays:
        """Predict the labels of many texts, and leave the answers in arrays; arguments and errors as those of `predict`."""
        k = self.check_k(k)
        if not self.warm_up():
            threads = 1

        def run(piece: Sequence[str]) -> PredictionArrays:
            return self.predict_lines(*join_documents(piece), k, threshold, threads=1)

        pieces = _share(run, texts, threads)
        if len(pieces) == 1:
            return pieces[0]
        return PredictionArrays(*(np.concatenate(part) for part in zip(*pieces, strict=True)))

    def predict_lines(
        self,
        text: npt.NDArray[np.uint8],
        starts: npt.NDArray[np.int64],
        ends: npt.NDArray[np.int64],
        k: int = 1,
        threshold: float = 0.0,
        *,
        threads: int | None = None,
    ) -> PredictionArrays:
        """Predict the labels of documents that stand in one buffer, say a file's.

        Args:
            text: uint8[bytes].
            starts: int64[documents], where each starts in it.
            ends: int64[documents], where each ends; its newline is not part of it.
            k: as for `predict`.
            threshold: as for `predict`.
            threads: as for `predict`.
        """
        k = self.check_k(k)
        count = len(starts)
        compiled = self._compiled if self.warm_up() else None
        if compiled is None:
            arrays = _empty_arrays(count, k)
            for index in range(count):
                line = text[starts[index] : ends[index]].tobytes()
                best = self.best(self.dictionary.line(line)[0], k, threshold)
                arrays.counts[index] = len(best)
                arrays.labels[index, : len(best)] = [label for _, label in best]
                arrays.probabilities[index, : len(best)] = probabilities([s for s, _ in best])
            return arrays
        if count == 0:
            return _empty_arrays(0, k)
        if count < _WORTH_THREADS:
            threads = 1
        scores, labels, counts = compiled.predict_lines(
            text, starts, ends, k, threshold, threads or available_cores()
        )
        if counts.min() < 0:
            raise ModelFormatError(NOT_FINITE)
        if counts.min() < k:
            scores[np.arange(k) >= counts[:, None]] = -math.inf
        return PredictionArrays(labels, probabilities(scores), counts)

    def check_k(self, k: int) -> int:
        """Return how many labels are asked for.

        Raises:
            UsageError: k is neither positive nor -1.
        """
        if k == -1:
            return len(self.labels)
        if k <= 0:
            raise UsageError(f"k={k}: expected an integer > 0, or -1 for all labels")
        return min(k, len(self.labels))

    def document_rows(self, text: str) -> list[int]:
        """Return the input rows of one document."""
        return self.dictionary.line(encode_document(text))[0]

    def _prediction(self, best: list[Entry]) -> Prediction:
        labels = self.labels
        return Prediction(
            [labels[index] for _, index in best],
            probabilities([score for score, _ in best]).tolist(),
        )

    def hidden(self, rows: Sequence[int]) -> npt.NDArray[np.float32]:
        """Return float32[dim], the mean of the input rows at `rows` (at least one)."""
        return self.model.input.sum(rows) * np.float32(1.0 / len(rows))

    def best(self, rows: Sequence[int], k: int, threshold: float = 0.0) -> list[Entry]:
        """Return (logarithm of probability + 1e-5, label id) of the k best labels, best first.

        Raises:
            ModelFormatError: the model's numbers are not finite.
        """
        if not rows:
            return []
        # Weights of a damaged file may be anything: infinities are found below, in one place.
        with np.errstate(all="ignore"):
            products = self.model.output.dot(self.hidden(rows))
            loss = self.model.arguments.loss
            if loss == Loss.HS:
                products = products[: len(self.labels) - 1]
            if not math.isfinite(float(products.sum())):
                raise ModelFormatError(NOT_FINITE)
            limit = np.float32(threshold)
            if loss == Loss.HS:
                log_threshold = float(np.float32(math.log(max(float(limit), 0.0) + 1e-5)))
                return self._tree.best(products, k, log_threshold)
            scores = _softmax(products) if loss == Loss.SOFTMAX else _sigmoid(products)
            logarithms = np.log(scores.astype(np.float64) + 1e-5).astype(np.float32)
        if threshold > 0:
            logarithms[scores < limit] = -math.inf
        return top_k(logarithms, k)


def probabilities(logarithms: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Return float32[...], the exponentials, rounded once as the C library's `expf` does."""
    return np.exp(np.asarray(logarithms, dtype=np.float64)).astype(np.float32)


def _empty_arrays(count: int, k: int) -> PredictionArrays:
    return PredictionArrays(
        np.zeros((count, k), dtype=np.int32),
        np.zeros((count, k), dtype=np.float32),
        np.zeros(count, dtype=np.int32),
    )


def _share(
    run: Callable[[Sequence[str]], Result], texts: Sequence[str], threads: int | None
) -> list[Result]:
    """Apply `run` to pieces of many texts on several threads, or to all of them; return what it returned, in order.

    A piece's bytes are made, and its answers turned into objects, under the interpreter's lock, while other threads predict.
    """
    threads = threads or available_cores()
    if threads <= 1 or len(texts) < _WORTH_THREADS:
        return [run(texts)]
    fewest, most = _PIECE
    size = min(max(fewest, len(texts) // (4 * threads)), most)
    pieces = [texts[i : i + size] for i in range(0, len(texts), size)]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(run, pieces))


def _softmax(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    # The C library's exponential is exact to the last bit, NumPy's of a float32 is not; cumsum adds from first to last.
    powers = np.exp((x - x.max()).astype(np.float64)).astype(np.float32)
    return powers / powers.cumsum(dtype=np.float32)[-1]


def _sigmoid(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The sigmoid as fastText reads it from its table of 512 values over [-8, 8]."""
    index = (x + np.float32(_MAX_SIGMOID)) * np.float32(_SIGMOID_TABLE_SIZE)
    index = index / np.float32(_MAX_SIGMOID) / np.float32(2)
    values = _SIGMOID[np.clip(index, 0, _SIGMOID_TABLE_SIZE).astype(np.intp)]
    values[x < -_MAX_SIGMOID] = 0.0
    values[x > _MAX_SIGMOID] = 1.0
    return values
