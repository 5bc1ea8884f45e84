"""Repeated texts: in memory, on disk, and by a dictionary give the same."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from kftext.validation.duplicates import Occurrence, Position, Repeats, TextIndex

Row = tuple[str, Position, tuple[str, ...]]


def make_rows(count: int, seed: int) -> list[Row]:
    generator = random.Random(seed)
    return [
        (
            f"text {generator.randrange(count)}",
            Position(number >= 0.7 * count, int(number >= 0.3 * count), number),
            tuple(generator.sample("abc", generator.randint(1, 2))),
        )
        for number in range(count)
    ]


def naive(rows: list[Row], examples: int) -> Repeats:
    first: dict[tuple[str, bool], tuple[Position, frozenset[str]]] = {}
    duplicates, conflicts, leaks = [], [], []
    for text, position, labels in rows:
        if (text, position.validation) in first:
            where, seen = first[text, position.validation]
            duplicates.append(Occurrence(position, where))
            if seen != frozenset(labels):
                conflicts.append(Occurrence(position, where))
        else:
            first[text, position.validation] = position, frozenset(labels)
        if position.validation and (text, False) in first:
            leaks.append(Occurrence(position, first[text, False][0]))

    def by_part(found: list[Occurrence]) -> tuple[int, int]:
        late = sum(item.position.validation for item in found)
        return len(found) - late, late

    return Repeats(
        by_part(duplicates),
        by_part(conflicts),
        len(leaks),
        duplicates[:examples],
        conflicts[:examples],
        leaks[:examples],
    )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("limit", [1, 300, 10**6])
def test_all_ways_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, limit: int):
    monkeypatch.setattr("kftext.validation.duplicates._BATCH", 100)
    rows = make_rows(2500, seed)
    with TextIndex(limit, tmp_path) as index:
        for text, position, labels in rows:
            index.add(text, position.pack(), labels)
        assert index.spilled == (limit < 2500)
        assert any(tmp_path.iterdir()) == index.spilled
        assert index.find(7) == naive(rows, 7)
    assert not any(tmp_path.iterdir())


def test_nothing_repeats_in_nothing(tmp_path: Path):
    with TextIndex(10, tmp_path) as index:
        assert index.find(5) == Repeats()


def test_positions_survive_packing_and_sort():
    positions = [
        Position(False, 0, 1),
        Position(False, 0, 2**40 - 1),
        Position(False, 2**23 - 1, 5),
        Position(True, 0, 1),
        Position(True, 7, 9),
    ]
    packed = [position.pack() for position in positions]
    assert [Position.unpack(value) for value in packed] == positions
    assert packed == sorted(packed)
    assert max(packed) < 2**64
