"""Small cases for the CUDA kernels, and their oracles: those of the CPU's kernels, with the differences that the GPU has."""

import sys
from itertools import pairwise

import numpy as np

from blazingtext.kernels import naive_kernels as naive
from kftext.blazingtext.cuda.kernels import stream
from kftext.blazingtext.cuda.kernels.batch_skipgram import batch_skipgram
from kftext.blazingtext.cuda.kernels.cbow import cbow
from kftext.blazingtext.cuda.kernels.shape import Shape
from kftext.blazingtext.cuda.kernels.skipgram import skipgram
from kftext.blazingtext.cuda.kernels.state import (
    Lines,
    Sampling,
    Schedule,
    Scratch,
    Streams,
    Subwords,
    Weights,
)
from kftext.blazingtext.kernels import batch_skipgram as cpu_batch_skipgram
from kftext.blazingtext.kernels import cbow as cpu_cbow
from kftext.blazingtext.kernels import skipgram as cpu_skipgram
from kftext.blazingtext.kernels import state as cpu_state
from kftext.blazingtext.kernels.batch_skipgram import allocate_batch
from kftext.blazingtext.kernels.ring import allocate_ring
from kftext.blazingtext.kernels.sampling import AliasTable, build_alias_table, keep_thresholds
from kftext.blazingtext.matrices import allocate_rows, view

WORDS = 40
SEEDS = (12345, 987, 55)
RATE = 0.05
KERNELS = {"skipgram": skipgram, "cbow": cbow, "batch_skipgram": batch_skipgram}
CPU_KERNELS = {
    "skipgram": cpu_skipgram.skipgram,
    "cbow": cpu_cbow.cbow,
    "batch_skipgram": cpu_batch_skipgram.batch_skipgram,
}


class Trainer(naive.Trainer):
    """The oracle of one stream.

    The learning rate falls with the lines done, and a window's inputs are read one ahead of the one in training, where registers allow it.
    """

    def __init__(self, *arguments, schedule, reads_ahead, **options):
        super().__init__(*arguments, **options)
        self.schedule, self.reads_ahead, self.done = schedule, reads_ahead, 0
        # Loss and examples of each step that might be looked at.
        self.steps = []

    def kept(self, line):
        self.rate = self.schedule.rate * max(1 - self.done / self.schedule.total, 0)
        self.done += len(line)
        return super().kept(line)

    def contexts(self, position):
        contexts = super().contexts(position)
        if self.counts_windows:
            self.steps.append([0.0, len(contexts)])
        return contexts

    counts_windows = False

    @property
    def totals(self):
        """Return what the kernel is to have seen of the loss: its sum and the number of examples."""
        return np.sum(self.steps[:: stream.LOSS_EVERY], axis=0)

    def step(self, positions, groups):
        for group in groups:
            rows, targets = [row for row, _ in group], np.array([target for _, target in group])
            before, change = self.outputs[rows].copy(), np.zeros((len(rows), self.outputs.shape[1]))
            vectors = [self.vector(position) for position in positions]
            ahead = vectors[0][0][vectors[0][1]].copy()
            for i, (store, index) in enumerate(vectors):
                x = ahead if self.reads_ahead else store[index].copy()
                if i + 1 < len(vectors):
                    ahead = vectors[i + 1][0][vectors[i + 1][1]].copy()
                self.steps[-1][0] += loss_of(before @ x, targets)
                g = self.rate * (targets - naive.sigmoid(before @ x))
                change += np.outer(g, x)
                store[index] = store[index] + g @ before
            self.outputs[rows] += change


def loss_of(scores, targets):
    return float(np.sum(np.logaddexp(0, scores) - targets * scores))


