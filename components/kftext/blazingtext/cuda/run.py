"""A run on one or several GPUs of a host, whatever it trains: epochs of chunks, with matrices that can be looked at in between.

A text is handed to a GPU in chunks, one on its way while the one before is trained, so that it may be larger than the GPU's memory.
Several GPUs train a replica each, on chunks of their own, and their matrices are averaged whenever each has trained one (as in Gupta and
Khare, "BlazingText: scaling and accelerating word2vec using multiple GPUs", 2017, section 3.3, where replicas are synchronized). Replicas
that train for long come apart: chunks of several GPUs are smaller.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kftext.blazingtext.cuda.averaging import BUFFER_FLOATS, Averaging
from kftext.blazingtext.cuda.device import Device
from kftext.blazingtext.cuda.launch import Limits
from kftext.blazingtext.cuda.memory import MemoryPlan
from kftext.blazingtext.cuda.replica import Program, Replica
from kftext.blazingtext.hogwild import EpochRecord, Hooks, Position, Report
from kftext.blazingtext.matrices import (
    Matrices,
    allocate_rows,
    compact,
    fill_uniform,
    view,
)
from kftext.blazingtext.word2vec import thread_seeds
from kftext.errors import KftextError

__all__ = ["CudaRun", "RunPlan"]

_REPORT_SECONDS = 0.5


@dataclass(frozen=True)
class RunPlan:
    """What a run trains, how long and from what.

    Attributes:
        program: what the GPUs are handed.
        rows: of the input and of the output matrix.
        limits: for each replica, what its number of streams was chosen by.
        epochs: passes over the text.
        learning_rate: at the start.
        bound: of the random numbers that the input matrix begins with.
    """

    program: Program
    rows: tuple[int, int]
    limits: list[Limits]
    epochs: int
    learning_rate: float
    bound: float


class CudaRun:
    """A run that can be looked at between epochs, and put away and taken up again.

    Args:
        plan: what is trained.
        devices: GPUs, one replica each. The same one twice has two replicas.
        seed: of all that is random.

    Attributes:
        position: where the run stands; its slices are the chunks, its generators those of all streams of all replicas.
        curve: one record an epoch.
        limits: for each replica, what its number of streams was chosen by.

    Raises:
        ResourceError: not enough memory, on the host or on a GPU.
    """

    position: Position
    curve: list[EpochRecord]

    def __init__(self, plan: RunPlan, devices: Sequence[Device], seed: int):
        self.limits = plan.limits
        self._plan, self._chunks = plan, plan.program.chunks
        shape = plan.program.shape
        self._dim, self._stride = shape.dim, shape.stride
        for device, limits in zip(devices, self.limits, strict=True):
            self._memory_plan(limits.streams, devices.count(device), len(devices)).check(device)
        # A matrix without rows has room for one: device memory of no size can't be had.
        inputs, outputs = (allocate_rows(max(rows, 1), self._stride) for rows in plan.rows)
        self._flat = inputs, outputs
        # Where the matrices are up to date. They stay on the GPUs until they are asked for: a copy takes as long as millions of words.
        self._on_host = True
        streams = sum(limits.streams for limits in self.limits)
        seeds = thread_seeds(seed, streams + 1)
        fill_uniform(self.input, plan.bound, np.random.default_rng(seeds[-1]))
        self._replicas = [
            Replica(device, plan.program, self._flat, limits.streams)
            for device, limits in zip(devices, self.limits, strict=True)
        ]
        self._averaging = Averaging(self._replicas) if len(devices) > 1 else None
        done = np.zeros(self._chunks.count, np.bool_)
        self.position = Position(0, done, seeds[:-1].copy(), np.zeros((streams, 2)))

    def _memory_plan(self, streams: int, here: int, replicas: int) -> MemoryPlan:
        """Return what a GPU needs for so many of the replicas, of so many streams each."""
        program, chunks = self._plan.program, self._chunks
        scratch = program.shape.scratch_floats + program.shape.scratch_integers
        rows = self._plan.rows
        return MemoryPlan(
            input=here * 4 * self._stride * rows[0],
            output=here * 4 * self._stride * rows[1],
            vocabulary=here * program.table_bytes,
            corpus=here * 2 * 4 * (sum(chunks.sizes) + streams + 1),
            scratch=here * streams * (4 * scratch + 24),
            averaging=here * 4 * BUFFER_FLOATS if replicas > 1 else 0,
        )

    @property
    def input(self) -> npt.NDArray[np.float32]:
        """float32[rows, dim], the matrix on the host, between epochs and when `on_pause` is called. What is written to it counts."""
        self._fetch_matrices()
        return view(self._flat[0], self._plan.rows[0], self._dim, self._stride)

    @property
    def output(self) -> npt.NDArray[np.float32]:
        """float32[rows, dim], likewise."""
        self._fetch_matrices()
        return view(self._flat[1], self._plan.rows[1], self._dim, self._stride)

    def run_epoch(self, hooks: Hooks | None = None) -> EpochRecord:
        """Train what is left of the epoch at hand.

        Raises:
            KftextError: the loss is no longer a number.
        """
        start, hooks = time.monotonic(), hooks or Hooks()
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
        seconds = time.monotonic() - start
        record = EpochRecord(
            epoch=self.position.epoch,
            loss=loss,
            learning_rate=self._plan.learning_rate * (1 - self.position.epoch / self._plan.epochs),
            seconds=seconds,
            validation_accuracy=self._validate_epoch(),
        )
        self.curve.append(record)
        return record

    def _validate_epoch(self) -> float | None:
        """Return the accuracy after the epoch that has ended, None where nobody asks for it."""
        return None

    def finish(self) -> Matrices:
        """Return the matrices. The run is over: they take the place of `input` and `output`.

        Raises:
            KftextError: a vector is no longer a number.
        """
        self._fetch_matrices()
        # A sum is not a number where any of its parts is none.
        self._check_finite(*(float(matrix.sum(dtype=np.float64)) for matrix in self._flat))
        self._replicas, self._averaging = [], None
        inputs, outputs = (
            compact(flat, rows, self._dim, self._stride)
            for flat, rows in zip(self._flat, self._plan.rows, strict=True)
        )
        return Matrices(inputs, outputs, self.curve, self.position.epoch)

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

    def _copy_matrices(self) -> None:
        """Copy them back to be looked at, unless they are here. Replicas are alike: they were averaged."""
        if not self._on_host:
            self._replicas[0].read_matrices(self._flat)

    def _fetch_matrices(self) -> None:
        """Copy them back, and take what is written to them for what counts."""
        self._copy_matrices()
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
            share = (self.position.epoch + self._done_tokens() / total) / self._plan.epochs
            progress = min(share, 1.0)
            rate = self._plan.learning_rate * (1 - progress)
            hooks.on_report(Report(self.position.epoch + 1, progress, rate, self._loss()))

    def _check_finite(self, *sums: float) -> None:
        if not all(map(math.isfinite, sums)):
            raise KftextError(
                f"training has diverged: in epoch {min(self.position.epoch + 1, self._plan.epochs)} a vector is no "
                f"longer a number; lower learning_rate (here {self._plan.learning_rate:g})"
            )


def _next_pause(hooks: Hooks) -> float:
    if hooks.on_pause is None or hooks.pause_seconds is None:
        return math.inf
    return time.monotonic() + hooks.pause_seconds
