"""Getting TensorFlow ready: imported late, quiet, and with as many threads as it may use."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import logging
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kftext.errors import MissingExtraError, UsageError

__all__ = ["import_hub", "prepare", "register_text_operations", "require"]

_GPU_DEVICES = ("/dev/nvidiactl", "/dev/dxg")
_TRAINING_ALONE = ("keras.src.optimizers", "pandas")
"""What `import tensorflow` imports where it can, for a third of its time, and prediction has no use for."""

# Written before TensorFlow reads TF_CPP_MIN_LOG_LEVEL, whatever it is.
_CHATTER = re.compile(
    rb"^(WARNING: All log messages before absl::InitializeLog|I\d{4} .* (port|cudart_stub)\.cc:).*\n?",
    re.MULTILINE,
)


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
    # Where there is no GPU, TensorFlow calls that an error. What does fail is raised as well.
    has_gpu = any(Path(device).exists() for device in _GPU_DEVICES)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2" if has_gpu else "3")


def prepare(threads: int | None = None, *, training: bool = True) -> None:
    """Import TensorFlow.

    Args:
        threads: how many threads an operation, and how many operations at once, may use; TensorFlow decides by default.
            Counts for the whole process and only before TensorFlow's first operation; later it changes nothing.
        training: whether what prediction may do without is imported too: Keras, and the operations of tokenizers.

    Raises:
        MissingExtraError: it is not installed.
        UsageError: Keras was told to use another backend.
    """
    require()
    if "tensorflow" not in sys.modules:
        with _filtered_stderr(), _hidden(() if training else _TRAINING_ALONE):
            importlib.import_module("tensorflow")
    import tensorflow as tf

    if training:
        register_text_operations()

    # Saving a model logs names that it changes, which nobody can do anything about.
    for name in ("tensorflow", "absl"):
        logging.getLogger(name).setLevel(logging.ERROR)
    if threads:
        try:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(threads)
        except RuntimeError:
            logging.getLogger(__name__).debug("TensorFlow runs already: threads stay as they are")


def register_text_operations() -> None:
    """Make the operations known that tokenizers are made of, BERT's among them."""
    importlib.import_module("tensorflow_text")


def import_hub() -> Any:
    """Import tensorflow_hub and return it; `prepare` comes first.

    Its last release asks pkg_resources for a version number, and that warns that it is going away: pyproject.toml says how long it
    stays, and nobody who trains can do anything about it.
    """
    with warnings.catch_warnings(), _filtered_stderr():
        warnings.filterwarnings("ignore", "pkg_resources is deprecated")
        return importlib.import_module("tensorflow_hub")


@contextlib.contextmanager
def _hidden(modules: tuple[str, ...]) -> Iterator[None]:
    """Let imports of some modules fail, unless they have been imported before: TensorFlow goes on without them."""
    hidden = [name for name in modules if name not in sys.modules]
    # None stands for a module that is known not to be there (importlib's documentation of sys.modules).
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


@contextlib.contextmanager
def _filtered_stderr() -> Iterator[None]:
    """Leave out of the process's stderr what TensorFlow can't be told not to write; the rest is written at the end."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as written:
        stderr = os.dup(2)
        os.dup2(written.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            written.seek(0)
            rest = _CHATTER.sub(b"", written.read())
            if rest:
                os.write(2, rest)
