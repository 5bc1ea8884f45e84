"""Opening a model, whatever it is stored as."""

from __future__ import annotations

from pathlib import Path

from kftext.errors import ModelFormatError, StorageError
from kftext.models.classifier import Classifier
from kftext.models.fasttext_format import read_model
from kftext.models.metadata import ModelMetadata
from kftext.models.text_encoder import TextEncoder
from kftext.models.word2vec_text import read_text
from kftext.models.word_vectors import WordVectors

__all__ = ["Predictor", "load", "model_file", "model_source"]

Predictor = Classifier | WordVectors | TextEncoder

_SAVED_MODEL_ALGORITHM = "tensorflow-text-classification"
_BINARY = (".bin", ".ftz")
_TEXT = (".vec", ".txt")
_USUAL_NAMES = ("model.bin", "model.ftz", "vectors.bin", "vectors.ftz")
_BERT_CHECKPOINT = ("config.json", "vocab.txt", "model.safetensors")


def load(path: str | Path) -> Predictor:
    """Open a model.

    Args:
        path: a folder (with or without model.json; of ours, of a fastText binary, of a SavedModel, or of a BERT checkpoint), a
            fastText binary (`.bin`, `.ftz`), or vectors as text (`.vec`, `.txt`).

    Returns:
        A `Classifier` for a supervised model, `WordVectors` for word vectors, a `TextEncoder` for another encoder of texts.

    Raises:
        StorageError: nothing is there, or it can't be read.
        ModelFormatError: it is no model, or a damaged one.
        MissingExtraError: it is a TensorFlow model, and TensorFlow is not installed.
    """
    source = model_source(path)
    if source.is_dir():
        # Imported here since models of every other kind are read without TensorFlow.
        from kftext.text_classification.predictor import open_encoder_as_it_is, open_predictor

        return (
            open_encoder_as_it_is(str(source)) if _is_checkpoint(source) else open_predictor(source)
        )
    if source.suffix in _TEXT:
        return WordVectors.from_matrix(*read_text(source))
    model = read_model(source)
    return Classifier(model) if model.arguments.supervised else WordVectors(model)


def model_source(path: str | Path) -> Path:
    """Return what `load` reads: the folder of a TensorFlow model (a SavedModel, a BERT checkpoint), else one file.

    Raises:
        StorageError: nothing is there.
        ModelFormatError: the folder holds no model, or several and no word which.
    """
    path = Path(path)
    return path if _is_tensorflow(path) else model_file(path)


def _is_tensorflow(path: Path) -> bool:
    metadata = ModelMetadata.read(path)
    if metadata is not None:
        return metadata.algorithm == _SAVED_MODEL_ALGORITHM
    from kftext.text_classification.artifact import saved_model_folder

    return saved_model_folder(path) is not None or _is_checkpoint(path)


def _is_checkpoint(path: Path) -> bool:
    return all((path / name).is_file() for name in _BERT_CHECKPOINT)


def model_file(path: str | Path) -> Path:
    """Return the file of a model folder that `load` opens, or the path itself where it is a file.

    Raises:
        StorageError: nothing is there.
        ModelFormatError: the folder holds no model, or several and no word which.
    """
    path = Path(path)
    if path.is_file():
        return path
    if not path.is_dir():
        raise StorageError(f"{path}: no such file or folder")
    metadata = ModelMetadata.read(path)
    if metadata is not None:
        named = [path / name for name in metadata.files.values()]
        for suffixes in (_BINARY, _TEXT):
            for file in named:
                if file.suffix in suffixes and file.is_file():
                    return file
        missing = [file.name for file in named if not file.is_file()]
        if missing:
            raise ModelFormatError(f"{path}: model.json names {missing[0]}, which is not there")
    for name in _USUAL_NAMES:
        if (path / name).is_file():
            return path / name
    for suffixes in (_BINARY, _TEXT):
        found = sorted(file for file in path.iterdir() if file.suffix in suffixes)
        if len(found) == 1:
            return found[0]
        if found:
            raise ModelFormatError(
                f"{path}: which model is meant? {', '.join(file.name for file in found)}"
            )
    raise ModelFormatError(
        f"{path}: no model in this folder: expected model.bin, vectors.bin or another .bin or .ftz"
    )
