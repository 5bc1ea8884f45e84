"""The images, built and run as uid 1000 with a read-only root, no capabilities, and for steps no network."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from images.conftest import REPOSITORY, UNPRIVILEGED
from kftext.images import NAMES
from serving.processes import free_port, write_classifier

pytestmark = pytest.mark.images
Contained = Callable[..., subprocess.CompletedProcess[str]]
PYTHONPATH = os.environ.get("PYTHONPATH", "")


def folder(path: Path) -> Path:
    """A folder that uid 1000 may write to."""
    path.mkdir()
    path.chmod(0o777)
    return path


def artifact(path: str, kind: str) -> dict[str, Any]:
    found = {
        "name": "a",
        "type": {"schemaTitle": kind, "schemaVersion": "0.0.1"},
        "uri": path,
        "metadata": {},
    }
    return {"artifacts": [found]}


def step(component: Path, executor_input: dict[str, Any]) -> list[str]:
    """The command line that the cluster starts a step with, out of its compiled YAML."""
    executors = yaml.safe_load(component.read_text())["deploymentSpec"]["executors"]
    (executor,) = executors.values()
    container = executor["container"]
    words = [*container["command"], *container["args"]]
    return [json.dumps(executor_input) if word == "{{$}}" else word for word in words]


IMPORTS = {
    "steps": "kfp, kubernetes, kftext.validation.step, kftext.deployment.deploy, kftext.registry.register",
    "blazingtext": "kfp, numba, kftext.blazingtext.training",
    "blazingtext-cuda": "kfp, numba_cuda, kftext.blazingtext.cuda.word2vec",
    "tensorflow": "kfp, tensorflow, keras, kftext.text_classification.step",
    "tensorflow-gpu": "kfp, tensorflow, nvidia.cudnn, kftext.text_classification.step",
    "server": "kserve, numba, kftext.serving.server",
    "server-tensorflow": "kserve, tensorflow, kftext.serving.server",
}
"""What each image is for, by the modules that do it."""


@pytest.mark.parametrize("name", NAMES)
def test_who_runs_what_it_may_and_what_it_holds(name: str, contained: Contained):
    script = (
        "id -u; touch /x 2>&1; grep CapEff /proc/self/status; touch /tmp/x && echo writes; "
        f"python3 -c 'import {IMPORTS[name]}' && echo imports"
    )
    done = contained(name, "-c", script, options=("--entrypoint", "sh"))
    assert "imports" in done.stdout, done.stderr
    assert done.stdout.split("\n")[0] == "1000", done.stderr
    assert "Read-only file system" in done.stdout
    assert "0000000000000000" in done.stdout
    assert "writes" in done.stdout


def test_the_validation_step_as_the_cluster_starts_it(contained: Contained, tmp_path: Path):
    work = folder(tmp_path / "work")
    (work / "train.txt").write_text("__label__a good\n__label__b bad\n" * 5)
    executor_input = {
        "inputs": {
            "parameterValues": {"data_uri": "/work/train.txt", "data_format": "labeled-text"}
        },
        "outputs": {
            "artifacts": {
                "dataset": artifact("/work/dataset", "system.Dataset"),
                "report": artifact("/work/report.html", "system.HTML"),
                "metrics": artifact("/work/metrics", "system.Metrics"),
            },
            "outputFile": "/work/output.json",
        },
    }
    words = step(REPOSITORY / "components/kftext/validation/component.yaml", executor_input)
    done = contained("steps", *words, options=("-v", f"{work}:/work"))
    assert done.returncode == 0, done.stderr
    output = json.loads((work / "output.json").read_text())
    assert output["artifacts"]["metrics"]["artifacts"][0]["metadata"]["training_rows"] == 10
    assert "<html" in (work / "report.html").read_text()


def test_training_finds_its_kernels_compiled(contained: Contained, tmp_path: Path):
    """Every kernel that the training of a classifier calls comes from the image's cache."""
    work = folder(tmp_path / "work")
    (work / "train.txt").write_text("__label__a good movie\n__label__b bad book\n" * 50)
    script = (
        "import sys\n"
        "from kftext.blazingtext import train\n"
        "train.main(['--train', '/work/train.txt', '--model-dir', '/work/model', '--mode', 'supervised',"
        " '--min_count', '1', '--epochs', '2', '--buckets', '1000'])\n"
        "from numba.core.dispatcher import Dispatcher\n"
        "found = [f for m in list(sys.modules.values()) if m.__name__.startswith('kftext')"
        " for f in vars(m).values() if isinstance(f, Dispatcher)]\n"
        "hits = sum(sum(f.stats.cache_hits.values()) for f in found)\n"
        "misses = sum(sum(f.stats.cache_misses.values()) for f in found)\n"
        "print('cache', hits, misses)\n"
    )
    done = contained("blazingtext", "python3", "-c", script, options=("-v", f"{work}:/work"))
    assert done.returncode == 0, done.stderr
    assert (work / "model" / "model.bin").is_file()
    _, hits, misses = done.stdout.strip().splitlines()[-1].split()
    if " avx2 " in Path("/proc/cpuinfo").read_text():
        assert int(hits) > 0
        assert int(misses) == 0


