"""Where training begins, other than at random: an earlier model, or pretrained vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kftext import storage
from kftext.blazingtext.hyperparameters import SupervisedHyperparameters, Word2VecHyperparameters
from kftext.blazingtext.vocabulary import Vocabulary
from kftext.errors import UsageError
from kftext.models import FastTextModel, Loss, WordVectors, read_model
from kftext.models.fasttext_format import MAGIC
from kftext.models.loading import model_file
from kftext.models.word2vec_text import read_text

__all__ = ["WarmStart", "from_earlier_model", "from_pretrained_vectors"]

Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class WarmStart:
    """What is known before training.

    Attributes:
        vocabulary: words and labels that the new model has too, with the counts that the new ones are added to.
        input: float32[words + buckets, dim]; float32[words, dim] of pretrained vectors.
        output: float32[words or labels, dim], or None.
    """

    vocabulary: Vocabulary
    input: Float32Array
    output: Float32Array | None = None

    def fill(self, vocabulary: Vocabulary, input: Float32Array, output: Float32Array) -> None:
        """Put what is known in place of random rows.

        Args:
            vocabulary: the new model's: all that is known is in it.
            input: float32[words + buckets, dim] of the new model.
            output: float32[words or labels, dim] of the new model.
        """
        words = _positions(self.vocabulary.words, vocabulary.words)
        known = len(self.vocabulary.words)
        input[words] = self.input[:known]
        if len(self.input) > known:
            input[len(vocabulary.words) :] = self.input[known:]
        if self.output is not None:
            labels = self.vocabulary.labels
            output[_positions(labels, vocabulary.labels) if labels else words] = self.output


def _positions(tokens: Sequence[bytes], within: Sequence[bytes]) -> npt.NDArray[np.intp]:
    ids = {token: i for i, token in enumerate(within)}
    return np.array([ids[token] for token in tokens], np.intp)


def from_earlier_model(
    path: str, hyperparameters: Word2VecHyperparameters | SupervisedHyperparameters
) -> WarmStart:
    """Go on from a model that was trained before, by this package or by fastText.

    Args:
        path: local path or URI of a model folder or binary.
        hyperparameters: of the run to be. Those that shape the matrices must be the earlier model's.

    Raises:
        UsageError: the models don't fit each other.
        ModelFormatError, StorageError: the file can't be read.
    """
    with storage.local_copy(path) as local:
        model = read_model(model_file(local))
        _check(path, model, hyperparameters)
        dictionary = model.dictionary
        vocabulary = Vocabulary(
            list(dictionary.words),
            dictionary.counts,
            list(dictionary.labels) if model.arguments.supervised else [],
            dictionary.label_counts if model.arguments.supervised else np.zeros(0, np.int64),
        )
        # Views of a file that stays mapped, also where the copy's name is gone.
        return WarmStart(vocabulary, model.input.dense(), model.output.dense())


def _check(
    path: str,
    model: FastTextModel,
    hyperparameters: Word2VecHyperparameters | SupervisedHyperparameters,
) -> None:
    arguments = model.arguments
    if arguments.supervised != (hyperparameters.mode == "supervised"):
        kind = "text classifier" if arguments.supervised else "set of word vectors"
        raise UsageError(f"{path} is a {kind}: it can't begin mode={hyperparameters.mode}")
    if model.quantized:
        raise UsageError(
            f"{path} is quantized: training can go on from the model before that alone"
        )
    if Loss.HS in (arguments.loss, _LOSSES[hyperparameters.loss]):
        raise UsageError(
            f"{path}: training can't go on with loss=hs, whose tree is made from the counts of one text"
        )
    subwords = ngrams = hyperparameters.subwords
    wanted = {
        "vector_dim": (arguments.dim, hyperparameters.vector_dim),
        "subwords": (arguments.has_subwords, subwords),
    }
    if subwords:
        wanted["min_char"] = (arguments.minn, hyperparameters.min_char)
        wanted["max_char"] = (arguments.maxn, hyperparameters.max_char)
    if isinstance(hyperparameters, SupervisedHyperparameters):
        ngrams = hyperparameters.ngram_rows > 0
        wanted["word_ngrams"] = (arguments.word_ngrams, hyperparameters.word_ngrams)
    if ngrams:
        wanted["buckets"] = (arguments.bucket, hyperparameters.buckets)
    for name, (earlier, now) in wanted.items():
        if earlier != now:
            raise UsageError(
                f"hyperparameter {name}={now}: {path} was trained with {earlier}, and goes on with that alone"
            )


_LOSSES = {"ns": Loss.NS, "hs": Loss.HS, "softmax": Loss.SOFTMAX, "ova": Loss.OVA}


def from_pretrained_vectors(path: str, dim: int) -> WarmStart:
    """Begin a classifier with word vectors; as in fastText, their words are added to the vocabulary, each seen once.

    Args:
        path: local path or URI of word2vec text (.vec, vectors.txt), or of a model folder or fastText binary of word vectors, whose
            words have their vectors composed from subwords where it has them.
        dim: the classifier's vector_dim.

    Raises:
        UsageError: the vectors have another length, or are a classifier's.
        ModelFormatError, StorageError: the file can't be read.
    """
    with storage.local_copy(path) as local:
        words, matrix = _read_vectors(path, model_file(local))
    if matrix.shape[1] != dim:
        raise UsageError(
            f"hyperparameter vector_dim={dim}: the pretrained vectors of {path} have {matrix.shape[1]}"
        )
    return WarmStart(Vocabulary(words, np.ones(len(words), np.int64)), matrix)


def _read_vectors(path: str, file: Path) -> tuple[list[bytes], Float32Array]:
    """Return the words of a file and float32[words, dim]; `path` is what the user calls it."""
    with file.open("rb") as stream:
        is_binary = stream.read(4) == MAGIC.to_bytes(4, "little")
    if not is_binary:
        return read_text(file)
    model = read_model(file)
    if model.arguments.supervised:
        raise UsageError(
            f"{path} is a text classifier: expected word vectors; training goes on from a classifier as its initial model"
        )
    return list(model.dictionary.words), WordVectors(model).all_vectors()
