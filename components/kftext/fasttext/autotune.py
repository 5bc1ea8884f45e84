"""Autotune: a random search for the arguments of a classifier that score best on a validation file within a time.

The strategy is fastText's: each trial varies the best arguments so far, on a scale that narrows as time runs out; arguments
that were given stay as they are. Unlike fastText, which trains once more with the best arguments when the time is over, the
model that scored best is the one that is returned, and the file is read once.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kftext.errors import DataError, KftextError, MissingExtraError, StorageError, UsageError
from kftext.fasttext.arguments import TrainingArguments
from kftext.fasttext.line_training import LineTraining, train_on_lines
from kftext.fasttext.meter import Meter
from kftext.fasttext.model import FastText
from kftext.fasttext.training import OutOfTimeError, read_labeled, train_classifier
from kftext.models import FastTextModel
from kftext.models.matrix import CENTROIDS
from kftext.models.quantization import Quantization, quantize
from kftext.progress import Progress

__all__ = ["Strategy", "autotune", "parse_metric", "parse_size"]

_SHORTEST_NGRAMS = (0, 2, 3)
_UNITS = {"k": 10**3, "m": 10**6, "g": 10**9}
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Trial:
    arguments: TrainingArguments
    dsub: int = 2


class Strategy:
    """Proposes arguments: the first time the original ones, then variations of the best so far.

    Args:
        arguments: the original ones.
        given: names of those that must not change.
        seed: of the variations.
    """

    def __init__(self, arguments: TrainingArguments, given: set[str], seed: int = 0):
        self._given = given
        self._rng = np.random.default_rng(seed)
        self._original_bucket = arguments.bucket
        self._bucket = arguments.bucket or 2_000_000
        self._first = True
        self.best = _Trial(arguments)

    def accept(self, trial: _Trial) -> None:
        """Go on from this trial: it was the best."""
        self.best = trial
        if trial.arguments.bucket:
            self._bucket = trial.arguments.bucket

    def ask(self, elapsed: float) -> _Trial:
        """Return what to try next; `elapsed` is the share of the time that has passed, 0 to 1."""
        if self._first:
            self._first = False
            return self.best
        best = self.best.arguments
        scaled, shifted = self._scaled(elapsed), self._shifted(elapsed)
        index = _SHORTEST_NGRAMS.index(best.minn) if best.minn in _SHORTEST_NGRAMS else 0
        minn = _SHORTEST_NGRAMS[shifted(index, 0, len(_SHORTEST_NGRAMS) - 1, 4.0, 1.4)]
        new: dict[str, Any] = {
            "epoch": int(scaled(best.epoch, 1, 100, 2.8, 2.5)),
            "lr": scaled(best.lr, 0.01, 5.0, 1.9, 1.0),
            "dim": int(scaled(best.dim, 1, 1000, 1.4, 0.3)),
            "wordNgrams": shifted(best.wordNgrams, 1, 5, 4.3, 2.4),
            "minn": minn,
            "bucket": int(scaled(self._bucket, 10_000, 10_000_000, 2.0, 1.5)),
        }
        exponent = shifted(int(math.log2(self.best.dsub)), 1, 4, 2.0, 1.0)
        new = {name: value for name, value in new.items() if name not in self._given}
        arguments = replace(best, **new)
        if "maxn" not in self._given:
            arguments = replace(arguments, maxn=arguments.minn + 3 if arguments.minn else 0)
        return _Trial(arguments, 1 << exponent)

    def _deviation(self, start: float, end: float, elapsed: float) -> float:
        return start - (start - end) / 0.5 * min(0.5, max(elapsed - 0.25, 0.0))

    def _scaled(self, elapsed: float) -> Callable[..., float]:
        def vary(value: float, low: float, high: float, start: float, end: float) -> float:
            power = self._rng.normal(0.0, self._deviation(start, end, elapsed))
            return float(min(max(value * 2.0**power, low), high))

        return vary

    def _shifted(self, elapsed: float) -> Callable[..., int]:
        def vary(value: int, low: int, high: int, start: float, end: float) -> int:
            shift = self._rng.normal(0.0, self._deviation(start, end, elapsed))
            return int(min(max(value + shift, low), high))

        return vary


def parse_size(text: str) -> int | None:
    """Read a size in bytes, "2M" or "500k"; None for an empty text.

    Raises:
        UsageError: it is not a size.
    """
    if not text:
        return None
    digits, unit = (text[:-1], text[-1].lower()) if text[-1].lower() in _UNITS else (text, "")
    if not digits.isdigit():
        raise UsageError(
            f"autotuneModelSize={text!r}: expected a number of bytes such as 2M or 500k"
        )
    return int(digits) * _UNITS.get(unit, 1)


def parse_metric(text: str) -> Callable[[FastText, Meter], float]:
    """Read what is to be best: f1, f1:LABEL, precisionAtRecall:30[:LABEL] or recallAtPrecision:30[:LABEL].

    Returns:
        A function of the model and what was counted.

    Raises:
        UsageError: it is no metric.
    """
    name, _, rest = text.partition(":")
    valid = "expected f1, f1:LABEL, precisionAtRecall:PERCENT[:LABEL] or recallAtPrecision:PERCENT[:LABEL]"
    if name == "f1" and (rest or text == "f1"):
        return lambda model, meter: _f1(meter, _label_id(model, rest))
    percent, _, label = rest.partition(":")
    if name not in ("precisionAtRecall", "recallAtPrecision") or not _is_number(percent):
        raise UsageError(f"autotuneMetric={text!r}: {valid}")
    share = float(percent) / 100
    if name == "precisionAtRecall":
        return lambda model, meter: meter.precision_at_recall(share, _label_id(model, label))
    return lambda model, meter: meter.recall_at_precision(share, _label_id(model, label))


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _label_id(model: FastText, label: str) -> int | None:
    if not label:
        return None
    index = model.get_label_id(label)
    if index < 0:
        raise UsageError(f"Unknown autotune metric label {label!r}")
    return index


def _f1(meter: Meter, label: int | None) -> float:
    if label is not None:
        return meter.f1_score(label)
    precision, recall = meter.precision(), meter.recall()
    return 2 * precision * recall / (precision + recall) if precision + recall else math.nan


def autotune(arguments: TrainingArguments, given: set[str]) -> FastText:
    """Search for `autotuneDuration` seconds and return the model that scored best; an interrupt ends the search early.

    The first trial, with the caller's own arguments, may take longer: there is always something to return.

    Raises:
        UsageError: no trial fits into the size that is asked for, or none can be scored.
    """
    score, size = parse_metric(arguments.autotuneMetric), parse_size(arguments.autotuneModelSize)
    search = _Search(arguments, given, score, size)
    try:
        search.run()
    except KeyboardInterrupt:
        if search.best is None:
            raise
        _LOG.warning("interrupted after %d trials: the best one counts", search.trials)
    return search.result()


class _Search:
    """The trials, and the best of them."""

    def __init__(
        self,
        arguments: TrainingArguments,
        given: set[str],
        score: Callable[[FastText, Meter], float],
        size: int | None,
    ):
        self._arguments, self._score, self._size = arguments, score, size
        if arguments.pretrainedVectors:
            given = given | {"dim"}  # they have one
        self._strategy = Strategy(replace(arguments, verbose=0), given, arguments.seed)
        self._data = read_labeled(arguments)
        self._best_score = -math.inf
        self.best: FastText | None = None
        self.trials = self._too_large = 0

    def run(self) -> None:
        """Try until the time is over."""
        duration = self._arguments.autotuneDuration
        start = time.monotonic()
        shown = 0
        silent = self._arguments.verbose < 2
        with Progress(duration, "s", "Autotune") if not silent else nullcontext() as progress:
            while self.trials == 0 or time.monotonic() < start + duration:
                elapsed = (time.monotonic() - start) / max(duration, 1e-9)
                try:
                    self._try(self._strategy.ask(elapsed), start + duration)
                except OutOfTimeError:
                    break
                finally:
                    now = min(duration, int(time.monotonic() - start))
                    if progress is not None:
                        progress.update(
                            now - shown, trials=self.trials, best=f"{self._best_score:.4f}"
                        )
                    shown = now

    def _try(self, trial: _Trial, deadline: float) -> None:
        first = self.trials == 0
        self.trials += 1
        limit = math.inf if first else deadline
        try:
            classifier = train_classifier(trial.arguments, self._data, deadline=limit)
            model = _fit(classifier, trial, self._size, limit)
            if model is None:
                self._too_large += 1
                return
            kept = replace(trial.arguments, verbose=self._arguments.verbose)
            tried = FastText(model, kept.attributes())
            value = _measure(tried, self._arguments, self._score)
        except (OutOfTimeError, DataError, StorageError, MissingExtraError):
            raise
        except KftextError as error:
            # Training diverged, or memory does not suffice: a trial like any other that scores badly, unless it is the
            # first, whose arguments are the caller's own.
            if first:
                raise
            _LOG.debug("trial %d: %s", self.trials, error)
            return
        if value > self._best_score:
            self._best_score, self.best = value, tried
            self._strategy.accept(trial)
            _LOG.info("trial %d: best score so far %.6f with %s", self.trials, value, trial)

    def result(self) -> FastText:
        """Return the best model.

        Raises:
            UsageError: there is none.
        """
        arguments = self._arguments
        if self.best is not None:
            return self.best
        if self._too_large:
            raise UsageError(
                f"Couldn't fulfil model size constraint: please increase autotuneModelSize={arguments.autotuneModelSize}"
            )
        raise UsageError(
            f"autotuneMetric={arguments.autotuneMetric}: no trial has a score on {arguments.autotuneValidationFile}"
        )


def _measure(
    model: FastText, arguments: TrainingArguments, score: Callable[[FastText, Meter], float]
) -> float:
    path, k = arguments.autotuneValidationFile, arguments.autotunePredictions
    with_curves = not arguments.autotuneMetric.startswith("f1")
    value = score(model, model.measure(path, k, 0.0, with_curves=with_curves))
    return -math.inf if math.isnan(value) else value


def _fit(
    model: FastTextModel, trial: _Trial, size: int | None, deadline: float = math.inf
) -> FastTextModel | None:
    """Quantize a model so that its file is no larger than `size` bytes; None where it can't be."""
    if size is None:
        return model
    labels, dim = model.output.shape
    qout = labels >= CENTROIDS
    cutoff = _cutoff(labels, dim, trial.dsub, size, qout=qout)
    if cutoff <= CENTROIDS:
        return None
    arguments = trial.arguments

    def retrain(pruned: FastTextModel) -> FastTextModel:
        how = LineTraining(
            rate=arguments.lr,
            epochs=arguments.epoch,
            threads=arguments.threads,
            seed=arguments.seed,
            should_stop=lambda: time.monotonic() > deadline,
        )
        trained = train_on_lines(pruned, arguments.input, how, negatives=arguments.neg)
        if time.monotonic() > deadline:
            raise OutOfTimeError("the time set for training is over")
        return trained

    how = Quantization(
        cutoff=cutoff, dsub=trial.dsub, qnorm=True, qout=qout, threads=arguments.threads
    )
    return quantize(model, how, retrain=retrain)


def _cutoff(labels: int, dim: int, dsub: int, size: int, *, qout: bool) -> int:
    """Return how many rows fit into a file of `size` bytes; fastText's estimate, of ten bytes for a word."""
    if qout:
        output = 21 + labels * ((dim + 1) // 2) + 16 + 4 * dim * CENTROIDS + labels
    else:
        output = 16 + 4 * labels * dim
    row = -(-dim // dsub) + 1 + 10
    return (size - 107 - 4 * CENTROIDS * dim - output) // row
