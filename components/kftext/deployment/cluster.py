"""The few calls of the Kubernetes API that deploying needs, and what their errors mean."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import urllib3

from kftext.deployment.inference_service import GROUP, PLURAL, VERSION, Resource
from kftext.errors import DeploymentError, MissingExtraError

if TYPE_CHECKING:
    from kubernetes import client  # type: ignore[import-untyped]

__all__ = ["Cluster", "connect"]

_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_TIMEOUT = (5.0, 30.0)


def connect(namespace: str = "") -> Cluster:
    """Return the cluster of this pod, or that of the kubeconfig (KUBECONFIG, else ~/.kube/config).

    Args:
        namespace: "" for that of the pod, or of the kubeconfig's context.

    Raises:
        DeploymentError: there is neither.
        MissingExtraError: the `kubernetes` package is not installed.
    """
    try:
        from kubernetes import client, config
    except ModuleNotFoundError:
        raise MissingExtraError("deploying", "pipelines") from None
    settings = client.Configuration()
    try:
        config.load_incluster_config(client_configuration=settings)
        own = _NAMESPACE_FILE.read_text(encoding="utf-8").strip()
    except (config.ConfigException, OSError):
        try:
            config.load_kube_config(client_configuration=settings)
            _, context = config.list_kube_config_contexts()
        except (config.ConfigException, OSError) as error:
            raise DeploymentError(
                f"no cluster: this is no pod with a service account, and there is no kubeconfig ({error}): set KUBECONFIG"
            ) from None
        own = context["context"].get("namespace") or "default"
    settings.retries = urllib3.Retry(total=3, backoff_factor=0.5, status_forcelist=[429, 503])
    return Cluster(client.ApiClient(settings), namespace or own)


class Cluster:
    """InferenceServices of one namespace.

    Args:
        api: the client.
        namespace: where they are.
    """

    def __init__(self, api: client.ApiClient, namespace: str):
        from kubernetes import client

        self.namespace = namespace
        self._address = api.configuration.host
        self._api, self._objects = api, client.CustomObjectsApi(api)

    def get(self, name: str) -> Resource | None:
        """Return an InferenceService; None where there is none of that name."""
        return self._get(GROUP, VERSION, PLURAL, name)

    def get_deployment(self, name: str) -> Resource | None:
        """Return a Deployment; None where there is none of that name."""
        return self._get("apps", "v1", "deployments", name)

    def _get(self, group: str, version: str, plural: str, name: str) -> Resource | None:
        call = self._objects.get_namespaced_custom_object
        arguments = (group, version, self.namespace, plural, name)
        return self._call(f"reading {plural} {name}", call, *arguments, missing_ok=True)

    def create(self, resource: Resource) -> Resource:
        """Create an InferenceService."""
        call = self._objects.create_namespaced_custom_object
        arguments = (GROUP, VERSION, self.namespace, PLURAL, resource)
        return self._call(f"creating {PLURAL} {resource['metadata']['name']}", call, *arguments)

    def replace_spec(
        self, current: Resource, spec: Resource, *, even_if_changed: bool = False
    ) -> Resource:
        """Give an InferenceService another `spec`.

        Args:
            current: as it was read; someone else's change since then is an error.
            spec: the new one.
            even_if_changed: overwrite such a change.
        """
        name = current["metadata"]["name"]
        changes = [{"op": "replace", "path": "/spec", "value": spec}]
        if not even_if_changed:
            version = current["metadata"]["resourceVersion"]
            changes.append({"op": "replace", "path": "/metadata/resourceVersion", "value": version})
        # The client's own method for this sends one content type or another, from version to version.
        return self._call(
            f"updating {PLURAL} {name}",
            self._api.call_api,
            f"/apis/{GROUP}/{VERSION}/namespaces/{self.namespace}/{PLURAL}/{name}",
            "PATCH",
            header_params={
                "Accept": "application/json",
                "Content-Type": "application/json-patch+json",
            },
            body=changes,
            response_type="object",
            auth_settings=["BearerToken"],
            _return_http_data_only=True,
        )

    def delete(self, name: str) -> None:
        """Delete an InferenceService, and with it what KServe made for it."""
        call = self._objects.delete_namespaced_custom_object
        arguments = (GROUP, VERSION, self.namespace, PLURAL, name)
        self._call(f"deleting {PLURAL} {name}", call, *arguments, missing_ok=True)

    def _call(
        self,
        what: str,
        call: Callable[..., Any],
        *arguments: Any,
        missing_ok: bool = False,
        **options: Any,
    ) -> Any:
        from kubernetes.client.exceptions import (  # type: ignore[import-untyped]
            ApiException,
        )

        try:
            return call(*arguments, _request_timeout=_TIMEOUT, **options)
        except ApiException as error:
            if missing_ok and error.status == HTTPStatus.NOT_FOUND and _names_object(error.body):
                return None
            raise DeploymentError(
                f"{what} in namespace {self.namespace}: {self._explain(error)}"
            ) from None
        except urllib3.exceptions.HTTPError as error:
            reason = str(error).rpartition(": ")[2]
            raise DeploymentError(
                f"can't reach the Kubernetes API at {self._address}: {reason}"
            ) from None

    def _explain(self, error: Any) -> str:
        message = _message(error.body) or error.reason or ""
        match error.status:
            case HTTPStatus.UNAUTHORIZED:
                return f"the API does not know who asks: {message}; is the token expired?"
            case HTTPStatus.FORBIDDEN:
                return f"{message}; manifests/base/pipeline-rbac.yaml has the role that deploying needs"
            case HTTPStatus.NOT_FOUND if not _names_object(error.body):
                return f"the cluster does not know {PLURAL}.{GROUP}: is KServe installed?"
            case HTTPStatus.CONFLICT:
                return f"someone else changed it meanwhile: {message}; start again"
        return f"{error.status}: {message}"


def _message(body: str | bytes | None) -> str:
    try:
        status = orjson.loads(body or b"")
    except orjson.JSONDecodeError:
        return ""
    return str(status.get("message", "")) if isinstance(status, dict) else ""


def _names_object(body: str | bytes | None) -> bool:
    """Tell "no such object", whose answer names it, from "no such resource"."""
    try:
        return bool(orjson.loads(body or b"").get("details", {}).get("name"))
    except (orjson.JSONDecodeError, AttributeError):
        return False
