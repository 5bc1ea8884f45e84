"""Small cases for the classifier's CUDA kernel, and the oracle of its CPU twin, text after text."""

import sys
from itertools import pairwise

import numpy as np

from blazingtext.cuda.cuda_cases import to_host
from blazingtext.kernels import naive_kernels as naive
from blazingtext.kernels.test_supervised_kernel import BUCKETS, UNKNOWN, WORDS, examples_of
from kftext.blazingtext.cuda.kernels.shape import LANES, TextShape
from kftext.blazingtext.cuda.kernels.state import (
    Features,
    Labels,
    Schedule,
    Scratch,
    Streams,
    Texts,
    Weights,
)
from kftext.blazingtext.cuda.kernels.supervised import supervised
from kftext.blazingtext.hyperparameters import SupervisedHyperparameters
from kftext.blazingtext.supervised import SupervisedTraining
from kftext.blazingtext.supervised_data import SupervisedData

SEEDS = (12345, 987, 55)
RATE = 0.3


NO_SUBWORDS = np.zeros(1, np.int64), np.zeros(1, np.int32)


def subwords_of(generator):
    """Return offsets and rows: a word of the vocabulary is its own row and some n-grams', another the n-grams' alone."""
    made_of = [
        [*([word] if word < WORDS else []), *generator.integers(WORDS, WORDS + BUCKETS, n)]
        for word, n in enumerate(generator.integers(0, 5, WORDS + UNKNOWN))
    ]
    offsets = np.cumsum([0] + [len(rows) for rows in made_of]).astype(np.int64)
    return offsets, np.concatenate(made_of).astype(np.int32)


