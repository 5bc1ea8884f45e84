"""What a step gets on a cluster, said once: resources, credentials, retries and caching. All are constants of the YAML.

`--resource STEP.cpu=8` on a pipeline's command line overrides what a step asks for (`compiled.py`).
"""

from __future__ import annotations

from kfp import dsl, kubernetes

__all__ = ["acting", "looking_outside", "on_gpu", "pure"]

S3_SECRET = "kftext-s3"  # noqa: S105  its name
"""Secret with the credentials of the object store, in the namespace of the runs; a run starts without it where the pod's role suffices."""

_S3_VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_ENDPOINT_URL",
    "AWS_REGION",
)
_GPU = "nvidia.com/gpu"


def pure(task: dsl.PipelineTask, name: str, memory: str = "1G", cpu: str = "") -> dsl.PipelineTask:
    """A step whose outputs follow from its inputs: cached, and tried again where its pod dies.

    Args:
        task: the step.
        name: what the UI shows.
        memory: what it asks for; more is used where a node has it.
        cpu: the same; "" for the cluster's default.
    """
    task.set_display_name(name).set_memory_request(memory)
    if cpu:
        task.set_cpu_request(cpu)
    task.set_retry(2, backoff_duration="10s")
    return kubernetes.use_secret_as_env(
        task, S3_SECRET, {variable: variable for variable in _S3_VARIABLES}, optional=True
    )


def looking_outside(task: dsl.PipelineTask, name: str, memory: str = "1G") -> dsl.PipelineTask:
    """A step that reads or writes what may have changed since an equal run: never cached, tried again where it fails."""
    return pure(task, name, memory).set_caching_options(False)


def acting(task: dsl.PipelineTask, name: str) -> dsl.PipelineTask:
    """A step that changes the cluster or ends the run: neither cached nor tried again."""
    return task.set_display_name(name).set_memory_request("512M").set_caching_options(False)


def on_gpu(task: dsl.PipelineTask, image: str) -> dsl.PipelineTask:
    """Give a step one GPU, and the image that can use it."""
    task.set_container_image(image)
    return task.set_accelerator_type(_GPU).set_accelerator_limit(1)
