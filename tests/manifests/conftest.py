"""Fixtures: rendered overlays, and an API server."""

from __future__ import annotations

import functools
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployment import apiserver

MANIFESTS = Path(__file__).resolve().parents[2] / "manifests"
ROOTS = sorted(
    file.parent.relative_to(MANIFESTS).as_posix()
    for file in MANIFESTS.rglob("kustomization.yaml")
    if "kind: Kustomization" in file.read_text()
)


def kustomize(folder: Path, *flags: str) -> list[dict[str, Any]]:
    """Render a folder; skips where neither kustomize nor kubectl is there."""
    if program := apiserver.find("kustomize"):
        command = [program, "build"]
    elif program := shutil.which("kubectl"):
        command = [program, "kustomize"]
    else:
        pytest.skip("neither kustomize nor kubectl is installed: make kustomize")
    done = subprocess.run([*command, *flags, str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


@functools.cache
def rendered(root: str) -> list[dict[str, Any]]:
    """One folder of manifests/, rendered once."""
    return kustomize(MANIFESTS / root)


@pytest.fixture(params=ROOTS)
def overlay(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    """Each base and overlay."""
    return rendered(request.param)


@pytest.fixture(scope="session")
def api_server() -> apiserver.ApiServer:
    """A real API server."""
    server = apiserver.shared()
    if server is None:
        pytest.skip(apiserver.SKIPPED)
    return server
