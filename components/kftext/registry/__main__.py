"""Register a packaged model under a version of its own, with its card.

python -m kftext.registry --package-dir packaged/ --name topics --registry s3://models/

The folder holds model.tar.gz and, where there are any, model.json and evaluation.json. Prints the version and the archive's URI as JSON.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import orjson

from kftext import cli
from kftext.registry.register import register


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = cli.ArgumentParser("python -m kftext.registry", description=__doc__)
    parser.add_argument("--package-dir", type=Path, required=True, help="folder with model.tar.gz")
    parser.add_argument("--name", required=True, help="of the model")
    parser.add_argument("--registry", required=True, help="folder or s3:// prefix to write below")
    options = parser.parse_args(argv)
    found = register(options.package_dir, options.name, options.registry)
    answer = {"version": found.version, "uri": found.uri}
    sys.stdout.buffer.write(orjson.dumps(answer, option=orjson.OPT_INDENT_2) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
