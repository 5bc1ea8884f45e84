"""The last step of a run: which steps failed and what they said, from the pods of a real Kubernetes API."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3
from kubernetes import client, config

from deployment import apiserver
from kftext.runs.report.failures import Failure, failures_of_pods, find_failures
from kftext.runs.report.report import write_report

RUN = "0b9f2a1e-61c1-4a6e-a9f8-2f0e4f0c1c55"


@pytest.fixture
def namespace() -> Iterator[tuple[client.CoreV1Api, str]]:
    server = apiserver.shared()
    if server is None:
        pytest.skip(apiserver.SKIPPED)
    urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    name = f"runs-{uuid.uuid4().hex[:8]}"
    with config.new_client_from_config(str(server.kubeconfig)) as connection:
        api = client.CoreV1Api(connection)
        api.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=name)))
        yield api, name
        api.delete_namespace(name)


def ended_pod(
    name: str, node: str, exit_code: int, message: str = "", *, minute: int = 0, run: str = RUN
) -> dict:
    """A pod of Argo's as it is when its main container has ended; the waiting container's end says nothing."""

    def container(own: str, code: int, said: str) -> dict:
        terminated = {
            "exitCode": code,
            "reason": "Error" if code else "Completed",
            "message": said,
            "startedAt": "2026-11-02T10:00:00Z",
            "finishedAt": f"2026-11-02T10:{minute:02}:30Z",
        }
        return {
            "name": own,
            "image": "i",
            "imageID": "i",
            "ready": False,
            "restartCount": 0,
            "state": {"terminated": terminated},
        }

    return {
        "metadata": {
            "name": name,
            "labels": {"pipeline/runid": run},
            "annotations": {"workflows.argoproj.io/node-name": node},
        },
        "spec": {
            "containers": [{"name": "main", "image": "i"}, {"name": "wait", "image": "i"}],
            "restartPolicy": "Never",
        },
        "status": {
            "phase": "Failed" if exit_code else "Succeeded",
            "containerStatuses": [
                container("main", exit_code, message),
                container("wait", 0, "saved"),
            ],
        },
    }


def create(api: client.CoreV1Api, namespace: str, pods: list[dict]) -> None:
    for pod in pods:
        api.create_namespaced_pod(namespace, pod)
        api.patch_namespaced_pod_status(
            pod["metadata"]["name"], namespace, {"status": pod["status"]}
        )


def test_the_failed_steps_of_the_run_and_their_last_words(
    namespace: tuple[client.CoreV1Api, str],
) -> None:
    root = "word-vectors-x7k2p.root.run-1"
    create(
        *namespace,
        [
            ended_pod("a", f"{root}.resolve-inputs.executor", 0),
            ended_pod("b", f"{root}.validate-data.executor(0)", 1, "connection lost", minute=1),
            ended_pod(
                "c",
                f"{root}.validate-data.executor(1)",
                1,
                "log line\nerror: s3://b/k:7: no label\n",
                minute=2,
            ),
            ended_pod("d", f"{root}.train-blazingtext.executor", 137, minute=3),
            ended_pod("e", "other.root.train.executor", 1, "error: no", run="another"),
        ],
    )
    api, name = namespace
    assert failures_of_pods(api, name, RUN) == [
        Failure("validate-data", "s3://b/k:7: no label"),
        Failure("train-blazingtext", "Error"),
    ]
    assert failures_of_pods(api, name, "nobody") == []


def test_a_pod_without_argos_annotation_is_named_itself(
    namespace: tuple[client.CoreV1Api, str],
) -> None:
    create(*namespace, [ended_pod("pod-of-a-step", "", 1, "error: it broke")])
    api, name = namespace
    assert failures_of_pods(api, name, RUN) == [Failure("pod-of-a-step", "it broke")]


def test_a_local_run_says_what_its_step_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    monkeypatch.setenv("KFTEXT_TERMINATION_LOG", str(log))
    assert find_failures(RUN) == []
    log.write_text("error: data.txt:3: no label\n")
    assert find_failures(RUN) == [Failure("", "data.txt:3: no label")]


def test_no_rights_to_see_pods_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.delenv("KUBERNETES_SERVICE_PORT", raising=False)
    assert find_failures(RUN) == []
    assert "which step failed is not known" in caplog.text


def test_the_page(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    write_report(page, "run-1", "FAILED", "", [Failure("train", "no <memory>"), Failure("x", "y")])
    text = page.read_text()
    assert "failed: train: no &lt;memory&gt;; x: y" in text
    assert "<td>train</td>" in text
    write_report(page, "run-1", "SUCCEEDED", "", [])
    assert "summary good" in page.read_text()
    write_report(page, "run-1", "CANCELLED", "by hand", [])
    assert "cancelled: by hand" in page.read_text()
