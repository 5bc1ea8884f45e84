"""Measure a classifier: `python -m kftext.evaluation.classification --model FILE --data FILE --output evaluation.json`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from kftext import cli
from kftext.artifacts import write_json
from kftext.data.formats import Format, ReadOptions
from kftext.data.tokens import LABEL_PREFIX
from kftext.evaluation.classification.evaluate import evaluate


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = cli.ArgumentParser(
        prog="python -m kftext.evaluation.classification", description=__doc__
    )
    parser.add_argument("--model", required=True, help="model folder or fastText binary")
    parser.add_argument(
        "--data", nargs="+", required=True, help="labelled examples: files, folders or prefixes"
    )
    parser.add_argument(
        "--format",
        default=Format.LABELED_TEXT.value,
        help="labeled-text, manifest or csv (%(default)s)",
    )
    parser.add_argument(
        "--label-prefix", default=LABEL_PREFIX, help="what a label starts with (%(default)s)"
    )
    parser.add_argument(
        "--k", type=int, default=1, help="labels to ask for, each example (%(default)s)"
    )
    parser.add_argument("--output", required=True, help="the JSON to write")
    parser.add_argument("--report", help="the HTML report to write")
    options = parser.parse_args(argv)
    evaluation = evaluate(
        options.model,
        options.data,
        Format.parse(options.format),
        k=options.k,
        options=ReadOptions(label_prefix=options.label_prefix),
    )
    write_json(options.output, evaluation.evaluation_json)
    if options.report:
        # Only who wants the page needs the packages that draw it.
        from kftext.evaluation.classification.report import write_report

        write_report(evaluation, options.report)
    print(f"#accuracy: {evaluation.counts.accuracy:.4f}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
