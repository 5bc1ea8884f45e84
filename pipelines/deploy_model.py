"""A model from elsewhere as an endpoint, with no training: import, package, register, deploy, ask."""

from kfp import dsl

import runner
from kftext.deployment.importing.component import import_model
from kftext.images import image
from kftext.runs.inputs.component import resolve_inputs
from release import release, reported
from settings import looking_outside, pure


@dsl.pipeline(name="deploy-model", display_name="Deploy a model")
def deploy_model(
    model_uri: str,
    model_name: str,
    model_format: str = "fasttext",
    registry_uri: str = "",
    endpoint_namespace: str = "",
    service_account: str = "kftext-serving",
    traffic_percent: int = 100,
    smoke_text: str = "a text to see whether the model answers",
    expected_label: str = "",
) -> None:
    """Deploy a fastText binary, a model.tar.gz, or a TensorFlow encoder or classifier to KServe, and see that it answers.

    Args:
        model_uri: A .bin or .ftz file, a model.tar.gz, or a folder, such as a SavedModel: a local path or s3://bucket/key.
        model_name: Name of the model, of its folder in the registry and of its endpoint.
        model_format: fasttext, blazingtext or kftext-tensorflow.
        registry_uri: Prefix such as s3://models/, below which NAME/VERSION/model.tar.gz and the model card are written; when
            empty, KServe fetches the model from the run's own artifacts.
        endpoint_namespace: Namespace of the endpoint; the run's own when empty.
        service_account: Service account that KServe fetches the model with.
        traffic_percent: Share of the requests for the new model. 100 replaces the one that is served, less makes a canary
            beside it, 0 deploys nothing.
        smoke_text: Text that the endpoint is asked once it is ready; a wrong answer rolls it back.
        expected_label: Label that the text must get; any when empty.
    """
    with reported():
        inputs = resolve_inputs(model_uri=model_uri)
        looking_outside(inputs, "Resolve inputs")
        imported = import_model(model_uri=model_uri, content_digest=inputs.outputs["digest"])
        pure(imported, "Import the model")

        def finish(**packaging: str) -> None:
            release(
                imported.outputs["model"],
                **packaging,
                inputs=inputs.outputs["inputs"],
                model_name=model_name,
                registry_uri=registry_uri,
                model_format=model_format,
                endpoint_namespace=endpoint_namespace,
                service_account=service_account,
                traffic_percent=traffic_percent,
                smoke_text=smoke_text,
                expected_label=expected_label,
            )

        # Packaging loads the model, and only this image holds TensorFlow.
        with dsl.If(model_format == "kftext-tensorflow", "tensorflow"):
            finish(image=image("tensorflow"), memory="4G")
        with dsl.Else("fasttext"):
            finish()


if __name__ == "__main__":
    runner.main(deploy_model, __file__)
