"""How a number of texts is cut into calls of few sizes."""

from __future__ import annotations

import pytest

from kftext.text_classification.text_function import LARGEST_BATCH, batch_sizes


@pytest.mark.parametrize(
    ("count", "fill", "sizes"),
    [
        (0, False, []),
        (1, False, [1]),
        (3, False, [4]),
        (5, False, [4, 1]),
        (5, True, [8]),
        (33, False, [32, 1]),
        (33, True, [64]),
        (150, False, [64, 64, 16, 8]),
        (150, True, [64, 64, 32]),
    ],
)
def test_known_sizes(count: int, fill: bool, sizes: list[int]) -> None:
    assert list(batch_sizes(count, fill=fill)) == sizes


def test_every_text_is_in_one_call_and_little_is_empty() -> None:
    for count in range(1, 3 * LARGEST_BATCH):
        sizes = list(batch_sizes(count, fill=False))
        assert all(size & (size - 1) == 0 and size <= LARGEST_BATCH for size in sizes)
        assert sizes == sorted(sizes, reverse=True)
        # Only the last call can have empty texts in it, a quarter at most.
        assert 0 <= sum(sizes) - count <= sizes[-1] / 4
