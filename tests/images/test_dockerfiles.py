"""What the Dockerfiles say, and the parts of the build that need no container."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from kftext.errors import ResourceError
from kftext.images import NAMES, image

REPOSITORY = Path(__file__).resolve().parents[2]
IMAGES = REPOSITORY / "images"
EXTRAS = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"][
    "optional-dependencies"
]


def load(name: str) -> ModuleType:
    specification = importlib.util.spec_from_file_location(name, IMAGES / f"{name}.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def text(name: str) -> str:
    folder, _ = load("build").VARIANTS.get(name, (name, ()))
    return (IMAGES / folder / "Dockerfile").read_text()


def extras(name: str) -> set[str]:
    (found,) = re.findall(r"install\.sh dependencies ([a-z,]+)", text(name))
    return set(found.split(","))


def test_each_image_has_its_dockerfile():
    variants = load("build").VARIANTS
    assert {file.parent.name for file in IMAGES.glob("*/Dockerfile")} == set(NAMES) - set(variants)


@pytest.mark.parametrize("name", NAMES)
def test_two_stages_no_rights_and_labels(name: str):
    content = text(name)
    assert re.findall(r"^FROM (.*)", content, re.M) == ["${BASE} AS build", "${BASE}"]
    base = re.search(r"^ARG BASE=(\S+)", content, re.M)
    assert base is not None
    assert re.search(r":\d+\.\d+-slim-\w+$", base[1]), "the base is pinned to a Python version"
    assert "USER 1000:1000" in content
    assert not re.search(r"^(USER root|ADD|VOLUME)", content, re.M)
    for label in ("title", "description", "source", "licenses", "version", "revision"):
        assert f"org.opencontainers.image.{label}=" in content
    assert "COPY constraints.txt" in content
    assert "NUMBA_CACHE_DIR=/tmp/" in content
    assert "HOME=/tmp" in content


@pytest.mark.parametrize("name", NAMES)
def test_only_the_extras_that_are_needed(name: str):
    found = extras(name)
    assert found <= set(EXTRAS)
    assert ("serving" in found) == name.startswith("server")
    # The cluster starts a step with `python3 -m kfp.dsl.executor_main`; a server has no use for it.
    assert ("pipelines" in found) != name.startswith("server")
    assert ("tensorflow" in found) == ("tensorflow" in name)
    assert ("HEALTHCHECK" in text(name)) == name.startswith("server")
    assert not found & {"dev", "all"}


def test_what_reaches_the_builder():
    lines = (REPOSITORY / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    copied = {
        source.split("/")[0]
        for name in NAMES
        for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", text(name), re.M)
        for source in sources.split()
    }
    assert {f"!{source}" for source in copied} <= set(lines)


def test_the_level_of_a_cpu():
    module = load("kftext_image")
    assert module.level(set()) is None
    assert module.level(module.LEVELS["x86-64-v4"]) is None
    assert module.level(module.LEVELS["x86-64-v3"]) == "x86-64-v3"
    assert module.level(set().union(*module.LEVELS.values())) == "x86-64-v4"


def test_seeding_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    module = load("kftext_image")
    for variable in ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES"):
        monkeypatch.setenv(variable, "before")
        monkeypatch.delenv(variable)
    seeds = tmp_path / "seeds" / "x86-64-v3"
    (seeds / "kernels").mkdir(parents=True)
    (seeds / "kernels" / "a.nbi").write_bytes(b"index")
    monkeypatch.setattr(module, "SEED", tmp_path / "seeds")
    monkeypatch.setattr(module, "cpu_flags", lambda: set())
    module.seed(tmp_path / "cache")
    assert not (tmp_path / "cache").exists(), "no cache for another CPU"
    monkeypatch.setattr(module, "cpu_flags", lambda: module.LEVELS["x86-64-v3"])
    module.seed(tmp_path / "cache")
    assert (tmp_path / "cache" / "kernels" / "a.nbi").read_bytes() == b"index"
    assert module.os.environ["NUMBA_CPU_NAME"] == "x86-64-v3"
    (tmp_path / "cache" / "kernels" / "a.nbi").write_bytes(b"used")
    module.seed(tmp_path / "cache")
    assert (tmp_path / "cache" / "kernels" / "a.nbi").read_bytes() == b"used", "seeded once"
    assert {path.name for path in tmp_path.iterdir()} == {"seeds", "cache"}


def test_the_build_command():
    build = load("build")
    words = build.command("podman", "steps", ["--build-arg", "BASE=localhost/base"])
    assert words[:2] == ["podman", "build"]
    assert words[words.index("--tag") + 1] == image("steps")
    assert words[words.index("--file") + 1] == "images/steps/Dockerfile"
    assert "BASE=localhost/base" in words
    assert words[-1] == "."
    variant = build.command("podman", "tensorflow-gpu", [])
    assert variant[variant.index("--file") + 1] == "images/tensorflow/Dockerfile"
    assert variant[variant.index("--tag") + 1] == image("tensorflow-gpu")
    assert "VARIANT=gpu" in variant
    assert "--format" in words
    assert "--format" not in build.command("docker", "steps", [])
    with pytest.raises(ResourceError, match="no builder works: expected nobody"):
        build.find_builder("nobody")
    with pytest.raises(SystemExit):
        build.main(["stepz"])
