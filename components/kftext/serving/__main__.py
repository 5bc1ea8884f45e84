"""`python -m kftext.serving --model_name NAME --model_dir DIR`: see `--help`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from kftext import cli
from kftext.errors import MissingExtraError
from kftext.serving import logs
from kftext.serving.flags import load_models, own_parser, read_options


def main(argv: Sequence[str] | None = None) -> int:
    """Load the models, then serve them until a signal."""
    words = list(sys.argv[1:] if argv is None else argv)
    own = own_parser()
    arguments, rest = own.parse_known_args(words)
    logs.configure()
    # Loading comes before importing KServe, which takes seconds: a wrong folder is said at once.
    models = [] if {"-h", "--help"} & set(rest) else load_models(arguments)
    try:
        from kserve import model_server
    except ModuleNotFoundError:
        raise MissingExtraError("serving", "serving") from None
    from kftext.serving.server import Server

    parser = cli.ArgumentParser(
        prog=own.prog,
        description=own.description,
        epilog=own.epilog,
        parents=[model_server.parser, own],
        conflict_handler="resolve",
    )
    flags = parser.parse_args(words)
    Server(models, read_options(flags), flags).start()
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
