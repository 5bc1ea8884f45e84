"""Every base and overlay renders, is valid strictly, and says what it should."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from deployment.apiserver import ApiServer
from kftext.images import NAMES, image
from kftext.serving import metrics
from manifests import schemas
from manifests.conftest import MANIFESTS, ROOTS, kustomize, rendered

KUBERNETES = "1.34"
# No schema of their own at hand: validated by name and shape, below and, for the pipelines, in tests/pipelines/test_compiled.py.
OTHERS = {"ServiceMonitor", "Pipeline", "PipelineVersion"}
EXAMPLES = sorted((MANIFESTS / "examples").glob("*.yaml"))


def of_kind(documents: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [document for document in documents if document["kind"] == kind]


def named(documents: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    (found,) = (one for one in of_kind(documents, kind) if one["metadata"]["name"] == name)
    return found


def check(document: dict[str, Any]) -> None:
    """Validate strictly, by everything that is at hand."""
    kind = document["kind"]
    if kind in schemas.GENERATED:
        assert schemas.problems(document) == []
        validator = schemas.validator_of(kind)
        if validator is not None:
            validator.validate(document)
    elif kind not in OTHERS:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)


def test_what_is_rendered() -> None:
    assert {"base", "examples", "overlays/laptop", "overlays/cluster"} <= set(ROOTS)
    extras = {"hpa", "keda", "scale-to-zero", "canary", "batcher", "logger"}
    assert {f"overlays/{name}" for name in extras} <= set(ROOTS)


def test_each_resource_is_valid(overlay: list[dict[str, Any]]) -> None:
    for document in overlay:
        check(document)


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_the_examples_outside_a_kustomization_are_valid_too(file: Path) -> None:
    for document in yaml.safe_load_all(file.read_text()):
        if document["kind"] != "Kustomization":
            check(document)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("spec.predictor.model.storageURI", "s3://b/k", "storageURI: no such field"),
        ("spec.predictor.minReplicas", "2", "minReplicas: expected int"),
        ("spec.predictor.batcher.maxBatchsize", 2, "maxBatchsize: no such field"),
        ("spec.canary", {}, "canary: expected a list"),
        ("spec.predictor.tolerations", [{"keys": "x"}], "tolerations[0].keys: no such field"),
    ],
)
def test_that_validation_can_fail(path: str, value: Any, message: str) -> None:
    document = json.loads(json.dumps(named(rendered("examples"), "InferenceService", "classifier")))
    *parents, last = path.split(".")
    place = document
    for name in parents:
        place = place.setdefault(name, {})
    place[last] = value
    (problem,) = schemas.problems(document)
    assert message in problem
    validator = schemas.validator_of("InferenceService")
    if validator is not None:
        assert not validator.is_valid(document)


def test_the_api_server_takes_each_overlay(api_server: ApiServer, tmp_path: Path) -> None:
    """What is not in a namespace of its own goes into `default`; nothing is kept."""
    if not api_server.has_schemas:
        pytest.skip("KServe's CRDs are not there: python tests/manifests/fetch_crds.py")
    apply = ["kubectl", "--kubeconfig", str(api_server.kubeconfig), "apply", "--server-side"]
    namespace = tmp_path / "namespace.yaml"
    namespace.write_text("apiVersion: v1\nkind: Namespace\nmetadata: {name: kftext}\n")
    subprocess.run([*apply, "-f", str(namespace)], check=True, capture_output=True)
    for root in ROOTS:
        documents = [one for one in rendered(root) if one["kind"] not in OTHERS]
        if not documents:
            continue
        file = tmp_path / "rendered.yaml"
        file.write_text(yaml.safe_dump_all(documents))
        dry = [*apply, "--dry-run=server", "--validate=strict", "-f", str(file)]
        done = subprocess.run(dry, capture_output=True, text=True)
        assert done.returncode == 0, f"{root}: {done.stderr}"
        assert done.stdout.count("serverside-applied") == len(documents)


def test_a_name_prefix_reaches_every_reference(tmp_path: Path) -> None:
    """KServe's fields that hold names are unknown to kustomize: base/name-references.yaml tells it."""
    names = {}
    for root in ("examples", "overlays/canary"):
        folder = tmp_path / root
        folder.mkdir(parents=True)
        relative = Path(*[".."] * (len(folder.parts) - 1), *MANIFESTS.parts[1:], root)
        content = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namePrefix": "blue-",
            "resources": [str(relative)],
        }
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(content))
        names[root] = kustomize(folder)
    for documents in names.values():
        runtimes = {one["metadata"]["name"] for one in of_kind(documents, "ServingRuntime")}
        accounts = {one["metadata"]["name"] for one in of_kind(documents, "ServiceAccount")}
        assert runtimes == {"blue-kftext", "blue-kftext-tensorflow"}
        for service in of_kind(documents, "InferenceService"):
            canaries = [one["predictor"] for one in service["spec"].get("canary", [])]
            for predictor in (service["spec"]["predictor"], *canaries):
                assert predictor["model"]["runtime"] in runtimes
                assert predictor["serviceAccountName"] in accounts
        services = {one["metadata"]["name"] for one in of_kind(documents, "InferenceService")}
        for budget in of_kind(documents, "PodDisruptionBudget"):
            (selected,) = budget["spec"]["selector"]["matchLabels"].values()
            assert selected in services
    assert (
        "canary" in named(names["overlays/canary"], "InferenceService", "blue-classifier")["spec"]
    )


