"""Training under fastText's names, with the kernels of `kftext.blazingtext`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from kftext.blazingtext.corpus import Reading, read_corpus, read_examples
from kftext.blazingtext.encoded import EncodedCorpus, EncodedExamples
from kftext.blazingtext.hogwild import Hooks, Report
from kftext.blazingtext.hyperparameters import SupervisedHyperparameters, Word2VecHyperparameters
from kftext.blazingtext.subwords import Subwords, compute_subwords
from kftext.blazingtext.supervised import SupervisedTraining
from kftext.blazingtext.supervised_data import SupervisedData
from kftext.blazingtext.vocabulary import Vocabulary, VocabularyRules
from kftext.blazingtext.warm_start import WarmStart, from_pretrained_vectors
from kftext.blazingtext.word2vec import Word2VecTraining
from kftext.data.formats import Format, ReadOptions
from kftext.errors import UsageError
from kftext.fasttext.arguments import TrainingArguments
from kftext.fasttext.full_output_training import train_full_output
from kftext.fasttext.line_training import LineTraining, train_on_lines
from kftext.models import Args, DenseMatrix, Dictionary, FastTextModel, Loss
from kftext.progress import Progress

__all__ = [
    "LabeledData",
    "OutOfTimeError",
    "read_labeled",
    "train_classifier",
    "train_word_vectors",
]


_FULL_OUTPUT = (Loss.SOFTMAX, Loss.OVA)


class OutOfTimeError(UsageError):
    """The time that was set for training is over."""


@dataclass(frozen=True)
class _Start:
    """What training begins with: rules for the vocabulary, and pretrained vectors where there are any."""

    rules: VocabularyRules
    warm: WarmStart | None


def _start(arguments: TrainingArguments) -> _Start:
    warm = None
    if arguments.pretrainedVectors:
        warm = from_pretrained_vectors(arguments.pretrainedVectors, arguments.dim)
    known = warm.vocabulary if warm else Vocabulary()
    return _Start(VocabularyRules(arguments.minCount, arguments.label.encode(), known), warm)


def _model(
    arguments: TrainingArguments, vocabulary: Vocabulary, tokens: int, input: Any, output: Any
) -> FastTextModel:
    """Put matrices and vocabulary together."""
    kept = Args(
        dim=arguments.dim,
        ws=arguments.ws,
        epoch=arguments.epoch,
        min_count=arguments.minCount,
        neg=arguments.neg,
        word_ngrams=arguments.wordNgrams,
        loss=arguments.loss_function,
        model=arguments.model_kind,
        bucket=arguments.buckets,
        minn=arguments.minn,
        maxn=arguments.maxn,
        lr_update_rate=arguments.lrUpdateRate,
        t=arguments.t,
    )
    dictionary = Dictionary(
        kept,
        vocabulary.words,
        vocabulary.counts,
        vocabulary.labels if kept.supervised else (),
        vocabulary.label_counts if kept.supervised else (),
        token_count=tokens,
        label_prefix=arguments.label.encode(),
    )
    model = FastTextModel(kept, dictionary, DenseMatrix(input), DenseMatrix(output))
    model.validate()
    return model


class _Watch:
    """Shows progress, and ends training when its time is over."""

    def __init__(self, arguments: TrainingArguments, deadline: float | None):
        self._deadline = deadline
        self._shown = 0
        self._bar = Progress(100, "%", "Training") if arguments.verbose > 1 else None

    def __call__(self, report: Report) -> None:
        self.check()
        self.show(report.progress, report.loss)

    def show(self, progress: float, loss: float) -> None:
        if self._bar:
            done = int(progress * 100)
            # There is no loss before the first block is done.
            notes = {"loss": f"{loss:.4f}"} if progress > 0 else {}
            self._bar.update(done - self._shown, **notes)
            self._shown = done

    def over(self) -> bool:
        return self._deadline is not None and time.monotonic() > self._deadline

    def check(self) -> None:
        if self.over():
            raise OutOfTimeError("the time set for training is over")

    def close(self) -> None:
        if self._bar:
            self._bar.close()


def _tell(arguments: TrainingArguments, vocabulary: Vocabulary, tokens: int) -> None:
    """Print what was read, in fastText's words."""
    if arguments.verbose > 0:
        sys.stderr.write(
            f"Read {tokens // 10**6}M words\n"
            f"Number of words:  {len(vocabulary.words)}\n"
            f"Number of labels: {len(vocabulary.labels)}\n"
        )


