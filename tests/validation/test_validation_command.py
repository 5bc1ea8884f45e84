"""The command line, run as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kftext import cli
from kftext.validation.__main__ import main

GOOD = "".join(f"__label__{'ab'[number % 2]} text number {number}\n" for number in range(20))


def run(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "kftext.validation", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=600)


def test_success(tmp_path: Path):
    (tmp_path / "train.txt").write_text(GOOD)
    done = run(
        "--data", "train.txt", "--format", "labeled-text", "--report", "report.html",
        "--json=report.json", "--output", "dataset", "--validation_split_ratio", "0.3", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    metrics = json.loads(done.stdout)
    assert metrics["training_rows"] + metrics["validation_rows"] == 20
    assert {file.name for file in (tmp_path / "dataset").iterdir()} == {
        "dataset.json", "train.txt", "validation.txt",
    }  # fmt: skip
    assert json.loads((tmp_path / "report.json").read_text())["passed"]
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("data", "format", "message"),
    [
        (b"", "corpus", "train: the data are empty (0 bytes)"),
        (b"\x7fELF" + bytes(500), "labeled-text", "train: not text: it starts like a program"),
        (GOOD.encode() + b"no label\n", "labeled-text", "train:21: no label"),
        (b"label,text\n1,a\n0,b\n", "csv", "train:1: column 1 is 'label'"),
        (GOOD.encode("utf-16"), "labeled-text", "train: encoded in UTF-16"),
        ("__label__a caf\xe9\n".encode("latin-1"), "labeled-text", "train:1: byte 0xe9 at byte 15"),
    ],
)  # fmt: skip
def test_broken_data_end_with_one_clear_message(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    data: bytes,
    format: str,
    message: str,
):
    (tmp_path / "train").write_bytes(data)
    monkeypatch.chdir(tmp_path)
    flags = [
        "--data",
        "train",
        "--format",
        format,
        "--report",
        "report.html",
        "--output",
        "dataset",
    ]
    assert cli.run(main, flags) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"error: {message}")
    assert last.endswith("report: report.html)")
    assert {file.name for file in tmp_path.iterdir()} == {"train", "report.html"}


def test_a_failing_process(tmp_path: Path):
    (tmp_path / "train").write_text(GOOD + "no label\n")
    done = run("--data", "train", "--format", "labeled-text", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "error: train:21: no label: expected a word that starts with __label__"
    )
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_missing_data(tmp_path: Path):
    done = run("--data", "absent", "--format", "csv", "--report", "report.html", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert "absent" in done.stderr.splitlines()[-1]
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments",
    [
        ["--format", "csv"],
        ["--data", "train"],
        ["--data", "train", "--format", "parquet"],
        ["--data", "train", "--format", "csv", "--max-error-fraction", "2"],
        ["--data", "train", "--format", "labeled-text", "--label-prefix", ""],
        ["--data", "train", "--format", "csv", "--unknown", "1"],
    ],
)
def test_wrong_usage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]):
    (tmp_path / "train").write_text("0,a\n1,b\n")
    monkeypatch.chdir(tmp_path)
    assert cli.run(main, arguments) == 2
    assert {file.name for file in tmp_path.iterdir()} == {"train"}


def test_a_report_that_can_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "train").write_text(GOOD)
    (tmp_path / "report.html").mkdir()
    (tmp_path / "report.html" / "in-the-way").touch()
    monkeypatch.chdir(tmp_path)
    flags = ["--data", "train", "--format", "labeled-text", "--report", "report.html"]
    assert cli.run(main, [*flags, "--output", "dataset"]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: ")
    assert not (tmp_path / "dataset").exists()


def test_without_the_evaluation_extra_the_message_says_what_to_install(tmp_path: Path):
    (tmp_path / "train").write_text(GOOD)
    program = (
        "import sys; sys.modules['jinja2'] = None\n"
        "from kftext import cli\n"
        "from kftext.validation.__main__ import main\n"
        "sys.exit(cli.run(main))"
    )
    arguments = ["--data", "train", "--format", "labeled-text"]
    for report, code in (([], 0), (["--report", "report.html"], 1)):
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments, *report],
            cwd=tmp_path, capture_output=True, text=True, timeout=600,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
    assert "pip install 'kftext[evaluation]'" in done.stderr.splitlines()[-1]
    assert "validating" not in done.stderr  # said before the data were read


def test_importing_the_step_is_light():
    program = (
        "import sys, kftext.validation.step, kftext.validation.__main__, kftext.reports.html, kftext.reports.charts\n"
        "print([name for name in ('matplotlib', 'jinja2', 'kfp', 'scipy', 'numba') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
