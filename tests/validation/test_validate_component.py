"""The step as a KFP component: run for real by kfp.local, and compiled."""

import json
from pathlib import Path

import pytest
import yaml
from kfp import compiler, dsl, local

from kftext import cli
from kftext.data.dataset import Dataset
from kftext.validation import component
from kftext.validation.component import validate_data

GOOD = "".join(f"__label__{'ab'[number % 2]} text number {number}\n" for number in range(20))


@dsl.pipeline(name="validate-alone")
def validate_alone(data_uri: str, data_format: str, ratio: float):
    validate_data(data_uri=data_uri, data_format=data_format, validation_split_ratio=ratio)


def outputs(root: Path, name: str) -> list[Path]:
    return sorted(root.glob(f"**/{name}"))


def run(root: Path, **arguments: object) -> None:
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(root), raise_on_error=True)
    validate_alone(**arguments)


def test_run(tmp_path: Path):
    data = tmp_path / "train.txt"
    data.write_text(GOOD)
    run(tmp_path / "root", data_uri=str(data), data_format="labeled-text", ratio=0.0)
    (dataset,) = outputs(tmp_path / "root", "dataset")
    assert Dataset.read(dataset).train == str(data)
    assert Dataset.read(dataset).validation is None
    (report,) = outputs(tmp_path / "root", "report")
    assert report.read_text().startswith("<!doctype html>")
    (metrics,) = outputs(tmp_path / "root", "metrics")
    assert json.loads(metrics.read_text())["training_rows"] == 20


def test_run_that_splits(tmp_path: Path):
    data = tmp_path / "train.txt"
    data.write_text(GOOD)
    run(tmp_path / "root", data_uri=str(data), data_format="labeled-text", ratio=0.4)
    (folder,) = outputs(tmp_path / "root", "dataset")
    dataset = Dataset.read(folder)
    parts = [
        Path(path or "").read_text().splitlines() for path in (dataset.train, dataset.validation)
    ]
    assert sorted(parts[0] + parts[1]) == sorted(GOOD.splitlines())
    assert all(parts)


def test_failing_run_leaves_its_report_and_its_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    data = tmp_path / "train.txt"
    data.write_text(GOOD + "no label\n")
    log = tmp_path / "message"
    monkeypatch.setenv(cli.TERMINATION_LOG, str(log))
    with pytest.raises(RuntimeError):
        run(tmp_path / "root", data_uri=str(data), data_format="labeled-text", ratio=0.0)
    assert log.read_text().startswith(f"error: {data}:21: no label")
    (report,) = outputs(tmp_path / "root", "report")
    assert "no label: expected a word" in report.read_text()
    assert not outputs(tmp_path / "root", "dataset")
    assert not outputs(tmp_path / "root", "metrics")


def test_compiled_yaml_is_current(tmp_path: Path):
    fresh = tmp_path / "component.yaml"
    compiler.Compiler().compile(validate_data, str(fresh))
    kept = Path(component.__file__).with_name("component.yaml")
    assert kept.read_text() == fresh.read_text(), "run make compile"


def test_everything_is_described():
    specification = yaml.safe_load(Path(component.__file__).with_name("component.yaml").read_text())
    interface = specification["components"]["comp-validate-data"]
    described = {
        **interface["inputDefinitions"]["parameters"],
        **interface["outputDefinitions"]["artifacts"],
    }
    assert {"data_uri", "seed", "dataset", "report", "metrics"} < set(described)
    assert all(value.get("description") for value in described.values()), described
