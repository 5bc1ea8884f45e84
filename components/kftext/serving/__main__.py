"""`python -m kftext.serving --model_name NAME --model_dir DIR`: see `--help`."""

from __future__ import annotations

import argparse
import logging.config
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from kftext import cli
from kftext.errors import MissingExtraError, UsageError
from kftext.serving.model import ServedModel
from kftext.serving.options import API_KEY_VARIABLE, Options

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "plain": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"},
        "message": {"format": "%(message)s"},
    },
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": "plain"},
        "stdout": {
            "class": "logging.StreamHandler",
            "formatter": "message",
            "stream": "ext://sys.stdout",
        },
    },
    "root": {"level": "INFO", "handlers": ["stderr"]},
    "loggers": {
        "kftext.access": {"handlers": ["stdout"], "propagate": False},
        # KServe logs the traceback of each client's mistake, uvicorn each start and stop in five lines.
        "kserve": {"level": "CRITICAL"},
        "uvicorn": {"level": "WARNING"},
    },
}


def options_parser() -> cli.ArgumentParser:
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
        type=Path,
        help="model folder, .bin or .ftz file, or .tar.gz archive; one for each name, in the same order",
    )
    parser.add_argument(
        "--host", default=default.host, help=f"address to listen on ({default.host})"
    )
    for name, text in {
        "max_body_bytes": "longest request body; longer is answered 413",
        "max_instances": "most instances in a request; more is answered 413",
        "max_concurrency": "most requests in progress; more is answered 503",
        "max_queue": "most long predictions under way; more is answered 503",
        "threads": "threads for single instances that take long",
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
    parser.epilog = f"{API_KEY_VARIABLE}=KEY in the environment makes every request need the key."
    return parser


def _positive(kind: type[int] | type[float], name: str) -> Callable[[str], float]:
    least = 0 if name in ("drain_seconds", "reload_seconds") else 1e-3

    def parse(text: str) -> float:
        value = kind(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{text}: expected more than 0")
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
    models = []
    for name, folder in zip(names, folders, strict=True):
        model = ServedModel(
            name,
            folder,
            max_instances=arguments.max_instances,
            reloads=arguments.reload_seconds > 0,
        )
        logging.getLogger("kftext.serving").info(
            "model %s: %s, version %s, from %s",
            name,
            model.loaded.kind,
            model.target.version,
            folder,
        )
        models.append(model)
    return models


def main(argv: Sequence[str] | None = None) -> int:
    """Load the models, then serve them until a signal."""
    words = list(sys.argv[1:] if argv is None else argv)
    own = options_parser()
    arguments, rest = own.parse_known_args(words)
    logging.config.dictConfig(LOGGING)
    # KServe answers with a class that FastAPI has renounced; the warning would stand in each log.
    warnings.filterwarnings("ignore", message="ORJSONResponse is deprecated")
    # Loading comes before importing KServe, which takes seconds: a wrong folder is said at once.
    models = [] if {"-h", "--help"} & set(rest) else load_models(arguments)
    try:
        from kserve import model_server
    except ModuleNotFoundError:
        raise MissingExtraError("serving", "serving") from None
    parser = cli.ArgumentParser(
        prog=own.prog,
        description=own.description,
        epilog=own.epilog,
        parents=[model_server.parser, own],
        conflict_handler="resolve",
    )
    flags = parser.parse_args(words)
    from kftext.serving.server import Server

    options = Options(
        **{
            name: getattr(flags, name) for name in Options.__dataclass_fields__ if name != "api_key"
        },
        api_key=os.environ.get(API_KEY_VARIABLE, ""),
    )
    Server(models, options, flags).start()
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