def test_each_model_format_has_one_runtime_that_kserve_picks() -> None:
    formats = {}
    for runtime in of_kind(rendered("base"), "ServingRuntime"):
        (container,) = runtime["spec"]["containers"]
        assert container["name"] == "kserve-container"
        assert "--model_name={{.Name}}" in container["args"]
        assert runtime["spec"]["protocolVersions"] == ["v1", "v2"]
        for one in runtime["spec"]["supportedModelFormats"]:
            assert one["autoSelect"] is True
            assert one["name"] not in formats
            formats[one["name"]] = container["image"]
    assert formats == {
        "blazingtext": image("server"),
        "fasttext": image("server"),
        "kftext-tensorflow": image("server-tensorflow"),
    }


def test_images_are_of_this_version(overlay: list[dict[str, Any]]) -> None:
    text = json.dumps(overlay)
    known = {image(name) for name in NAMES}
    for found in re.findall(r'"image": "([^"]+)"', text):
        assert found in known or found.startswith("quay.io/minio/minio:RELEASE."), found


def containers(documents: list[dict[str, Any]]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Each container, with the security settings of its pod."""
    pods = [one["spec"]["template"]["spec"] for one in of_kind(documents, "Deployment")]
    pods += [one["spec"] for one in of_kind(documents, "ServingRuntime")]
    return [(pod.get("securityContext", {}), one) for pod in pods for one in pod["containers"]]


def test_containers_have_no_rights(overlay: list[dict[str, Any]]) -> None:
    """As the Pod Security Standard `restricted` asks, and a read-only root besides."""
    for pod, container in containers(overlay):
        security = {**pod, **container["securityContext"]}
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] == 1000
        assert security["readOnlyRootFilesystem"] is True
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert "/tmp" in {mount["mountPath"] for mount in container["volumeMounts"]}
        assert container["resources"]["limits"]["memory"]


def test_the_pipeline_may_do_what_deploying_needs_and_no_more() -> None:
    role = named(rendered("base"), "Role", "kftext-deployer")
    assert role["rules"] == [
        {
            "apiGroups": ["serving.kserve.io"],
            "resources": ["inferenceservices"],
            "verbs": ["get", "create", "patch", "delete"],
        },
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get"]},
    ]
    assert not of_kind(rendered("base"), "ClusterRole")
    binding = named(rendered("base"), "RoleBinding", "kftext-deployer")
    assert binding["subjects"] == [
        {"kind": "ServiceAccount", "name": "pipeline-runner", "namespace": "kubeflow"}
    ]
    editors = named(rendered("overlays/cluster"), "RoleBinding", "kftext-deployer")["subjects"]
    assert [subject["name"] for subject in editors] == ["default-editor", "pipeline-runner"]


@pytest.mark.parametrize("root", ["overlays/laptop", "overlays/cluster"])
def test_the_storage_secret_is_one_that_kserve_reads(root: str) -> None:
    documents = rendered(root)
    account = named(documents, "ServiceAccount", "kftext-serving")
    (reference,) = account["secrets"]
    secret = named(documents, "Secret", reference["name"])
    assert {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} <= set(secret["data"])
    annotations = secret["metadata"]["annotations"]
    endpoint = annotations["serving.kserve.io/s3-endpoint"]
    assert "://" not in endpoint
    assert annotations["serving.kserve.io/s3-usehttps"] in ("0", "1")
    assert account["automountServiceAccountToken"] is False


def test_pods_that_the_policies_select_are_the_servers() -> None:
    documents = rendered("examples")
    labels = [one["spec"]["labels"] for one in of_kind(documents, "ServingRuntime")]
    policies = of_kind(documents, "NetworkPolicy")
    assert {tuple(one["spec"]["policyTypes"]) for one in policies} == {("Ingress",), ("Egress",)}
    for policy in policies:
        wanted = policy["spec"]["podSelector"]["matchLabels"].items()
        assert all(wanted <= one.items() for one in labels)


def test_overlays_say_what_they_are_named_after() -> None:
    def predictor(root: str) -> dict[str, Any]:
        service = named(rendered(f"overlays/{root}"), "InferenceService", "classifier")
        return {**service["spec"]["predictor"], "annotations": service["metadata"]["annotations"]}

    prefix = "serving.kserve.io/"
    assert predictor("hpa")["annotations"][f"{prefix}autoscalerClass"] == "hpa"
    assert predictor("hpa")["scaleMetric"] == "cpu"
    assert predictor("keda")["annotations"][f"{prefix}autoscalerClass"] == "keda"
    query = predictor("keda")["autoScaling"]["metrics"][0]["external"]["metric"]["query"]
    assert 'kftext_requests_total{model="classifier"}' in query
    zero = predictor("scale-to-zero")
    assert zero["minReplicas"] == 0
    assert zero["annotations"][f"{prefix}deploymentMode"] == "Knative"
    # Knative refuses pods that set these.
    assert not {"terminationGracePeriodSeconds", "topologySpreadConstraints"} & set(zero)
    assert not of_kind(rendered("overlays/scale-to-zero"), "PodDisruptionBudget")
    assert predictor("batcher")["batcher"]["maxBatchSize"] > 1
    assert predictor("logger")["logger"]["mode"] == "all"
    service = named(rendered("overlays/canary"), "InferenceService", "classifier")
    (canary,) = service["spec"]["canary"]
    # KServe asks for the canary's name and refuses autoscaling on it.
    assert canary["predictor"]["name"]
    assert not {"maxReplicas", "scaleTarget", "scaleMetric"} & set(canary["predictor"])


def exported() -> set[str]:
    """Names of the samples that the server's metrics module exports."""
    collectors = (getattr(metrics, name) for name in metrics.__all__ if name.isupper())
    names = set()
    for collector in collectors:
        for family in collector.describe():
            suffixes = {
                "histogram": ("_bucket", "_sum", "_count"),
                "counter": ("_total",),
            }.get(family.type, ("",))
            names |= {family.name + suffix for suffix in suffixes}
    return names


def test_the_dashboard_and_the_queries_ask_for_metrics_that_the_server_has() -> None:
    known = exported()
    assert "kftext_request_seconds_bucket" in known
    dashboard = (MANIFESTS / "components" / "monitoring" / "dashboard.json").read_text()
    json.loads(dashboard)
    queries = json.dumps(rendered("overlays/keda"))
    asked = set(re.findall(r"kftext_[a-z_]+", dashboard + queries))
    assert asked
    assert asked <= known
    assert {name.removesuffix("_bucket").removesuffix("_sum") for name in asked} >= {
        "kftext_request_seconds",
        "kftext_requests_total",
        "kftext_request_instances",
        "kftext_batch_instances",
        "kftext_queue_length",
        "kftext_model_info",
        "kftext_model_reloads_total",
    }


def test_the_monitor_finds_the_services() -> None:
    monitor = named(rendered("overlays/cluster"), "ServiceMonitor", "kftext")
    assert monitor["apiVersion"] == "monitoring.coreos.com/v1"
    (endpoint,) = monitor["spec"]["endpoints"]
    ports = {
        port["containerPort"]
        for runtime in of_kind(rendered("base"), "ServingRuntime")
        for container in runtime["spec"]["containers"]
        for port in container["ports"]
    }
    assert {endpoint["targetPort"]} == ports
    assert endpoint["path"] == "/metrics"
    selected = monitor["spec"]["selector"]["matchLabels"]
    for service in of_kind(rendered("examples"), "InferenceService"):
        assert selected.items() <= service["metadata"]["labels"].items()
