"""How many cores a process may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kftext.cores import available_cores

ALL = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, ALL),
        ({"cpu.max": "max 100000\n"}, ALL),
        ({"cpu.max": "100000 100000\n"}, 1),
        ({"cpu.max": "20000 100000\n"}, 1),
        ({"cpu.max": "150000 100000\n"}, min(2, ALL)),
        ({"cpu.max": "99900000 100000\n"}, ALL),
        ({"cpu.max": "what\n"}, ALL),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, ALL),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1),
        ({"cpu/cpu.cfs_quota_us": "50000\n"}, ALL),
    ],
)
def test_a_containers_limit_counts(tmp_path: Path, files, expected):
    for name, content in files.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(content)
    assert available_cores(tmp_path) == expected


def test_the_machine_has_a_core():
    assert 1 <= available_cores() <= ALL