class LabeledData(NamedTuple):
    """A file of labelled lines, read."""

    vocabulary: Vocabulary
    examples: EncodedExamples
    warm: WarmStart | None


def read_labeled(arguments: TrainingArguments) -> LabeledData:
    """Read what a classifier is trained on.

    Raises:
        DataError, StorageError, ResourceError: as reading of `kftext.blazingtext`.
    """
    start = _start(arguments)
    # Autotune tries character n-grams on what was read once.
    keep_unknown = arguments.has_subwords or bool(arguments.autotuneValidationFile)
    vocabulary, examples = read_examples(
        [arguments.input],
        Format.LABELED_TEXT,
        replace(start.rules, keep_unknown=keep_unknown),
        ReadOptions(label_prefix=arguments.label),
        Reading(arguments.threads),
    )
    _tell(arguments, vocabulary, examples.token_count)
    return LabeledData(vocabulary, examples, start.warm)


def train_classifier(
    arguments: TrainingArguments, data: LabeledData, *, deadline: float | None = None
) -> FastTextModel:
    """Train a classifier.

    Args:
        arguments: what to train.
        data: what `read_labeled` returns; of the arguments, only those of the vocabulary must be the same there.
        deadline: point of `time.monotonic()` at which to give up.

    Raises:
        OutOfTimeError: the deadline is past.
        DataError, StorageError, ResourceError, UsageError: as training of `kftext.blazingtext`.
    """
    watch = _Watch(arguments, deadline)
    vocabulary, examples, warm = data
    train: Callable[..., FastTextModel]
    if arguments.minCountLabel > 1:
        train = partial(_train_from_lines, _with_frequent_labels(vocabulary, arguments))
    else:
        train = partial(_train_from_examples, vocabulary, examples)
    try:
        return train(arguments, warm, examples.token_count, watch)
    finally:
        watch.close()


def _with_frequent_labels(vocabulary: Vocabulary, arguments: TrainingArguments) -> Vocabulary:
    kept = int((vocabulary.label_counts >= arguments.minCountLabel).sum())
    if not kept:
        raise UsageError(f"minCountLabel={arguments.minCountLabel}: no label is as frequent")
    return replace(
        vocabulary, labels=vocabulary.labels[:kept], label_counts=vocabulary.label_counts[:kept]
    )


def _subword_options(arguments: TrainingArguments) -> dict[str, object]:
    """Return the hyperparameters of character n-grams."""
    if not arguments.has_subwords:
        return {"subwords": False}
    return {"subwords": True, "min_char": max(arguments.minn, 1), "max_char": arguments.maxn}


def _subwords(
    arguments: TrainingArguments, vocabulary: Vocabulary, unknown: Sequence[bytes] = ()
) -> Subwords | None:
    if not arguments.has_subwords:
        return None
    shortest, buckets = max(arguments.minn, 1), arguments.bucket
    return compute_subwords(vocabulary.words, shortest, arguments.maxn, buckets, unknown)


def _train_from_examples(
    vocabulary: Vocabulary,
    examples: Any,
    arguments: TrainingArguments,
    warm: WarmStart | None,
    tokens: int,
    watch: _Watch,
) -> FastTextModel:
    hyperparameters = SupervisedHyperparameters.read(
        {
            "mode": "supervised",
            "buckets": max(arguments.bucket, 1),
            "epochs": arguments.epoch,
            "learning_rate": arguments.lr,
            "loss": arguments.loss_function.name.lower(),
            "min_count": arguments.minCount,
            "negative_samples": arguments.neg,
            "vector_dim": arguments.dim,
            "word_ngrams": arguments.wordNgrams,
        }
        | _subword_options(arguments)
    )
    data = SupervisedData(
        examples,
        len(vocabulary.words),
        vocabulary.label_counts,
        _subwords(arguments, vocabulary, examples.unknown_words),
    )
    training = SupervisedTraining(
        data, hyperparameters, threads=arguments.threads, seed=arguments.seed
    )
    if warm:
        warm.fill(vocabulary, training.input, training.output)
    while not training.over:
        watch.check()
        training.run_epoch(Hooks(on_report=watch))
    matrices = training.finish()
    return _model(arguments, vocabulary, tokens, matrices.input, matrices.output)


