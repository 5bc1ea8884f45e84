"""Print the hyperparameters' defaults of a model as JSON, or without a model the list of ids.

python -m kftext.text_classification.defaults
python -m kftext.text_classification.defaults tensorflow-tc-albert-en-base > hyperparameters.json
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import orjson

from kftext import cli
from kftext.text_classification.catalogue import CATALOGUE, defaults


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = cli.ArgumentParser(
        "python -m kftext.text_classification.defaults", description=__doc__
    )
    parser.add_argument("model_id", nargs="?", metavar="MODEL_ID")
    parser.add_argument(
        "--train-only-top-layer",
        choices=["True", "False"],
        help="the defaults for this way of training (default: the model's own)",
    )
    options = parser.parse_args(argv)
    if options.model_id is None:
        for model in CATALOGUE.values():
            print(f"{model.model_id}\t{model.handle}")  # noqa: T201
        return 0
    top = None if options.train_only_top_layer is None else options.train_only_top_layer == "True"
    values = defaults(options.model_id, train_only_top_layer=top)
    print(orjson.dumps(values, option=orjson.OPT_INDENT_2).decode())  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
