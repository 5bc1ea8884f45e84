"""Pages of mapped files and of memory."""

from __future__ import annotations

import mmap
import tempfile

import numpy as np

from kftext.blazingtext.memory import allocate, available_memory, map_file, release_pages


def test_released_pages_hold_what_they_held():
    count = 5 * mmap.PAGESIZE
    with tempfile.TemporaryFile() as file:
        file.truncate(4 * count)
        mapped = map_file(file.fileno(), count, np.int32)
    expected = np.arange(count, dtype=np.int32)
    anonymous = allocate(count, np.int32)
    heap = np.empty(count, np.int32)
    for array in (mapped, anonymous, heap):
        array[:] = expected
        for part in (array, array[3:-3], array[: count // 2][7:9], array[:0]):
            release_pages(part)
            np.testing.assert_array_equal(array, expected)


def test_available_memory():
    assert 16 << 20 < available_memory() < 1 << 50
