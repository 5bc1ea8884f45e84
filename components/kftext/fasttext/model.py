"""A model with the methods of the `fasttext` package's model object: names, arguments, defaults and shapes are its own."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from kftext.cores import available_cores
from kftext.data.tokens import tokenize as cut
from kftext.errors import MissingExtraError, UsageError
from kftext.fasttext.meter import Meter
from kftext.models import (
    Classifier,
    DenseMatrix,
    FastTextModel,
    WordVectors,
    read_model,
    write_model,
)
from kftext.models.classifier import PredictionArrays
from kftext.models.dictionary import EOS, fasttext_hash
from kftext.models.quantization import Quantization, quantize

__all__ = ["FastText", "ModelMeter", "require_numba"]

Floats = npt.NDArray[np.float32]
_LINES_AT_A_TIME = 65536

# The attributes of a model of the fasttext package, and the fields of its file that they come from.
_FIELDS = {
    "dim": "dim",
    "ws": "ws",
    "epoch": "epoch",
    "minCount": "min_count",
    "neg": "neg",
    "wordNgrams": "word_ngrams",
    "bucket": "bucket",
    "minn": "minn",
    "maxn": "maxn",
    "lrUpdateRate": "lr_update_rate",
    "t": "t",
}


class FastText:
    """A trained model. It is what `load_model` and the training functions return.

    Args:
        model: the model, or the path of its file.
        arguments: what it was trained with beyond what its file holds ("lr", "thread", ...): they become attributes.
    """

    def __init__(self, model: FastTextModel | str | Path, arguments: dict[str, Any] | None = None):
        self._use(model if isinstance(model, FastTextModel) else read_model(model))
        for name, value in (arguments or {}).items():
            setattr(self, name, value)

    def _use(self, model: FastTextModel) -> None:
        self._model = model
        for name in ("_classifier", "_vectors", "words", "labels"):
            self.__dict__.pop(name, None)
        for name, field in _FIELDS.items():
            setattr(self, name, getattr(model.arguments, field))
        self.loss = model.arguments.loss.name.lower()
        self.model = model.arguments.model.name.lower()

    @cached_property
    def _classifier(self) -> Classifier:
        if not self._model.arguments.supervised:
            raise UsageError("Model needs to be supervised for prediction!")
        classifier = Classifier(self._model)
        classifier.labels = _escaped(self._model.dictionary.labels)
        return classifier

    @cached_property
    def _vectors(self) -> WordVectors:
        vectors = WordVectors(self._model)
        vectors.words = _escaped(self._model.dictionary.words)
        return vectors

    def to_model(self) -> FastTextModel:
        """Return the model behind this one, for `kftext.models`."""
        return self._model

    def is_quantized(self) -> bool:
        """Return whether the input matrix is quantized."""
        return self._model.quantized

    def get_dimension(self) -> int:
        """Return the size of a vector."""
        return self._model.arguments.dim

    def get_word_vector(self, word: str) -> Floats:
        """Return the vector of a word, float32[dim]."""
        return self._vectors.vector(word)

    def get_sentence_vector(self, text: str) -> Floats:
        """Return the vector of one line of text, float32[dim]."""
        return self._vectors.sentence_vector(_one_line(text, "get_sentence_vector"))

    def get_nearest_neighbors(
        self, word: str, k: int = 10, on_unicode_error: str = "strict"
    ) -> list[tuple[float, str]]:
        """Return (cosine, word) of the k words nearest to a word."""
        found = self._vectors.nearest_neighbors(word, k)
        return [(cosine, _decode(name, on_unicode_error)) for name, cosine in found]

    def get_analogies(
        self,
        wordA: str,  # noqa: N803
        wordB: str,  # noqa: N803
        wordC: str,  # noqa: N803
        k: int = 10,
        on_unicode_error: str = "strict",
    ) -> list[tuple[float, str]]:
        """Return (cosine, word) of the k words nearest to A - B + C."""
        found = self._vectors.analogies(wordA, wordB, wordC, k)
        return [(cosine, _decode(name, on_unicode_error)) for name, cosine in found]

    def get_word_id(self, word: str) -> int:
        """Return a word's id, -1 where the dictionary lacks it."""
        return self._model.dictionary.word_id(word.encode())

    def get_label_id(self, label: str) -> int:
        """Return a label's id, -1 where the dictionary lacks it."""
        return self._model.dictionary.label_id(label.encode())

    def get_subword_id(self, subword: str) -> int:
        """Return the row of the input matrix that an n-gram is hashed to."""
        arguments = self._model.arguments
        if arguments.bucket == 0:
            raise UsageError("the model has no buckets: it was trained without n-grams")
        bucket = fasttext_hash(subword.encode()) % arguments.bucket
        return len(self._model.dictionary.words) + bucket

    def get_subwords(
        self, word: str, on_unicode_error: str = "strict"
    ) -> tuple[list[str], npt.NDArray[np.int64]]:
        """Return the n-grams that make up a word's vector, and their rows of the input matrix."""
        names, rows = self._model.dictionary.subwords(word.encode())
        return [n.decode("utf-8", on_unicode_error) for n in names], np.array(rows, dtype=np.int64)

    def get_input_vector(self, ind: int) -> Floats:
        """Return a row of the input matrix, float32[dim]."""
        rows = self._model.input.shape[0]
        if not 0 <= ind < rows:
            raise UsageError(f"row {ind}: the input matrix has rows 0 to {rows - 1}")
        vector: Floats = self._model.input.rows([ind])[0]
        return vector

    @overload
    def predict(
        self, text: str, k: int = 1, threshold: float = 0.0, on_unicode_error: str = "strict"
    ) -> tuple[tuple[str, ...], npt.NDArray[np.float64]]: ...

    @overload
    def predict(
        self, text: list[str], k: int = 1, threshold: float = 0.0, on_unicode_error: str = "strict"
    ) -> tuple[list[list[str]], list[Floats]]: ...

    def predict(
        self,
        text: str | list[str],
        k: int = 1,
        threshold: float = 0.0,
        on_unicode_error: str = "strict",
    ) -> Any:
        """Predict the labels of one line of text, or of a list of them.

        Returns:
            For a text, a tuple of labels and an array of their probabilities; for a list, a list of each.

        Raises:
            UsageError: the text has a newline in it, k is impossible, or the model is no classifier.
            UnicodeDecodeError: a label is no UTF-8, and `on_unicode_error`, a name of `bytes.decode`, is "strict".
        """
        classifier = self._classifier
        if isinstance(text, str):
            (best,) = classifier.predict([_one_line(text, "predict")], k, threshold)
            names = tuple(_decode(label, on_unicode_error) for label in best.labels)
            return names, np.array(best.probabilities)
        lines = [_one_line(line, "predict") for line in text]
        if classifier.compiled_for(len(lines)):
            found = classifier.predict_arrays(lines, k, threshold)
            return _lists(found, classifier.labels, on_unicode_error)
        predictions = classifier.predict(lines, k, threshold)
        return (
            [[_decode(label, on_unicode_error) for label in p.labels] for p in predictions],
            [np.array(p.probabilities, dtype=np.float32) for p in predictions],
        )

    def get_input_matrix(self) -> Floats:
        """Return a copy of the input matrix, float32[rows, dim]."""
        return self._matrix(self._model.input)

    def get_output_matrix(self) -> Floats:
        """Return a copy of the output matrix, float32[rows, dim]."""
        return self._matrix(self._model.output)

    def _matrix(self, matrix: Any) -> Floats:
        if self._model.quantized or not isinstance(matrix, DenseMatrix):
            raise UsageError("Can't get quantized Matrix")
        return matrix.values.copy()

    def get_words(self, include_freq: bool = False, on_unicode_error: str = "strict") -> Any:
        """Return the words; with `include_freq`, a tuple of them and their counts."""
        dictionary = self._model.dictionary
        words = [word.decode("utf-8", on_unicode_error) for word in dictionary.words]
        return (words, dictionary.counts.copy()) if include_freq else words

    def get_labels(self, include_freq: bool = False, on_unicode_error: str = "strict") -> Any:
        """Return the labels (word vectors: the words); with `include_freq`, a tuple of them and their counts."""
        if not self._model.arguments.supervised:
            return self.get_words(include_freq, on_unicode_error)
        dictionary = self._model.dictionary
        labels = [label.decode("utf-8", on_unicode_error) for label in dictionary.labels]
        return (labels, dictionary.label_counts.copy()) if include_freq else labels

    def get_line(self, text: str | list[str], on_unicode_error: str = "strict") -> Any:
        """Split a line (or each of a list) into words, with `</s>` at the end, and known labels."""
        if not isinstance(text, str):
            pairs = [self.get_line(line, on_unicode_error) for line in text]
            return [words for words, _ in pairs], [labels for _, labels in pairs]
        dictionary = self._model.dictionary
        tokens = [*cut(_one_line(text, "get_line").encode()), EOS]
        words, labels = [], []
        for token in tokens[: tokens.index(EOS) + 1]:
            if token in dictionary.label_ids:
                labels.append(token.decode("utf-8", on_unicode_error))
            elif token in dictionary.word_ids or not token.startswith(dictionary.label_prefix):
                words.append(token.decode("utf-8", on_unicode_error))
        return words, labels

    def save_model(self, path: str | Path) -> None:
        """Write the model to a file."""
        write_model(self._model, path)

    def test(
        self, path: str | Path, k: int = 1, threshold: float = 0.0
    ) -> tuple[int, float, float]:
        """Return the number of examples of a labelled file, precision and recall at k."""
        meter = self.measure(path, k, threshold)
        return meter.examples, meter.precision(), meter.recall()

    def test_label(
        self, path: str | Path, k: int = 1, threshold: float = 0.0
    ) -> dict[str, dict[str, float]]:
        """Return precision, recall and F1 score of each label."""
        meter = self.measure(path, k, threshold)
        return {
            label: {
                "precision": meter.precision(index),
                "recall": meter.recall(index),
                "f1score": meter.f1_score(index),
            }
            for index, label in enumerate(self._classifier.labels)
        }

    def get_meter(self, path: str | Path, k: int = -1) -> ModelMeter:
        """Return precision and recall of a labelled file at every threshold."""
        return ModelMeter(self, self.measure(path, k, 0.0, with_curves=True))

    def measure(
        self, path: str | Path, k: int, threshold: float, *, with_curves: bool = False
    ) -> Meter:
        """Predict a labelled file and count what was right; `with_curves` keeps the scores, for curves."""
        classifier, meter = self._classifier, Meter(with_curves=with_curves)
        for gold, labels, probabilities in _predict_file(classifier, path, k, threshold):
            meter.log(gold, labels, probabilities)
        return meter

    def quantize(
        self,
        input: str | Path | None = None,
        qout: bool = False,
        cutoff: int = 0,
        retrain: bool = False,
        epoch: int | None = None,
        lr: float | None = None,
        thread: int | None = None,
        verbose: int | None = None,
        dsub: int = 2,
        qnorm: bool = False,
    ) -> None:
        """Quantize the model in place; word vectors too. See `kftext.models.quantization`."""
        if retrain and not input:
            raise UsageError("Need input file path if retraining")
        threads = thread or available_cores()
        how = Quantization(
            cutoff=cutoff,
            dsub=dsub,
            qnorm=qnorm,
            qout=qout,
            threads=min(threads, available_cores()),
        )

        if retrain:
            require_numba("retraining a model")

        def again(model: FastTextModel) -> FastTextModel:
            from kftext.fasttext.line_training import LineTraining, train_on_lines

            rate = lr if lr else float(getattr(self, "lr", 0.05))
            epochs = epoch or model.arguments.epoch
            how = LineTraining(rate=rate, epochs=epochs, threads=threads)
            return train_on_lines(model, str(input), how)

        self._use(quantize(self._model, how, retrain=again if retrain else None))

    def set_matrices(self, input_matrix: npt.ArrayLike, output_matrix: npt.ArrayLike) -> None:
        """Replace both matrices: float[rows, dim] each, with as many rows as the dictionary asks for."""
        input_values, output_values = (
            np.array(matrix, dtype=np.float32) for matrix in (input_matrix, output_matrix)
        )
        arguments = replace(self._model.arguments, dim=input_values.shape[1])
        model = replace(
            self._model,
            arguments=arguments,
            input=DenseMatrix(input_values),
            output=DenseMatrix(output_values),
        )
        model.validate()
        self._use(model)

    @cached_property
    def words(self) -> list[str]:
        """The words, by descending count."""
        words: list[str] = self.get_words()
        return words

    @cached_property
    def labels(self) -> list[str]:
        """The labels, by descending count; of word vectors, the words."""
        labels: list[str] = self.get_labels()
        return labels

    def __getitem__(self, word: str) -> Floats:
        return self.get_word_vector(word)

    def __contains__(self, word: str) -> bool:
        return word in self._vectors