class TextCase:
    """A few texts, trained by the kernel in `streams` streams and by the oracle in one after the other."""

    def __init__(
        self,
        loss,
        *,
        labels=9,
        dim=20,
        ngrams=2,
        negatives=5,
        streams=1,
        lanes=1,
        count=25,
        schedule_over=2,
        room=LANES,
        subwords=False,
        on_device=np.asarray,
    ):
        self.loss, self.ngrams, self.negatives, self.streams = loss, ngrams, negatives, streams
        room = max(room, 1 << (labels - 1).bit_length())
        self.shape = TextShape(dim, loss, room, subwords, lanes)
        self.examples = examples = examples_of(labels, count=count)
        counts = np.maximum(np.bincount(examples.labels, minlength=labels), 1)
        settings = SupervisedHyperparameters(
            mode="supervised", loss=loss, vector_dim=dim, word_ngrams=ngrams, buckets=BUCKETS, epochs=1,
            negative_samples=negatives, learning_rate=RATE,
        )  # fmt: skip
        counts = np.sort(counts)[::-1].astype(np.int64)
        self.cpu = SupervisedTraining(SupervisedData(examples, WORDS, counts), settings, seed=4)
        generator = np.random.default_rng(5)
        for matrix in (self.cpu.input, self.cpu.output):
            matrix[:] = generator.normal(0, 0.3, matrix.shape)
        if loss == "hs":
            self.cpu.output[-1] = 0
        self.before = [self.cpu.input.copy(), self.cpu.output.copy()]
        self.sampling = self.cpu._job._sampling
        paths, buckets = self.sampling.paths, BUCKETS if ngrams > 1 else 1
        tokens = len(examples.ids) + len(examples.labels)
        self.schedule = Schedule(RATE, float(schedule_over * tokens))
        self.bounds = np.linspace(0, count, streams + 1).astype(np.int32)
        reciprocal = np.uint64((2**64 - 1) // buckets)
        flat = [matrix.copy() for matrix in self.cpu._weights[:2]]
        self.subwords = subwords_of(np.random.default_rng(3)) if subwords else NO_SUBWORDS
        scratch = streams * self.shape.scratch_floats, streams * self.shape.scratch_integers
        self.arguments = (
            Texts(
                on_device(examples.ids),
                on_device(examples.line_offsets.astype(np.int32)),
                on_device(examples.labels),
                on_device(examples.label_offsets.astype(np.int32)),
                on_device(self.bounds),
            ),
            Weights(*map(on_device, flat)),
            Features(
                on_device(examples.word_hashes), np.int64(WORDS), np.uint64(buckets), reciprocal,
                np.int64(ngrams), *map(on_device, self.subwords),
            ),
            Labels(
                np.int64(labels), np.int64(negatives if loss == "ns" else 0),
                on_device(self.sampling.negatives.entries), on_device(paths.offsets),
                on_device(np.append(paths.nodes, 0).astype(np.int32)),
                on_device(np.append(paths.turns, 0).astype(np.float32)),
            ),
            self.schedule,
            Streams(
                on_device(np.array(SEEDS[:streams], np.uint64)),
                on_device(np.zeros(2 * streams)),
                on_device(np.zeros(1, np.int64)),
            ),
            Scratch(
                on_device(np.zeros(max(scratch[0], 1), np.float32)),
                on_device(np.zeros(max(scratch[1], 1), np.int32)),
            ),
        )  # fmt: skip

    def texts(self):
        """Return (rows, labels, tokens) of each text."""
        examples = self.examples
        return [
            (
                self.rows_of(examples.ids[a:b]),
                examples.labels[c:d].tolist(),
                b - a + d - c,
            )
            for (a, b), (c, d) in zip(
                pairwise(examples.line_offsets), pairwise(examples.label_offsets), strict=True
            )
        ]

    def rows_of(self, ids):
        """Return the rows of a text, words before word n-grams."""
        buckets = BUCKETS if self.ngrams > 1 else 1
        rows = naive.ngram_rows(ids, self.examples.word_hashes, WORDS, buckets, self.ngrams)
        if not self.shape.subwords:
            return rows
        (offsets, made_of), words = self.subwords, sum(ids < WORDS)
        own = [row for word in ids for row in made_of[offsets[word] : offsets[word + 1]].tolist()]
        return own + rows[words:]

    def expected(self, monkeypatch):
        """Train by the oracle; return the matrices, the generators' states, and for each stream the sum of losses and examples."""
        made = []

        class Noted(naive.Trainer):
            def __init__(self, *arguments, **options):
                super().__init__(*arguments, **options)
                made.append(self)

        matrices = [matrix.astype(np.float64) for matrix in self.before]
        paths, texts, done, states, totals = self.sampling.paths, self.texts(), 0, [], []
        turns = [
            list(zip(paths.nodes[a:b].tolist(), paths.turns[a:b].tolist(), strict=True))
            for a, b in pairwise(paths.offsets)
        ]
        monkeypatch.setattr(naive, "Trainer", Noted)
        for stream, (first, stop) in enumerate(pairwise(self.bounds)):
            state, loss, seen = SEEDS[stream], 0.0, 0
            for rows, labels, tokens in texts[first:stop]:
                rate = self.schedule.rate * max(1 - done / self.schedule.total, 0)
                loss += naive.supervised(
                    [(rows, labels)], *matrices, rate, state, self.loss,
                    negatives=self.negatives if self.loss == "ns" else 0,
                    entries=self.sampling.negatives.entries, paths=turns,
                )  # fmt: skip
                state, done, seen = made[-1].random.state, done + tokens, seen + bool(rows)
            if self.loss == "ova":  # nothing is drawn
                state = SEEDS[stream]
            states.append(state)
            totals.append((loss, seen))
        return matrices, states, totals

    def run(self):
        """Train by the kernel, and return the matrices, without padding, that it leaves."""
        interval = sys.getswitchinterval()
        # The simulator's threads wait for one another all the time, and its manager polls.
        sys.setswitchinterval(1e-5)
        try:
            supervised(self.shape)[self.streams, self.shape.lanes](*self.arguments)
        finally:
            sys.setswitchinterval(interval)
        matrices = []
        for flat, before in zip(self.arguments[1], self.before, strict=True):
            padded = to_host(flat).reshape(-1, self.shape.stride)
            assert not padded[:, self.shape.dim :].any(), "padding was written"
            assert not padded[len(before) :].any(), "a row behind the last one was written"
            matrices.append(padded[: len(before), : self.shape.dim])
        return matrices

    def check(self, monkeypatch):
        expected, states, totals = self.expected(monkeypatch)
        for comp, ref, start in zip(self.run(), expected, self.before, strict=True):
            assert np.abs(ref - start).max() > 0.01, "nothing was trained"
            np.testing.assert_allclose(comp, ref, atol=2e-5, rtol=1e-4)
        streams = self.arguments[5]
        assert to_host(streams.random).tolist() == states
        assert to_host(streams.done)[0] == len(self.examples.ids) + len(self.examples.labels)
        found = to_host(streams.totals).reshape(-1, 2)
        assert found[:, 1].tolist() == [seen for _, seen in totals]
        if self.loss != "ns":
            # The oracle scores all of a text's labels first; here one that is drawn again is scored after its first change.
            np.testing.assert_allclose(found[:, 0], [loss for loss, _ in totals], rtol=1e-4)

    def check_against_the_cpu(self):
        """Train the same texts by the CPU's kernel, at a learning rate that does not change."""
        self.cpu.position.random[0] = SEEDS[0]
        assert len(self.cpu.position.done) == 1, "the CPU changes the learning rate between slices"
        job = self.cpu._job
        job.workers[0].random[0] = SEEDS[0]
        job.train_slice(0, np.float32(RATE), 0)
        for comp, ref, start in zip(
            self.run(), (self.cpu.input, self.cpu.output), self.before, strict=True
        ):
            assert np.abs(ref - start).max() > 0.01, "nothing was trained"
            np.testing.assert_allclose(comp, ref, atol=2e-5, rtol=1e-4)
        streams = self.arguments[5]
        assert to_host(streams.random)[0] == job.workers[0].random[0]
        np.testing.assert_allclose(to_host(streams.totals), job.workers[0].totals, rtol=1e-4)
