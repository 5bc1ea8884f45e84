"""Fixtures: two kinds of cluster, a controller in each, and real model servers for it to point at."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import urllib3
from kubernetes import client, config

from deployment import apiserver
from deployment.controller import Controller
from deployment.kube_api import kube_api
from serving.processes import Served, spawn, write_classifier, write_vectors

NAME = "topics"
ONE, TWO, VECTORS = (f"s3://models/{name}/model.tar.gz" for name in ("one", "two", "vectors"))
RECORDED_TOKEN = "tests-only"


@dataclass(frozen=True)
class TestCluster:
    """A cluster whose controller is running."""

    __test__ = False
    kubeconfig: Path
    namespace: str
    objects: client.CustomObjectsApi

    def service(self, name: str = NAME) -> dict:
        return self.objects.get_namespaced_custom_object(
            "serving.kserve.io", "v1beta1", self.namespace, "inferenceservices", name
        )


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Model URI -> address of a real server of that model, under the name NAME."""
    root = tmp_path_factory.mktemp("servers")
    folders = {
        ONE: write_classifier(root / "one"),
        VECTORS: write_vectors(root / "vectors", subwords=False),
    }
    started: dict[str, Served] = {
        uri: spawn(root / f"{folder.name}.log", ["--model_name", NAME, "--model_dir", str(folder)])
        for uri, folder in folders.items()
    }
    for served in started.values():
        served.wait_until_ready()
    urls = {uri: served.url for uri, served in started.items()}
    yield {**urls, TWO: urls[ONE]}
    for served in started.values():
        served.stop()


@pytest.fixture(params=["recorded", "api-server"])
def cluster(
    request: pytest.FixtureRequest,
    servers: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[TestCluster]:
    """The recorded API, and a real one where there is one; KUBECONFIG names it."""
    urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    namespace = f"kftext-{uuid.uuid4().hex[:8]}"
    if request.param == "recorded":
        with kube_api(RECORDED_TOKEN) as (port, _):
            content = json.dumps(apiserver.kubeconfig_of(port, RECORDED_TOKEN))
            kubeconfig = tmp_path / "kubeconfig"
            kubeconfig.write_text(content.replace("https://", "http://"))
            yield from _with_controller(kubeconfig, namespace, servers, monkeypatch)
        return
    server = apiserver.shared()
    if server is None:
        pytest.skip(apiserver.SKIPPED)
    with config.new_client_from_config(str(server.kubeconfig)) as api:
        body = client.V1Namespace(metadata=client.V1ObjectMeta(name=namespace))
        client.CoreV1Api(api).create_namespace(body)
        try:
            yield from _with_controller(server.kubeconfig, namespace, servers, monkeypatch)
        finally:
            client.CoreV1Api(api).delete_namespace(namespace)


def _with_controller(
    kubeconfig: Path, namespace: str, servers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[TestCluster]:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    # Read when the client was imported.
    monkeypatch.setattr(config.kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(kubeconfig))
    monkeypatch.setattr("kftext.deployment.rollout.INTERVAL", 0.05)
    with config.new_client_from_config(str(kubeconfig)) as api, Controller(api, namespace, servers):
        yield TestCluster(kubeconfig, namespace, client.CustomObjectsApi(api))
