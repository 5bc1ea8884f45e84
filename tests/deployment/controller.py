"""What KServe's controller and Kubernetes' own would do to an InferenceService, as far as a client sees it: no pods are started."""

from __future__ import annotations

import threading
from typing import Any

from kubernetes import client
from kubernetes.client.exceptions import ApiException

GROUP, VERSION, PLURAL = "serving.kserve.io", "v1beta1", "inferenceservices"
BROKEN, STUCK = "s3://models/broken/model.tar.gz", "s3://models/stuck/model.tar.gz"


class Controller:
    """Reconciles the InferenceServices of a namespace in a thread.

    Args:
        api: client with all rights.
        namespace: to look after.
        urls: model URI -> address of a server that serves it.

    A model at BROKEN can't be loaded. One at STUCK never gets its pods: the old ones answer on, and `Ready` stays true.
    """

    def __init__(self, api: client.ApiClient, namespace: str, urls: dict[str, str]):
        self.objects = client.CustomObjectsApi(api)
        self.namespace, self.urls = namespace, urls
        self.error: BaseException | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Controller:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join(20)
        assert self.error is None, self.error

    def _run(self) -> None:
        try:
            while not self._stopped.wait(0.05):
                found = self.objects.list_namespaced_custom_object(
                    GROUP, VERSION, self.namespace, PLURAL
                )
                for service in found["items"]:
                    self._reconcile(service)
        except BaseException as error:
            self.error = error
            raise

    def _reconcile(self, service: dict[str, Any]) -> None:
        generation = service["metadata"]["generation"]
        if service.get("status", {}).get("observedGeneration") == generation:
            return
        name, predictor = service["metadata"]["name"], service["spec"]["predictor"]
        uri = predictor["model"]["storageUri"]
        suffix = f"-{predictor['name']}" if predictor.get("name") else ""
        was_ready = bool(service.get("status", {}).get("address"))
        ready = uri not in (BROKEN, STUCK)
        self._deployment(f"{name}{suffix}-predictor", generation, ready)
        answers = ready or was_ready
        status: dict[str, Any] = {
            "observedGeneration": generation,
            "conditions": [
                {
                    "type": "Ready",
                    "status": "True" if answers else "False",
                    **({} if answers else {"reason": "MinimumReplicasUnavailable"}),
                }
            ],
            "modelStatus": {
                "transitionStatus": "UpToDate" if ready else "InProgress",
                "copies": {"failedCopies": 0},
            },
        }
        if uri == BROKEN:
            status["modelStatus"]["transitionStatus"] = "BlockedByFailedLoad"
            status["modelStatus"]["lastFailureInfo"] = {
                "reason": "ModelLoadFailed",
                "message": "error: /mnt/models: no model in this folder",
            }
        if answers:
            url = self.urls.get(uri) or service["status"]["address"]["url"]
            status["address"] = {"url": f"{url}/v1/models/{name}:predict"}
            status["url"] = f"http://{name}.example.com"
        for canary in service["spec"].get("canary", []):
            canary_ready = canary["predictor"]["model"]["storageUri"] not in (BROKEN, STUCK)
            canary_name = canary["predictor"]["name"]
            self._deployment(f"{name}-{canary_name}-predictor", generation, canary_ready)
            one = {
                "name": canary_name,
                "ready": canary_ready,
                "trafficPercent": canary["trafficPercent"],
            }
            status["canaryStatuses"] = [one]
        self._write("serving.kserve.io", VERSION, PLURAL, name, status)

    def _deployment(self, name: str, generation: int, ready: bool) -> None:
        """A Deployment whose pods are all new, or all old."""
        labels = {"app": name}
        container = {
            "name": "kserve-container",
            "image": "kftext/server",
            "args": [str(generation)],
        }
        template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
        spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
        body = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name},
            "spec": spec,
        }
        place = ("apps", "v1", self.namespace, "deployments")
        try:
            made = self.objects.create_namespaced_custom_object(*place, body)
        except ApiException as error:
            if error.status != 409:
                raise
            made = self.objects.patch_namespaced_custom_object(*place, name, {"spec": spec})
        status = {
            "observedGeneration": made["metadata"]["generation"],
            "replicas": 1,
            "updatedReplicas": 1 if ready else 0,
            "availableReplicas": 1,
            "readyReplicas": 1,
        }
        self._write("apps", "v1", "deployments", name, status)

    def _write(
        self, group: str, version: str, plural: str, name: str, status: dict[str, Any]
    ) -> None:
        # The client sends an object as a merge patch.
        self.objects.patch_namespaced_custom_object_status(
            group, version, self.namespace, plural, name, {"status": status}
        )
