"""Runs at the start of every Python process of an image: lets Numba find its compiled kernels.

The image holds a cache of machine code for two kinds of CPU. Numba writes to its cache folder even to read from it, so the half
that this CPU can run is copied into a folder in memory, and Numba is told to compile for that kind of CPU. On any other CPU it
compiles at first use, for the CPU itself.
"""

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

SEED = Path("/opt/kftext/numba")
# What the levels of the x86-64 psABI ask for, by the names that Linux gives.
LEVELS = {
    "x86-64-v4": {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"},
    "x86-64-v3": {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"},
}


def cpu_flags() -> set[str]:
    """Return the flags of this machine's CPU; none where Linux doesn't say."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "flags":
                return set(value.split())
    return set()


def level(flags: set[str]) -> str | None:
    """Return the name of the highest level that a CPU with these flags has."""
    if not flags >= LEVELS["x86-64-v3"]:
        return None
    return "x86-64-v4" if flags >= LEVELS["x86-64-v4"] else "x86-64-v3"


def seed(target: Path) -> None:
    """Copy the cache for this CPU to `target`, and point Numba at it. A cache that can't be copied only costs time."""
    name = level(cpu_flags())
    if name is None or not (SEED / name).is_dir():
        return
    os.environ.setdefault("NUMBA_CPU_NAME", name)
    os.environ.setdefault("NUMBA_CPU_FEATURES", "")
    if os.environ["NUMBA_CPU_NAME"] != name or target.exists():
        return
    with suppress(OSError):
        target.parent.mkdir(parents=True, exist_ok=True)
        # Whole or not at all: several processes may start at once.
        unfinished = Path(tempfile.mkdtemp(prefix=".numba-", dir=target.parent))
        shutil.copytree(SEED / name, unfinished, dirs_exist_ok=True)
        try:
            unfinished.rename(target)
        except OSError:
            shutil.rmtree(unfinished, ignore_errors=True)


if os.environ.get("NUMBA_CACHE_DIR"):
    seed(Path(os.environ["NUMBA_CACHE_DIR"]))
