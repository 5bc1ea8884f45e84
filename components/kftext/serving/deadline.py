"""Waiting with a deadline that costs nothing where there is nothing to wait for.

Most bodies have arrived before they are asked for. A timer of the event loop that is started and cancelled for each of them costs
more than a text's prediction does, so it is started once the first step has shown that there is something to wait for.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Awaitable, Generator
from typing import Any, TypeVar

__all__ = ["within"]

Result = TypeVar("Result")


async def within(seconds: float, awaitable: Awaitable[Result]) -> Result:
    """Return what `awaitable` gives.

    Raises:
        TimeoutError: it took longer.
    """
    steps = awaitable.__await__()
    try:
        awaited = next(steps)
    except StopIteration as done:
        result: Result = done.value
        return result
    async with asyncio.timeout(seconds):
        return await _go_on(steps, awaited)


@types.coroutine
def _go_on(steps: Generator[Any, Any, Result], awaited: Any) -> Generator[Any, Any, Result]:
    """What is left of `steps`, whose first one has given what to wait for."""
    try:
        yield awaited
    except asyncio.CancelledError:
        steps.close()
        raise
    return (yield from steps)
