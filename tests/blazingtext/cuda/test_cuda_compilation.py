"""The kernels compile for GPUs that are not there, and keep their rows in registers. (The command prints the table for other sizes.)"""

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("numba_cuda", reason="numba-cuda is not installed: pip install 'kftext[cuda]'")

from kftext.blazingtext.cuda import resources
from kftext.errors import ResourceError

pytestmark = pytest.mark.cuda_compile


HOT = ["skipgram", "skipgram, subwords", "cbow", "batch_skipgram"]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """What the command prints, from a process of its own: the simulator and the compiler exclude each other."""
    try:
        resources.find_ptxas()
    except ResourceError as error:
        pytest.skip(str(error))
    file = tmp_path_factory.mktemp("resources") / "table.json"
    command = [
        sys.executable,
        "-m",
        "kftext.blazingtext.cuda.resources",
        "--dim",
        "100",
        "--json",
        file,
        "--kernels",
        *HOT,
    ]
    environment = {
        name: value for name, value in os.environ.items() if name != "NUMBA_ENABLE_CUDASIM"
    }
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    entries = json.loads(file.read_text())
    assert all(entry["kernel"] in result.stdout for entry in entries)
    return entries


def test_hot_kernels_compile_for_every_architecture(table):
    found = {(entry["kernel"], entry["architecture"]) for entry in table}
    assert found == {
        (kernel, architecture) for kernel in HOT for architecture in ("sm_80", "sm_90")
    }


def test_unknown_kernel_is_wrong_usage(capsys):
    with pytest.raises(SystemExit) as end:
        resources.main(["--kernels", "glove"])
    assert end.value.code == 2
    assert "glove" in capsys.readouterr().err


def test_nothing_spills(table):
    assert [entry for entry in table if entry["spills"]] == []


def test_rows_are_in_registers(table):
    """An array that is indexed by what is known at run time alone lies in memory: a stack frame as large as the rows."""
    assert [entry for entry in table if entry["stack"] > 64] == []
    assert min(entry["registers"] for entry in table if entry["kernel"] == "skipgram") > 4 * 6 * 2


def test_occupancy_that_the_launch_counts_on(table):
    """Eight warps a multiprocessor: of 65,536 registers and, on the smallest of these GPUs, 164 KB of shared memory."""
    for entry in table:
        assert 8 * 32 * entry["registers"] <= 65_536, entry
        assert 8 * (entry["shared"] + 1024) <= 164 << 10, entry
