"""The kernels' cache: it is used, and an edit of any kernel module makes it stale."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import kftext

PROGRAM = """
import warnings
warnings.simplefilter("error")
import numpy as np
from kftext.blazingtext.kernels.sampling import build_alias_table, _vose
build_alias_table([1.0, 2.0])
print(sum(_vose.stats.cache_hits.values()), sum(_vose.stats.cache_misses.values()))
"""


def run(package: Path, cache: Path) -> str:
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "PYTHONPATH": str(package), "NUMBA_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return result.stdout.strip()


def test_an_edit_of_another_kernel_module_makes_the_cache_stale(tmp_path):
    source = Path(kftext.__file__).parent
    copy = tmp_path / "kftext"
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
    cache = tmp_path / "cache"
    assert run(tmp_path, cache) == "0 1"
    assert run(tmp_path, cache) == "1 0"
    with (copy / "blazingtext" / "kernels" / "simd.py").open("a") as file:
        file.write("# edited\n")
    assert run(tmp_path, cache) == "0 1"