def _train_from_lines(
    vocabulary: Vocabulary,
    arguments: TrainingArguments,
    warm: WarmStart | None,
    tokens: int,
    watch: _Watch,
) -> FastTextModel:
    rows = len(vocabulary.words) + arguments.buckets
    input, output = _matrices(arguments, rows, len(vocabulary.labels))
    if warm:
        warm.fill(vocabulary, input, output)
    how = _line_training(arguments, watch)
    model = _model(arguments, vocabulary, tokens, input, output)
    trained = train_on_lines(model, arguments.input, how, negatives=arguments.neg)
    watch.check()
    return trained


def _matrices(
    arguments: TrainingArguments, rows: int, targets: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Matrices to start from, as fastText's: the input uniform between -1 / dim and 1 / dim, the output zeros."""
    rng, dim = np.random.default_rng(arguments.seed), arguments.dim
    input = (rng.random((rows, dim), dtype=np.float32) - np.float32(0.5)) * np.float32(2 / dim)
    return input, np.zeros((targets, dim), dtype=np.float32)


def _line_training(arguments: TrainingArguments, watch: _Watch) -> LineTraining:
    return LineTraining(
        rate=arguments.lr,
        epochs=arguments.epoch,
        threads=arguments.threads,
        seed=arguments.seed,
        should_stop=watch.over,
        on_progress=watch.show,
    )


def train_word_vectors(arguments: TrainingArguments) -> FastTextModel:
    """Train word vectors.

    Raises:
        DataError, StorageError, ResourceError: as training of `kftext.blazingtext`.
    """
    start = _start(arguments)
    vocabulary, corpus = read_corpus([arguments.input], start.rules, Reading(arguments.threads))
    _tell(arguments, vocabulary, corpus.token_count)
    watch = _Watch(arguments, None)
    # Word vectors have no word n-grams: buckets are those of the character n-grams alone.
    kept = replace(arguments, wordNgrams=1, maxn=arguments.maxn if arguments.has_subwords else 0)
    subwords = _subwords(arguments, vocabulary)
    train = _train_full_output if arguments.loss_function in _FULL_OUTPUT else _train_word2vec
    try:
        input, output = train(kept, start.warm, vocabulary, corpus, subwords, watch)
    finally:
        watch.close()
    return _model(kept, vocabulary, corpus.token_count, input, output)


def _train_word2vec(
    arguments: TrainingArguments,
    warm: WarmStart | None,
    vocabulary: Vocabulary,
    corpus: EncodedCorpus,
    subwords: Subwords | None,
    watch: _Watch,
) -> tuple[Any, Any]:
    options: dict[str, object] = {
        "mode": arguments.model,
        "epochs": arguments.epoch,
        "learning_rate": arguments.lr,
        "loss": arguments.loss,
        "min_count": arguments.minCount,
        "negative_samples": arguments.neg,
        "sampling_threshold": arguments.t,
        "vector_dim": arguments.dim,
        "window_size": arguments.ws,
        "evaluation": False,
    } | _subword_options(arguments)
    if subwords is not None:
        options["buckets"] = arguments.bucket
    training = Word2VecTraining(
        corpus,
        vocabulary.counts,
        Word2VecHyperparameters.read(options),
        subwords,
        threads=arguments.threads,
        seed=arguments.seed,
    )
    if warm:
        warm.fill(vocabulary, training.input, training.output)
    while training.position.epoch < arguments.epoch:
        training.run_epoch(Hooks(on_report=watch))
    matrices = training.finish()
    return matrices.input, matrices.output


def _train_full_output(
    arguments: TrainingArguments,
    warm: WarmStart | None,
    vocabulary: Vocabulary,
    corpus: EncodedCorpus,
    subwords: Subwords | None,
    watch: _Watch,
) -> tuple[Any, Any]:
    rows = subwords.row_count if subwords else len(vocabulary.words)
    input, output = _matrices(arguments, rows, len(vocabulary.words))
    if warm:
        warm.fill(vocabulary, input, output)
    how = _line_training(arguments, watch)
    train_full_output(arguments, corpus, vocabulary.counts, subwords, how, (input, output))
    return input, output
