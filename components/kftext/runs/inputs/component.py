"""KFP interface of looking at a run's inputs."""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import Artifact, Output

from kftext.images import image


@dsl.component(base_image=image("steps"), install_kfp_package=False)
def resolve_inputs(
    inputs: Output[Artifact],
    data_uri: str = "",
    validation_data_uri: str = "",
    corpus_uri: str = "",
    word_pairs_uri: str = "",
    pretrained_vectors_uri: str = "",
    model_uri: str = "",
    encoder: str = "",
) -> NamedTuple("Outputs", [("digest", str)]):  # type: ignore[valid-type]
    """Look at what lies under a run's URIs.

    Never cached: the steps after it are, and take its digest, so that they run again when the content has changed under its name.

    Args:
        data_uri: Training data.
        validation_data_uri: Validation data; empty for none.
        corpus_uri: Unlabelled text; empty for none.
        word_pairs_uri: Word-similarity sets; empty for none.
        pretrained_vectors_uri: Word vectors that a classifier begins with; empty for none.
        model_uri: Model that the run starts from; empty for none.
        encoder: Encoder that a classifier starts from. A path or URI; an id of a catalogue or a handle stands for itself.

    Returns:
        digest: Digest of all of it.
        inputs: JSON with files, bytes and digest under each URI.
    """
    from kftext.artifacts import write_json
    from kftext.cli import report_errors
    from kftext.runs.inputs.resolve import resolve

    with report_errors():
        digest, described = resolve(
            {
                "data": data_uri,
                "validation_data": validation_data_uri,
                "corpus": corpus_uri,
                "word_pairs": word_pairs_uri,
                "pretrained_vectors": pretrained_vectors_uri,
                "model": model_uri,
            },
            {"encoder": encoder},
        )
        write_json(inputs.path, described)
    inputs.metadata["digest"] = digest
    return (digest,)
