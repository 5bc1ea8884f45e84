"""Getting TensorFlow ready: imported late, quiet, and with as many threads as it may use."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os

from kftext.errors import MissingExtraError, UsageError

__all__ = ["prepare", "require"]


def require(what: str = "text classification with TensorFlow") -> None:
    """Check that TensorFlow is installed, and set what it reads when it is imported.

    Args:
        what: what needs it, for the message.

    Raises:
        MissingExtraError: TensorFlow or the operations that BERT's tokenizers need are not installed.
        UsageError: Keras was told to use another backend.
    """
    for package in ("tensorflow", "tensorflow_text"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(what, "tensorflow")
    backend = os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    if backend != "tensorflow":
        raise UsageError(f"KERAS_BACKEND={backend}: {what} needs tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def prepare(threads: int | None = None) -> None:
    """Import TensorFlow and the operations of its tokenizers.

    Args:
        threads: how many threads an operation, and how many operations at once, may use; TensorFlow decides by default.
            Counts for the whole process and only before TensorFlow's first operation; later it changes nothing.
    """
    require()
    import tensorflow as tf

    # Importing it registers the operations that preprocessing models are made of.
    importlib.import_module("tensorflow_text")

    # Saving a model logs names that it changes, which nobody can do anything about.
    for name in ("tensorflow", "absl"):
        logging.getLogger(name).setLevel(logging.ERROR)
    if threads:
        try:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(threads)
        except RuntimeError:
            logging.getLogger(__name__).debug("TensorFlow runs already: threads stay as they are")
