"""What to deploy."""

from __future__ import annotations

from dataclasses import dataclass

from kftext import storage
from kftext.errors import StorageError, UsageError
from kftext.names import check_name

__all__ = ["FORMATS", "DeployRequest"]

FORMATS = ("blazingtext", "fasttext", "kftext-tensorflow")
"""Model formats of the serving runtimes in manifests/base."""

_SCHEMES = (
    "s3://",
    "gs://",
    "hdfs://",
    "webhdfs://",
    "pvc://",
    "http://",
    "https://",
    "hf://",
    "oci://",
)


@dataclass(frozen=True)
class DeployRequest:
    """A model and the endpoint that it is for.

    Attributes:
        model_uri: where KServe fetches the model: model.tar.gz, a folder or a fastText binary. `minio://` is written `s3://`,
            the one that KServe knows. A local path: the model is served on this machine, asked, and stopped.
        name: of the InferenceService, and of the model in the URL.
        namespace: "" for that of the pod, or of the kubeconfig's context.
        model_format: one of `FORMATS`.
        runtime: a ServingRuntime; "" leaves the choice to KServe, by the format.
        service_account: that the model is fetched with; "" for the namespace's default.
        mode: KServe's deployment mode, "Standard" or "Knative"; for a new endpoint alone.
        min_replicas, max_replicas: -1 leaves what is there, or KServe's default.
        traffic_percent: share of the requests for this model. 100: all of them. Less: a canary beside the model that is there.
        texts: what the endpoint is asked, once it is ready.
        expected_label: label that the first text must get; "" for any.
        timeout: seconds until it must be ready.
        url: how to reach the endpoint from here; "" for its address in the cluster.
    """

    model_uri: str
    name: str
    namespace: str = ""
    model_format: str = "blazingtext"
    runtime: str = ""
    service_account: str = ""
    mode: str = "Standard"
    min_replicas: int = -1
    max_replicas: int = -1
    traffic_percent: int = 100
    texts: tuple[str, ...] = ("a text to see whether the model answers",)
    expected_label: str = ""
    timeout: float = 600.0
    url: str = ""

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.model_format not in FORMATS:
            raise UsageError(f"model format {self.model_format!r}: expected {', '.join(FORMATS)}")
        if self.mode not in ("Standard", "Knative"):
            raise UsageError(f"mode {self.mode!r}: expected Standard or Knative")
        if not 1 <= self.traffic_percent <= 100:
            raise UsageError(f"traffic percent {self.traffic_percent}: expected 1 to 100")
        if not self.texts or not all(self.texts):
            raise UsageError("no text to ask the endpoint: expected at least one")
        if self.timeout <= 0:
            raise UsageError(f"timeout {self.timeout}: expected seconds > 0")

    @property
    def is_local(self) -> bool:
        """Whether the model lies on this machine, where no cluster can fetch it."""
        if self.model_uri.lower().startswith((*_SCHEMES, "minio://")):
            return False
        try:
            return not storage.is_remote(self.model_uri)
        except StorageError as error:
            raise UsageError(f"model URI: {error}; KServe fetches {', '.join(_SCHEMES)}") from None

    @property
    def storage_uri(self) -> str:
        """The model's URI as KServe writes it."""
        scheme, separator, rest = self.model_uri.partition("://")
        return f"s3://{rest}" if separator and scheme.lower() == "minio" else self.model_uri
