"""The step against a recorded Kubernetes API and a real one; the endpoints that it asks are real model servers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deployment import apiserver
from deployment.conftest import NAME, ONE, RECORDED_TOKEN, TWO, VECTORS, TestCluster
from deployment.controller import BROKEN, STUCK
from deployment.kube_api import kube_api
from kftext.cli import run
from kftext.deployment.__main__ import main
from kftext.deployment.deploy import deploy
from kftext.deployment.request import DeployRequest
from kftext.errors import DeploymentError, UsageError
from serving.processes import write_classifier


@pytest.fixture
def request_(cluster: TestCluster) -> DeployRequest:
    return DeployRequest(
        ONE,
        NAME,
        cluster.namespace,
        texts=("good movie", "bad"),
        expected_label="__label__pos",
        timeout=20,
    )


def test_a_new_endpoint(cluster: TestCluster, request_: DeployRequest):
    request = replace(
        request_, runtime="kftext", service_account="kftext-serving", min_replicas=2, max_replicas=5
    )
    deployed = deploy(request)
    assert (deployed.action, deployed.traffic_percent) == ("created", 100)
    assert deployed.url == f"http://{NAME}.example.com"
    service = cluster.service()
    assert service["metadata"]["annotations"] == {"serving.kserve.io/deploymentMode": "Standard"}
    assert service["metadata"]["labels"] == {"app.kubernetes.io/part-of": "kftext"}
    assert service["spec"] == {
        "predictor": {
            "minReplicas": 2,
            "maxReplicas": 5,
            "serviceAccountName": "kftext-serving",
            "model": {
                "modelFormat": {"name": "blazingtext"},
                "runtime": "kftext",
                "storageUri": ONE,
            },
        }
    }


def test_an_update_keeps_what_it_does_not_say(cluster: TestCluster, request_: DeployRequest):
    deploy(replace(request_, min_replicas=3))
    change = {"spec": {"predictor": {"timeout": 30}}}
    cluster.objects.patch_namespaced_custom_object(
        "serving.kserve.io", "v1beta1", cluster.namespace, "inferenceservices", NAME, change
    )
    assert deploy(replace(request_, model_uri=TWO)).action == "updated"
    predictor = cluster.service()["spec"]["predictor"]
    assert predictor["model"]["storageUri"] == TWO
    assert (predictor["minReplicas"], predictor["timeout"]) == (3, 30)


def test_a_canary_and_its_promotion(
    cluster: TestCluster, request_: DeployRequest, servers: dict[str, str]
):
    deploy(request_)
    canary = deploy(replace(request_, model_uri=TWO, traffic_percent=10, url=servers[TWO]))
    assert (canary.action, canary.traffic_percent) == ("canary", 10)
    spec = cluster.service()["spec"]
    assert spec["predictor"]["model"]["storageUri"] == ONE
    (entry,) = spec["canary"]
    assert entry["trafficPercent"] == 10
    assert entry["predictor"]["model"]["storageUri"] == TWO
    assert deploy(replace(request_, model_uri=TWO)).action == "promoted"
    spec = cluster.service()["spec"]
    assert "canary" not in spec
    assert spec["predictor"]["name"] == entry["predictor"]["name"]
    assert spec["predictor"]["model"]["storageUri"] == TWO
    assert deploy(replace(request_, model_uri=ONE)).action == "updated"


@pytest.mark.parametrize("percent", [100, 25])
@pytest.mark.parametrize(
    ("uri", "message"),
    [
        (BROKEN, "ModelLoadFailed: error: /mnt/models: no model in this folder"),
        (STUCK, "is not ready after 1 s: .*(updatedReplicas 0|is not ready)"),
        (VECTORS, "smoke test: .*expected __label__pos for 'good movie'"),
    ],
    ids=["broken", "stuck", "wrong-answers"],
)
def test_a_bad_model_is_rolled_back(
    cluster: TestCluster,
    request_: DeployRequest,
    servers: dict[str, str],
    uri: str,
    message: str,
    percent: int,
):
    deploy(request_)
    before = cluster.service()["spec"]
    bad = replace(request_, model_uri=uri, traffic_percent=percent, timeout=1)
    if percent < 100:
        bad = replace(bad, url=servers[VECTORS])
        message = message.replace(
            "ModelLoadFailed: error: /mnt/models: no model in this folder", "is not ready"
        )
    with pytest.raises(DeploymentError, match=f"(?s){message}.*; the endpoint was rolled back"):
        deploy(bad)
    service = cluster.service()
    assert service["spec"] == before
    assert service["metadata"]["generation"] == 3
    assert deploy(request_).action == "updated", "and it works as before"


def test_a_bad_first_model_is_taken_away(cluster: TestCluster, request_: DeployRequest):
    with pytest.raises(DeploymentError, match=r"ModelLoadFailed.*; the new endpoint was deleted"):
        deploy(replace(request_, model_uri=BROKEN))
    with pytest.raises(Exception, match="404"):
        cluster.service()
    assert deploy(request_).action == "created"


def test_knative_shares_traffic_among_revisions(
    cluster: TestCluster, request_: DeployRequest, monkeypatch: pytest.MonkeyPatch
):
    """Its status is that of revisions; the controller here makes none, so that the wait is what is seen."""
    knative = replace(request_, mode="Knative", timeout=1)
    with pytest.raises(DeploymentError, match="revision None is not ready"):
        deploy(knative)
    monkeypatch.setattr("kftext.deployment.rollout._revision", lambda status: "")
    deploy(knative)
    deploy(replace(knative, model_uri=TWO, traffic_percent=20))
    predictor = cluster.service()["spec"]["predictor"]
    assert predictor["canaryTrafficPercent"] == 20
    assert predictor["model"]["storageUri"] == TWO
    deploy(replace(knative, model_uri=TWO))
    assert "canaryTrafficPercent" not in cluster.service()["spec"]["predictor"]


def test_someone_elses_change_is_not_overwritten(
    cluster: TestCluster, request_: DeployRequest, monkeypatch: pytest.MonkeyPatch
):
    deploy(request_)
    from kftext.deployment import inference_service

    original = inference_service.update

    def update(current: dict[str, Any], request: DeployRequest) -> dict[str, Any]:
        change = {"spec": {"predictor": {"timeout": 30}}}
        cluster.objects.patch_namespaced_custom_object(
            "serving.kserve.io", "v1beta1", cluster.namespace, "inferenceservices", NAME, change
        )
        return original(current, request)

    monkeypatch.setattr(inference_service, "update", update)
    with pytest.raises(DeploymentError, match="someone else changed it meanwhile"):
        deploy(replace(request_, model_uri=TWO))
    assert cluster.service()["spec"]["predictor"]["model"]["storageUri"] == ONE


def test_the_command(cluster: TestCluster, capfd: pytest.CaptureFixture[str]):
    arguments = ["--model-uri", ONE, "--name", NAME, "--namespace", cluster.namespace]
    assert run(main, [*arguments, "--text", "good", "--expected-label", "__label__pos"]) == 0
    assert json.loads(capfd.readouterr().out)["action"] == "created"
    assert run(main, [*arguments[:1], BROKEN, *arguments[2:]]) == 1
    said = capfd.readouterr().err
    assert "rolled back" in said
    assert "Traceback" not in said
    assert run(main, [*arguments[:3], "Topics"]) == 2


def use(monkeypatch: pytest.MonkeyPatch, folder: Path, port: int, token: str) -> None:
    from kubernetes import config

    content = json.dumps(apiserver.kubeconfig_of(port, token)).replace("https://", "http://")
    (folder / "kubeconfig").write_text(content)
    place = str(folder / "kubeconfig")
    monkeypatch.setattr(config.kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", place)


def test_a_cluster_that_refuses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    request = DeployRequest(ONE, NAME)
    with kube_api(RECORDED_TOKEN) as (port, store):
        use(monkeypatch, tmp_path, port, "expired")
        with pytest.raises(DeploymentError, match="the API does not know who asks"):
            deploy(request)
        use(monkeypatch, tmp_path, port, "reads-only")
        with pytest.raises(DeploymentError, match=r"cannot create .*pipeline-rbac\.yaml"):
            deploy(request)
        use(monkeypatch, tmp_path, port, RECORDED_TOKEN)
        monkeypatch.setattr("deployment.kube_api.PLURALS", {})
        with pytest.raises(DeploymentError, match="is KServe installed"):
            deploy(request)
        assert not store.objects
    with pytest.raises(DeploymentError, match="can't reach the Kubernetes API at http://127"):
        deploy(request)
    missing = str(tmp_path / "none")
    from kubernetes import config

    monkeypatch.setattr(config.kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", missing)
    with pytest.raises(DeploymentError, match=r"no cluster: .*set KUBECONFIG"):
        deploy(request)


def test_least_privilege_is_enough(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, servers: dict[str, str]
):
    """What the step asks of the API is what manifests/base/pipeline-rbac.yaml allows."""
    import yaml

    from deployment.controller import Controller

    file = Path(__file__).resolve().parents[2] / "manifests" / "base" / "pipeline-rbac.yaml"
    role = next(iter(yaml.safe_load_all(file.read_text())))
    allowed = {
        (resource, verb)
        for rule in role["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    from kubernetes import client, config

    with kube_api(RECORDED_TOKEN) as (port, store):
        use(monkeypatch, tmp_path, port, RECORDED_TOKEN)
        monkeypatch.setattr("kftext.deployment.rollout.INTERVAL", 0.05)
        store.requests.clear()
        place = tmp_path / "kubeconfig"
        # The controller has a token of its own in a cluster; here its requests are told by their kind.
        with config.new_client_from_config(str(place)) as api, Controller(api, "default", servers):
            deploy(DeployRequest(ONE, NAME, timeout=20))
            deploy(DeployRequest(TWO, NAME, timeout=20))
            with pytest.raises(DeploymentError):
                deploy(DeployRequest(BROKEN, "other", timeout=20))
            assert client.CustomObjectsApi(api) is not None
        verbs = {"GET": "get", "POST": "create", "PATCH": "patch", "DELETE": "delete"}
        asked = set()
        for method, path in store.requests:
            parts = path.split("?")[0].strip("/").split("/")
            is_list = method == "GET" and len(parts) == 6
            of_controller = (
                is_list or parts[-1] == "status" or (parts[5] == "deployments" and method != "GET")
            )
            if not of_controller:
                asked.add((parts[5], verbs[method]))
    assert asked == allowed


def test_with_no_cluster_the_model_is_served_here(tmp_path: Path):
    model = write_classifier(tmp_path / "model")
    with pytest.raises(DeploymentError, match="expected __label__neg for 'good'"):
        deploy(DeployRequest(str(model), NAME, texts=("good",), expected_label="__label__neg"))
    with pytest.raises(
        DeploymentError, match=r"the server does not start: .*no model in this folder"
    ):
        deploy(DeployRequest(str(tmp_path), NAME))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "Topics"}, "name 'Topics'"),
        ({"name": "a" * 41}, "at most 40"),
        ({"model_format": "onnx"}, "expected blazingtext, fasttext, kftext-tensorflow"),
        ({"mode": "Serverless"}, "Standard or Knative"),
        ({"traffic_percent": 0}, "1 to 100"),
        ({"texts": ()}, "no text"),
        ({"timeout": 0}, "seconds > 0"),
    ],
)
def test_wrong_requests(changes: dict[str, Any], message: str):
    with pytest.raises(UsageError, match=message):
        replace(DeployRequest(ONE, NAME), **changes)


def test_model_uris():
    assert DeployRequest("minio://b/k", NAME).storage_uri == "s3://b/k"
    assert not DeployRequest("pvc://claim/model", NAME).is_local
    assert DeployRequest("/models/x", NAME).is_local
    with pytest.raises(UsageError, match="ftp:// is not understood"):
        assert DeployRequest("ftp://host/x", NAME).is_local
