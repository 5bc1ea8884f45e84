"""The server's limits and switches, each a flag of the same name."""

from __future__ import annotations

from dataclasses import dataclass, field

from kftext.cores import available_cores

__all__ = ["API_KEY_VARIABLE", "Options"]

API_KEY_VARIABLE = "KFTEXT_API_KEY"
"""Environment variable: when set, a request must bring its value as `Authorization: Bearer` or `X-API-Key`."""


@dataclass(frozen=True)
class Options:
    """Limits of one server.

    Args:
        host: address to listen on, HTTP and gRPC alike.
        max_body_bytes: a longer body is answered 413.
        max_instances: more instances in one request are answered 413.
        max_characters: a longer instance is answered 413: what a text takes in memory is a multiple of its length.
        max_concurrency: HTTP requests in progress; one more is answered 503.
        max_queue: predictions under way that take more than a millisecond, or wait for others to go with; one more is answered 503.
        max_batch_size: most instances that TensorFlow predicts in one call.
        max_batch_wait_seconds: how long such a call is put off at most, for others to go with it; 0 = not at all.
        threads: threads beside the event loop, for the labels of many texts and for single instances that take long; by default as many
            as the process has cores, less one.
        deadline_seconds: a request not answered by then is answered 503, one not received by then 408.
        drain_seconds: after SIGTERM the server says that it is not ready, and answers for so long before it closes its port.
        reload_seconds: how often the model folders are looked at for a change; 0 = never. Unless 0, models are served from a copy.
        access_log: one JSON line a request on stdout.
        log_texts: whether that line holds the request's texts.
        api_key: the key that requests must bring, "" for none.
    """

    host: str = "0.0.0.0"  # noqa: S104 - a container's server is there to be reached; --host narrows it
    max_body_bytes: int = 8 << 20
    max_instances: int = 10_000
    max_characters: int = 100_000
    max_concurrency: int = 512
    max_queue: int = 256
    max_batch_size: int = 64
    max_batch_wait_seconds: float = 0.005
    threads: int = field(default_factory=lambda: max(1, available_cores() - 1))
    deadline_seconds: float = 30.0
    drain_seconds: float = 3.0
    reload_seconds: float = 0.0
    access_log: bool = True
    log_texts: bool = False
    api_key: str = field(default="", repr=False)
