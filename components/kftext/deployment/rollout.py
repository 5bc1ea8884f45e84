"""Waiting until an InferenceService serves the model that its spec names."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from kftext.deployment.cluster import Cluster
from kftext.deployment.inference_service import MODE_ANNOTATION, Resource, predictor_name
from kftext.errors import DeploymentError

__all__ = ["wait_until_ready"]

LOG = logging.getLogger(__name__)
INTERVAL = 2.0
"""Seconds between two looks."""

_FAILED = ("BlockedByFailedLoad", "InvalidSpec")


def wait_until_ready(
    cluster: Cluster,
    applied: Resource,
    timeout: float,
    *,
    canary: str = "",
) -> Resource:
    """Wait until what was applied is what is served.

    `Ready` alone is not enough: while a Deployment exchanges its pods, or can't, the old ones answer and the condition stays
    true. So the controller must have seen this generation, and the Deployment or the Knative revision must be rolled out.

    Args:
        cluster: where it is.
        applied: the InferenceService as the API returned it.
        timeout: seconds.
        canary: name of the canary to wait for; "" for the predictor.

    Returns:
        The InferenceService, with its status.

    Raises:
        DeploymentError: the model can't be loaded, or time is over: with what KServe says about it.
    """
    name, generation = applied["metadata"]["name"], applied["metadata"]["generation"]
    end = time.monotonic() + timeout
    said = ""
    while True:
        found = cluster.get(name)
        if found is None:
            raise DeploymentError(f"{name} was deleted while it was waited for")
        missing = _missing(cluster, found, generation, canary)
        if not missing:
            return found
        if missing != said:
            LOG.info("%s: %s", name, missing)
            said = missing
        if time.monotonic() >= end:
            raise DeploymentError(f"{name} is not ready after {timeout:g} s: {missing}")
        time.sleep(INTERVAL)


def _missing(cluster: Cluster, found: Resource, generation: int, canary: str) -> str:
    """Say what is not there yet; "" when nothing is missing.

    Raises:
        DeploymentError: it will never be there.
    """
    status = found.get("status", {})
    if status.get("observedGeneration", generation) < generation or not status:
        return "KServe has not seen it yet"
    model = status.get("modelStatus", {})
    if model.get("transitionStatus") in _FAILED:
        raise DeploymentError(f"{found['metadata']['name']}: {_failure(model)}")
    is_knative = found["metadata"].get("annotations", {}).get(MODE_ANNOTATION) == "Knative"
    checks: list[Callable[[], str]] = [lambda: _conditions(status, "Ready")]
    if is_knative:
        checks.append(lambda: _revision(status))
    else:
        predictor = canary or found["spec"]["predictor"].get("name", "")
        checks.append(
            lambda: _deployment(cluster, predictor_name(found["metadata"]["name"], predictor))
        )
        if canary:
            checks.insert(0, lambda: _canary(status, canary))
    return next((missing for check in checks if (missing := check())), "")


def _failure(model: Resource) -> str:
    info = model.get("lastFailureInfo", {})
    reason = info.get("reason", model["transitionStatus"])
    return f"the model can't be served: {reason}: {info.get('message', 'KServe gives no reason').strip()}"


def _conditions(status: Resource, wanted: str) -> str:
    conditions = {condition["type"]: condition for condition in status.get("conditions", [])}
    if conditions.get(wanted, {}).get("status") == "True":
        return ""
    reasons = [
        f"{kind}: {' '.join(str(condition[key]) for key in ('reason', 'message') if condition.get(key))}"
        for kind, condition in sorted(conditions.items())
        if condition.get("status") != "True"
        and (condition.get("reason") or condition.get("message"))
    ]
    return "; ".join(reasons) or f"not {wanted} yet"


def _canary(status: Resource, canary: str) -> str:
    for one in status.get("canaryStatuses", []):
        if one["name"] == canary and one.get("ready"):
            return ""
    return f"canary {canary} is not ready"


def _revision(status: Resource) -> str:
    predictor = status.get("components", {}).get("predictor", {})
    created, ready = predictor.get("latestCreatedRevision"), predictor.get("latestReadyRevision")
    return "" if created and created == ready else f"revision {created} is not ready"


def _deployment(cluster: Cluster, name: str) -> str:
    """As `kubectl rollout status` judges."""
    deployment = cluster.get_deployment(name)
    if deployment is None:
        return f"no Deployment {name} yet"
    status, wanted = deployment.get("status", {}), deployment["spec"].get("replicas", 1)
    if status.get("observedGeneration", 0) < deployment["metadata"]["generation"]:
        return f"Deployment {name} is not rolled out"
    counts = {
        key: status.get(key, 0) for key in ("updatedReplicas", "replicas", "availableReplicas")
    }
    if set(counts.values()) != {wanted}:
        figures = ", ".join(f"{key} {count}" for key, count in counts.items())
        return f"Deployment {name}: {wanted} wanted, {figures}"
    return ""
