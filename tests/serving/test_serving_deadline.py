"""Waiting with a deadline."""

from __future__ import annotations

import asyncio

import pytest

from kftext.serving.deadline import within


def test_what_is_there_is_returned_without_a_turn_of_the_event_loop():
    async def ready() -> str:
        return "there"

    with pytest.raises(StopIteration) as done:
        within(0.0, ready()).send(None)
    assert done.value.value == "there"


def test_an_error_of_the_first_step_comes_out():
    async def fails() -> None:
        raise ValueError("first")

    with pytest.raises(ValueError, match="first"):
        asyncio.run(within(60, fails()))


@pytest.mark.parametrize("waits", [1, 2, 5])
def test_what_has_to_be_waited_for_is_returned(waits: int):
    async def run() -> int:
        event = asyncio.Event()

        async def late() -> int:
            for _ in range(waits):
                await event.wait()
                event.clear()
            return waits

        async def wake() -> None:
            while True:
                event.set()
                await asyncio.sleep(0)

        waker = asyncio.create_task(wake())
        try:
            return await within(60, late())
        finally:
            waker.cancel()

    assert asyncio.run(run()) == waits


def test_what_fails_later_comes_out():
    async def fails() -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(0.001)
        raise ValueError("later")

    with pytest.raises(ValueError, match="later"):
        asyncio.run(within(60, fails()))


@pytest.mark.parametrize("steps", [0, 1])
def test_what_takes_too_long_is_given_up_and_closed(steps: int):
    closed = []

    async def never() -> None:
        try:
            for _ in range(steps):
                await asyncio.sleep(0)
            await asyncio.Event().wait()
        finally:
            closed.append(True)

    with pytest.raises(TimeoutError):
        asyncio.run(within(0.01, never()))
    assert closed == [True]


def test_who_waits_can_be_cancelled():
    async def run() -> list[bool]:
        closed, event = [], asyncio.Event()

        async def never() -> None:
            try:
                await event.wait()
            finally:
                closed.append(True)

        task = asyncio.create_task(within(60, never()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return closed

    assert asyncio.run(run()) == [True]
