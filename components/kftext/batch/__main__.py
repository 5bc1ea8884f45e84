"""Predict every line of a file, a folder or a prefix.

python -m kftext.batch --model model/ --input texts.jsonl --output results.jsonl --k 2
python -m kftext.batch --model s3://models/topics/model.tar.gz --input s3://data/texts/ --output s3://data/results/

Input: JSON Lines, {"source": "text", "k": 2} with k optional, or one text a line; plain or gzip. Output: JSON Lines in the same
order, {"prob": [...], "label": [...]} for a classifier; {"error": "..."} for a line at fault, which rejects.jsonl lists by
file and number. The same command goes on with a run that was killed. Prints a summary as JSON.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict

import orjson

from kftext import cli
from kftext.batch.records import InputFormat
from kftext.batch.transform import BatchRequest, transform
from kftext.models import Output


def _parser() -> cli.ArgumentParser:
    default = BatchRequest("model", "input", "output")
    parser = cli.ArgumentParser("python -m kftext.batch", description=__doc__)
    add = parser.add_argument
    add(
        "--model",
        required=True,
        help="model folder, fastText binary or model.tar.gz; local or s3://",
    )
    add("--input", required=True, help="file, folder or s3:// prefix; plain or gzip")
    add("--output", required=True, help="folder or s3:// prefix for parts; or a file that ends in .jsonl, .json, .ndjson, .out or .txt")  # fmt: skip
    add("--format", default=default.format.value, choices=[member.value for member in InputFormat],
        help="of the input (%(default)s: JSON Lines where a file's name says so, else text)")  # fmt: skip
    add("--results", default="", choices=[member.value for member in Output], help="what to write of each line (labels of a classifier, vectors of words)")  # fmt: skip
    add("--k", type=int, default=default.k, help="labels or neighbours, where a line doesn't say (1 label, 10 neighbours)")  # fmt: skip
    add("--threshold", type=float, default=default.threshold, help="leave out labels below this probability (%(default)s)")  # fmt: skip
    add("--processes", type=int, default=default.processes, help="how many predict (as many as there are cores)")  # fmt: skip
    add("--part-bytes", type=int, default=default.part_bytes, help="bytes of input from which on a part is closed (%(default)s)")  # fmt: skip
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    arguments = vars(_parser().parse_args(argv))
    arguments["format"] = InputFormat.parse(arguments["format"])
    summary = transform(BatchRequest(**arguments))
    sys.stdout.buffer.write(orjson.dumps(asdict(summary), option=orjson.OPT_INDENT_2) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
