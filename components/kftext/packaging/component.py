"""KFP interface of the packaging step."""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import Artifact, Input, Model, Output

from kftext.images import image


@dsl.component(base_image=image("steps"), install_kfp_package=False)
def package_model(
    model: Input[Model],
    archive: Output[Artifact],
    destination_uri: str = "",
    evaluation: Input[Artifact] = None,
) -> NamedTuple("Outputs", [("uri", str)]):  # type: ignore[valid-type]
    """Pack a model folder into model.tar.gz, as KServe and SageMaker-style hosts take it.

    Args:
        model: Model folder of the training step. It is loaded before it is packed: a damaged model fails here.
        destination_uri: Where to write the archive as well, such as s3://models/topics/model.tar.gz. Nowhere when empty.
        evaluation: Figures of the evaluation step, to go beside the archive and into the model card.

    Returns:
        archive: Folder with model.tar.gz, all members at its top level, model.json and evaluation.json. Its metadata name size, SHA-256 and files.
        uri: Where the archive lies: the destination, or the artifact's own file when there is none.
    """
    from kftext.cli import report_errors
    from kftext.packaging.export import package

    with report_errors():
        packed = package(
            model.path,
            archive.path,
            destination_uri,
            archive.uri,
            evaluation=evaluation.path if evaluation else "",
        )
    archive.metadata.update(size=packed.size, sha256=packed.sha256, files=list(packed.files))
    archive.metadata["uri"] = packed.uri
    return (packed.uri,)
