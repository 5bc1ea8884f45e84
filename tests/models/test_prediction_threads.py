"""Threads that predict without the interpreter's lock."""

from __future__ import annotations

import gc
import importlib.util
import os
import select
import signal
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from kftext.errors import ModelFormatError, ResourceError
from kftext.models import Classifier, DenseMatrix, FastTextModel
from models.making import make_model

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("numba") is None, reason="Numba is not installed"
)

TEXTS = ["the movie was good", "bad bad", "", "a\nnewline in überaus 映画", "unknown"]


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    classifier = Classifier(make_model(word_ngrams=2))
    assert classifier.warm_up()
    return classifier


@pytest.fixture
def threads() -> Iterator:
    from kftext.models.compiled.threads import PredictionThreads

    threads = PredictionThreads(3)
    yield threads
    threads.close()


def wait(threads, count: int) -> list:
    jobs = []
    while len(jobs) < count:
        readable, _, _ = select.select([threads.descriptor], [], [], 120)
        assert readable, "no job was done in two minutes"
        jobs += threads.finished()
    return jobs


def test_jobs_have_the_answers_of_their_texts(classifier, threads):
    assert threads.finished() == []
    asked = {}
    for index in range(300):
        texts = TEXTS[index % 5 :] * (1 + index % 3) or TEXTS
        k, threshold = 1 + index % 4, 0.1 * (index % 7)
        separator = b",\n"[index % 2 : index % 2 + 1]
        job = classifier.json_job(texts, k, threshold, separator=separator)
        assert threads.submit(job)
        asked[job] = classifier.predict_json(texts, k, threshold, separator=separator)
    done = wait(threads, len(asked))
    assert len(threads) == 0
    assert set(done) == set(asked)
    for job, expected in asked.items():
        assert job.result() == expected
        assert 0 < job.seconds < 60


def test_a_job_keeps_what_it_needs(threads):
    """Whoever asked may forget it, and the model may be gone."""
    other = Classifier(make_model(word_ngrams=2, seed=5))
    other.warm_up()
    expected = other.predict_json(TEXTS * 200)
    for _ in range(5):
        threads.submit(other.json_job(TEXTS * 200))
    del other
    gc.collect()
    assert [job.result() for job in wait(threads, 5)] == [expected] * 5


def test_numbers_that_are_not_finite(threads):
    model = make_model()
    values = model.output.values.copy()
    values[1, 1] = np.nan
    broken = Classifier(
        FastTextModel(model.arguments, model.dictionary, model.input, DenseMatrix(values))
    )
    broken.warm_up()
    threads.submit(broken.json_job(["the movie"]))
    (job,) = wait(threads, 1)
    with pytest.raises(ModelFormatError, match="not finite"):
        job.result()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_too_little_memory_ends_one_job_and_no_thread(classifier, threads):
    # As many texts as no memory can hold, which no request can bring: the numbers of a job say so.
    from kftext.models.compiled.json_job import COUNT

    for _ in range(6):
        job = classifier.json_job(TEXTS)
        job.numbers[COUNT] = 1 << 58
        threads.submit(job)
    for job in wait(threads, 6):
        with pytest.raises(ResourceError, match="not enough memory"):
            job.result()
    threads.submit(classifier.json_job(TEXTS))
    (job,) = wait(threads, 1)
    assert job.result() == classifier.predict_json(TEXTS)


def test_more_than_can_wait_is_refused(classifier):
    from kftext.models.compiled.threads import PredictionThreads

    # No thread takes anything out of the pipe.
    idle = PredictionThreads(0)
    job = classifier.json_job(["good"])
    for _ in range(1 << 20):
        if not idle.submit(job):
            break
    else:
        pytest.fail("the pipe has no end")
    idle.close()


def test_signals_do_not_disturb(classifier, threads):
    seen = []
    before = signal.signal(signal.SIGUSR1, lambda *_: seen.append(1))
    try:
        for _ in range(50):
            threads.submit(classifier.json_job(TEXTS))
            os.kill(os.getpid(), signal.SIGUSR1)
        assert len(wait(threads, 50)) == 50
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert seen


def test_closing_ends_the_threads(classifier):
    from kftext.models.compiled.threads import PredictionThreads, run

    job = classifier.json_job(TEXTS)
    run(job)
    assert job.result() == classifier.predict_json(TEXTS)
    before = threading.active_count()
    threads = PredictionThreads(2)
    assert threading.active_count() == before + 2
    for _ in range(20):
        threads.submit(classifier.json_job(TEXTS))
    descriptor = threads.descriptor
    threads.close()
    end = time.monotonic() + 60
    while threading.active_count() > before and time.monotonic() < end:
        time.sleep(0.01)
    assert threading.active_count() == before
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