def test_a_gpu_image_without_a_gpu_says_so(contained: Contained, tmp_path: Path):
    work = folder(tmp_path / "work")
    (work / "corpus.txt").write_text("a line of some words\n" * 100)
    words = ["--train", "/work/corpus.txt", "--model-dir", "/work/model", "--mode", "skipgram"]
    done = contained(
        "blazingtext-cuda",
        "python3",
        "-m",
        "kftext.blazingtext.train",
        *words,
        "--device",
        "cuda",
        options=("-v", f"{work}:/work"),
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "GPU" in done.stderr.splitlines()[-1]
    assert not (work / "model").exists()


PIPELINE = """
import sys
from kfp import local
from blazingtext_classifier import blazingtext_classifier

root = sys.argv[1]
limits = {
    "read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges"],
    "tmpfs": {"/tmp": "rw,size=512m,mode=1777"}, "network_mode": "none",
}
local.init(local.DockerRunner(**limits), pipeline_root=root)
blazingtext_classifier(
    data_uri=f"{root}/data.txt", validation_split_ratio=0.2, epochs=5, min_count=1, buckets=1000,
    min_accuracy=0.5, registry_uri=f"{root}/registry", traffic_percent=0,
)
"""


def test_a_whole_pipeline_in_kfps_docker_runner(
    builder: str, built: Callable[[str], str], tmp_path: Path
):
    """Each step in its image: uid 1000, read-only root, no capabilities, no network; podman by its socket."""
    if importlib.util.find_spec("docker") is None:
        pytest.skip("kfp's DockerRunner needs a package more: pip install docker")
    for name in ("steps", "blazingtext"):
        built(name)
    root = folder(tmp_path / "root")
    lines = [f"__label__a good movie {n % 7}\n__label__b bad book {n % 7}\n" for n in range(100)]
    (root / "data.txt").write_text("".join(lines))
    environment = {**os.environ, "PYTHONPATH": f"{REPOSITORY}/pipelines:{PYTHONPATH}"}
    service = None
    if builder == "podman":
        environment["DOCKER_HOST"] = f"unix://{tmp_path}/podman.sock"
        service = subprocess.Popen(
            ["podman", "system", "service", "--time", "0", environment["DOCKER_HOST"]]
        )
    try:
        end = time.monotonic() + 30
        while service is not None and not (tmp_path / "podman.sock").exists():
            assert time.monotonic() < end, "podman's service does not start"
            time.sleep(0.1)
        done = subprocess.run(
            [sys.executable, "-c", PIPELINE, str(root)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
        )
    finally:
        if service is not None:
            service.terminate()
            service.wait(20)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (version,) = root.glob("registry/classifier/*")
    assert "| accuracy | 1 |" in (version / "model_card.md").read_text()
    assert (version / "model.tar.gz").stat().st_uid == 1000


def test_the_server_answers(builder: str, built: Callable[[str], str], tmp_path: Path):
    model = write_classifier(tmp_path / "model")
    for path in (tmp_path, model, model / "model.bin"):
        path.chmod(0o755)
    port, grpc_port = free_port(), free_port()
    words = [
        builder,
        "run",
        "--detach",
        *UNPRIVILEGED,
        "--network",
        "host",
        "-v",
        f"{model}:/mnt/models:ro",
    ]
    flags = [
        "--model_name=topics",
        "--model_dir=/mnt/models",
        f"--http_port={port}",
        f"--grpc_port={grpc_port}",
    ]
    started = subprocess.run([*words, built("server"), *flags], capture_output=True, text=True)
    assert started.returncode == 0, started.stderr
    container = started.stdout.strip()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            end = time.monotonic() + 60
            while True:
                try:
                    if client.get("/v2/health/ready").status_code == 200:
                        break
                except httpx.TransportError:
                    pass
                assert time.monotonic() < end, subprocess.run(
                    [builder, "logs", container], capture_output=True
                ).stderr
                time.sleep(0.2)
            answer = client.post("/v1/models/topics:predict", json={"instances": ["good movie"]})
            assert answer.json()["predictions"][0]["label"] == ["__label__pos"]
    finally:
        stopped = subprocess.run([builder, "stop", "--time", "30", container], capture_output=True)
    assert stopped.returncode == 0


@pytest.mark.parametrize("name", ["steps", "server"])
def test_labels_and_health_check(name: str, builder: str, built: Callable[[str], str]):
    done = subprocess.run(
        [builder, "image", "inspect", built(name)], capture_output=True, text=True, check=True
    )
    (found,) = json.loads(done.stdout)
    labels = found["Config"]["Labels"]
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert labels["org.opencontainers.image.version"] not in ("", "0")
    assert found["Config"]["User"] == "1000:1000"
    health = (
        found["Config"].get("Healthcheck") or found.get("HealthCheck") or found.get("Healthcheck")
    )
    assert bool(health) == (name == "server")
