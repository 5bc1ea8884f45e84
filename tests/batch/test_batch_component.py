"""The pipeline step, run by kfp.local as a pipeline would."""

import json
from pathlib import Path

import pytest
from kfp import dsl, local

from kftext.batch.component import batch_transform
from serving.processes import write_classifier


@dsl.component(base_image="python", install_kfp_package=False)
def provide_model(source: str, model: dsl.Output[dsl.Model]) -> None:
    """Stand for the training step."""
    import shutil

    shutil.copytree(source, model.path)


@dsl.pipeline(name="batch")
def pipeline(source: str, input_uri: str, destination_uri: str = "") -> dsl.Artifact:
    provided = provide_model(source=source)
    return batch_transform(
        model=provided.outputs["model"], input_uri=input_uri, destination_uri=destination_uri, k=2
    ).outputs["predictions"]


@pytest.fixture(autouse=True)
def local_runner(tmp_path: Path) -> None:
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(tmp_path / "runs"))


def test_predictions_are_an_artifact_or_go_where_they_are_wanted(tmp_path: Path):
    model = write_classifier(tmp_path / "model")
    (tmp_path / "in.txt").write_text("good\nbad\n")
    inside = pipeline(source=str(model), input_uri=str(tmp_path / "in.txt")).output
    rows = [
        json.loads(line) for line in Path(inside.path, "part-00000.jsonl").read_bytes().splitlines()
    ]
    assert [row["label"][0] for row in rows] == ["__label__pos", "__label__neg"]
    outside = pipeline(
        source=str(model),
        input_uri=str(tmp_path / "in.txt"),
        destination_uri=str(tmp_path / "wanted"),
    ).output
    assert outside.metadata["results"] == str(tmp_path / "wanted") + "/"
    wanted = (tmp_path / "wanted" / "part-00000.jsonl").read_bytes()
    assert wanted == Path(inside.path, "part-00000.jsonl").read_bytes()
    state = json.loads(Path(outside.path, "batch.json").read_text())
    assert state["complete"] is True


def test_a_wrong_input_says_why(tmp_path: Path, capfd):
    model = write_classifier(tmp_path / "model")
    with pytest.raises(RuntimeError):
        pipeline(source=str(model), input_uri=str(tmp_path / "missing.txt"))
    assert f"error: no such file or folder: {tmp_path}/missing.txt" in "".join(capfd.readouterr())
