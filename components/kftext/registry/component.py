"""KFP interface of the model registry."""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import Artifact, Input, Markdown, Output

from kftext.images import image


@dsl.component(base_image=image("steps"), install_kfp_package=False)
def register_model(
    archive: Input[Artifact],
    model_name: str,
    card: Output[Markdown],
    registry_uri: str = "",
    inputs: Input[Artifact] = None,
) -> NamedTuple("Outputs", [("uri", str), ("version", str)]):  # type: ignore[valid-type]
    """Write a packaged model and its card below a registry's prefix, under a version of its own.

    Args:
        archive: Folder of the packaging step - model.tar.gz, and what describes the model.
        model_name: Name of the model.
        registry_uri: Folder or s3:// prefix of the registry; the archive goes to NAME/VERSION/model.tar.gz below it. When empty,
            the archive stays the run's artifact.
        inputs: Description of what the run was made from, of resolve_inputs.

    Returns:
        card: Model card - data and their digest, hyperparameters, figures, versions.
        uri: Where the archive lies.
        version: Name of the version; it begins with the time.
    """
    from pathlib import Path

    from kftext.artifacts import read_json
    from kftext.cli import report_errors
    from kftext.registry.register import register

    with report_errors():
        found = register(
            Path(archive.path),
            model_name,
            registry_uri,
            uri=archive.metadata.get("uri", ""),
            inputs=read_json(inputs.path) if inputs else None,
        )
        Path(card.path).write_text(found.card, encoding="utf-8")
    card.metadata.update(uri=found.uri, version=found.version)
    return found.uri, found.version
