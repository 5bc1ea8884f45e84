"""The packaging step, run as kfp runs it."""

from pathlib import Path

import pytest
from kfp import dsl, local

from kftext import models, packaging, storage
from kftext.models import write_model
from kftext.packaging.component import package_model
from models.making import make_model

# Our images are not named "python", which kfp takes for a sign that they hold none.
pytestmark = pytest.mark.filterwarnings("ignore:You may be attemping:RuntimeWarning")


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def provide_model(source: str, model: dsl.Output[dsl.Model]) -> None:
    """Stand for the training step."""
    import shutil

    shutil.copytree(source, model.path)


@dsl.pipeline(name="package")
def pipeline(source: str, destination_uri: str = "") -> dsl.Artifact:
    provided = provide_model(source=source)
    return package_model(model=provided.outputs["model"], destination_uri=destination_uri).outputs[
        "archive"
    ]


@pytest.fixture
def model_dir(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    write_model(make_model(), tmp_path / "model" / "model.bin")
    return tmp_path / "model"


@pytest.fixture(autouse=True)
def local_runner(tmp_path: Path) -> None:
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(tmp_path / "runs"))


def test_the_artifact_holds_the_archive(model_dir: Path, tmp_path: Path):
    archive = pipeline(source=str(model_dir)).output
    file = Path(archive.path, "model.tar.gz")
    expected = packaging.pack(model_dir, tmp_path / "same.tar.gz")
    assert archive.metadata["sha256"] == expected.sha256
    assert archive.metadata["size"] == file.stat().st_size == expected.size
    assert archive.metadata["files"] == ["model.bin"]
    assert archive.metadata["uri"] == str(file)
    packaging.unpack(file, tmp_path / "out")
    assert models.load(tmp_path / "out").labels == models.load(model_dir).labels


def test_export_to_object_storage(model_dir: Path, tmp_path: Path, s3):
    archive = pipeline(source=str(model_dir), destination_uri=s3.uri("models/topics/")).output
    assert archive.metadata["uri"] == s3.uri("models/topics/model.tar.gz")
    assert s3.get("models/topics/model.tar.gz") == Path(archive.path, "model.tar.gz").read_bytes()
    assert storage.size(archive.metadata["uri"]) == archive.metadata["size"]


def test_a_damaged_model_fails_the_step(model_dir: Path, capfd):
    with (model_dir / "model.bin").open("r+b") as file:
        file.truncate(100)
    with pytest.raises(RuntimeError):
        pipeline(source=str(model_dir))
    said = "".join(capfd.readouterr())
    assert "error: " in said
    assert "model.bin" in said
    assert "Traceback" not in said.partition("error: ")[2].partition("\n")[0]
