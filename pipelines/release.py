"""How every pipeline ends: a model that is good enough is packaged, registered, deployed and asked; any other ends the run."""

from typing import Any

from kfp import dsl
from kfp.dsl import Artifact, Input

from kftext.deployment.component import deploy
from kftext.packaging.component import package_model
from kftext.registry.component import register_model
from kftext.runs.gate.component import reject_model
from kftext.runs.report.component import report_run
from settings import acting, looking_outside, pure

__all__ = ["release", "release_if", "reported"]


@dsl.pipeline(name="release-model", display_name="Release the model")
def release_model(
    archive: Input[Artifact],
    inputs: Input[Artifact],
    model_name: str,
    registry_uri: str,
    model_format: str,
    endpoint_namespace: str,
    service_account: str,
    traffic_percent: int,
    smoke_text: str,
    expected_label: str,
) -> None:
    """Register a packaged model and serve it.

    Args:
        archive: Folder with model.tar.gz.
        inputs: What the run was made from.
        model_name: Name of the model, of its folder in the registry and of its endpoint.
        registry_uri: Prefix below which the model is registered.
        model_format: Format by which KServe chooses the serving runtime.
        endpoint_namespace: Namespace of the endpoint.
        service_account: Service account that the model is fetched with.
        traffic_percent: Share of the requests for this model; 0 deploys nothing.
        smoke_text: Text that the endpoint is asked.
        expected_label: Label that the text must get.
    """
    registered = register_model(
        archive=archive,
        inputs=inputs,
        model_name=model_name,
        registry_uri=registry_uri,
    )
    looking_outside(registered, "Register the model")
    with dsl.If(traffic_percent > 0, "to-be-deployed"):
        endpoint = deploy(
            model_uri=registered.outputs["uri"],
            name=model_name,
            namespace=endpoint_namespace,
            model_format=model_format,
            service_account=service_account,
            traffic_percent=traffic_percent,
            smoke_text=smoke_text,
            expected_label=expected_label,
        )
        acting(endpoint, "Deploy and ask")


def release(
    model: Any, evaluation: Any = None, *, image: str = "", memory: str = "1G", **arguments: Any
) -> None:
    """Package a model and hand it to `release_model`.

    Args:
        model: the model folder, an output of a step.
        evaluation: figures for the model card; a model from elsewhere has none.
        image: of the packaging step, which loads the model; that of the component when empty.
        memory: what packaging asks for.
        **arguments: those of `release_model`, but the archive.
    """
    given = {} if evaluation is None else {"evaluation": evaluation}
    package = pure(package_model(model=model, **given), "Package for KServe", memory)
    if image:
        package.set_container_image(image)
    released = release_model(archive=package.outputs["archive"], **arguments)
    released.set_display_name("Release the model")


def release_if(metric: str, value: Any, minimum: Any, model: Any, **arguments: Any) -> None:
    """Release a model that reaches a minimum; else fail the run with the reason.

    Args:
        metric: what was measured, in words.
        value: what the model reached, an output of a step.
        minimum: what it has to reach.
        model: the model folder, an output of a step.
        **arguments: those of `release`.
    """
    with dsl.If(value >= minimum, "good-enough"):
        release(model, **arguments)
    with dsl.Else("not-good-enough"):
        rejected = reject_model(metric=metric, value=value, minimum=minimum)
        acting(rejected, "Reject the model")


def reported() -> dsl.ExitHandler:
    """A `with` block whose steps are followed by a report, whatever happened in it."""
    report = report_run(
        run_name=dsl.PIPELINE_JOB_NAME_PLACEHOLDER, run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER
    )
    return dsl.ExitHandler(acting(report, "Report"), name="run")
