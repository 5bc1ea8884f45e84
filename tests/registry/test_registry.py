"""The registry: a version is complete or absent, written once, and its card says what it is."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fixtures_s3 import Bucket
from kftext import storage
from kftext.errors import StorageError, UsageError
from kftext.models import ModelMetadata, write_model
from kftext.packaging.export import package
from kftext.registry import register as module
from kftext.registry.register import register
from models.making import make_model

INPUTS = {
    "data": {"uri": "s3://data/a|b.txt", "files": 2, "size": 10, "digest": "ab" * 32},
    "encoder": {"uri": "tensorflow-tc-bert"},
}


@pytest.fixture
def packaged(tmp_path: Path) -> Path:
    model = tmp_path / "model"
    model.mkdir()
    write_model(make_model(), model / "model.bin")
    ModelMetadata(
        kind="text-classifier",
        hyperparameters={"epochs": 5, "loss": "softmax"},
        metrics={"train_accuracy": 0.98765},
    ).write(model)
    (tmp_path / "evaluation").write_text('{"accuracy": 0.912345, "per_label": {"a": {}}}')
    package(model, tmp_path / "packaged", evaluation=str(tmp_path / "evaluation"))
    return tmp_path / "packaged"


@pytest.mark.parametrize("where", ["local", "s3"])
def test_a_version_and_its_card(
    packaged: Path, tmp_path: Path, where: str, request: pytest.FixtureRequest
) -> None:
    registry = (
        str(tmp_path / "registry")
        if where == "local"
        else request.getfixturevalue("s3").uri("models/")
    )
    found = register(packaged, "topics", registry, inputs=INPUTS)
    assert re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{8}", found.version)
    folder = storage.join(registry, "topics", found.version)
    assert found.uri == storage.join(folder, "model.tar.gz")
    names = {path.rpartition("/")[2] for path in storage.list_files(folder)}
    assert names == {"model.tar.gz", "model.json", "evaluation.json", "model_card.md"}
    with storage.open_reader(storage.join(folder, "model_card.md")) as card:
        assert card.read().decode() == found.card
    with storage.local_copy(found.uri) as archive:
        assert archive.read_bytes() == (packaged / "model.tar.gz").read_bytes()
    for line in (
        "# topics",
        "| kind | text-classifier |",
        f"| version | {found.version} |",
        "| accuracy | 0.9123 |",
        "| train_accuracy | 0.9877 |",
        "| loss | softmax |",
        "| data | `s3://data/a\\|b.txt` | 2 | 10 | `abababababababab` |",
        "| encoder | `tensorflow-tc-bert` |  |  |  |",
    ):
        assert line in found.card.splitlines(), line
    assert "per_label" not in found.card


def test_the_same_archive_is_the_same_version(packaged: Path, tmp_path: Path) -> None:
    first = register(packaged, "topics", str(tmp_path / "registry"))
    assert register(packaged, "topics", str(tmp_path / "registry")) == first
    assert len(list((tmp_path / "registry" / "topics").iterdir())) == 1
    other = register(packaged, "other", str(tmp_path / "registry"))
    assert other.uri != first.uri


def test_a_version_without_a_card_is_written_again(
    packaged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = tmp_path / "registry"
    upload = storage.upload

    def broken(source: Path, path: str) -> str:
        if source.name == "model.json":
            raise StorageError("the connection is gone")
        return upload(source, path)

    monkeypatch.setattr(module.storage, "upload", broken)
    with pytest.raises(StorageError, match="gone"):
        register(packaged, "topics", str(registry))
    monkeypatch.setattr(module.storage, "upload", upload)
    found = register(packaged, "topics", str(registry))
    assert (Path(found.uri).parent / "model_card.md").is_file()
    assert Path(found.uri).read_bytes() == (packaged / "model.tar.gz").read_bytes()


def test_without_a_registry_the_archive_stays(packaged: Path) -> None:
    found = register(packaged, "topics", uri="minio://mlpipeline/run/model.tar.gz")
    assert found.uri == "minio://mlpipeline/run/model.tar.gz"
    assert found.uri in found.card
    assert register(packaged, "topics").uri == str(packaged / "model.tar.gz")


def test_mistakes(packaged: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected at most 40 lower-case letters"):
        register(packaged, "Topics!", str(tmp_path / "registry"))
    with pytest.raises(StorageError, match=r"no such file: .*model\.tar\.gz"):
        register(tmp_path, "topics", str(tmp_path / "registry"))
    assert not (tmp_path / "registry").exists()


def test_the_command(packaged: Path, s3: Bucket) -> None:
    command = [sys.executable, "-m", "kftext.registry", "--package-dir", str(packaged)]
    done = subprocess.run(
        [*command, "--name", "topics", "--registry", s3.uri("models")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["uri"] == s3.uri(f"models/topics/{answer['version']}/model.tar.gz")
    assert storage.size(answer["uri"]) == (packaged / "model.tar.gz").stat().st_size
