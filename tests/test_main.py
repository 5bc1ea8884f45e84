"""The one list of commands is complete, and each is reached by its name."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import kftext
from kftext.__main__ import COMMANDS

PACKAGE = Path(kftext.__file__).parent


def _run(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "kftext", *words], capture_output=True, text=True, timeout=600
    )


def test_every_command_is_listed():
    found = set()
    for path in PACKAGE.rglob("*.py"):
        if re.search(r"^    sys\.exit\(cli\.run\(main\)\)", path.read_text(), re.MULTILINE):
            parts = path.relative_to(PACKAGE).with_suffix("").parts
            found.add(".".join(parts).removesuffix(".__main__"))
    assert found == set(COMMANDS)


def test_without_a_command_they_are_listed():
    result = _run()
    assert result.returncode == 0
    for name in COMMANDS:
        assert re.search(rf"^  {re.escape(name)}  +\w", result.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    "name", ["validation", "blazingtext.train", "text_classification.defaults", "packaging"]
)
def test_a_command_is_reached_by_its_name(name: str):
    result = _run(name, "--help")
    assert result.returncode == 0
    assert f"python -m kftext.{name}" in result.stdout


def test_an_unknown_command_is_wrong_usage():
    result = _run("tarin")
    assert result.returncode == 2
    assert result.stderr.startswith("error: no command 'tarin': valid are validation, ")
    assert "Traceback" not in result.stderr


def test_version():
    assert _run("--version").stdout.strip() == kftext.__version__
