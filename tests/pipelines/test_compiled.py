"""The YAML in the repository is what the code compiles to, and holds together."""

from __future__ import annotations

import functools
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import components as components_of_kfp

from blocked_imports import run_with_extras
from compile import MANIFESTS, components, pipelines
from compiled import compiled, component_of, read_yaml
from kftext import __version__
from kftext.blazingtext.hyperparameters import SupervisedHyperparameters, Word2VecHyperparameters
from kftext.errors import UsageError
from kftext.images import NAMES, image

PIPELINE_YAML = [path for path, _ in pipelines()]
ALL_YAML = [*PIPELINE_YAML, *(path for path, _ in components())]


def name(path: Path) -> str:
    return path.stem if path.stem != "component" else path.parent.name


@functools.cache
def load(path: Path) -> dict[str, Any]:
    return read_yaml(path.read_text())[0]


def platform(path: Path) -> dict[str, Any]:
    """What Kubernetes is told about each executor."""
    _, settings = read_yaml(path.read_text())
    executors: dict[str, Any] = settings["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    return executors


def test_the_pipelines_are_all_there() -> None:
    assert {path.stem for path in PIPELINE_YAML} == {
        "word_vectors",
        "blazingtext_classifier",
        "tensorflow_classifier",
        "vectors_to_classifier",
        "deploy_model",
    }


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


@pytest.mark.parametrize("path", PIPELINE_YAML, ids=name)
def test_kfp_loads_it_back(path: Path) -> None:
    loaded = components_of_kfp.load_component_from_file(str(path))
    declared = load(path)["root"]["inputDefinitions"]["parameters"]
    assert set(loaded.component_spec.inputs) == set(declared)
    assert loaded.pipeline_spec.pipeline_info.name == path.stem.replace("_", "-")
    settings = loaded.platform_spec.platforms["kubernetes"].deployment_spec.executors
    assert set(settings.keys()) == set(platform(path))


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


NEVER_CACHED = {"resolve_inputs", "register_model", "deploy", "reject_model", "report_run"}
"""Steps that look outside, or change what is there: neither is known from their parameters."""
NEVER_RETRIED = {"deploy", "reject_model", "report_run"}


def steps(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """Component and task of each step, however deep."""
    spec = load(path)
    found = []
    for dag in dags(spec):
        for task in dag["dag"]["tasks"].values():
            component = spec["components"][task["componentRef"]["name"]]
            if "executorLabel" in component:
                found.append((component_of(component["executorLabel"]), task))
    return found


@pytest.mark.parametrize("path", PIPELINE_YAML, ids=name)
def test_pure_steps_are_cached_and_tried_again(path: Path) -> None:
    for step, task in steps(path):
        cached = bool(task["cachingOptions"].get("enableCache"))
        assert cached == (step not in NEVER_CACHED), step
        assert ("retryPolicy" in task) == (step not in NEVER_RETRIED), step


@pytest.mark.parametrize("path", PIPELINE_YAML, ids=name)
def test_steps_that_read_a_uri_take_the_digest_of_its_content(path: Path) -> None:
    """Else a cached step would go on with what lay there before."""
    readers = [task for step, task in steps(path) if step in ("validate_data", "import_model")]
    assert readers
    for task in readers:
        source = task["inputs"]["parameters"]["content_digest"]["taskOutputParameter"]
        assert source == {"producerTask": "resolve-inputs", "outputParameterKey": "digest"}


@pytest.mark.parametrize("path", PIPELINE_YAML, ids=name)
def test_every_uri_of_the_run_is_resolved(path: Path) -> None:
    written = {"checkpoint_uri", "embedding_cache_uri", "registry_uri"}
    (task,) = (task for step, task in steps(path) if step == "resolve_inputs")
    resolved = {
        value["componentInputParameter"].removeprefix("pipelinechannel--")
        for value in task["inputs"]["parameters"].values()
    }
    parameters = load(path)["root"]["inputDefinitions"]["parameters"]
    read = {key for key in parameters if key.endswith("_uri") or key in ("base_model", "model_id")}
    assert resolved == read - written


@pytest.mark.parametrize("path", PIPELINE_YAML, ids=name)
def test_a_run_is_reported_released_and_gated(path: Path) -> None:
    counts = Counter(step for step, _ in steps(path))
    branches = counts["package_model"]
    assert counts["report_run"] == counts["resolve_inputs"] == 1
    assert counts["register_model"] == counts["deploy"] == branches
    trained = path.stem != "deploy_model"
    assert counts["reject_model"] == (branches if trained else 0)
    conditions = [
        task["triggerPolicy"]["condition"]
        for dag in dags(load(path))
        for task in dag["dag"]["tasks"].values()
        if "condition" in task.get("triggerPolicy", {})
    ]
    gates = [one for one in conditions if re.search(r"min_(accuracy|mean_rho)", one)]
    assert len(gates) == (2 * branches if trained else 0)
    parameters = set(load(path)["root"]["inputDefinitions"]["parameters"])
    assert {"model_name", "registry_uri", "traffic_percent", "endpoint_namespace"} <= parameters
    assert ("base_model" in parameters) == ("checkpoint_uri" in parameters) == trained


@pytest.mark.parametrize(
    "path", [path for path in PIPELINE_YAML if path.stem != "deploy_model"], ids=name
)
def test_training_goes_on_from_a_base_model_and_from_a_checkpoint(path: Path) -> None:
    trainings = [task for step, task in steps(path) if step.startswith("train_")]
    wired = [
        {
            key: source["componentInputParameter"].removeprefix("pipelinechannel--")
            for key, source in task["inputs"]["parameters"].items()
            if "componentInputParameter" in source
        }
        for task in trainings
    ]
    first = [one for one in wired if "base_model" in one.values()]
    branches = 2 if "device" in load(path)["root"]["inputDefinitions"]["parameters"] else 1
    assert len(first) == branches
    for one in first:
        key = "initial_model_uri" if "initial_model_uri" in one else "base_model_uri"
        assert one[key] == "base_model"
        assert one["checkpoint_uri"] == "checkpoint_uri"


@pytest.mark.parametrize("path", PIPELINE_YAML, ids=name)
def test_a_gpu_is_asked_for_where_the_image_can_use_it(path: Path) -> None:
    gpu_images = {image("blazingtext-cuda"), image("tensorflow-gpu")}
    has_branch = "device" in load(path)["root"]["inputDefinitions"]["parameters"]
    found = 0
    for executor in load(path)["deploymentSpec"]["executors"].values():
        container = executor["container"]
        accelerator = container.get("resources", {}).get("accelerator")
        assert (container["image"] in gpu_images) == bool(accelerator)
        if accelerator:
            found += 1
            assert accelerator["resourceType"] == "nvidia.com/gpu"
            assert accelerator["resourceCount"] == "1"
    assert bool(found) == has_branch


OPENS_THE_MODEL = {"evaluate_classifier", "package_model"}


@pytest.mark.parametrize("path", PIPELINE_YAML, ids=name)
def test_steps_that_open_a_tensorflow_model_have_tensorflow(path: Path) -> None:
    executors = load(path)["deploymentSpec"]["executors"]
    images = {
        executor["container"]["image"]
        for key, executor in executors.items()
        if component_of(key) in OPENS_THE_MODEL
    }
    trained = any(component_of(key) == "train_text_classifier" for key in executors)
    expected = {image("tensorflow")} if trained else {image("steps")}
    if path.stem == "deploy_model":  # by the format that a person names
        expected = {image("steps"), image("tensorflow")}
    assert images == expected


@pytest.mark.parametrize("path", PIPELINE_YAML, ids=name)
def test_steps_that_reach_the_store_have_its_credentials(path: Path) -> None:
    settings = platform(path)
    for executor in load(path)["deploymentSpec"]["executors"]:
        if component_of(executor) in NEVER_RETRIED:
            assert executor not in settings
            continue
        (secret,) = settings[executor]["secretAsEnv"]
        assert secret["secretName"] == "kftext-s3"
        assert secret["optional"] is True, "a pod whose role suffices needs none"
        variables = {one["envVar"] for one in secret["keyToEnv"]}
        assert {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"} <= variables


def test_resources_are_overridden_when_compiling() -> None:
    pipeline = next(pipeline for path, pipeline in pipelines() if path.stem == "word_vectors")
    override = ["train_blazingtext.memory=32Gi", "train-blazingtext.cpu=8"]
    executors = compiled(pipeline, override)[0]["deploymentSpec"]["executors"]
    for branch in ("exec-train-blazingtext", "exec-train-blazingtext-2"):
        resources = executors[branch]["container"]["resources"]
        assert resources["resourceMemoryRequest"] == "32Gi"
        assert resources["resourceCpuRequest"] == "8"
        assert "memoryRequest" not in resources
    assert (
        executors["exec-validate-data"]["container"]["resources"]["resourceMemoryRequest"] == "1G"
    )
    with pytest.raises(UsageError, match=r"no step is named 'train': .*train_blazingtext"):
        compiled(pipeline, ["train.memory=1G"])
    with pytest.raises(UsageError, match=r"expected STEP.FIELD=QUANTITY"):
        compiled(pipeline, ["train_blazingtext.memory=much"])


@pytest.mark.parametrize("path", PIPELINE_YAML, ids=name)
def test_the_manifests_hold_the_pipeline_and_its_version(path: Path) -> None:
    spec, settings = read_yaml(path.read_text())
    manifest = MANIFESTS / f"{spec['pipelineInfo']['name']}.yaml"
    pipeline, version = read_yaml(manifest.read_text())
    assert {pipeline["apiVersion"], version["apiVersion"]} == {"pipelines.kubeflow.org/v2beta1"}
    assert (pipeline["kind"], version["kind"]) == ("Pipeline", "PipelineVersion")
    assert pipeline["spec"]["displayName"] == spec["pipelineInfo"]["displayName"]
    assert version["spec"]["pipelineName"] == pipeline["metadata"]["name"]
    assert version["metadata"]["name"] == f"{pipeline['metadata']['name']}-{__version__}"
    assert version["spec"]["pipelineSpec"] == spec
    assert version["spec"]["platformSpec"] == settings
    kustomization = yaml.safe_load((MANIFESTS / "kustomization.yaml").read_text())
    assert manifest.name in kustomization["resources"]


def test_every_yaml_file_is_current_and_needs_the_pipelines_extra_alone() -> None:
    """What is compared is the YAML itself, so that a missing package can't hide behind a fallback."""
    folder = Path(pipelines.__code__.co_filename).parent
    code = f"import sys; sys.path.insert(0, {str(folder)!r}); import compile; print(compile.outdated())"
    done = run_with_extras(code, ["pipelines"])
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip() == "[]", f"run make compile: {done.stdout}"
    blocked = run_with_extras("import numba", ["pipelines"])
    assert "blocked: numba" in blocked.stderr
