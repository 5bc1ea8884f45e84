"""What Prometheus sees at `/metrics`, beside KServe's and the process's own."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

__all__ = ["BATCH", "INSTANCES", "MODEL", "QUEUE", "RELOADS", "REQUESTS", "SECONDS", "Observer"]

SECONDS = Histogram(
    "kftext_request_seconds",
    "Seconds from a prediction request's arrival to its answer",
    ["model", "protocol"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
REQUESTS = Counter(
    "kftext_requests", "Prediction requests by HTTP status", ["model", "protocol", "status"]
)
INSTANCES = Histogram(
    "kftext_request_instances",
    "Instances in a request",
    ["model"],
    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000),
)
BATCH = Histogram(
    "kftext_batch_instances",
    "Instances that were predicted in one call for several requests (TensorFlow models)",
    ["model"],
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
)
QUEUE = Gauge("kftext_queue_length", "Predictions under way that are long or wait for others")
MODEL = Gauge("kftext_model_info", "1 for the version that answers", ["model", "kind", "version"])
RELOADS = Counter("kftext_model_reloads", "Attempts to load a changed model", ["model", "result"])


class Observer:
    """Counts requests; keeps the labelled children, whose lookup costs more than the counting."""

    def __init__(self) -> None:
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram, Histogram]] = {}

    def observe(
        self, model: str, protocol: str, status: int, seconds: float, instances: int
    ) -> None:
        """Count one answered request; `model` is "" where no served model was named."""
        key = (model, protocol, status)
        children = self._children.get(key)
        if children is None:
            children = self._children[key] = (
                REQUESTS.labels(model, protocol, str(status)),
                SECONDS.labels(model, protocol),
                INSTANCES.labels(model),
            )
        counter, histogram, batch = children
        counter.inc()
        histogram.observe(seconds)
        if instances:
            batch.observe(instances)
