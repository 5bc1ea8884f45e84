"""The wheel that users install."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import kftext

PACKAGE = Path(kftext.__file__).parent
REPOSITORY = PACKAGE.parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built offline, with the build backend that is installed."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
        timeout=6000,
    )
    (built,) = folder.glob("*.whl")
    return built


def test_it_holds_every_file_of_the_package(wheel: Path):
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {
        path.relative_to(PACKAGE.parent).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }
    assert any(not name.endswith(".py") for name in expected)
    assert expected - names == set()
    rest = {name for name in names - expected if ".dist-info/" not in name}
    assert rest == set(), "things that do not belong to the package"


def test_its_metadata(wheel: Path):
    archive = zipfile.ZipFile(wheel)
    (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    metadata = archive.read(name).decode()
    assert f"\nVersion: {kftext.__version__}\n" in metadata
    for extra in [
        "blazingtext",
        "cuda",
        "tensorflow",
        "serving",
        "pipelines",
        "evaluation",
        "all",
        "dev",
    ]:
        assert f"\nProvides-Extra: {extra}\n" in metadata
    assert any(name.endswith("/LICENSE") for name in archive.namelist())


def test_it_runs_where_the_checkout_is_not(wheel: Path, tmp_path: Path):
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = "import kftext; from kftext.packaging.__main__ import main; print(kftext.__file__); main(['--help'])"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {code}"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(tmp_path))
    assert "--model-dir" in done.stdout
