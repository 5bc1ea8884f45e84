"""Submit a pipeline to a cluster through the kfp client."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kfp_server_api
import urllib3
import yaml
from kfp import client

from kftext.errors import KftextError

__all__ = ["Destination", "SubmitError", "submit"]


class SubmitError(KftextError):
    """The KFP API is not there or refuses the run."""


@dataclass(frozen=True)
class Destination:
    """Where a run goes.

    Attributes:
        host: address of the KFP API.
        namespace, experiment: where the run is listed; the API's defaults when None.
    """

    host: str
    namespace: str | None = None
    experiment: str | None = None


def submit(
    documents: Sequence[dict[str, Any]], arguments: dict[str, Any], destination: Destination
) -> str:
    """Submit a run and return its id. The token, where the cluster asks for one, comes from KFP_TOKEN.

    Args:
        documents: the compiled pipeline.
        arguments: name → value of its parameters.
        destination: where the run goes.

    Raises:
        SubmitError: the API is not there or refuses.
    """
    token = os.environ.get("KFP_TOKEN")
    _probe(destination.host, token)
    # Left out, the namespace is the client's own default; None would be sent as it is.
    scope = {"namespace": destination.namespace} if destination.namespace else {}
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="This client only works with", category=FutureWarning
        )
        api = client.Client(host=destination.host, existing_token=token, **scope)
    try:
        with tempfile.TemporaryDirectory() as folder:
            package = Path(folder, "pipeline.yaml")
            package.write_text(yaml.safe_dump_all(documents), encoding="utf-8")
            run = api.create_run_from_pipeline_package(
                str(package),
                arguments=arguments,
                experiment_name=destination.experiment,
                **scope,
            )
    except kfp_server_api.ApiException as error:
        raise SubmitError(
            f"{destination.host}: {error.status} {error.reason}: {error.body}"
        ) from None
    except urllib3.exceptions.HTTPError as error:
        raise SubmitError(f"{destination.host}: {error}") from None
    return str(run.run_id)


def _probe(host: str, token: str | None) -> None:
    """Ask the API whether it is there: the client would try for half a minute and log each failure with its traceback."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    url = f"{host.rstrip('/')}/apis/v2beta1/healthz"
    try:
        answer = urllib3.request("GET", url, headers=headers, timeout=15, retries=2, redirect=False)
    except urllib3.exceptions.HTTPError as error:
        raise SubmitError(f"{host}: no KFP API answers there: {error}") from None
    if answer.status != 200:
        hint = (
            ": set KFP_TOKEN to a token that it accepts" if answer.status in (302, 401, 403) else ""
        )
        raise SubmitError(
            f"{host}: the KFP API answered {answer.status} {answer.reason or ''}{hint}"
        )
