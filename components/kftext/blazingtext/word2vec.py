"""Word2Vec: a corpus of numbers in, two matrices out.

    matrices = train_word2vec(corpus, vocabulary.counts, hyperparameters, threads=4, seed=1)
    matrices.input[0]  # the vector of the most frequent word

The hyperparameters choose the kernel: skipgram, batch_skipgram or cbow, each with or without subwords.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kftext.blazingtext.encoded import EncodedCorpus, Int64Array, line_lengths
from kftext.blazingtext.hogwild import EpochRecord, Hooks, Position, cut_slices, run_epoch
from kftext.blazingtext.huffman import build_paths
from kftext.blazingtext.hyperparameters import Word2VecHyperparameters
from kftext.blazingtext.kernels.batch_skipgram import Batch, allocate_batch, batch_skipgram
from kftext.blazingtext.kernels.cbow import cbow
from kftext.blazingtext.kernels.ring import Ring, allocate_ring
from kftext.blazingtext.kernels.sampling import build_alias_table, keep_thresholds
from kftext.blazingtext.kernels.skipgram import skipgram
from kftext.blazingtext.kernels.state import (
    Lines,
    Sampling,
    Weights,
    Worker,
    allocate_worker,
    no_paths,
)
from kftext.blazingtext.matrices import (
    Matrices,
    allocate_rows,
    compact,
    fill_uniform,
    stride_for,
    view,
)
from kftext.blazingtext.memory import release_pages
from kftext.blazingtext.subwords import Subwords
from kftext.errors import UsageError

__all__ = [
    "NEGATIVE_POWER",
    "Word2VecTraining",
    "initial_bound",
    "negative_power",
    "train_word2vec",
]

NEGATIVE_POWER = 0.75
"""Negatives are drawn by count to this power, as in word2vec and gensim, but for skip-gram: `negative_power`."""

Float32Array = npt.NDArray[np.float32]


def train_word2vec(
    corpus: EncodedCorpus,
    counts: Int64Array,
    hyperparameters: Word2VecHyperparameters,
    subwords: Subwords | None = None,
    *,
    threads: int = 1,
    seed: int = 0,
    hooks: Hooks | None = None,
    on_epoch: Callable[[EpochRecord], None] | None = None,
) -> Matrices:
    """Train word vectors.

    Args:
        corpus: the text.
        counts: int64[words], how often each word occurs, in descending order.
        hyperparameters: see there.
        subwords: what each word is made of, where hyperparameters.subwords is on.
        threads: one repeats bit for bit; more share the matrices without locks.
        seed: of all that is random.
        hooks: called on the way.
        on_epoch: called at the end of each epoch.

    Raises:
        UsageError: arguments that don't fit one another: ids outside the vocabulary, matrices of another shape.
        ResourceError: not enough memory for the matrices.
    """
    training = Word2VecTraining(
        corpus, counts, hyperparameters, subwords, threads=threads, seed=seed
    )
    while training.position.epoch < hyperparameters.epochs:
        record = training.run_epoch(hooks or Hooks())
        if on_epoch:
            on_epoch(record)
    return training.finish()


class Word2VecTraining:
    """A run that can be looked at between epochs, and put away and taken up again.

    Attributes:
        position: where the run stands.
        curve: one record an epoch.
        input: float32[rows, dim], the matrix in training; a view of padded rows. To go on from other matrices, write them here.
        output: float32[rows, dim], likewise.
    """

    def __init__(
        self,
        corpus: EncodedCorpus,
        counts: Int64Array,
        hyperparameters: Word2VecHyperparameters,
        subwords: Subwords | None = None,
        *,
        threads: int = 1,
        seed: int = 0,
    ):
        check_inputs(corpus, counts, hyperparameters, subwords, threads)
        self.hyperparameters = hyperparameters
        self.curve: list[EpochRecord] = []
        dim, words = hyperparameters.vector_dim, len(counts)
        self._rows = subwords.row_count if subwords else words
        self._words, self._dim, self._stride = words, dim, stride_for(dim)
        self._weights = Weights(
            allocate_rows(self._rows, self._stride),
            allocate_rows(words + 1, self._stride),
            self._stride,
        )
        self.input = view(self._weights.input, self._rows, dim, self._stride)
        self.output = view(self._weights.output, words, dim, self._stride)
        seeds = thread_seeds(seed, threads + 1)
        fill_uniform(self.input, initial_bound(hyperparameters), np.random.default_rng(seeds[-1]))
        self._job = _Word2VecJob(
            corpus, counts, hyperparameters, subwords, self._weights, seeds[:-1]
        )
        self.position = Position(
            0,
            np.zeros(len(self._job.slices) - 1, np.bool_),
            seeds[:-1].copy(),
            np.zeros((threads, 2)),
        )

    def run_epoch(self, hooks: Hooks | None = None) -> EpochRecord:
        """Train what is left of the epoch at hand."""
        start = time.monotonic()
        epochs, rate = self.hyperparameters.epochs, self.hyperparameters.learning_rate
        loss = run_epoch(self._job, self.position, epochs, rate, hooks or Hooks())
        record = EpochRecord(
            epoch=self.position.epoch,
            loss=loss,
            learning_rate=rate * (1 - self.position.epoch / epochs),
            seconds=time.monotonic() - start,
        )
        self.curve.append(record)
        return record

    def finish(self) -> Matrices:
        """Return the matrices. The run is over: they take the place of `input` and `output`."""
        return Matrices(
            compact(self._weights.input, self._rows, self._dim, self._stride),
            compact(self._weights.output, self._words, self._dim, self._stride),
            self.curve,
            self.position.epoch,
        )


def initial_bound(hyperparameters: Word2VecHyperparameters) -> float:
    """Return the bound of the random numbers that input vectors begin with.

    1 / dim is fastText's, 0.5 / dim word2vec's. CBOW begins wider: a mean of small random vectors has next to no length, and words seen
    seldom stay where they began. On 16M words of Wikipedia, 3 epochs, dim 100, analogies are 0.291, 0.301, 0.313, 0.320 for bounds of
    0.5, 1, 3 and 8 / dim, and WS-353 0.625, 0.628, 0.632, 0.638; gensim, at 1 / dim, has 0.305 and 0.643. Skip-gram is indifferent.
    """
    dim = hyperparameters.vector_dim
    if hyperparameters.subwords:
        return 1.0 / dim
    if hyperparameters.mode == "cbow":
        return 0.8 / math.sqrt(dim)
    return 0.5 / dim


def negative_power(hyperparameters: Word2VecHyperparameters) -> float:
    """Return the power of a word's count that negatives are drawn by.

    fastText's is 0.5. Between that and 0.75 analogies are traded for similarity. Skip-gram on 16M words of
    Wikipedia, 5 epochs, dim 100, mean of three seeds: analogies 0.414 and WS-353 0.672 at 0.75, 0.403 and 0.685 at 0.66; fastText has
    0.398 and 0.674. CBOW at 0.75 has gensim's scores. batch_skipgram is best at 0.75: analogies 0.384, 0.391, 0.385 and 0.363 and WS-353
    0.683, 0.680, 0.666 and 0.671 at 0.66, 0.75, 0.85 and 1.
    """
    return 0.66 if hyperparameters.mode == "skipgram" else NEGATIVE_POWER


def check_inputs(
    corpus: EncodedCorpus,
    counts: Int64Array,
    hyperparameters: Word2VecHyperparameters,
    subwords: Subwords | None,
    threads: int = 1,
) -> None:
    """Check what the kernels trust: they have no bounds checks."""
    words = len(counts)
    if words == 0 or len(corpus.ids) == 0:
        raise UsageError("training needs at least one word in the vocabulary and one in the text")
    if threads < 1:
        raise UsageError(f"threads={threads}: expected an integer > 0")
    if bool(subwords) != hyperparameters.subwords:
        raise UsageError(
            f"subwords={hyperparameters.subwords}, but subwords are {'' if subwords else 'not '}given"
        )
    if subwords and len(subwords.offsets) != words + 1:
        raise UsageError(f"subwords of {len(subwords.offsets) - 1} words, expected {words}")
    check_offsets("line_offsets", corpus.line_offsets, len(corpus.ids))
    check_ids("ids", corpus.ids, words)


def thread_seeds(seed: int, count: int) -> npt.NDArray[np.uint64]:
    """Return so many seeds, uint64, that have nothing to do with one another."""
    return np.random.SeedSequence(seed).generate_state(count, np.uint64).astype(np.uint64)


def check_offsets(name: str, offsets: Int64Array, size: int) -> None:
    """Raise UsageError unless offsets rise from 0 to size."""
    if len(offsets) < 2 or offsets[0] != 0 or offsets[-1] != size or line_lengths(offsets)[0] < 0:
        raise UsageError(f"{name}: expected numbers that rise from 0 to {size}")


def check_ids(name: str, ids: npt.NDArray[np.int32], limit: int) -> None:
    """Raise UsageError unless all ids are within 0 and limit - 1. Goes through the ids in parts: they may be memory-mapped."""
    for first in range(0, len(ids), 1 << 20):
        part = ids[first : first + (1 << 20)]
        if part.min() < 0 or part.max() >= limit:
            raise UsageError(f"{name}: {part.min()} to {part.max()}, expected 0 to {limit - 1}")
        release_pages(ids)


@dataclass(frozen=True)
class _Thread:
    worker: Worker
    ring: Ring | None
    batch: Batch | None


class _Word2VecJob:
    """The slices of a corpus and how one is trained (`hogwild.Job`)."""

    def __init__(
        self,
        corpus: EncodedCorpus,
        counts: Int64Array,
        hyperparameters: Word2VecHyperparameters,
        subwords: Subwords | None,
        weights: Weights,
        seeds: npt.NDArray[np.uint64],
    ):
        self._corpus, self._weights = corpus, weights
        self.slices = cut_slices(corpus.line_offsets, hyperparameters.epochs)
        self.tokens = corpus.line_offsets[self.slices]
        negatives = hyperparameters.negative_samples if hyperparameters.loss == "ns" else 0
        paths = no_paths() if negatives else build_paths(counts)
        self._sampling = Sampling(
            keep_thresholds(counts, corpus.token_count, hyperparameters.sampling_threshold),
            build_alias_table(np.maximum(counts, 1) ** negative_power(hyperparameters)),
            paths,
            hyperparameters.window_size,
            hyperparameters.exact,
        )
        self._mode = hyperparameters.mode
        longest = line_lengths(corpus.line_offsets)[1]
        window = min(hyperparameters.window_size, longest)
        batch_size = hyperparameters.batch_size if self._mode == "batch_skipgram" else 0
        outputs = 1 + negatives if negatives else int(np.diff(paths.offsets).max())
        stride = weights.stride
        self._threads = [
            _Thread(
                allocate_worker(
                    int(seed),
                    longest_line=longest,
                    negatives=negatives,
                    inputs=2 * window,
                    outputs=outputs,
                    stride=stride,
                ),
                allocate_ring(subwords.offsets, subwords.rows, 2 * window + 1 + batch_size, stride)
                if subwords
                else None,
                allocate_batch(batch_size, negatives, stride) if batch_size else None,
            )
            for seed in seeds
        ]

    @property
    def workers(self) -> list[Worker]:
        """One a thread."""
        return [thread.worker for thread in self._threads]

    def train_slice(self, index: int, rate: np.float32, thread: int) -> None:
        """Train slice `index` on a thread; the kernel lets go of the GIL."""
        first, stop = self.slices[index], self.slices[index + 1]
        offsets = self._corpus.line_offsets[first : stop + 1]
        ids = self._corpus.ids[offsets[0] : offsets[-1]]
        # A copy, since the kernels are compiled for arrays in memory; it also reads a mapped file outside of them.
        lines = Lines(np.array(ids), offsets - offsets[0])
        release_pages(ids)
        own = self._threads[thread]
        arguments = (lines, self._weights, self._sampling, rate, own.worker, own.ring)
        if own.batch is not None:
            batch_skipgram(*arguments, own.batch)
        elif self._mode == "cbow":
            cbow(*arguments)
        else:
            skipgram(*arguments)
