"""Training under fastText's names, with the kernels of `kftext.blazingtext`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from kftext.blazingtext.corpus import Reading, read_corpus, read_examples
from kftext.blazingtext.hogwild import Hooks, Report
from kftext.blazingtext.hyperparameters import SupervisedHyperparameters, Word2VecHyperparameters
from kftext.blazingtext.subwords import compute_subwords
from kftext.blazingtext.supervised import SupervisedTraining
from kftext.blazingtext.vocabulary import Vocabulary, VocabularyRules
from kftext.blazingtext.warm_start import WarmStart, from_pretrained_vectors
from kftext.blazingtext.word2vec import Word2VecTraining
from kftext.data.formats import Format, ReadOptions
from kftext.errors import UsageError
from kftext.fasttext.arguments import TrainingArguments
from kftext.fasttext.line_training import LineTraining, train_on_lines
from kftext.models import Args, DenseMatrix, Dictionary, FastTextModel
from kftext.progress import Progress

__all__ = ["OutOfTimeError", "train_classifier", "train_word_vectors"]


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
        if self._bar:
            done = int(report.progress * 100)
            self._bar.update(done - self._shown, loss=f"{report.loss:.4f}")
            self._shown = done

    def over(self) -> bool:
        return self._deadline is not None and time.monotonic() > self._deadline

    def check(self) -> None:
        if self.over():
            raise OutOfTimeError("the time set for training is over")

    def close(self) -> None:
        if self._bar:
            self._bar.close()


def train_classifier(
    arguments: TrainingArguments, *, deadline: float | None = None
) -> FastTextModel:
    """Train a classifier.

    Args:
        arguments: what to train.
        deadline: point of `time.monotonic()` at which to give up.

    Raises:
        OutOfTimeError: the deadline is past.
        DataError, StorageError, ResourceError, UsageError: as training of `kftext.blazingtext`.
    """
    start, watch = _start(arguments), _Watch(arguments, deadline)
    vocabulary, examples = read_examples(
        [arguments.input],
        Format.LABELED_TEXT,
        start.rules,
        ReadOptions(label_prefix=arguments.label),
        Reading(arguments.threads),
    )
    train: Callable[..., FastTextModel]
    if arguments.maxn > 0 or arguments.minCountLabel > 1:
        train = partial(_train_from_lines, _with_frequent_labels(vocabulary, arguments))
    else:
        train = partial(_train_from_examples, vocabulary, examples)
    try:
        return train(arguments, start.warm, examples.token_count, watch)
    finally:
        watch.close()


def _with_frequent_labels(vocabulary: Vocabulary, arguments: TrainingArguments) -> Vocabulary:
    kept = int((vocabulary.label_counts >= arguments.minCountLabel).sum())
    if not kept:
        raise UsageError(f"minCountLabel={arguments.minCountLabel}: no label is as frequent")
    return replace(
        vocabulary, labels=vocabulary.labels[:kept], label_counts=vocabulary.label_counts[:kept]
    )


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
    )
    training = SupervisedTraining(
        examples,
        len(vocabulary.words),
        vocabulary.label_counts,
        hyperparameters,
        threads=arguments.threads,
        seed=arguments.seed,
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
    rng = np.random.default_rng(arguments.seed)
    rows, dim = len(vocabulary.words) + arguments.buckets, arguments.dim
    input = (rng.random((rows, dim), dtype=np.float32) - np.float32(0.5)) * np.float32(2 / dim)
    output = np.zeros((len(vocabulary.labels), dim), dtype=np.float32)
    if warm:
        warm.fill(vocabulary, input, output)
    how = LineTraining(
        rate=arguments.lr,
        epochs=arguments.epoch,
        threads=arguments.threads,
        seed=arguments.seed,
        should_stop=watch.over,
    )
    model = _model(arguments, vocabulary, tokens, input, output)
    trained = train_on_lines(model, arguments.input, how, negatives=arguments.neg)
    watch.check()
    return trained


def train_word_vectors(arguments: TrainingArguments) -> FastTextModel:
    """Train word vectors.

    Raises:
        UsageError: the loss is one that word vectors are not trained with here.
        DataError, StorageError, ResourceError: as training of `kftext.blazingtext`.
    """
    if arguments.loss not in ("ns", "hs"):
        raise UsageError(f"loss={arguments.loss}: word vectors are trained with loss=ns or loss=hs")
    start, watch = _start(arguments), _Watch(arguments, None)
    vocabulary, corpus = read_corpus([arguments.input], start.rules, Reading(arguments.threads))
    composed = arguments.maxn > 0 and arguments.maxn >= arguments.minn
    hyperparameters = Word2VecHyperparameters.read(
        {
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
            "subwords": composed,
            **(
                {
                    "buckets": arguments.bucket,
                    "min_char": max(arguments.minn, 1),
                    "max_char": arguments.maxn,
                }
                if composed
                else {}
            ),
        }
    )
    subwords = None
    if composed:
        shortest = max(arguments.minn, 1)
        subwords = compute_subwords(vocabulary.words, shortest, arguments.maxn, arguments.bucket)
    training = Word2VecTraining(
        corpus,
        vocabulary.counts,
        hyperparameters,
        subwords,
        threads=arguments.threads,
        seed=arguments.seed,
    )
    if start.warm:
        start.warm.fill(vocabulary, training.input, training.output)
    try:
        while training.position.epoch < arguments.epoch:
            training.run_epoch(Hooks(on_report=watch))
    finally:
        watch.close()
    matrices = training.finish()
    # Word vectors have no word n-grams: buckets are those of the character n-grams alone.
    kept = replace(arguments, wordNgrams=1, maxn=arguments.maxn if composed else 0)
    return _model(kept, vocabulary, corpus.token_count, matrices.input, matrices.output)
