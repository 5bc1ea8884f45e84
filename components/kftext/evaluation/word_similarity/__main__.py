"""Score word vectors: `python -m kftext.evaluation.word_similarity --model FILE --output eval.json`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from kftext import cli
from kftext.artifacts import write_json
from kftext.evaluation.word_similarity.evaluate import evaluate


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = cli.ArgumentParser(
        prog="python -m kftext.evaluation.word_similarity", description=__doc__
    )
    parser.add_argument(
        "--model", required=True, help="model folder, fastText binary or word2vec text file"
    )
    parser.add_argument(
        "--pairs", nargs="+", default=[], help="similarity sets; the installed WS-353 by default"
    )
    parser.add_argument(
        "--neighbors-of", nargs="+", default=[], metavar="WORD", help="words for the report"
    )
    parser.add_argument("--output", required=True, help="the eval.json to write")
    parser.add_argument("--report", help="the HTML report to write")
    options = parser.parse_args(argv)
    evaluation = evaluate(options.model, options.pairs, options.neighbors_of)
    write_json(options.output, evaluation.eval_json)
    if options.report:
        # Only who wants the page needs the packages that draw it.
        from kftext.evaluation.word_similarity.report import write_report

        write_report(evaluation, options.report)
    mean_rho = evaluation.eval_json["mean_rho"]
    if mean_rho is not None:
        print(f"#mean_rho: {mean_rho:.4f}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