class ModelMeter:
    """Precision and recall at every threshold, of one label or of all: what `get_meter` returns."""

    def __init__(self, model: FastText, meter: Meter):
        self._model, self._meter = model, meter

    def _label(self, label: str | None) -> int | None:
        return self._model.get_label_id(label) if label else None

    def score_vs_true(self, label: str) -> tuple[Floats, Floats]:
        """Return scores and truths (0 or 1) of a label's predictions."""
        pairs = self._meter.score_vs_true(self._label(label)).astype(np.float32)
        return pairs[:, 0], pairs[:, 1]

    def precision_recall_curve(
        self, label: str | None = None
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return precisions and recalls."""
        curve = np.array(self._meter.precision_recall_curve(self._label(label))).reshape(-1, 2)
        return curve[:, 0], curve[:, 1]

    def precision_at_recall(self, recall: float, label: str | None = None) -> float:
        """Return the best precision with at least that recall."""
        return self._meter.precision_at_recall(recall, self._label(label))

    def recall_at_precision(self, precision: float, label: str | None = None) -> float:
        """Return the best recall with at least that precision."""
        return self._meter.recall_at_precision(precision, self._label(label))


def require_numba(what: str) -> None:
    """Raise MissingExtraError where Numba, which `what` needs, is not installed."""
    if importlib.util.find_spec("numba") is None:
        raise MissingExtraError(what, "blazingtext")


def _escaped(names: Sequence[bytes]) -> list[str]:
    """Decode names so that bytes that are no UTF-8 can be got back."""
    return [name.decode("utf-8", "surrogateescape") for name in names]


def _decode(name: str, errors: str) -> str:
    """Decode one of those names as the caller wants it."""
    if name.isascii():
        return name
    return name.encode("utf-8", "surrogateescape").decode("utf-8", errors)


def _lists(
    found: PredictionArrays, labels: Sequence[str], errors: str
) -> tuple[list[list[str]], list[Floats]]:
    """Return each text's labels, and each one's probabilities: rows of one array, which take less time than arrays apart."""
    names = {index: _decode(labels[index], errors) for index in _used(found)}
    rows, counts = found.labels.tolist(), found.counts.tolist()
    if not counts or min(counts) == found.labels.shape[1]:
        return [[names[index] for index in row] for row in rows], list(found.probabilities)
    return (
        [[names[index] for index in row[:n]] for row, n in zip(rows, counts, strict=True)],
        [row[:n] for row, n in zip(found.probabilities, counts, strict=True)],
    )


def _used(found: PredictionArrays) -> list[int]:
    """Return the indexes of labels that some text has."""
    columns = np.arange(found.labels.shape[1])
    used: list[int] = np.unique(found.labels[columns < found.counts[:, None]]).tolist()
    return used


def _one_line(text: str, function: str) -> str:
    if "\n" in text:
        raise UsageError(f"{function} processes one line at a time (remove '\\n')")
    return text


def _predict_file(
    classifier: Classifier, path: str | Path, k: int, threshold: float
) -> Iterator[tuple[list[int], list[int], list[float]]]:
    """Yield true labels, predicted labels and probabilities of each line that has a label and a word."""
    from kftext.fasttext.lines import read_lines

    text, starts, ends = read_lines(path)
    ids, dictionary = classifier.dictionary.label_ids, classifier.dictionary
    for first in range(0, len(starts), _LINES_AT_A_TIME):
        part = slice(first, first + _LINES_AT_A_TIME)
        arrays = classifier.predict_lines(text, starts[part], ends[part], k, threshold)
        rows = zip(
            starts[part].tolist(),
            ends[part].tolist(),
            arrays.labels.tolist(),
            arrays.probabilities.tolist(),
            arrays.counts.tolist(),
            strict=True,
        )
        for start, end, labels, probabilities, count in rows:
            line = text[start:end].tobytes()
            gold = [ids[token] for token in cut(line) if token in ids]
            # Without a prediction the line may hold nothing that is known, and then it does not count.
            if gold and (count or dictionary.line(line)[0]):
                yield gold, labels[:count], probabilities[:count]
