"""Where predictions run: inline, in parts that take turns, in threads; and what happens when they take too long."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time

import numpy as np
import orjson
import pytest

from kftext.errors import ModelFormatError
from kftext.models import Classifier, Output, Prediction, answer_json
from kftext.models.compiled import json_job, threads
from kftext.serving import scheduling
from kftext.serving.front import Front
from kftext.serving.messages import RequestError
from kftext.serving.model import ServedModel
from kftext.serving.options import Options
from kftext.serving.query import Query, ask, divide, join
from kftext.serving.scheduling import Scheduler


@pytest.fixture
def model(models) -> ServedModel:
    return ServedModel("sentiment", models["sentiment"])


class Slow(Classifier):
    """A classifier that takes its time for each text, in steps that other threads can see."""

    seconds = 0.002
    threads: list[str]
    sizes: list[int]

    @classmethod
    def like(cls, other: Classifier) -> Slow:
        slow = cls(other.model)
        slow.threads, slow.sizes = [], []
        return slow

    def predict(self, texts, k=1, threshold=0.0, *, threads=None) -> list[Prediction]:
        self.threads.append(threading.current_thread().name)
        self.sizes.append(len(texts))
        time.sleep(self.seconds * len(texts))
        return super().predict(texts, k, threshold)


def teach(model: ServedModel, predictor: Classifier) -> None:
    """Let the model learn what a text costs."""
    for _ in range(60):
        model.ask(predictor, Query(["good"], Output.LABELS))


@pytest.mark.parametrize("name", ["sentiment", "vectors", "subwords"])
def test_an_answer_in_parts_is_the_answer(models, name):
    predictor = ServedModel(name, models[name]).target.predictor
    texts = ["good", "king", "queen pear", "bad movie", ""] * 3
    outputs = [Output.LABELS] if name == "sentiment" else list(Output)[1:]
    for output in outputs:
        query = Query(texts, output, k=2)
        whole = ask(predictor, query)
        for size in (1, 2, 7, 15, 99):
            parts = join(query, [ask(predictor, part) for part in divide(query, size)])
            if isinstance(whole, np.ndarray):
                np.testing.assert_array_equal(parts, whole)
            else:
                assert list(parts) == list(whole)


def test_a_short_prediction_is_made_at_once(model):
    async def run():
        scheduler = Scheduler(Options(threads=1, max_queue=1, deadline_seconds=10))
        answer = scheduler.predict(model, model.target.predictor, Query(["good"], Output.LABELS), 0)
        # It does not wait for anything: the first step is the last.
        with pytest.raises(StopIteration) as done:
            answer.send(None)
        return done.value.value

    (prediction,) = asyncio.run(run())
    assert prediction.labels == ["__label__pos"]


def test_parts_in_json_are_the_answer_in_json(model):
    predictor = model.target.predictor
    texts = ["good", "bad movie", "", "fine"] * 3
    for separator in (b",", b"\n"):
        query = Query(texts, Output.LABELS, k=2, separator=separator)
        whole = ask(predictor, query)
        assert whole == answer_json(
            Output.LABELS, texts, ask(predictor, labels(*texts, k=2)), separator
        )
        for size in (1, 5, 12):
            parts = [ask(predictor, part) for part in divide(query, size)]
            assert all(isinstance(part, bytes) for part in parts)
            assert join(query, parts) == whole
            # One that came as objects, as those do that are too much to be written at once.
            parts[0] = ask(predictor, labels(*texts[:size], k=2))
            assert join(query, parts) == (parts[0] if size == 12 else whole)


def test_short_predictions_of_one_turn_are_made_one_behind_the_other(model, monkeypatch):
    predictor = model.target.predictor
    monkeypatch.setattr(model, "estimate", lambda query: 0.00001)
    events: list[str] = []

    class Noting(Classifier):
        def predict(self, texts, k=1, threshold=0.0, *, threads=None) -> list[Prediction]:
            events.append(f"predicted {texts[0]}")
            if texts == ["broken"]:
                raise ModelFormatError("the model fails on this")
            return predictor.predict(texts, k, threshold)

    noting = Noting(predictor.model)

    async def client(scheduler: Scheduler, text: str) -> str:
        events.append(f"read {text}")
        (answer,) = await scheduler.predict(model, noting, labels(text), 0)
        events.append(f"answered {text}")
        return answer.labels[0]

    async def run(requests: int) -> list:
        scheduler = Scheduler(options())
        scheduler.requests = range(requests)
        tasks = [asyncio.create_task(client(scheduler, text)) for text in ("good", "broken", "bad")]
        gone = asyncio.create_task(client(scheduler, "gone"))
        asyncio.get_running_loop().call_soon(gone.cancel)
        return await asyncio.gather(*tasks, return_exceptions=True)

    good, broken, bad = asyncio.run(run(4))
    assert (good, bad) == ("__label__pos", "__label__neg")
    assert isinstance(broken, ModelFormatError)
    assert events == [
        *(f"read {text}" for text in ("good", "broken", "bad", "gone")),
        *(f"predicted {text}" for text in ("good", "broken", "bad")),
        "answered good",
        "answered bad",
    ]
    # Alone, each is answered at once.
    events.clear()
    asyncio.run(run(1))
    assert events[:3] == ["read good", "predicted good", "answered good"]


def in_json(*texts: str, k: int = 1) -> Query:
    return dataclasses.replace(labels(*texts, k=k), separator=b",")


def test_many_texts_are_predicted_in_threads_where_others_want_the_loop(model, monkeypatch):
    monkeypatch.setattr(scheduling, "available_cores", lambda: 3)
    predictor = model.target.predictor
    asked = []
    inside = model.ask
    monkeypatch.setattr(
        model, "ask", lambda predictor, query: asked.append(query) or inside(predictor, query)
    )
    # What is known of the costs: a text takes a third of a millisecond, more than in truth.
    monkeypatch.setattr(model, "estimate", lambda query: 0.0003 * len(query.texts))
    texts = ["good", "bad movie", ""]

    async def run(requests: int, *queries: Query) -> list:
        scheduler = Scheduler(options(threads=2))
        scheduler.requests = range(requests)
        answers = [scheduler.predict(model, predictor, query, 0) for query in queries]
        try:
            return await asyncio.gather(*answers)
        finally:
            assert scheduler.pending == 0
            scheduler.close()

    short, long = in_json(*texts, k=2), in_json(*texts * 40, k=2)
    expected = [ask(predictor, query) for query in (short, long)]
    assert asyncio.run(run(2, short, long)) == expected
    assert asked == []
    # A long one goes there in any case, a short one that is alone does not.
    assert asyncio.run(run(1, long)) == expected[1:]
    assert asked == []
    assert asyncio.run(run(1, short)) == expected[:1]
    assert asked == [short]
    # Nor does what is no JSON, or all with one core.
    asked.clear()
    (objects,) = asyncio.run(run(2, labels(*texts * 40, k=2)))
    assert [one.labels for one in objects] == [
        one["label"] for one in orjson.loads(b"[%b]" % expected[1])
    ]
    monkeypatch.setattr(scheduling, "available_cores", lambda: 1)
    assert asyncio.run(run(2, short, long)) == expected
    assert len(asked) > 2


def test_an_answer_that_threads_can_not_write_is_written_otherwise(model, monkeypatch):
    monkeypatch.setattr(scheduling, "available_cores", lambda: 3)
    monkeypatch.setattr(model, "estimate", lambda query: 0.0003)
    monkeypatch.setattr(json_job, "written", lambda out, size: None)
    predictor = model.target.predictor

    async def run() -> list:
        scheduler = Scheduler(options(threads=2))
        scheduler.requests = range(2)
        try:
            return await scheduler.predict(model, predictor, in_json("good", "bad"), 0)
        finally:
            scheduler.close()

    assert asyncio.run(run()) == ask(predictor, in_json("good", "bad"))


def test_parts_that_threads_refuse_keep_their_place(model, monkeypatch):
    monkeypatch.setattr(scheduling, "available_cores", lambda: 3)
    monkeypatch.setattr(model, "estimate", lambda query: 0.0003 * len(query.texts))
    submit = threads.PredictionThreads.submit
    offered = []

    def sometimes(self, job) -> bool:
        offered.append(job)
        return len(offered) % 3 != 0 and submit(self, job)

    monkeypatch.setattr(threads.PredictionThreads, "submit", sometimes)
    query = in_json(*["good", "bad", "", "fine"] * 20)

    async def run() -> list:
        scheduler = Scheduler(options(threads=2))
        try:
            return await scheduler.predict(model, model.target.predictor, query, 0)
        finally:
            scheduler.close()

    assert asyncio.run(run()) == ask(model.target.predictor, query)
    assert len(offered) > 20


def test_whoever_waits_too_long_for_a_thread_is_refused(model, monkeypatch):
    monkeypatch.setattr(scheduling, "available_cores", lambda: 3)
    monkeypatch.setattr(model, "estimate", lambda query: 0.0003)
    predictor = model.target.predictor

    async def run() -> None:
        scheduler = Scheduler(options(threads=2, deadline_seconds=2))
        scheduler.requests = range(2)
        # As if the threads were busy: nobody takes what is asked.
        monkeypatch.setattr(threads.PredictionThreads, "submit", lambda self, job: True)

        async def ask_late(elapsed: float) -> float:
            with pytest.raises(RequestError, match="--deadline_seconds") as refused:
                await scheduler.predict(model, predictor, in_json("good", "bad"), elapsed)
            assert refused.value.status == 503
            return time.monotonic()

        try:
            # The second has less time left, and the third comes later.
            first, second = (asyncio.create_task(ask_late(spent)) for spent in (0, 1.9))
            await second
            assert not first.done()
            third = asyncio.create_task(ask_late(0))
            assert await first < await third
            assert scheduler.stuck_seconds() >= 2
        finally:
            scheduler.close()

    asyncio.run(run())


def test_long_predictions_take_turns_with_short_ones(model):
    slow = Slow.like(model.target.predictor)
    teach(model, slow)
    slow.sizes.clear()

    async def run():
        scheduler = Scheduler(Options(threads=1, max_queue=4, deadline_seconds=10))
        long = [
            asyncio.create_task(
                scheduler.predict(model, slow, Query(["good"] * 30, Output.LABELS), 0)
            )
            for _ in range(2)
        ]
        waits = []
        while not all(one.done() for one in long):
            started = time.perf_counter()
            await asyncio.sleep(0)
            waits.append(time.perf_counter() - started)
        return [one.result() for one in long], waits, scheduler.pending

    answers, waits, pending = asyncio.run(run())
    assert [len(answer) for answer in answers] == [30, 30]
    assert pending == 0
    # Parts of a text or two, not thirty at once; and the loop came around in between.
    assert max(slow.sizes) <= 2
    assert len(waits) > 30
    assert np.median(waits) < 0.02


def test_a_long_single_instance_goes_to_a_thread(model):
    slow = Slow.like(model.target.predictor)
    slow.seconds = 0.02
    teach(model, slow)

    async def run():
        scheduler = Scheduler(Options(threads=1, max_queue=4, deadline_seconds=10))
        return await scheduler.predict(model, slow, Query(["good"], Output.LABELS), 0)

    asyncio.run(run())
    assert slow.threads[-1].startswith("predict")


def test_the_deadline_ends_a_prediction_between_parts(model):
    slow = Slow.like(model.target.predictor)
    teach(model, slow)
    slow.sizes.clear()

    async def run():
        scheduler = Scheduler(Options(threads=1, max_queue=4, deadline_seconds=0.1))
        started = time.perf_counter()
        with pytest.raises(RequestError) as caught:
            await scheduler.predict(model, slow, Query(["good"] * 1000, Output.LABELS), 0.05)
        return caught.value, time.perf_counter() - started, scheduler.pending

    error, seconds, pending = asyncio.run(run())
    assert error.status == 503
    assert ("retry-after", "1") in error.headers
    assert "0.1 s (--deadline_seconds)" in str(error)
    assert seconds < 1
    assert sum(slow.sizes) < 500
    assert pending == 0


def test_the_queue_is_bounded(model):
    slow = Slow.like(model.target.predictor)
    teach(model, slow)

    async def run():
        scheduler = Scheduler(Options(threads=1, max_queue=2, deadline_seconds=10))
        query = Query(["good"] * 10, Output.LABELS)
        tasks = [asyncio.create_task(scheduler.predict(model, slow, query, 0)) for _ in range(5)]
        return await asyncio.gather(*tasks, return_exceptions=True)

    answers = asyncio.run(run())
    refused = [one for one in answers if isinstance(one, RequestError)]
    assert len(refused) == 3
    assert {one.status for one in refused} == {503}


def test_a_stuck_thread_is_noticed(model):
    """The server says that it is not live while a prediction runs for more than twice the deadline."""
    release = threading.Event()

    class Stuck(Slow):
        def predict(self, texts, k=1, threshold=0.0, *, threads=None):
            if threading.current_thread() is not threading.main_thread():
                release.wait(20)
            return super().predict(texts, k, threshold)

    stuck = Stuck.like(model.target.predictor)
    stuck.seconds = 0.02
    teach(model, stuck)

    async def run():
        front = Front(None, {"sentiment": model}, Options(deadline_seconds=0.2))
        query = Query(["good"], Output.LABELS)
        with pytest.raises(RequestError, match="deadline"):
            await front.scheduler.predict(model, stuck, query, 0)
        early = front.live
        await asyncio.sleep(0.5)
        late = front.live, front.ready
        release.set()
        await asyncio.sleep(0.3)
        return early, late, front.live

    assert asyncio.run(run()) == (True, (False, False), True)


class Together(Slow):
    """A model whose calls take long, however many texts they hold."""

    on_tensorflow = True

    def predict(self, texts, k=1, threshold=0.0, *, threads=None) -> list[Prediction]:
        self.threads.append(threading.current_thread().name)
        self.sizes.append(len(texts))
        time.sleep(self.seconds)
        if "broken" in texts:
            raise ModelFormatError("the model fails on this")
        return Classifier.predict(self, texts, k, threshold)


@pytest.fixture
def together(model, monkeypatch) -> Together:
    """The model, as if TensorFlow computed it."""
    slow = Together.like(model.target.predictor)
    slow.seconds = 0.03
    loaded = dataclasses.replace(model.loaded, predictor=slow)
    model._serve(loaded)
    slow.sizes.clear()
    slow.threads.clear()
    return slow


def options(**changes) -> Options:
    return dataclasses.replace(Options(), **changes)


async def ask_all(scheduler: Scheduler, model: ServedModel, queries: list[Query]) -> list:
    predictor = model.target.predictor
    asked = [scheduler.predict(model, predictor, query, 0) for query in queries]
    return await asyncio.gather(*asked, return_exceptions=True)


def labels(*texts: str, k: int = 1) -> Query:
    return Query(list(texts), Output.LABELS, k=k)


def test_what_is_asked_together_is_predicted_together(model, together):
    queries = [labels("good"), labels("bad", "good"), labels("fine"), labels("bad")]
    answers = asyncio.run(ask_all(Scheduler(options()), model, queries))
    found = [[one.labels[0].removeprefix("__label__") for one in answer] for answer in answers]
    assert found == [["pos"], ["neg", "pos"], ["mixed"], ["neg"]]
    assert together.sizes == [5]
    assert together.threads[0].startswith("predict-sentiment")


def test_what_can_not_go_together_does_not(model, together):
    queries = [labels("good"), labels("bad", k=3), labels("good"), labels("fine", k=3)]
    answers = asyncio.run(ask_all(Scheduler(options()), model, queries))
    assert [len(answer[0].labels) for answer in answers] == [1, 3, 1, 3]
    assert together.sizes == [2, 2]


def test_a_batch_has_a_largest_size(model, together):
    scheduler = Scheduler(options(max_batch_size=4))
    queries = [labels("good", "bad", "fine") for _ in range(3)] + [labels(*["good"] * 9)]
    answers = asyncio.run(ask_all(scheduler, model, queries))
    assert [len(answer) for answer in answers] == [3, 3, 3, 9]
    assert max(together.sizes) == 4
    assert sum(together.sizes) == 18


def test_those_who_wait_for_a_call_go_with_the_next_one(model, together):
    async def run():
        scheduler = Scheduler(options())
        predictor = together

        async def client(calls: int) -> None:
            for _ in range(calls):
                await scheduler.predict(model, predictor, labels("good"), 0)

        await asyncio.gather(*(client(6) for _ in range(8)))

    asyncio.run(run())
    # Eight clients that ask again and again: not one call of theirs lacks more than those on their way.
    assert sum(together.sizes) == 48
    assert len(together.sizes) <= 8


def test_a_lone_client_does_not_wait(model, together):
    async def run():
        scheduler = Scheduler(options(max_batch_wait_seconds=5))
        started = time.perf_counter()
        for _ in range(5):
            await scheduler.predict(model, together, labels("good"), 0)
        return time.perf_counter() - started

    assert asyncio.run(run()) < 1
    assert together.sizes == [1] * 5


def test_one_that_fails_harms_no_other(model, together):
    queries = [labels("good"), labels("broken"), labels("bad")]
    good, broken, bad = asyncio.run(ask_all(Scheduler(options()), model, queries))
    assert (len(good), len(bad)) == (1, 1)
    assert isinstance(broken, ModelFormatError)


def test_whoever_waits_too_long_is_refused_and_left_out(model, together):
    async def run():
        scheduler = Scheduler(options(deadline_seconds=0.05, max_queue=6))
        queries = [labels("good")] + [labels("bad", k=k) for k in (1, 2, 3, 3, 3, 3)]
        answers = await ask_all(scheduler, model, queries)
        pending = scheduler.pending
        await asyncio.sleep(0.2)
        return answers, pending

    answers, pending = asyncio.run(run())
    assert pending == 0
    refused = [one for one in answers if isinstance(one, RequestError)]
    assert {one.status for one in refused} == {503}
    assert any("--max_queue" in str(one) for one in refused)
    assert any("--deadline_seconds" in str(one) for one in refused)
    # The calls behind the deadline were not made.
    assert len(together.sizes) <= 3


def test_a_reload_while_queries_wait_harms_none(model, together, models):
    """Each is answered by the model that it was asked of, though that one is of another kind than the new one."""

    async def run():
        scheduler = Scheduler(options())
        asked = asyncio.gather(
            *(scheduler.predict(model, together, labels("good", k=k), 0) for k in (1, 2, 3))
        )
        await asyncio.sleep(0.01)
        other = ServedModel("other", models["vectors"])
        model._serve(other.loaded)
        return await asked

    answers = asyncio.run(run())
    assert [len(answer[0].labels) for answer in answers] == [1, 2, 3]
