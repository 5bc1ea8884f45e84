"""Fixtures of the container tests: they build and run for real, where KFTEXT_IMAGES is set and a builder works."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kftext.images import image

REPOSITORY = Path(__file__).resolve().parents[2]
UNPRIVILEGED = (
    *("--rm", "--read-only", "--tmpfs", "/tmp:rw,size=512m", "--cap-drop", "ALL"),
    *("--security-opt", "no-new-privileges"),
)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "images: builds and runs the container images (KFTEXT_IMAGES)"
    )


@pytest.fixture(scope="session")
def builder() -> str:
    """The program that builds and runs images.

    KFTEXT_IMAGES names it (podman or docker). KFTEXT_IMAGE_BASE may name a base image in place of the registry's: one with
    python3 and its venv module.
    """
    name = os.environ.get("KFTEXT_IMAGES")
    if not name:
        pytest.skip("KFTEXT_IMAGES is not set: it names podman or docker")
    done = subprocess.run([name, "info"], capture_output=True, text=True)
    assert done.returncode == 0, f"{name} does not work: {done.stderr}"
    return name


@pytest.fixture(scope="session")
def built(builder: str) -> Callable[[str], str]:
    """Build an image unless it is there, and return its reference."""

    def build(name: str) -> str:
        reference = image(name)
        if subprocess.run([builder, "image", "inspect", reference], capture_output=True).returncode:
            command = [
                sys.executable,
                "images/build.py",
                name,
                "--builder",
                builder,
                "--network",
                "host",
            ]
            if base := os.environ.get("KFTEXT_IMAGE_BASE"):
                command += ["--build-arg", f"BASE={base}"]
            done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return reference

    return build


@pytest.fixture(scope="session")
def contained(
    builder: str, built: Callable[[str], str]
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command in an image as the cluster would: no rights, a read-only root, no network."""

    def run(
        name: str, *command: str, options: tuple[str, ...] = ()
    ) -> subprocess.CompletedProcess[str]:
        words = [
            builder,
            "run",
            *UNPRIVILEGED,
            "--network",
            "none",
            *options,
            built(name),
            *command,
        ]
        return subprocess.run(words, capture_output=True, text=True, timeout=300)

    return run
