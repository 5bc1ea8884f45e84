"""A pipeline as data: its YAML, with other resources where a cluster wants them, and the manifests for GitOps."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from kfp import compiler
from kfp.compiler.compiler_utils import KubernetesManifestOptions

from kftext import __version__
from kftext.errors import UsageError

__all__ = ["compiled", "component_of", "read_yaml", "write_manifest", "write_yaml"]

# Name here → field, and the older field of the same meaning, a number, that kfp writes beside it.
_FIELDS = {
    "cpu": ("resourceCpuRequest", "cpuRequest"),
    "memory": ("resourceMemoryRequest", "memoryRequest"),
    "cpu_limit": ("resourceCpuLimit", "cpuLimit"),
    "memory_limit": ("resourceMemoryLimit", "memoryLimit"),
}
_QUANTITY = re.compile(r"\d+(\.\d+)?(m|[KMGTP]i?)?")


def write_yaml(definition: Any, path: Path) -> None:
    """Write a pipeline or component as the Kubeflow UI takes it."""
    compiler.Compiler().compile(definition, package_path=str(path))


def write_manifest(pipeline: Any, path: Path) -> None:
    """Write a pipeline as resources of `pipelines.kubeflow.org/v2beta1`: a Pipeline and a PipelineVersion named after our version."""
    options = KubernetesManifestOptions(
        pipeline_name=pipeline.name,
        pipeline_display_name=pipeline.pipeline_spec.pipeline_info.display_name,
        pipeline_version_name=f"{pipeline.name}-{__version__}",
        pipeline_version_display_name=__version__,
        include_pipeline_manifest=True,
    )
    compiler.Compiler().compile(
        pipeline,
        package_path=str(path),
        kubernetes_manifest_format=True,
        kubernetes_manifest_options=options,
    )


def read_yaml(text: str) -> list[dict[str, Any]]:
    """Return the documents of a compiled file: the pipeline, and what Kubernetes is to be told beside it."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return list(yaml.load_all(text, loader))


def compiled(pipeline: Any, resources: Iterable[str] = ()) -> list[dict[str, Any]]:
    """Compile a pipeline.

    Args:
        pipeline: the decorated function.
        resources: `STEP.FIELD=VALUE`, such as `train_blazingtext.memory=32G`: what each step of that component asks for.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pipeline.yaml")
        write_yaml(pipeline, path)
        documents = read_yaml(path.read_text(encoding="utf-8"))
    for text in resources:
        _set_resource(documents[0], text)
    return documents


def component_of(executor: str) -> str:
    """Return the component's name of an executor or a task: `exec-train-blazingtext-2` → `train_blazingtext`."""
    return re.sub(r"-\d+$", "", executor.removeprefix("exec-")).replace("-", "_")


def _set_resource(specification: dict[str, Any], text: str) -> None:
    place, _, value = text.partition("=")
    step, _, field = place.partition(".")
    if field not in _FIELDS or not _QUANTITY.fullmatch(value):
        raise UsageError(
            f"resource {text!r}: expected STEP.FIELD=QUANTITY with {', '.join(_FIELDS)}, such as train_blazingtext.memory=32G"
        )
    executors = specification["deploymentSpec"]["executors"]
    wanted = step.replace("-", "_")
    found = [name for name in executors if component_of(name) == wanted]
    if not found:
        known = ", ".join(sorted({component_of(name) for name in executors}))
        raise UsageError(f"resource {text!r}: no step is named {step!r}: {known}")
    current, older = _FIELDS[field]
    for name in found:
        asked = executors[name]["container"].setdefault("resources", {})
        asked[current] = value
        asked.pop(older, None)
