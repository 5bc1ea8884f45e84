"""The kernels compile for GPUs that are not there, and keep their rows in registers. (The command prints the table for all sizes.)"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("numba_cuda", reason="numba-cuda is not installed: pip install 'kftext[cuda]'")

from blazingtext.cuda.compile_kernels import CASES
from kftext.blazingtext.cuda import resources
from kftext.errors import ResourceError

pytestmark = pytest.mark.cuda_compile


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    try:
        resources.find_ptxas()
    except ResourceError as error:
        pytest.skip(str(error))
    program = Path(__file__).with_name("compile_kernels.py")
    file = tmp_path_factory.mktemp("compiled") / "kernels.json"
    environment = {
        name: value for name, value in os.environ.items() if name != "NUMBA_ENABLE_CUDASIM"
    }
    result = subprocess.run(
        [sys.executable, program, file],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(file.read_text()) | {"printed": result.stdout}


@pytest.fixture(scope="module")
def table(compiled):
    return compiled["table"]


def test_kernels_compile(table):
    assert [(entry["kernel"], entry["dim"], entry["architecture"]) for entry in table] == CASES


def test_command_prints_what_a_kernel_takes(compiled):
    header, line = compiled["printed"].splitlines()
    assert header.split() == ["kernel", "dim", "arch", "registers", "spills", "stack", "shared"]
    assert line.split() == [str(value) for value in compiled["table"][-1].values()]


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


def is_in_a_loop(ptx, instruction):
    """Return whether some branch goes back over the one place of an instruction."""
    (place,) = [match.start() for match in re.finditer(re.escape(instruction), ptx)]
    labels = {match[1]: match.start() for match in re.finditer(r"^(\$\w+):", ptx, re.MULTILINE)}
    return any(
        labels[branch[1]] < place < branch.start()
        for branch in re.finditer(r"\bbra(?:\.uni)?\s+(\$\w+);", ptx)
    )


@pytest.mark.parametrize("kernel", ["skipgram", "supervised, softmax"])
def test_learning_rate_is_read_for_each_line(kernel, compiled):
    """What other warps write is read each time: a compiler that took it for a constant would read it once a launch."""
    assert is_in_a_loop(compiled["ptx"][kernel], "ld.relaxed.gpu.global.u64")
    hoisted = "ld.relaxed.gpu.global.u64 %rd1, [%rd2];\n$L__BB0_1:\n@%p1 bra $L__BB0_1;\n"
    assert not is_in_a_loop(hoisted, "ld.relaxed.gpu.global.u64")


@pytest.mark.parametrize("kernel", ["skipgram", "supervised, softmax", "supervised, ns"])
def test_rows_are_changed_by_additions_that_return_nothing(kernel, compiled):
    assert "red.relaxed.gpu.global.add.f32" in compiled["ptx"][kernel]
    assert "atom." not in compiled["ptx"][kernel]


def test_buckets_are_found_without_a_division(compiled):
    for kernel in ("supervised, softmax", "supervised, ns"):
        assert "mul.hi.u64" in compiled["ptx"][kernel]
        assert "rem.u64" not in compiled["ptx"][kernel]


def test_unknown_kernel_is_wrong_usage(capsys):
    with pytest.raises(SystemExit) as end:
        resources.main(["--kernels", "glove"])
    assert end.value.code == 2
    assert "glove" in capsys.readouterr().err
