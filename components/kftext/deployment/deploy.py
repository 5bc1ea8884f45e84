"""The step: an endpoint that serves the model, or the endpoint as it was and an error."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from urllib.parse import urlsplit

from kftext.deployment import inference_service
from kftext.deployment.cluster import Cluster, connect
from kftext.deployment.inference_service import Resource
from kftext.deployment.local_server import serve_once
from kftext.deployment.probe import probe
from kftext.deployment.request import DeployRequest
from kftext.deployment.rollout import wait_until_ready
from kftext.errors import DeploymentError

__all__ = ["Deployed", "deploy"]

LOG = logging.getLogger(__name__)
_ROLLBACK_SECONDS = 120.0


@dataclass(frozen=True)
class Deployed:
    """An endpoint that has answered.

    Attributes:
        url: where clients reach it.
        action: "created", "updated", "canary", "promoted", or "local" with no cluster.
        traffic_percent: share of the requests that the model gets.
    """

    url: str
    action: str
    traffic_percent: int


def deploy(request: DeployRequest) -> Deployed:
    """Create or update an InferenceService, wait until it serves the model, and ask it.

    Where it does not get ready or answers wrongly, an endpoint that was there gets its former spec back; a new one is deleted.

    Raises:
        DeploymentError: the cluster refuses, or the endpoint does not get ready or answers wrongly. By then it is rolled back.
        UsageError: the request makes no sense.
        MissingExtraError: the `kubernetes` package is not installed.
    """
    if request.is_local:
        LOG.info("%s lies on this machine: it is served here", request.model_uri)
        command = serve_once(request)
        LOG.info("it answers; to serve it: %s", command)
        return Deployed("http://127.0.0.1:8080", "local", 100)
    cluster = connect(request.namespace)
    current = cluster.get(request.name)
    if current is None:
        if request.traffic_percent < 100:
            LOG.warning("%s is new: its first model gets all requests", request.name)
        applied = cluster.create(inference_service.create(request))
        action = "created"
    else:
        spec = inference_service.update(current, request)
        applied = cluster.replace_spec(current, spec)
        action = _action(current, spec, request)
    LOG.info("%s %s in namespace %s", action, request.name, cluster.namespace)
    try:
        url = _check(cluster, applied, request)
    except DeploymentError as error:
        raise DeploymentError(f"{error}; {_roll_back(cluster, current, request)}") from None
    return Deployed(url, action, 100 if action == "created" else request.traffic_percent)


def _action(current: Resource, spec: Resource, request: DeployRequest) -> str:
    if request.traffic_percent < 100:
        return "canary"
    name = spec["predictor"].get("name")
    return "promoted" if name != current["spec"]["predictor"].get("name") else "updated"


def _check(cluster: Cluster, applied: Resource, request: DeployRequest) -> str:
    canary = inference_service.canary_name(request) if applied["spec"].get("canary") else ""
    ready = wait_until_ready(cluster, applied, request.timeout, canary=canary)
    status = ready["status"]
    address = status.get("address", {}).get("url") or status.get("url", "")
    target = request.url or address
    if canary and not request.url:
        # The canary's own Service: a request to the endpoint would most often meet the other model.
        service = inference_service.predictor_name(request.name, canary)
        target = f"http://{service}.{cluster.namespace}.svc.cluster.local"
    if not target:
        raise DeploymentError(f"{request.name} is ready but has no address")
    parts = urlsplit(target)
    probe(
        f"{parts.scheme}://{parts.netloc}",
        request.name,
        request.texts,
        expected_label=request.expected_label,
    )
    return str(status.get("url") or target)


def _roll_back(cluster: Cluster, former: Resource | None, request: DeployRequest) -> str:
    """Undo, and say so; what fails here is said, too."""
    try:
        if former is None:
            cluster.delete(request.name)
            return "the new endpoint was deleted"
        applied = cluster.replace_spec(former, former["spec"], even_if_changed=True)
        wait_until_ready(cluster, applied, _ROLLBACK_SECONDS)
    except DeploymentError as error:
        return f"and going back failed: {error}"
    return "the endpoint was rolled back to the model that it served before"
