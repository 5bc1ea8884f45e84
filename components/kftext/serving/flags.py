"""The server's own flags, and the models that they name."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Callable

from kftext import cli
from kftext.errors import UsageError
from kftext.serving.loading import fingerprint
from kftext.serving.model import ServedModel
from kftext.serving.options import API_KEY_VARIABLE, Options

__all__ = ["load_models", "own_parser", "read_options"]

LOG = logging.getLogger(__name__)

_MAY_BE_ZERO = frozenset({"drain_seconds", "max_batch_wait_seconds", "reload_seconds"})


def own_parser() -> cli.ArgumentParser:
    """Our own flags; KServe's come in beside them."""
    default = Options()
    parser = cli.ArgumentParser(
        prog="python -m kftext.serving",
        description="Serve models over KServe's V1, V2 and gRPC protocols and SageMaker's /invocations.",
        add_help=False,
    )
    parser.add_argument(
        "--model_name",
        action="append",
        help="name in the URL (default: model); repeat for several models",
    )
    parser.add_argument(
        "--model_dir",
        action="append",
        help="model folder, .bin or .ftz file, SavedModel, or .tar.gz archive, local or s3://, or the id or handle of a pretrained"
        " encoder; one for each name, in the same order",
    )
    parser.add_argument(
        "--host", default=default.host, help=f"address to listen on ({default.host})"
    )
    for name, text in {
        "max_body_bytes": "longest request body; longer is answered 413",
        "max_instances": "most instances in a request; more is answered 413",
        "max_characters": "most characters in an instance; more is answered 413",
        "max_concurrency": "most requests in progress; more is answered 503",
        "max_queue": "most predictions under way that are long or wait; more is answered 503",
        "max_batch_size": "most instances that TensorFlow predicts in one call",
        "max_batch_wait_seconds": "how long such a call waits for others to go with it; 0 = not at all",
        "threads": "threads beside the event loop, for labels of many texts and for single instances that take long",
        "deadline_seconds": "a request not answered by then is answered 503",
        "drain_seconds": "after SIGTERM, time to answer while not ready any more",
        "reload_seconds": "how often to look for a changed model, served from a copy then; 0 = never",
    }.items():
        value = getattr(default, name)
        parser.add_argument(
            f"--{name}", type=_positive(type(value), name), default=value, help=f"{text} ({value})"
        )
    parser.add_argument(
        "--no_access_log", dest="access_log", action="store_false", help="no line for each request"
    )
    parser.add_argument(
        "--log_texts",
        action="store_true",
        help="write the texts of each request into its line, which holds none otherwise",
    )
    parser.epilog = f"{API_KEY_VARIABLE}=KEY in the environment makes every request need the key."
    return parser


def _positive(kind: type[int] | type[float], name: str) -> Callable[[str], float]:
    least = 0 if name in _MAY_BE_ZERO else 1e-3

    def parse(text: str) -> float:
        value = kind(text)
        if not value >= least:  # nor is it a number then
            expected = "0 or more" if least == 0 else "more than 0"
            raise argparse.ArgumentTypeError(f"{text}: expected {expected}")
        return value

    parse.__name__ = kind.__name__
    return parse


def load_models(arguments: argparse.Namespace) -> list[ServedModel]:
    """Load what the flags name.

    Raises:
        UsageError: names and folders don't pair.
        StorageError, ModelFormatError: a model can't be loaded.
    """
    folders = arguments.model_dir
    if not folders:
        raise UsageError("--model_dir: expected a model folder, file or archive")
    names = arguments.model_name or (["model"] if len(folders) == 1 else [])
    if len(names) != len(folders) or len(set(names)) != len(names):
        raise UsageError(
            f"{len(names)} --model_name for {len(folders)} --model_dir: expected one for each, all different"
        )
    for name in names:
        if not name or set(name) & set("/:?#%"):
            raise UsageError(f"--model_name {name}: expected a name that can stand in a URL's path")
    models = []
    for name, folder in zip(names, folders, strict=True):
        model = ServedModel(
            name,
            folder,
            max_instances=arguments.max_instances,
            reloads=arguments.reload_seconds > 0,
        )
        LOG.info(
            "model %s: %s, version %s, from %s",
            name,
            model.loaded.kind,
            model.target.version,
            folder,
        )
        if arguments.reload_seconds and not fingerprint(folder):
            LOG.warning(
                "model %s: %s is not looked at for changes, only local files are", name, folder
            )
        models.append(model)
    return models


def read_options(arguments: argparse.Namespace) -> Options:
    """The options that the flags and the environment set.

    Raises:
        UsageError: the key is one that no header could hold.
    """
    names = [name for name in Options.__dataclass_fields__ if name != "api_key"]
    given = {name: getattr(arguments, name) for name in names}
    # A secret made from a file ends with a newline.
    key = os.environ.get(API_KEY_VARIABLE, "")
    if key and not (key.strip().isascii() and key.strip().isprintable() and key.strip()):
        raise UsageError(f"{API_KEY_VARIABLE}: expected printable ASCII characters")
    return Options(**given, api_key=key.strip())
