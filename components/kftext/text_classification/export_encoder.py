"""Write a pretrained encoder as one model folder, to be served as it is: texts in, embeddings out.

python -m kftext.text_classification.export_encoder --model-id tensorflow-tc-albert-en-base --model-dir encoder/
python -m kftext.text_classification.export_encoder --model-id vectors/ --pooling sif --model-dir encoder/
python -m kftext.packaging --model-dir encoder/ --output encoder.tar.gz

The folder holds the SavedModel in 1/, with the interface of TensorFlow Hub's text embeddings and its tokenization in the graph, and
model.json. Training starts from it as from any other encoder.
"""

from __future__ import annotations

import importlib.metadata
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from kftext import cli, storage
from kftext.models import ModelMetadata
from kftext.text_classification.artifact import ALGORITHM, SAVED_MODEL_FOLDER

__all__ = ["export_encoder", "main"]

_PACKAGES = ("tensorflow", "tensorflow-text")


def export_encoder(
    reference: str, model_dir: str, preprocessing: str | None = None, pooling: str = ""
) -> ModelMetadata:
    """Write an encoder's model folder.

    Args:
        reference: id of the catalogue, hub handle, or path of a SavedModel, of word vectors or of a BERT checkpoint.
        model_dir: folder or prefix to write.
        preprocessing: the same for its preprocessing model; the catalogue's own where it is None.
        pooling: of word vectors or a BERT checkpoint; "" for the usual one.

    Raises:
        MissingExtraError: TensorFlow is not installed.
        StorageError: the encoder is nowhere to be found, or the folder can't be written.
        ModelFormatError: it is no encoder, or a damaged one.
        UsageError: preprocessing or pooling for a model that takes none.
    """
    from kftext.text_classification import backend

    backend.prepare()
    from kftext.text_classification.encoder import check
    from kftext.text_classification.export import save_encoder
    from kftext.text_classification.loading import find_model, open_encoder

    with (
        tempfile.TemporaryDirectory(prefix="kftext-") as name,
        storage.atomic_directory(model_dir, ("model.json", SAVED_MODEL_FOLDER)) as folder,
    ):
        found = find_model(reference, Path(name), preprocessing)
        encoder, _ = open_encoder(found, Path(name), pooling)
        check(encoder, reference)
        save_encoder(encoder, folder / SAVED_MODEL_FOLDER)
        metadata = ModelMetadata(
            kind="text-encoder",
            algorithm=ALGORITHM,
            encoder={"model": reference, "kind": found.kind.value, "dim": encoder.dim},
            versions={name: importlib.metadata.version(name) for name in _PACKAGES},
            files={"saved_model": SAVED_MODEL_FOLDER},
        )
        metadata.write(folder)
    return metadata


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = cli.ArgumentParser(
        "python -m kftext.text_classification.export_encoder", description=__doc__
    )
    parser.add_argument(
        "--model-id", required=True, metavar="MODEL", help="id, handle or path of the encoder"
    )
    parser.add_argument(
        "--model-dir", required=True, metavar="DIR", help="the model folder to write"
    )
    parser.add_argument(
        "--preprocessing",
        metavar="MODEL",
        help="handle or path of the preprocessing model, for a transformer that is not in the catalogue",
    )
    parser.add_argument(
        "--pooling",
        default="",
        help="word vectors: mean (default) or sif; BERT checkpoint: pooled, mean or cls (default: what it says itself, else pooled)",
    )
    options = parser.parse_args(argv)
    export_encoder(options.model_id, options.model_dir, options.preprocessing, options.pooling)
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
