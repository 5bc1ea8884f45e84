"""What limits the speed of training: arithmetic, waiting for memory, or threads that write the same rows.

    KFTEXT_DATA=... python tests/benchmarks/training_limits.py                  # about 3 minutes
    KFTEXT_DATA=... python tests/benchmarks/training_limits.py --threads 4 --rounds 5

First table, one thread: the same text once as it is and once with its words (for the classifier, its n-grams' buckets) folded into so
few rows that all stay in the core's own cache. The arithmetic is the same; what the first takes longer is spent waiting for memory.

Second table, several threads, wall seconds: once on matrices that they share, and once on as many pairs of matrices as there are threads,
each for its part of the text. What the first takes longer is lost to cache lines that go from core to core, and depends on how far that
is (`core_distances.py`, whose line follows each row); what is missing to so many times one thread's speed in the second is the machine's
(memory bandwidth, clock, other processes).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from contest import machine, need_data, spread
from core_distances import distances
from supervised_training import BUCKETS, NGRAMS, ag_news, write
from word2vec_training import CORPUS, DIM, MIN_COUNT, THRESHOLD, clean

from kftext.blazingtext.corpus import read_corpus, read_examples
from kftext.blazingtext.encoded import EncodedCorpus, EncodedExamples
from kftext.blazingtext.hyperparameters import SupervisedHyperparameters, Word2VecHyperparameters
from kftext.blazingtext.kernels.sampling import keep_thresholds
from kftext.blazingtext.supervised import SupervisedTraining
from kftext.blazingtext.supervised_data import SupervisedData
from kftext.blazingtext.vocabulary import Vocabulary, VocabularyRules
from kftext.blazingtext.word2vec import Word2VecTraining
from kftext.data.formats import Format

FEW = 300
"""Rows that fit a core's cache together with all else: 300 of dimension 100 are 130 KB a matrix."""

Run = Callable[[], object]


def sampled(corpus: EncodedCorpus, counts: np.ndarray) -> EncodedCorpus:
    """Leave out beforehand what subsampling would: folded words are as frequent as no word is."""
    share = keep_thresholds(counts, corpus.token_count, THRESHOLD) / 2.0**32
    kept = np.random.default_rng(0).random(len(corpus.ids)) < share[corpus.ids]
    before = np.concatenate([[0], np.cumsum(kept)])
    return EncodedCorpus(corpus.ids[kept], before[corpus.line_offsets], corpus.token_count)


def part(corpus: EncodedCorpus, index: int, parts: int) -> EncodedCorpus:
    cuts = corpus.line_count * np.arange(index, index + 2) // parts
    offsets = corpus.line_offsets[cuts[0] : cuts[1] + 1]
    return EncodedCorpus(
        corpus.ids[offsets[0] : offsets[-1]], offsets - offsets[0], corpus.token_count
    )


def word2vec(mode: str, corpus: EncodedCorpus, words: int, threads: int = 1) -> Run:
    """Prepare one epoch over the words, of which those above `words` are folded."""
    ids = corpus.ids % words
    settings = Word2VecHyperparameters(
        mode=mode, vector_dim=DIM, epochs=1, min_count=MIN_COUNT, sampling_threshold=1e9
    )
    folded = EncodedCorpus(ids, corpus.line_offsets, corpus.token_count)
    counts = np.bincount(ids, minlength=words)
    return Word2VecTraining(folded, counts, settings, threads=threads).run_epoch


def classifier(
    dim: int, vocabulary: Vocabulary, examples: EncodedExamples, buckets: int, threads: int = 1
) -> Run:
    settings = SupervisedHyperparameters(
        mode="supervised",
        vector_dim=dim,
        epochs=1,
        min_count=1,
        word_ngrams=NGRAMS,
        buckets=buckets,
    )
    data = SupervisedData(examples, len(vocabulary.words), vocabulary.label_counts)
    return SupervisedTraining(data, settings, threads=threads).run_epoch


def seconds(runs: Sequence[Run], clock: Callable[[], float]) -> float:
    """Run each on a thread of its own; return what the clock says it took in all."""
    threads = [threading.Thread(target=run) for run in runs]
    start = clock()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return clock() - start


def row(name: str, amount: int, rounds: int, cases: Sequence[Callable[[], float]]) -> None:
    """Print the speeds of two ways, in turns, and by how much the first is slower."""
    speeds: list[list[float]] = [[] for _ in cases]
    for count in range(rounds + 1):
        for case, speed in zip(cases, speeds, strict=True):
            value = amount / case() / 1e6
            if count:  # the first round may compile
                speed.append(value)
    lost = [1 - first / second for first, second in zip(*speeds, strict=True)]
    print(f"| {name} | {spread(speeds[0])} | {spread(speeds[1])} | {spread(lost)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--words", type=int, default=2_000_000, help="of the corpus")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=4, help="1: the first table alone")
    options = parser.parse_args()
    data = need_data()
    with tempfile.TemporaryDirectory(prefix="kftext-bench-") as name:
        folder = Path(name)
        clean(data / CORPUS, folder / "corpus.txt", options.words)
        write(ag_news(data / "ag_news"), folder / "ag.txt")
        vocabulary, whole = read_corpus([str(folder / "corpus.txt")], VocabularyRules(MIN_COUNT))
        labelled = read_examples([str(folder / "ag.txt")], Format.LABELED_TEXT, VocabularyRules(1))
    corpus, words = sampled(whole, vocabulary.counts), len(vocabulary.words)
    modes = ("skipgram", "batch_skipgram", "cbow")

    def cpu(make: Callable[[], Run]) -> Callable[[], float]:
        return lambda: seconds([make()], time.process_time)

    print(f"{machine()}\n\n| 1 thread, M words a CPU second | as it is | in cache | share lost |")
    print("|---|---|---|---|", flush=True)
    for mode in modes:
        ways = [cpu(lambda mode=mode, n=n: word2vec(mode, corpus, n)) for n in (words, FEW)]
        row(mode, corpus.token_count, options.rounds, ways)
    for dim in (10, 100):
        ways = [cpu(lambda dim=dim, n=n: classifier(dim, *labelled, n)) for n in (BUCKETS, FEW)]
        row(f"supervised, dim {dim}", labelled[1].token_count, options.rounds, ways)
    if options.threads == 1:
        return
    threads = options.threads

    def shared(mode: str) -> float:
        return seconds([word2vec(mode, corpus, words, threads)], time.perf_counter)

    def own(mode: str) -> float:
        runs = [word2vec(mode, part(corpus, i, threads), words) for i in range(threads)]
        return seconds(runs, time.perf_counter)

    print(f"\n| {threads} threads, M words a second | shared | each its own | share lost |")
    print("|---|---|---|---|", flush=True)
    for mode in modes:
        ways = [lambda mode=mode: shared(mode), lambda mode=mode: own(mode)]
        row(mode, corpus.token_count, options.rounds, ways)
        print(f"| {distances()} | | | |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
