"""Build the oracle environment: `.oracle/` with the real fasttext 0.9.3, as package and as command.

    python tests/oracle/build.py

Needs a C++17 compiler and the packages' index. The package is built from its source distribution against NumPy 1 (its
`predict` breaks on NumPy 2); the command from the same sources, with the flags of fastText's own Makefile. Tests marked
`oracle` run the environment's Python as another process, so that nothing of it enters ours; without it they are skipped.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import venv
from pathlib import Path

VERSION = "0.9.3"
ENVIRONMENT = Path(__file__).resolve().parents[2] / ".oracle"
BUILD_TOOLS = ("pybind11>=2.2,<4", "setuptools<82", "wheel", "numpy>=1.26,<2")
# CXXFLAGS and the `opt` target of fastText's Makefile.
COMMAND_FLAGS = ("-pthread", "-std=c++17", "-march=native", "-O3", "-funroll-loops", "-DNDEBUG")


def run(*command: str | Path) -> None:
    print("+", *command, flush=True)
    subprocess.run([str(part) for part in command], check=True)


def compiler() -> str:
    for name in ("g++", "clang++", "c++"):
        if path := shutil.which(name):
            return path
    sys.exit("error: no C++ compiler found (on Debian and Ubuntu: apt install g++)")


def main() -> None:
    cxx = compiler()
    marker = ENVIRONMENT / ".complete"
    if marker.exists() and marker.read_text() == VERSION:
        print(f"{ENVIRONMENT} is there already; remove it to build it anew")
        return
    venv.create(ENVIRONMENT, with_pip=True, clear=True)
    python = ENVIRONMENT / "bin" / "python"
    pip = [python, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    run(*pip, "install", *BUILD_TOOLS)
    sources = ENVIRONMENT / "src"
    sources.mkdir()
    run(
        *pip,
        "download",
        *("--no-deps", "--no-build-isolation", "--no-binary", "fasttext"),
        *("--dest", sources, f"fasttext=={VERSION}"),
    )
    (archive,) = sources.glob("fasttext-*.tar.gz")
    run(*pip, "install", "--no-deps", "--no-build-isolation", archive)
    with tarfile.open(archive) as tar:
        for member in tar.getmembers():
            if member.isfile() and Path(member.name).parts[1:2] == ("src",):
                content = tar.extractfile(member)
                assert content is not None
                (sources / Path(member.name).name).write_bytes(content.read())
    run(cxx, *COMMAND_FLAGS, *sorted(sources.glob("*.cc")), "-o", ENVIRONMENT / "bin" / "fasttext")
    run(python, "-c", "import fasttext; print('oracle: fasttext', fasttext.__name__)")
    marker.write_text(VERSION)


if __name__ == "__main__":
    main()
