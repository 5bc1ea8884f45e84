r"""Check a text data set.

    python -m kftext.validation --data train.txt --format labeled-text --report report.html
    python -m kftext.validation --data s3://bucket/train/ --validation-data s3://bucket/valid/ \
        --format csv --report report.html --json report.json --output dataset/

Prints a summary as JSON. Exit code: 0 the data can be used (there may be warnings), 1 they can't (the last line says
why), 2 wrong usage.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import orjson

from kftext import cli
from kftext.data.formats import Format, ReadOptions
from kftext.validation.request import ValidationRequest
from kftext.validation.step import validate


def _parser() -> cli.ArgumentParser:
    defaults, options = ValidationRequest("-", Format.CORPUS), ReadOptions()
    parser = cli.ArgumentParser(prog="python -m kftext.validation", description=__doc__)
    add = parser.add_argument
    add("--data", required=True, help="training data: file, folder or s3:// prefix; plain or gzip")
    add("--format", required=True, choices=[member.value for member in Format], help="of the data")
    add("--validation-data", help="validation data of the same format")
    add("--report", help="where to write the HTML report")
    add("--json", help="where to write the report as JSON")
    add("--output", help="folder to write the Dataset to: dataset.json, and what is left of the data where lines are left out or split off")  # fmt: skip
    add("--max-error-fraction", type=float, default=defaults.max_error_fraction, metavar="F",
        help="go on without lines at fault if they are at most this share (default 0); the Dataset lists them in rejects.jsonl")  # fmt: skip
    add("--validation-split-ratio", type=float, default=defaults.validation_split_ratio, metavar="F",
        help="split off this share of the distinct texts for validation (default 0)")  # fmt: skip
    add("--seed", type=int, default=defaults.seed, help="of the split (default 0)")
    add("--label-prefix", default=options.label_prefix, help=f"labeled-text: what labels start with (default {options.label_prefix})")  # fmt: skip
    add("--source-attribute", default=options.source_attribute, help=f"manifest: name of the text (default {options.source_attribute})")  # fmt: skip
    add("--label-attribute", default=options.label_attribute, help=f"manifest: name of the label or list of labels (default {options.label_attribute})")  # fmt: skip
    add("--examples", type=int, default=defaults.examples, help=f"faults of each kind to show (default {defaults.examples})")  # fmt: skip
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    arguments = vars(_parser().parse_args(argv))
    names = ("label_prefix", "source_attribute", "label_attribute")
    options = ReadOptions(**{name: arguments.pop(name) for name in names})
    arguments["format"] = Format.parse(arguments["format"])
    report = validate(ValidationRequest(**arguments, options=options))
    sys.stdout.buffer.write(orjson.dumps(report.metrics(), option=orjson.OPT_INDENT_2) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
