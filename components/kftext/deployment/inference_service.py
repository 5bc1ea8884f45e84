"""The InferenceService as data: a new one, one with another model, one with a canary."""

from __future__ import annotations

import copy
import hashlib
from typing import Any

from kftext.deployment.request import DeployRequest

__all__ = [
    "GROUP",
    "KIND",
    "PLURAL",
    "VERSION",
    "canary_name",
    "create",
    "predictor_name",
    "update",
]

GROUP, VERSION, PLURAL, KIND = (
    "serving.kserve.io",
    "v1beta1",
    "inferenceservices",
    "InferenceService",
)
MODE_ANNOTATION = f"{GROUP}/deploymentMode"

Resource = dict[str, Any]


def create(request: DeployRequest) -> Resource:
    """Return the InferenceService of a name that is not taken."""
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "metadata": {
            "name": request.name,
            # Network policies and the ServiceMonitor select by it.
            "labels": {"app.kubernetes.io/part-of": "kftext"},
            "annotations": {MODE_ANNOTATION: request.mode},
        },
        "spec": {"predictor": _predictor({}, request)},
    }


def update(current: Resource, request: DeployRequest) -> Resource:
    """Return the `spec` that serves the requested model; what the request does not say stays as it is.

    Args:
        current: the InferenceService that is there.
        request: with less than 100 % of the traffic, the model becomes a canary: an entry of `spec.canary` in Standard mode, a
            share of the revisions in Knative mode. With 100 % a canary that serves this model already is promoted: the
            predictor takes its name, so that KServe keeps its pods.
    """
    spec = copy.deepcopy(current["spec"])
    is_knative = current["metadata"].get("annotations", {}).get(MODE_ANNOTATION) == "Knative"
    canaries = spec.pop("canary", [])
    if request.traffic_percent == 100:
        spec["predictor"] = _predictor(spec["predictor"], request)
        spec["predictor"].pop("canaryTrafficPercent", None)
        for canary in canaries:
            if canary["predictor"].get("model", {}).get("storageUri") == request.storage_uri:
                spec["predictor"]["name"] = canary["predictor"]["name"]
    elif is_knative:
        spec["predictor"] = _predictor(spec["predictor"], request)
        spec["predictor"]["canaryTrafficPercent"] = request.traffic_percent
    else:
        predictor = _predictor({}, request)
        for name in ("minReplicas", "maxReplicas"):
            predictor.pop(name, None)  # a canary has a fixed share of the replicas
        predictor["name"] = canary_name(request)
        # KServe's schema asks for the container's name here, and here alone.
        predictor["model"]["name"] = "kserve-container"
        spec["canary"] = [{"predictor": predictor, "trafficPercent": request.traffic_percent}]
    return spec


def canary_name(request: DeployRequest) -> str:
    """Return the name of the predictor that serves a model beside another: the same for the same model."""
    return "c" + hashlib.sha256(request.storage_uri.encode()).hexdigest()[:7]


def predictor_name(name: str, predictor: str = "") -> str:
    """Return the name that KServe gives a predictor's Deployment and Service in Standard mode."""
    return f"{name}-{predictor}-predictor" if predictor else f"{name}-predictor"


def _predictor(current: Resource, request: DeployRequest) -> Resource:
    predictor = copy.deepcopy(current)
    model = predictor.setdefault("model", {})
    model.update(modelFormat={"name": request.model_format}, storageUri=request.storage_uri)
    if request.runtime:
        model["runtime"] = request.runtime
    for name, value in {
        "serviceAccountName": request.service_account or None,
        "minReplicas": request.min_replicas if request.min_replicas >= 0 else None,
        "maxReplicas": request.max_replicas if request.max_replicas >= 0 else None,
    }.items():
        if value is not None:
            predictor[name] = value
    return predictor
