"""Flags, exit codes, and how an error reaches a person."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kftext import cli
from kftext.errors import DataError, KftextError, UsageError


@pytest.fixture
def parser() -> cli.ArgumentParser:
    parser = cli.ArgumentParser(prog="command")
    parser.add_argument("--vector_dim", type=int)
    parser.add_argument("--model-dir")
    parser.add_argument("text", nargs="?")
    return parser


@pytest.mark.parametrize(
    "words",
    [
        ["--vector_dim", "3", "--model-dir", "a_b-c"],
        ["--vector-dim", "3", "--model_dir", "a_b-c"],
        ["--vector-dim=3", "--model_dir=a_b-c"],
    ],
)
def test_dashes_and_underscores_are_alike(parser: cli.ArgumentParser, words: list[str]):
    options = parser.parse_args(words)
    assert options.vector_dim == 3
    assert options.model_dir == "a_b-c"  # values stay as they are


def test_negative_numbers_and_equal_signs_in_values(parser: cli.ArgumentParser):
    options = parser.parse_args(["--vector-dim=-3", "--model-dir=s3://b/k?x=1_2-3"])
    assert options.vector_dim == -3
    assert options.model_dir == "s3://b/k?x=1_2-3"


@pytest.mark.parametrize("words", [["--vector", "3"], ["--no-such"], ["--vector-dim", "three"]])
def test_wrong_usage_ends_with_2(parser: cli.ArgumentParser, words: list[str], capsys):
    assert cli.run(lambda argv: parser.parse_args(argv) and 0, words) == 2
    assert "usage: command" in capsys.readouterr().err


def test_help_ends_with_0(parser: cli.ArgumentParser, capsys):
    assert cli.run(lambda argv: parser.parse_args(argv) and 0, ["--help"]) == 0
    assert "--vector_dim" in capsys.readouterr().out


def raiser(error: BaseException):
    def main(_argv):
        print("said on stdout")
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DataError("no label", file="a.txt", line=3), 1),
        (KftextError("broken"), 1),
        (UsageError("wrong"), 2),
        (KeyboardInterrupt(), 130),
        (SystemExit(7), 7),
        (SystemExit("a message"), 1),
        (SystemExit(None), 0),
    ],
)
def test_exit_codes(error: BaseException, code: int):
    assert cli.run(raiser(error)) == code


@pytest.mark.parametrize("value", [0, None, 3])
def test_the_code_of_main_is_the_exit_code(value: int | None):
    assert cli.run(lambda _argv: value) == (value or 0)


def test_an_error_is_one_line_without_traceback(capsys):
    cli.run(raiser(DataError("no label", file="a.txt", line=3)))
    captured = capsys.readouterr()
    assert captured.out == "said on stdout\n"
    assert captured.err == "error: a.txt:3: no label\n"


def test_a_bug_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        cli.run(raiser(ZeroDivisionError()))


def test_the_termination_log(tmp_path: Path, monkeypatch):
    log = tmp_path / "log"
    monkeypatch.setenv(cli.TERMINATION_LOG, str(log))
    assert cli.run(raiser(DataError("kein Etikett: ü", file="a.txt"))) == 1
    assert log.read_text(encoding="utf-8") == "error: a.txt: kein Etikett: ü\n"
    monkeypatch.setenv(cli.TERMINATION_LOG, str(tmp_path))  # a folder: can't be written
    assert cli.run(raiser(DataError("no label"))) == 1


def test_report_errors_exits_inside_a_step(capsys):
    with pytest.raises(SystemExit) as caught, cli.report_errors():
        raise UsageError("wrong")
    assert caught.value.code == 2
    assert capsys.readouterr().err == "error: wrong\n"


PRINTER = """
import sys
from kftext import cli
from kftext.errors import DataError

def main(argv):
    for number in range(int(sys.argv[1])):
        print(number)
    if sys.argv[2:]:
        raise DataError(sys.argv[2])

sys.exit(cli.run(main))
"""


@pytest.mark.parametrize("lines", [10, 1_000_000])
def test_a_reader_that_goes_away_is_no_error(lines: int, monkeypatch):
    """`| head`: both while we still print, and when all of it still stands in a buffer."""
    assert print_to_a_closed_pipe([str(lines)], monkeypatch) == (0, "")


def test_a_reader_that_goes_away_hides_no_error(monkeypatch):
    assert print_to_a_closed_pipe(["10", "no label"], monkeypatch) == (1, "error: no label\n")


def print_to_a_closed_pipe(arguments: list[str], monkeypatch) -> tuple[int, str]:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    process = subprocess.Popen(
        [sys.executable, "-c", PRINTER, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.close()
    with process.stderr:
        return process.wait(timeout=600), process.stderr.read()
