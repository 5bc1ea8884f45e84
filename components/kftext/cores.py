"""How many cores a process may use: those it may run on, or fewer where a container's CPU limit allows less time than they have."""

from __future__ import annotations

import math
import os
from pathlib import Path

__all__ = ["available_cores"]

_CGROUPS = Path("/sys/fs/cgroup")


def available_cores(cgroups: Path = _CGROUPS) -> int:
    """Return the number of cores, a part of one counting as one.

    Args:
        cgroups: where the kernel tells the limits of the container.
    """
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    limit = min(float(cores), _limit(cgroups))
    return max(1, math.ceil(limit))


def _limit(cgroups: Path) -> float:
    """CPU seconds that the container may use in a second: https://docs.kernel.org/admin-guide/cgroup-v2.html, `cpu.max`, or its like in version 1."""
    try:
        quota, period = (cgroups / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (cgroups / "cpu" / "cpu.cfs_quota_us").read_text()
            period = (cgroups / "cpu" / "cpu.cfs_period_us").read_text()
        except OSError:
            return math.inf
    try:
        # "max" and -1 say that there is no limit.
        return int(quota) / int(period) if int(quota) > 0 else math.inf
    except (ValueError, ZeroDivisionError):
        return math.inf
