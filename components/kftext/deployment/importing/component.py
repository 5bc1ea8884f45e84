"""KFP interface of importing a model."""

from kfp import dsl
from kfp.dsl import Model, Output

from kftext.images import image


@dsl.component(base_image=image("steps"), install_kfp_package=False)
def import_model(model_uri: str, model: Output[Model], content_digest: str = "") -> None:
    """Fetch a model that was trained elsewhere: a fastText binary, an archive, or a folder.

    Args:
        model_uri: A local path or s3:// URI of a .bin or .ftz file, of a model.tar.gz, or of a folder or prefix.
        content_digest: Digest of what lies there, from resolve_inputs: another one makes a cached step run again.

    Returns:
        model: The model's folder; its metadata name where it came from and what it is.
    """
    from kftext.cli import report_errors
    from kftext.deployment.importing.import_model import import_model as run

    with report_errors():
        model.metadata["kind"] = run(model_uri, model.path)
    model.metadata.update(source=model_uri, content_digest=content_digest)
