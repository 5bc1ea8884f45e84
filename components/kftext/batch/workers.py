"""Processes that share the blocks of lines.

Threads would not do: the vectors of words, and the JSON of all models, are made under the interpreter's lock. The model is
mapped, so that its pages are in memory once however many processes use it.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from kftext import models
from kftext.batch.answers import answer
from kftext.batch.records import InputFormat, Records, read_records
from kftext.errors import KftextError, ResourceError
from kftext.models import Output, Predictor

__all__ = ["Piece", "Question", "Task", "predict_all"]

_AHEAD = 2
"""Blocks in progress for each process: enough that none waits, few enough that memory stays small."""


@dataclass(frozen=True)
class Question:
    """What is the same for all lines.

    Attributes:
        model: the model's file, or the folder of a TensorFlow model.
        output: what to write of each line.
        k: how many labels or neighbours, where a line doesn't say.
        threshold: labels below this probability are left out.
    """

    model: Path
    output: Output
    k: int
    threshold: float


class Task(NamedTuple):
    """Lines of a file that follow each other.

    Attributes:
        file: index of the file.
        number: 1-based number of the first line.
        body: the lines, joined by newlines.
        form: how to read them.
        fault: instead of lines: what is wrong with the one line that this task stands for.
    """

    file: int
    number: int
    body: bytes
    form: InputFormat
    fault: str = ""


class Piece(NamedTuple):
    """The answers to a task: `results` are `lines` lines of JSON, of which `rejected` are errors."""

    file: int
    number: int
    size: int
    results: bytes
    lines: int
    rejected: int


_predictor: Predictor | None = None
_question: Question | None = None


def _start(question: Question) -> None:
    """Load the model in a worker process."""
    global _predictor, _question
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _question, _predictor = question, models.load(question.model)
    _predictor.warm_up()


def _end_with_parent() -> None:
    """End this process when the one that started it was killed: nobody else would, and it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(task: Task) -> Piece:
    if _predictor is None or _question is None:
        raise ResourceError("the worker has no model")
    return _predict(_predictor, _question, task)


def _predict(predictor: Predictor, question: Question, task: Task) -> Piece:
    if task.fault:
        records = Records(1, faults={0: task.fault})
    else:
        records = read_records(task.body.split(b"\n"), task.form, question.k)
    results = answer(predictor, question.output, records, question.threshold)
    return Piece(
        task.file, task.number, len(task.body), results, records.count, len(records.faults)
    )


def predict_all(
    predictor: Predictor, question: Question, tasks: Iterable[Task], processes: int
) -> Generator[Piece, None, None]:
    """Predict tasks on `processes` processes; their answers come in the tasks' order.

    With one process the work is done in this one, by `predictor`.

    Raises:
        ResourceError: a process was killed, as happens when memory runs out.
        KftextError: what iterating over `tasks` raises, once the answers to the tasks before it were given.
    """
    if processes == 1:
        for task in tasks:
            yield _predict(predictor, question, task)
        return
    # "spawn": a forked child of a process with threads may inherit a lock that nobody will release.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, _start, (question,)) as pool:
        try:
            yield from _in_order(pool, tasks, _AHEAD * processes)
        except BrokenProcessPool:
            raise ResourceError(
                f"one of {processes} prediction processes was killed: is there too little memory? "
                "Use fewer with --processes"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _in_order(pool: ProcessPoolExecutor, tasks: Iterable[Task], ahead: int) -> Iterator[Piece]:
    waiting: deque[Future[Piece]] = deque()
    stopped: KftextError | None = None
    source = iter(tasks)
    while True:
        try:
            while stopped is None and len(waiting) < ahead:
                waiting.append(pool.submit(_work, next(source)))
        except StopIteration:
            ahead = 0
        except KftextError as error:
            stopped = error
        if not waiting:
            break
        yield waiting.popleft().result()
    if stopped is not None:
        raise stopped
