"""The commands in docs/cluster.md and docs/sagemaker.md name things that are there: programs, flags, overlays, services."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = ("cluster.md", "sagemaker.md")
PROGRAM = re.compile(r"python (-m kftext[\w.]*|pipelines/\w+\.py) (.*)")


def commands(page: str) -> list[tuple[str, list[str]]]:
    """The program and the flags of each of our commands on a page."""
    text = (REPOSITORY / "docs" / page).read_text().replace("\\\n", " ")
    # What stands between fences: every second piece.
    blocks = re.split(r"^```", text, flags=re.MULTILINE)[1::2]
    found = [PROGRAM.search(line) for block in blocks for line in block.splitlines()]
    return [
        (one[1], re.findall(r"--[\w-]+", one[2])) for one in found if one and "-c " not in one[0]
    ]


@functools.cache
def help_of(program: str) -> str:
    done = subprocess.run(
        [sys.executable, *program.split(), "--help"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.replace("-", "_")


@pytest.mark.parametrize("page", PAGES)
def test_programs_and_flags(page: str):
    found = commands(page)
    assert len(found) >= 3
    for program, flags in found:
        if "text_classification" in program:
            assert (REPOSITORY / "components/kftext/text_classification/train.py").is_file()
            continue  # needs TensorFlow to say its flags
        for flag in flags:
            assert re.search(rf"{flag.replace('-', '_')}\b", help_of(program)), f"{program} {flag}"


@pytest.mark.parametrize("page", PAGES)
def test_files_that_are_named(page: str):
    text = (REPOSITORY / "docs" / page).read_text()
    for path in set(re.findall(r"\b((?:manifests|pipelines|tests|images)/[\w./-]+\w)", text)):
        if "NAME" not in path and "kubeflow/pipelines/" not in text[: text.find(path)][-40:]:
            assert (REPOSITORY / path).exists() or "kustomize" in path, path
    for name in re.findall(r"`(hpa|keda|scale-to-zero|canary|batcher|logger)`", text):
        assert (REPOSITORY / "manifests" / "overlays" / name / "kustomization.yaml").is_file()


def test_what_the_laptop_overlay_brings():
    text = (REPOSITORY / "docs" / "cluster.md").read_text()
    overlay = REPOSITORY / "manifests" / "overlays" / "laptop"
    resources = list(yaml.safe_load_all((overlay / "minio.yaml").read_text()))
    assert {"Deployment", "Service"} <= {one["kind"] for one in resources}
    (secret,) = yaml.safe_load((overlay / "kustomization.yaml").read_text())["secretGenerator"]
    literals = dict(literal.split("=", 1) for literal in secret["literals"])
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        assert f"{name}={literals[name]}" in text
    (deployment,) = (one for one in resources if one["kind"] == "Deployment")
    (arguments,) = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    for bucket in re.findall(r"s3://(\w+)/", text):
        assert f"/data/{bucket}" in arguments
