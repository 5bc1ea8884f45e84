"""How long a cache line that one core has written takes to another: what threads that write the same rows wait for.

    python tests/benchmarks/core_distances.py

Around one cache it is 25 to 60 ns, between clusters of cores with a cache each 150 ns and more. On a virtual machine the numbers change
from second to second, as its cores are moved over those of the host: look at them beside a measurement with several threads, not once.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

PASSES = 20_000


def _address(context: Any, builder: Any, signature: Any, flag: Any) -> Any:
    array = context.make_array(signature.args[0])(context, builder, flag)
    return builder.bitcast(array.data, ir.IntType(64).as_pointer())


@intrinsic
def _read(typing_context, flag):
    """Return flag[0], read from memory each time."""

    def generate(context, builder, signature, arguments):
        address = _address(context, builder, signature, arguments[0])
        return builder.load_atomic(address, "acquire", 8)

    return types.int64(flag), generate


@intrinsic
def _write(typing_context, flag, number):
    """Set flag[0]."""

    def generate(context, builder, signature, arguments):
        address = _address(context, builder, signature, arguments[0])
        builder.store_atomic(arguments[1], address, "release", 8)
        return context.get_dummy_value()

    return types.void(flag, types.int64), generate


@numba.njit(nogil=True)
def _play(flag, first, passes):
    """Wait for one's own number and write the other player's, so many times."""
    for number in range(first, 2 * passes, 2):
        while _read(flag) != number:
            pass
        _write(flag, number + 1)


def distance(first: int, second: int) -> float:
    """Return the nanoseconds that a line takes from one core to the other."""
    flag = np.zeros(16, np.int64)

    def player(core: int, number: int) -> None:
        os.sched_setaffinity(threading.get_native_id(), {core})
        _play(flag, number, PASSES)

    players = [threading.Thread(target=player, args=pair) for pair in ((first, 0), (second, 1))]
    start = time.perf_counter()
    for thread in players:
        thread.start()
    for thread in players:
        thread.join()
    return 1e9 * (time.perf_counter() - start) / (2 * PASSES)


def distances() -> str:
    """Return the distances of all pairs of cores that this process may use, as one line."""
    if not hasattr(os, "sched_setaffinity"):
        return "cores can't be chosen on this system"
    _play(np.zeros(16, np.int64), 0, 0)
    cores = sorted(os.sched_getaffinity(0))
    pairs = itertools.combinations(cores, 2)
    return "core to core, ns: " + ", ".join(f"{a}-{b} {distance(a, b):.0f}" for a, b in pairs)


def main() -> None:
    for _ in range(5):
        print(distances(), flush=True)
        time.sleep(1)


if __name__ == "__main__":
    sys.exit(main())
