"""The GPU's benchmark without one: on a handful of words in the simulator, and what it says where nothing can be measured."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("numba_cuda", reason="numba-cuda is not installed: pip install 'kftext[cuda]'")

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "cuda_word2vec.py"


def run(*options, **environment):
    outside = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    return subprocess.run(
        [sys.executable, BENCHMARK, *map(str, options)],
        env={**outside, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_parts_are_added_to_one_report(tmp_path):
    file = tmp_path / "results" / "simulated.json"
    options = ["--tokens", 100, "--dims", 8, "--streams", 8, "--modes", "cbow", "--output", file]
    for parts in (["speed", "supervised"], ["command"]):
        result = run("--only", *parts, "--buckets", 50, *options, NUMBA_ENABLE_CUDASIM="1")
        assert result.returncode == 0, result.stderr
    report = json.loads(file.read_text())
    assert report["device"]["name"] == "numba's simulator"
    assert [entry["part"] for entry in report["runs"]] == ["speed", "supervised", "command"]
    assert all("--tokens 100" in entry["command"] for entry in report["runs"])
    (speed,), (command,) = (report["entries"][part].values() for part in ("speed", "command"))
    assert (speed["mode"], speed["dim"], speed["streams_a_multiprocessor"]) == ("cbow", 8, 8)
    assert speed["least"] <= speed["words_per_second"] <= speed["greatest"]
    assert command["words"] == 100
    assert len(report["entries"]["supervised"]) == 8
    assert "| cbow | 8 | 1 |" in result.stdout
    assert "| supervised, softmax, 4 labels | 8 | 1 |" in result.stdout


def test_without_a_gpu_it_says_so_and_fails(tmp_path):
    file = tmp_path / "results.json"
    result = run("--output", file, CUDA_VISIBLE_DEVICES="")
    assert result.returncode == 1
    assert result.stderr.startswith("error: no GPU ")
    assert not file.exists()
