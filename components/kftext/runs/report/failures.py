"""Which steps of a run failed, and what each said last."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3

from kftext import cli

__all__ = ["Failure", "failures_of_pods", "find_failures"]

LOG = logging.getLogger(__name__)
_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_RUN_LABEL = "pipeline/runid"
_NODE_ANNOTATION = "workflows.argoproj.io/node-name"


@dataclass(frozen=True)
class Failure:
    """A step that failed.

    Attributes:
        step: its name; "" where it is not known.
        message: the last words of its container, which for our steps is one line that says what was wrong.
    """

    step: str
    message: str


def find_failures(run_id: str) -> list[Failure]:
    """Return what failed so far in a run; none where nothing did, or where it can't be known.

    In a cluster, Kubernetes holds each container's termination message; the pods are found by the label that Kubeflow Pipelines
    gives them, and the step by the name of Argo's node. A local run's steps write theirs to a file (`kftext.cli`).
    """
    if os.environ.get("KUBERNETES_SERVICE_HOST"):
        return _in_cluster(run_id)
    log = Path(os.environ.get(cli.TERMINATION_LOG) or os.devnull)
    said = log.read_text(encoding="utf-8").strip() if log.exists() else ""
    return [Failure("", said.removeprefix("error: "))] if said else []


def _in_cluster(run_id: str) -> list[Failure]:
    from kubernetes import client, config  # type: ignore[import-untyped]
    from kubernetes.client.exceptions import ApiException  # type: ignore[import-untyped]

    try:
        config.load_incluster_config()
        namespace = _NAMESPACE_FILE.read_text(encoding="utf-8").strip()
        return failures_of_pods(client.CoreV1Api(), namespace, run_id)
    except (config.ConfigException, ApiException, urllib3.exceptions.HTTPError, OSError) as error:
        # The report is worth writing without it, and the run's page in the UI shows it too.
        LOG.warning("which step failed is not known: %s", getattr(error, "reason", error))
        return []


def failures_of_pods(api: Any, namespace: str, run_id: str) -> list[Failure]:
    """Return what the failed pods of a run say, in the order in which they ended; of a step that was tried again, the last.

    Args:
        api: a `kubernetes.client.CoreV1Api`.
        namespace: of the run.
        run_id: value of the pods' label.
    """
    pods = api.list_namespaced_pod(
        namespace, label_selector=f"{_RUN_LABEL}={run_id}", _request_timeout=(5.0, 30.0)
    ).items
    ended = sorted(
        (found for pod in pods if (found := _failure_of(pod))), key=lambda pair: str(pair[0])
    )
    return list({failure.step: failure for _, failure in ended}.values())


def _failure_of(pod: Any) -> tuple[Any, Failure] | None:
    """When a pod's step ended, and why; None for one that goes on or succeeded."""
    for status in pod.status.container_statuses or []:
        ended = status.state and status.state.terminated
        if status.name == "main" and ended and ended.exit_code:
            # A container that says nothing was ended from outside: OOMKilled, or the reason of its pod.
            said = (ended.message or "").strip() or pod.status.message or ended.reason or ""
            reason = said.splitlines()[-1] if said else f"exit code {ended.exit_code}"
            failure = Failure(_step_of(pod.metadata), reason.removeprefix("error: "))
            return ended.finished_at, failure
    return None


def _step_of(metadata: Any) -> str:
    """`run-x.root.exit-handler-1.train-blazingtext.executor` → train-blazingtext."""
    names = (metadata.annotations or {}).get(_NODE_ANNOTATION, "").split(".")
    steps = [name for name in names if not name.startswith("executor")]
    return steps[-1].partition("(")[0] if len(steps) > 1 else str(metadata.name)
