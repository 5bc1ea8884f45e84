"""`--host` submits the compiled pipeline with its arguments through the kfp client."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from compile import pipelines
from compiled import read_yaml
from kfp_api import EXPERIMENT, RUN, kfp_api

FILES = [path.with_suffix(".py") for path, _ in pipelines()]
WORD_VECTORS = next(file for file in FILES if file.stem == "word_vectors")


def submit(
    file: Path, url: str, *flags: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(file), "--host", url, *flags],
        capture_output=True,
        text=True,
        env={**os.environ, "no_proxy": "127.0.0.1", **environment},
        timeout=600,
    )


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_submits_the_committed_yaml_with_the_given_arguments(file: Path) -> None:
    spec, settings = read_yaml(file.with_suffix(".yaml").read_text())
    declared = spec["root"]["inputDefinitions"]["parameters"]
    arguments = {
        name: f"s3://bucket/{name}"
        for name, value in declared.items()
        if not value.get("isOptional")
    }
    flags = [f"--{name}={value}" for name, value in arguments.items()]
    if "seed" in declared:
        arguments["seed"] = 7
        flags.append("--seed=7")
    with kfp_api() as api:
        done = submit(file, api.url, *flags)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"run {RUN['run_id']} submitted to {api.url}"
    (run,) = api.bodies("POST", "/apis/v2beta1/runs")
    assert run["pipeline_spec"] == {"pipeline_spec": spec, "platform_spec": settings}
    assert run["runtime_config"]["parameters"] == arguments
    assert run["experiment_id"] == EXPERIMENT["experiment_id"]


def test_resources_are_overridden_when_submitting() -> None:
    with kfp_api() as api:
        override = ["--resource", "train_blazingtext.memory=32Gi"]
        done = submit(WORD_VECTORS, api.url, "--data_uri", "s3://b/k", *override)
    assert done.returncode == 0, done.stderr
    (run,) = api.bodies("POST", "/apis/v2beta1/runs")
    executors = run["pipeline_spec"]["pipeline_spec"]["deploymentSpec"]["executors"]
    container = executors["exec-train-blazingtext"]["container"]
    assert container["resources"]["resourceMemoryRequest"] == "32Gi"


def test_the_token_comes_from_the_environment() -> None:
    with kfp_api(token="a-token") as api:
        done = submit(WORD_VECTORS, api.url, "--data_uri", "s3://b/k", KFP_TOKEN="a-token")
        assert done.returncode == 0, done.stderr
        assert "a-token" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "error: --data_uri is required"),
        (["--data_uri", "x", "--epochs", "many"], "error: --epochs many: expected an integer"),
        (
            ["--data_uri", "x", "--learning_rate", "x"],
            "error: --learning_rate x: expected a number",
        ),
    ],
)
def test_wrong_arguments_are_said_before_anything_is_sent(flags: list[str], message: str) -> None:
    with kfp_api() as api:
        done = submit(WORD_VECTORS, api.url, *flags)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (2, message)
    assert api.requests == []


def test_an_api_that_refuses_or_is_not_there_is_one_message() -> None:
    with kfp_api(token="right") as api:
        refused = submit(WORD_VECTORS, api.url, "--data_uri", "x", KFP_TOKEN="wrong")
        url = api.url
    gone = submit(WORD_VECTORS, url, "--data_uri", "x")
    for done, reason in ((refused, "401"), (gone, "refused")):
        assert done.returncode == 1
        last = done.stderr.splitlines()[-1]
        assert last.startswith(f"error: {url}: ")
        assert reason in last
        assert "Traceback" not in done.stderr
