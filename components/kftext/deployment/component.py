"""KFP interface of the deployment."""

from typing import NamedTuple

from kfp import dsl

from kftext.images import image


@dsl.component(base_image=image("steps"), install_kfp_package=False)
def deploy(
    model_uri: str,
    name: str,
    namespace: str = "",
    model_format: str = "blazingtext",
    runtime: str = "",
    service_account: str = "kftext-serving",
    mode: str = "Standard",
    min_replicas: int = -1,
    max_replicas: int = -1,
    traffic_percent: int = 100,
    smoke_text: str = "a text to see whether the model answers",
    expected_label: str = "",
    timeout_seconds: int = 600,
    endpoint_url: str = "",
) -> NamedTuple("Outputs", [("url", str), ("action", str)]):  # type: ignore[valid-type]
    """Create or update a KServe endpoint, wait until it serves the model, ask it, and roll back where it answers wrongly.

    Args:
        model_uri: Where KServe fetches the model, such as s3://models/topics/model.tar.gz. A local path is served on the machine
            that runs the step, asked, and stopped.
        name: Name of the InferenceService, and of the model in the URL.
        namespace: Namespace of the endpoint; the run's own when empty.
        model_format: blazingtext, fasttext or kftext-tensorflow.
        runtime: ServingRuntime to use; when empty, KServe chooses by the format.
        service_account: Service account that the model is fetched with.
        mode: Standard or Knative; for a new endpoint alone.
        min_replicas: Fewest replicas; -1 leaves what is there.
        max_replicas: Most replicas; -1 leaves what is there.
        traffic_percent: Share of the requests for the new model. Less than 100 makes it a canary beside the model that is there;
            a later run with 100 and the same URI promotes it.
        smoke_text: Text that the endpoint is asked once it is ready.
        expected_label: Label that the text must get; any when empty.
        timeout_seconds: Seconds until the endpoint must be ready.
        endpoint_url: How the step reaches the endpoint; its address in the cluster when empty.

    Returns:
        url: Where clients reach the endpoint.
        action: What was done - created, updated, canary, promoted, or local.
    """
    from kftext.cli import report_errors
    from kftext.deployment.deploy import deploy as run
    from kftext.deployment.request import DeployRequest

    with report_errors():
        deployed = run(
            DeployRequest(
                model_uri=model_uri,
                name=name,
                namespace=namespace,
                model_format=model_format,
                runtime=runtime,
                service_account=service_account,
                mode=mode,
                min_replicas=min_replicas,
                max_replicas=max_replicas,
                traffic_percent=traffic_percent,
                texts=(smoke_text,),
                expected_label=expected_label,
                timeout=timeout_seconds,
                url=endpoint_url,
            )
        )
    return deployed.url, deployed.action
