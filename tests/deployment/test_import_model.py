"""Importing a foreign model, and the pipeline that deploys it, run on this machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kftext import models, packaging
from kftext.deployment.importing.import_model import import_model
from kftext.errors import ModelFormatError, StorageError
from serving.processes import write_classifier, write_vectors

REPOSITORY = Path(__file__).resolve().parents[2]


def test_a_binary_an_archive_and_a_folder(tmp_path: Path):
    folder = write_classifier(tmp_path / "model")
    binary = (folder / "model.bin").rename(folder / "lid.bin")
    packaging.pack(folder, tmp_path / "model.tar.gz")
    for number, source in enumerate((binary, folder, tmp_path / "model.tar.gz")):
        target = tmp_path / f"out{number}"
        assert import_model(source, target) == "text-classifier"
        assert [file.name for file in target.iterdir()] == ["lid.bin"]
        assert isinstance(models.load(target), models.Classifier)
    vectors = write_vectors(tmp_path / "vectors", subwords=True)
    assert import_model(vectors, tmp_path / "words") == "word-vectors"


def test_object_storage(tmp_path: Path, s3):
    content = (write_classifier(tmp_path / "model") / "model.bin").read_bytes()
    s3.put("foreign/lid.ftz", content)
    assert import_model(s3.uri("foreign/lid.ftz"), tmp_path / "out") == "text-classifier"
    assert (tmp_path / "out" / "lid.ftz").read_bytes() == content


def test_what_is_no_model_leaves_nothing(tmp_path: Path):
    (tmp_path / "model.bin").write_bytes(b"no model")
    for name, error in {"model.bin": ModelFormatError, "none.bin": StorageError}.items():
        with pytest.raises(error, match=name):
            import_model(tmp_path / name, tmp_path / "out")
        assert not (tmp_path / "out").exists()
    (tmp_path / "model.onnx").write_bytes(b"x")
    with pytest.raises(ModelFormatError, match=r"expected a \.bin or \.ftz file"):
        import_model(tmp_path / "model.onnx", tmp_path / "out")


def test_the_pipeline_on_this_machine(tmp_path: Path):
    """The model is served by the server that a cluster would run, and asked."""
    binary = write_classifier(tmp_path / "model") / "model.bin"
    command = [sys.executable, "pipelines/deploy_model.py", "--local", "--root", str(tmp_path)]
    command += ["--model_uri", str(binary), "--model_name", "topics", "--smoke_text", "good movie"]
    command += ["--expected_label", "__label__pos"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    for output in ("model", "archive", "model_card", "run_report", "url"):
        assert f"\n{output}: " in done.stdout
    assert "url: http://127.0.0.1" in done.stdout