def watch_steps(trainer, mode, monkeypatch):
    """Let a trainer take note of what CBOW and batches lose: they go through functions of the module."""
    train_vector, train_batch = naive.train_vector, naive._train_batch

    def watched_vector(hidden, outputs, groups, rate):
        trainer.steps.append([0.0, 1])
        gradient = np.zeros_like(hidden)
        for group in groups:
            rows, targets = [row for row, _ in group], np.array([target for _, target in group])
            trainer.steps[-1][0] += loss_of(outputs[rows] @ hidden, targets)
            gradient += train_vector(hidden, outputs, [group], rate)
        return gradient

    def watched_batch(trainer, batch):
        loss, negatives = 0.0, list(dict.fromkeys(trainer.ahead))
        for context, position in batch:
            store, index = trainer.vector(context)
            rows = [trainer.line[position], *negatives]
            loss += loss_of(trainer.outputs[rows] @ store[index], np.eye(len(rows))[0])
        trainer.steps.append([loss, len(batch)])
        train_batch(trainer, batch)

    trainer.counts_windows = mode == "skipgram"
    monkeypatch.setattr(naive, "train_vector", watched_vector)
    monkeypatch.setattr(naive, "_train_batch", watched_batch)


class Case:
    """One small corpus, trained by a kernel in `streams` streams and by the oracle in one after the other."""

    def __init__(
        self,
        mode,
        *,
        streams=1,
        lines=10,
        longest=14,
        schedule_over=2,
        on_device=np.asarray,
        **shape,
    ):
        self.mode = mode
        self.shape = Shape(**{"dim": 20, "window": 3, "negatives": 5, "lanes": 1, **shape})
        self.streams, stride, subwords = streams, self.shape.stride, self.shape.subwords
        generator = np.random.default_rng(7)
        lengths = generator.integers(0, longest, lines)
        share = 1 / np.arange(1, WORDS + 1)
        ids = generator.choice(WORDS, lengths.sum(), p=share / share.sum()).astype(np.int32)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        bounds = np.linspace(0, lines, streams + 1).astype(np.int32)
        counts = np.maximum(np.bincount(ids, minlength=WORDS), 1)
        rows = WORDS + 60 if subwords else WORDS
        made_of = [
            [word, *generator.integers(WORDS, rows, generator.integers(0, 6))]
            if subwords
            else [word]
            for word in range(WORDS)
        ]
        keep = keep_thresholds(counts, int(counts.sum()), 0.05)
        entries = build_alias_table(counts**0.75).entries
        self.before = [generator.normal(0, 0.3, (n, self.shape.dim)) for n in (rows, WORDS)]
        padded = [np.zeros((n, stride), np.float32) for n in (rows, WORDS)]
        for matrix, values in zip(padded, self.before, strict=True):
            matrix[:, : self.shape.dim] = values
        schedule = Schedule(RATE, float(schedule_over * len(ids)))
        self.arguments = (
            Lines(on_device(ids), on_device(offsets), on_device(bounds)),
            Weights(*(on_device(matrix.ravel()) for matrix in padded)),
            Sampling(on_device(keep), on_device(entries)),
            Subwords(
                on_device(np.cumsum([0] + [len(x) for x in made_of])),
                on_device(np.concatenate(made_of).astype(np.int32)),
            ),
            schedule,
            Streams(
                on_device(np.array(SEEDS[:streams], np.uint64)),
                on_device(np.zeros(2 * streams)),
                on_device(np.zeros(1, np.int64)),
            ),
            Scratch(
                on_device(np.zeros(max(streams * self.shape.scratch_floats, 1), np.float32)),
                on_device(np.zeros(max(streams * self.shape.scratch_integers, 1), np.int32)),
            ),
        )
        lines_of = [ids[a:b].tolist() for a, b in pairwise(offsets)]
        self.parts = [lines_of[a:b] for a, b in pairwise(bounds)]
        self.trainers = [
            Trainer(
                *self.before, keep, entries, self.shape.window, self.shape.negatives, RATE, seed,
                exact=self.shape.exact, subwords=made_of if subwords else None, schedule=schedule,
                reads_ahead=self.shape.reads_ahead,
            )
            for seed in SEEDS[:streams]
        ]  # fmt: skip

    def run(self):
        """Train by the kernel, and return the matrices, without padding, that it leaves."""
        interval = sys.getswitchinterval()
        # The simulator's threads wait for one another all the time, and its manager polls.
        sys.setswitchinterval(1e-5)
        try:
            KERNELS[self.mode](self.shape)[self.streams, self.shape.lanes](*self.arguments)
        finally:
            sys.setswitchinterval(interval)
        padded = [to_host(matrix).reshape(-1, self.shape.stride) for matrix in self.arguments[1]]
        for matrix in padded:
            assert not matrix[:, self.shape.dim :].any(), "padding was written"
        return [matrix[:, : self.shape.dim] for matrix in padded]

    def train_on_the_cpu(self):
        """Train the one stream by the CPU's kernel, and return the matrices that it leaves."""
        shape, (lines, _, sampling, subwords, *_) = self.shape, self.arguments
        rows, stride = len(self.before[0]), shape.stride
        flat = [allocate_rows(n, stride) for n in (rows, WORDS + 1)]
        views = [view(flat[0], rows, shape.dim, stride), view(flat[1], WORDS, shape.dim, stride)]
        for matrix, before in zip(views, self.before, strict=True):
            matrix[:] = before
        longest = int(np.diff(lines.offsets).max())
        worker = cpu_state.allocate_worker(
            SEEDS[0], longest_line=longest, negatives=shape.negatives, inputs=2 * shape.window,
            outputs=1 + shape.negatives, stride=stride,
        )  # fmt: skip
        ring = None
        if shape.subwords:
            reach = 2 * shape.window + 1 + shape.batch_size
            ring = allocate_ring(subwords.offsets, subwords.rows, reach, stride)
        batch = (
            [allocate_batch(shape.batch_size, shape.negatives, stride)] if shape.batch_size else []
        )
        CPU_KERNELS[self.mode](
            cpu_state.Lines(lines.ids, lines.offsets.astype(np.int64)),
            cpu_state.Weights(*flat, stride),
            cpu_state.Sampling(
                sampling.keep, AliasTable(sampling.negatives), cpu_state.no_paths(), shape.window,
                shape.exact,
            ),
            np.float32(RATE), worker, ring, *batch,
        )  # fmt: skip
        return views

    def expected(self, monkeypatch):
        """Train by the oracle, stream after stream, and return the matrices that it leaves."""
        monkeypatch.setattr(naive, "GROUP", self.shape.group)
        matrices = [matrix.copy() for matrix in self.before]
        done = 0
        for trainer, part in zip(self.trainers, self.parts, strict=True):
            trainer.words, trainer.outputs = matrices
            trainer.done = done
            twin = getattr(naive, self.mode)
            with monkeypatch.context() as patch:
                watch_steps(trainer, self.mode, patch)
                twin(
                    trainer,
                    part,
                    *([self.shape.batch_size] if self.mode == "batch_skipgram" else []),
                )
            done = trainer.done
        return matrices

    def check(self, monkeypatch):
        expected = self.expected(monkeypatch)
        for comp, ref, start in zip(self.run(), expected, self.before, strict=True):
            assert np.abs(ref - start).max() > 0.01, "nothing was trained"
            np.testing.assert_allclose(comp, ref, atol=2e-5, rtol=1e-4)
        streams = self.arguments[5]
        assert to_host(streams.random).tolist() == [
            trainer.random.state for trainer in self.trainers
        ]
        assert to_host(streams.done)[0] == sum(len(line) for part in self.parts for line in part)
        totals = to_host(streams.totals).reshape(-1, 2)
        assert (totals > 0).all()
        np.testing.assert_allclose(totals, [trainer.totals for trainer in self.trainers], rtol=1e-4)


def to_host(array):
    return array.copy_to_host() if hasattr(array, "copy_to_host") else np.asarray(array)
