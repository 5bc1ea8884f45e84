"""A model from elsewhere as an endpoint, with no training: import, package, deploy, ask."""

from typing import NamedTuple

from kfp import dsl

import runner
from kftext.deployment.component import deploy
from kftext.deployment.importing.component import import_model
from kftext.packaging.component import package_model


class Outputs(NamedTuple):
    """What the pipeline leaves."""

    archive: dsl.Artifact
    url: str


@dsl.pipeline(name="deploy-model", display_name="Deploy a model")
def deploy_model(
    model_uri: str,
    name: str,
    archive_uri: str = "",
    endpoint_namespace: str = "",
    model_format: str = "fasttext",
    service_account: str = "kftext-serving",
    traffic_percent: int = 100,
    smoke_text: str = "a text to see whether the model answers",
    expected_label: str = "",
    timeout_seconds: int = 600,
) -> Outputs:
    """Deploy a fastText binary, a model.tar.gz or a model folder to KServe and see that it answers.

    Args:
        model_uri: A .bin or .ftz file, a model.tar.gz, or a folder: a local path or s3://bucket/key.
        name: Name of the InferenceService, and of the model in the URL.
        archive_uri: Where KServe fetches the model from, such as s3://models/topics/model.tar.gz; the run's own artifact
            when empty.
        endpoint_namespace: Namespace of the endpoint; the run's own when empty.
        model_format: fasttext, blazingtext or kftext-tensorflow.
        service_account: Service account that the model is fetched with.
        traffic_percent: Share of the requests for this model; less than 100 makes it a canary beside the one that is there.
        smoke_text: Text that the endpoint is asked once it is ready.
        expected_label: Label that the text must get; any when empty.
        timeout_seconds: Seconds until the endpoint must be ready.
    """
    imported = import_model(model_uri=model_uri)
    # What lies under a URI can change without its name changing: only this step knows, so it always runs.
    imported.set_display_name("Import the model").set_caching_options(False)
    imported.set_memory_request("1G").set_retry(2, backoff_duration="10s")
    archive = package_model(model=imported.outputs["model"], destination_uri=archive_uri)
    archive.set_display_name("Package for KServe").set_memory_request("1G")
    archive.set_retry(2, backoff_duration="10s")
    endpoint = deploy(
        model_uri=archive.outputs["uri"],
        name=name,
        namespace=endpoint_namespace,
        model_format=model_format,
        service_account=service_account,
        traffic_percent=traffic_percent,
        smoke_text=smoke_text,
        expected_label=expected_label,
        timeout_seconds=timeout_seconds,
    )
    # The cluster may have changed since an equal run: never cached. It rolls back by itself, so it is not tried again.
    endpoint.set_display_name("Deploy and ask").set_caching_options(False)
    return Outputs(archive=archive.outputs["archive"], url=endpoint.outputs["url"])


if __name__ == "__main__":
    runner.main(deploy_model, __file__)
