"""The split: repeatable, of the size asked for, and no text on both sides."""

from __future__ import annotations

import pytest

from kftext.errors import UsageError
from kftext.validation.split import Splitter

TEXTS = [f"text number {number}" for number in range(20_000)]


def chosen(ratio: float, seed: int) -> set[str]:
    splitter = Splitter(ratio, seed)
    return {text for text in TEXTS if splitter.is_validation(text)}


def test_ratio_and_seed():
    tenth = chosen(0.1, 1)
    assert abs(len(tenth) / len(TEXTS) - 0.1) < 0.01
    assert chosen(0.1, 1) == tenth
    assert len(tenth & chosen(0.1, 2)) < 0.2 * len(tenth)
    assert tenth < chosen(0.3, 1)
    assert chosen(0.0, 1) == set()


def test_the_split_never_changes_between_versions():
    splitter = Splitter(0.5, 7)
    assert [splitter.is_validation(text) for text in ("a", "b", "c", "d", "é", "the cat")] == [
        True, False, True, False, True, False,
    ]  # fmt: skip


@pytest.mark.parametrize("ratio", [-0.1, 1.0, 2, float("nan")])
def test_ratio_out_of_range(ratio: float):
    with pytest.raises(UsageError, match="validation_split_ratio"):
        Splitter(ratio, 0)
