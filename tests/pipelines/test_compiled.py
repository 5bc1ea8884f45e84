"""The YAML in the repository is what the code compiles to, and holds together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from blocked_imports import run_with_extras
from compile import components, outdated, pipelines
from kftext.blazingtext.hyperparameters import SupervisedHyperparameters, Word2VecHyperparameters
from kftext.images import NAMES, image

PIPELINE_YAML = [path for path, _ in pipelines()]
ALL_YAML = [*PIPELINE_YAML, *(path for path, _ in components())]


def name(path: Path) -> str:
    return path.stem if path.stem != "component" else path.parent.name


def load(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text())
    return content


def test_every_yaml_file_is_current() -> None:
    assert outdated() == []


def test_the_pipelines_are_all_there() -> None:
    assert {path.stem for path in PIPELINE_YAML} >= {"word_vectors", "blazingtext_classifier"}


def dags(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """The root and every sub-DAG: what has tasks."""
    return [part for part in (spec["root"], *spec["components"].values()) if "dag" in part]


@pytest.mark.parametrize("path", PIPELINE_YAML, ids=name)
def test_each_input_of_each_task_is_declared_where_it_comes_from(path: Path) -> None:
    spec = load(path)
    for dag in dags(spec):
        inputs = dag.get("inputDefinitions", {})
        tasks = dag["dag"]["tasks"]
        for task in tasks.values():
            component = spec["components"][task["componentRef"]["name"]]
            for kind in ("parameters", "artifacts"):
                wanted = component.get("inputDefinitions", {}).get(kind, {})
                given = task.get("inputs", {}).get(kind, {})
                assert set(given) <= set(wanted)
                assert {key for key, value in wanted.items() if not value.get("isOptional")} <= set(
                    given
                )
                for source in given.values():
                    if parameter := source.get("componentInputParameter"):
                        assert parameter in inputs["parameters"]
                    if artifact := source.get("componentInputArtifact"):
                        assert artifact in inputs["artifacts"]
                    for key in ("taskOutputParameter", "taskOutputArtifact"):
                        if key in source:
                            producer = tasks[source[key]["producerTask"]]["componentRef"]["name"]
                            outputs = spec["components"][producer]["outputDefinitions"][kind]
                            assert source[key].get(f"output{key[10:]}Key") in outputs


@pytest.mark.parametrize("path", ALL_YAML, ids=name)
def test_everything_a_person_sees_in_the_ui_is_described(path: Path) -> None:
    spec = load(path)
    described = spec["root"] if path in PIPELINE_YAML else next(iter(spec["components"].values()))
    for kind in ("parameters", "artifacts"):
        for side in ("inputDefinitions", "outputDefinitions"):
            if path in PIPELINE_YAML and side == "outputDefinitions":
                continue  # named after what the steps below describe
            for key, value in described.get(side, {}).get(kind, {}).items():
                assert value.get("description"), f"{side} {key} has no description"


@pytest.mark.parametrize("path", ALL_YAML, ids=name)
def test_every_step_runs_in_an_image_of_this_version(path: Path) -> None:
    executors = load(path)["deploymentSpec"]["executors"]
    images = {executor["container"]["image"] for executor in executors.values()}
    assert images <= {image(known) for known in NAMES}


@pytest.mark.parametrize(
    ("pipeline", "algorithm"),
    [
        ("word_vectors", Word2VecHyperparameters),
        ("blazingtext_classifier", SupervisedHyperparameters),
    ],
)
def test_a_pipelines_defaults_are_the_algorithms_own(pipeline: str, algorithm: Any) -> None:
    (path,) = (path for path in PIPELINE_YAML if path.stem == pipeline)
    parameters = load(path)["root"]["inputDefinitions"]["parameters"]
    shared = set(parameters) & set(algorithm.model_fields) - {"mode"}
    assert {"epochs", "learning_rate", "min_count", "vector_dim", "buckets"} <= shared
    for key in shared:
        assert parameters[key]["defaultValue"] == algorithm.model_fields[key].default, key


NEVER_CACHED = {"validate_data", "import_model", "deploy"}
"""Steps that read what lies under a URI, or change the cluster: neither is known from their parameters."""


@pytest.mark.parametrize("path", PIPELINE_YAML, ids=name)
def test_steps_that_look_outside_are_never_cached_and_all_others_are(path: Path) -> None:
    spec = load(path)
    for task in spec["root"]["dag"]["tasks"].values():
        executor = spec["components"][task["componentRef"]["name"]]["executorLabel"]
        arguments = spec["deploymentSpec"]["executors"][executor]["container"]["args"]
        function = arguments[arguments.index("--function_to_execute") + 1]
        assert bool(task["cachingOptions"].get("enableCache")) == (function not in NEVER_CACHED), (
            function
        )


def test_everything_compiles_with_the_pipelines_extra_alone() -> None:
    """What is compared is the YAML itself, so that a missing package can't hide behind a fallback."""
    folder = Path(pipelines.__code__.co_filename).parent
    code = f"import sys; sys.path.insert(0, {str(folder)!r}); import compile; sys.exit(bool(compile.outdated()))"
    done = run_with_extras(code, ["pipelines"])
    assert done.returncode == 0, done.stdout + done.stderr
    blocked = run_with_extras("import numba", ["pipelines"])
    assert "blocked: numba" in blocked.stderr
