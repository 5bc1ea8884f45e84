"""Word2Vec on one or several GPUs of a host: the twin of `kftext.blazingtext.word2vec`, with the same result.

    training = CudaWord2VecTraining(corpus, vocabulary.counts, hyperparameters, devices=find_devices(), seed=1)
    while training.position.epoch < hyperparameters.epochs:
        training.run_epoch()
    matrices = training.finish()

A corpus is handed to a GPU in chunks, one on its way while the one before is trained, so that it may be larger than the GPU's memory.
Several GPUs train a replica each, on chunks of their own, and their matrices are averaged whenever each has trained one (as in Gupta and
Khare, "BlazingText: scaling and accelerating word2vec using multiple GPUs", 2017, section 3.3, where replicas are synchronized). Replicas
that train for long come apart: chunks of several GPUs are smaller.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from kftext.blazingtext.cuda.averaging import BUFFER_FLOATS, Averaging
from kftext.blazingtext.cuda.device import Device, require_numba_cuda, why_not
from kftext.blazingtext.cuda.kernels.shape import LANES, Shape
from kftext.blazingtext.cuda.kernels.state import Schedule
from kftext.blazingtext.cuda.launch import KERNELS, Limits, most_streams, plan_streams, shape_for
from kftext.blazingtext.cuda.memory import MemoryPlan
from kftext.blazingtext.cuda.replica import Chunks, Replica, Tables
from kftext.blazingtext.encoded import EncodedCorpus, Int64Array
from kftext.blazingtext.hogwild import EpochRecord, Hooks, Position, Report
from kftext.blazingtext.hyperparameters import Word2VecHyperparameters
from kftext.blazingtext.kernels.sampling import build_alias_table, keep_thresholds
from kftext.blazingtext.matrices import (
    Matrices,
    allocate_rows,
    compact,
    fill_uniform,
    set_initial,
    view,
)
from kftext.blazingtext.subwords import Subwords
from kftext.blazingtext.word2vec import (
    check_inputs,
    initial_bound,
    negative_power,
    thread_seeds,
)
from kftext.errors import KftextError, UsageError

__all__ = ["CudaWord2VecTraining", "cut_chunks"]

_SMALLEST_CHUNK, _LARGEST_CHUNK = 1 << 22, 1 << 25
_LARGEST_OF_SEVERAL = 1 << 22
_CHUNKS_AN_EPOCH = 8
_REPORT_SECONDS = 0.5


def cut_chunks(corpus: EncodedCorpus, replicas: int, most: int | None = None) -> Chunks:
    """Cut a corpus into chunks of whole lines, about as many tokens each, at least one for each replica where there are lines enough.

    Args:
        corpus: the text.
        replicas: GPUs that take chunks side by side.
        most: tokens of a chunk, but for what a whole line has more; by default 32 million, or 4 where there are several replicas.
    """
    most = most or (_LARGEST_CHUNK if replicas == 1 else _LARGEST_OF_SEVERAL)
    total = int(corpus.line_offsets[-1])
    size = min(max(total // _CHUNKS_AN_EPOCH, _SMALLEST_CHUNK), most, max(-(-total // replicas), 1))
    wanted = np.arange(0, total, size)
    firsts = np.unique(np.searchsorted(corpus.line_offsets[:-1], wanted))
    firsts = np.append(firsts[firsts < corpus.line_count], corpus.line_count).astype(np.int64)
    firsts[0] = 0
    return Chunks(corpus, firsts, corpus.line_offsets[firsts])


class CudaWord2VecTraining:
    """A run that can be looked at between epochs, and put away and taken up again, as `word2vec.Word2VecTraining`.

    Args:
        corpus, counts, hyperparameters, subwords, seed, initial: as there.
        devices: GPUs, one replica each. The same one twice has two replicas.
        chunk_tokens: most tokens that a GPU is handed at once, see `cut_chunks`.
        lanes: threads of a warp; fewer in numba's simulator.

    Attributes:
        position: where the run stands; its slices are the chunks, its generators those of all streams of all replicas.
        curve: one record an epoch.
        limits: for each replica, what its number of streams was chosen by.

    Raises:
        UsageError: arguments that don't fit one another, or that a GPU can't train.
        ResourceError: not enough memory, on the host or on a GPU.
    """

    def __init__(
        self,
        corpus: EncodedCorpus,
        counts: Int64Array,
        hyperparameters: Word2VecHyperparameters,
        subwords: Subwords | None = None,
        *,
        devices: Sequence[Device],
        seed: int = 0,
        initial: Matrices | None = None,
        chunk_tokens: int | None = None,
        lanes: int = LANES,
    ):
        require_numba_cuda()
        check_inputs(corpus, counts, hyperparameters, subwords)
        if reason := why_not(hyperparameters):
            raise UsageError(f"device=cuda: {reason}")
        if not devices:
            raise UsageError("training on a GPU needs at least one device")
        self.hyperparameters = hyperparameters
        self.curve: list[EpochRecord] = []
        shape = shape_for(hyperparameters, lanes)
        self._chunks = cut_chunks(corpus, len(devices), chunk_tokens)
        self._tables = _prepare_tables(corpus, counts, hyperparameters, subwords, len(devices))
        self._words, self._dim, self._stride = len(counts), shape.dim, shape.stride
        self._rows = subwords.row_count if subwords else self._words
        bears = most_streams(counts, self._tables.keep, hyperparameters, subwords)
        tokens = self._chunks.most_tokens
        self.limits: list[Limits] = [
            plan_streams(device, shape, bears, tokens) for device in devices
        ]
        for device, limits in zip(devices, self.limits, strict=True):
            self._memory_plan(limits.streams, shape, devices.count(device), len(devices)).check(
                device
            )
        self._flat = (
            allocate_rows(self._rows, self._stride),
            allocate_rows(self._words, self._stride),
        )
        # Where the matrices are up to date. They stay on the GPUs until they are asked for: a copy takes as long as millions of words.
        self._on_host = True
        streams = sum(limits.streams for limits in self.limits)
        seeds = thread_seeds(seed, streams + 1)
        if initial is None:
            fill_uniform(
                self.input, initial_bound(hyperparameters), np.random.default_rng(seeds[-1])
            )
        else:
            set_initial(initial, self.input, self.output)
        kernel = KERNELS[hyperparameters.mode](shape)
        self._replicas = [
            Replica(device, kernel, shape, self._chunks, self._tables, self._flat, limits.streams)
            for device, limits in zip(devices, self.limits, strict=True)
        ]
        self._averaging = Averaging(self._replicas) if len(devices) > 1 else None
        done = np.zeros(len(self._chunks.firsts) - 1, np.bool_)
        self.position = Position(0, done, seeds[:-1].copy(), np.zeros((streams, 2)))

    def _memory_plan(self, streams: int, shape: Shape, here: int, replicas: int) -> MemoryPlan:
        """Return what a GPU needs for so many of the replicas, of so many streams each."""
        tables, chunks = self._tables, self._chunks
        row = 4 * self._stride
        scratch = shape.scratch_floats + shape.scratch_integers
        held = (tables.keep, tables.negatives, tables.offsets, tables.rows)
        return MemoryPlan(
            input=here * self._rows * row,
            output=here * self._words * row,
            vocabulary=here * sum(table.nbytes for table in held),
            corpus=here * 2 * 4 * (chunks.most_tokens + chunks.most_lines + streams + 2),
            scratch=here * streams * (4 * scratch + 24),
            averaging=here * 4 * BUFFER_FLOATS if replicas > 1 else 0,
        )

    @property
    def input(self) -> npt.NDArray[np.float32]:
        """float32[rows, dim], the matrix on the host, between epochs and when `on_pause` is called. What is written to it counts."""
        self._fetch_matrices()
        return view(self._flat[0], self._rows, self._dim, self._stride)

    @property
    def output(self) -> npt.NDArray[np.float32]:
        """float32[words, dim], likewise."""
        self._fetch_matrices()
        return view(self._flat[1], self._words, self._dim, self._stride)

    def run_epoch(self, hooks: Hooks | None = None) -> EpochRecord:
        """Train what is left of the epoch at hand.

        Raises:
            KftextError: the loss is no longer a number.
        """
        start, hooks = time.monotonic(), hooks or Hooks()
        epochs, rate = self.hyperparameters.epochs, self.hyperparameters.learning_rate
        self._send_matrices()
        self._write_streams()
        self._train_chunks(hooks)
        self._read_streams()
        loss = self._loss()
        self._check_finite(*self.position.totals.sum(axis=0))
        self._report(hooks)
        self.position.epoch += 1
        self.position.done[:] = False
        self.position.totals[:] = 0
        record = EpochRecord(
            epoch=self.position.epoch,
            loss=loss,
            learning_rate=rate * (1 - self.position.epoch / epochs),
            seconds=time.monotonic() - start,
        )
        self.curve.append(record)
        return record

    def finish(self) -> Matrices:
        """Return the matrices. The run is over: they take the place of `input` and `output`.

        Raises:
            KftextError: a vector is no longer a number.
        """
        self._fetch_matrices()
        # A sum is not a number where any of its parts is none.
        self._check_finite(*(float(matrix.sum(dtype=np.float64)) for matrix in self._flat))
        self._replicas, self._averaging = [], None
        return Matrices(
            compact(self._flat[0], self._rows, self._dim, self._stride),
            compact(self._flat[1], self._words, self._dim, self._stride),
            self.curve,
            self.position.epoch,
        )

    def _train_chunks(self, hooks: Hooks) -> None:
        """Train the chunks that are open, as many at a time as there are replicas."""
        count = len(self._replicas)
        open_chunks = np.flatnonzero(~self.position.done).tolist()
        rounds = [open_chunks[i : i + count] for i in range(0, len(open_chunks), count)]
        report_at = time.monotonic() + _REPORT_SECONDS
        pause_at = _next_pause(hooks)
        for replica, chunk in zip(self._replicas, rounds[0] if rounds else (), strict=False):
            replica.prepare(chunk)
        for i, chunks in enumerate(rounds):
            at_work = self._replicas[: len(chunks)]
            for replica in at_work:
                replica.launch()
            if i + 1 < len(rounds):
                for replica, chunk in zip(self._replicas, rounds[i + 1], strict=False):
                    replica.prepare(chunk)
            for replica in at_work:
                replica.wait()
            self.position.done[chunks] = True
            if self._averaging:
                self._averaging.average(at_work)
            if time.monotonic() >= report_at:
                self._read_streams()
                self._report(hooks)
                report_at = time.monotonic() + _REPORT_SECONDS
            if time.monotonic() >= pause_at and hooks.on_pause:
                self._read_streams()
                hooks.on_pause()
                self._send_matrices()
                pause_at = _next_pause(hooks)

    def _send_matrices(self) -> None:
        """Copy the matrices to the GPUs, unless they are there."""
        if self._on_host:
            for replica in self._replicas:
                replica.write_matrices(self._flat)
        self._on_host = False

    def _fetch_matrices(self) -> None:
        """Copy them back, unless they are here. Replicas are alike: they were averaged."""
        if not self._on_host:
            self._replicas[0].read_matrices(self._flat)
        self._on_host = True

    def _write_streams(self) -> None:
        """Copy generators and totals to the GPUs: they may be from a checkpoint."""
        tokens = self.position.epoch * int(self._chunks.tokens[-1]) + self._done_tokens()
        for replica, part in self._parts():
            replica.write_streams(
                self.position.random[part],
                self.position.totals[part],
                tokens // len(self._replicas),
            )

    def _read_streams(self) -> None:
        for replica, part in self._parts():
            self.position.random[part], self.position.totals[part] = replica.read_streams()

    def _parts(self) -> list[tuple[Replica, slice]]:
        """Return each replica, and which of the streams are its own."""
        ends = np.cumsum([replica.streams for replica in self._replicas]).tolist()
        return [
            (replica, slice(end - replica.streams, end))
            for replica, end in zip(self._replicas, ends, strict=True)
        ]

    def _done_tokens(self) -> int:
        return int(np.diff(self._chunks.tokens)[self.position.done].sum())

    def _loss(self) -> float:
        loss, examples = self.position.totals.sum(axis=0)
        return float(loss / examples) if examples else float("nan")

    def _report(self, hooks: Hooks) -> None:
        if hooks.on_report:
            total = max(int(self._chunks.tokens[-1]), 1)
            share = (
                self.position.epoch + self._done_tokens() / total
            ) / self.hyperparameters.epochs
            progress = min(share, 1.0)
            rate = self.hyperparameters.learning_rate * (1 - progress)
            hooks.on_report(Report(self.position.epoch + 1, progress, rate, self._loss()))

    def _check_finite(self, *sums: float) -> None:
        if not all(map(math.isfinite, sums)):
            raise KftextError(
                f"training has diverged: in epoch {min(self.position.epoch + 1, self.hyperparameters.epochs)} a vector is no "
                "longer a number; "
                f"lower learning_rate (here {self.hyperparameters.learning_rate:g})"
            )


def _next_pause(hooks: Hooks) -> float:
    if hooks.on_pause is None or hooks.pause_seconds is None:
        return math.inf
    return time.monotonic() + hooks.pause_seconds


def _prepare_tables(
    corpus: EncodedCorpus,
    counts: Int64Array,
    hyperparameters: Word2VecHyperparameters,
    subwords: Subwords | None,
    replicas: int,
) -> Tables:
    tokens = hyperparameters.epochs * int(corpus.line_offsets[-1])
    negatives: npt.NDArray[np.uint64] = build_alias_table(
        np.maximum(counts, 1) ** negative_power(hyperparameters)
    ).entries
    return Tables(
        keep_thresholds(counts, corpus.token_count, hyperparameters.sampling_threshold),
        negatives,
        subwords.offsets if subwords else np.zeros(1, np.int64),
        subwords.rows if subwords else np.zeros(1, np.int32),
        Schedule(hyperparameters.learning_rate, tokens / replicas),
    )
