"""Strict validation of manifests: unknown fields, wrong types and missing required fields are errors.

Built-in kinds: kubernetes-validate. KServe's: the classes of the installed `kserve` and `kubernetes` packages, which are generated
from KServe's API; and KServe's CRD schemas where they were fetched (`python tests/manifests/fetch_crds.py`).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import kserve.models
import kubernetes.client
import yaml

from deployment.apiserver import CRDS

GENERATED = {
    "InferenceService": "V1beta1InferenceService",
    "ServingRuntime": "V1alpha1ServingRuntime",
}
# Kubernetes' class of a type that KServe's generator names by its full path.
NAMES = {
    "K8sIoApiAutoscalingV2HorizontalPodAutoscalerBehavior": "V2HorizontalPodAutoscalerBehavior",
    "K8sIoApiAppsV1DeploymentStrategy": "V1DeploymentStrategy",
}
SCALARS: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "bool": (bool,),
    "float": (int, float),
    "ResourceQuantity": (str, int),
    "V1beta1MetricQuantity": (str, int),
}


def problems(document: dict[str, Any]) -> list[str]:
    """What the generated classes find wrong with a KServe resource."""
    return list(_check(document, GENERATED[document["kind"]], document["kind"]))


def _check(value: Any, kind: str, where: str) -> Iterator[str]:
    if match := re.fullmatch(r"list\[(.+)\]", kind):
        if not isinstance(value, list):
            yield f"{where}: expected a list"
            return
        for index, item in enumerate(value):
            yield from _check(item, match[1], f"{where}[{index}]")
    elif match := re.fullmatch(r"dict\(str, (.+)\)", kind):
        if not isinstance(value, dict):
            yield f"{where}: expected an object"
            return
        for key, item in value.items():
            yield from _check(item, match[1], f"{where}.{key}")
    elif kind in SCALARS:
        if not isinstance(value, SCALARS[kind]) or (isinstance(value, bool) and kind != "bool"):
            yield f"{where}: expected {kind}, found {value!r}"
    elif kind != "object":
        yield from _check_fields(value, kind, where)


def _check_fields(value: Any, kind: str, where: str) -> Iterator[str]:
    found = getattr(kserve.models, NAMES.get(kind, kind), None) or getattr(
        kubernetes.client, NAMES.get(kind, kind)
    )
    if not isinstance(value, dict):
        yield f"{where}: expected an object"
        return
    by_name = {json: attribute for attribute, json in found.attribute_map.items()}
    for name, item in value.items():
        if name not in by_name:
            yield f"{where}.{name}: no such field"
        else:
            yield from _check(item, found.openapi_types[by_name[name]], f"{where}.{name}")


@functools.cache
def validator_of(kind: str) -> jsonschema.Draft7Validator | None:
    """A validator by the schema in KServe's CRD of a kind, made strict; None where it was not fetched."""
    file = CRDS / f"{kind.lower()}s.yaml"
    if not file.is_file():
        return None
    (version,) = (
        version
        for version in yaml.load(file.read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))[
            "spec"
        ]["versions"]
        if version["storage"]
    )
    return jsonschema.Draft7Validator(_strict(version["schema"]["openAPIV3Schema"]))


def _strict(schema: Any) -> Any:
    """As the API server reads it: no unknown fields, and what may be an integer or a string."""
    if isinstance(schema, list):
        return [_strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {key: _strict(value) for key, value in schema.items()}
    if schema.get("x-kubernetes-int-or-string") is True:
        strict["type"] = ["integer", "string"]
    properties = schema.get("properties")
    if (
        isinstance(properties, dict)
        and "type" in schema
        and not schema.get("x-kubernetes-preserve-unknown-fields")
    ):
        if "kind" in properties and "metadata" in properties:
            strict["properties"]["metadata"] = {"type": "object"}
        strict["additionalProperties"] = False
    return strict
