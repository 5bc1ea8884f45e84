"""What every pipeline file shares: compile to YAML, run on this machine, submit to a cluster.

::

    python pipelines/word_vectors.py                                    write word_vectors.yaml beside the file
    python pipelines/word_vectors.py --local --data_uri corpus.txt      run here, without a cluster
    python pipelines/word_vectors.py --host URL --data_uri s3://b/k     submit through the kfp client
    python pipelines/word_vectors.py --resource train_blazingtext.memory=32G    a larger step, compiled or submitted

A pipeline's own parameters are flags of the same names.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import yaml

from compiled import compiled, write_yaml
from kftext import cli
from kftext.errors import StorageError, UsageError
from local_run import run_local
from submit import Destination, submit

__all__ = ["main"]


def _parameters(pipeline: Any) -> dict[str, Any]:
    """Name → specification of the pipeline's inputs, as compiled."""
    return dict(pipeline.component_spec.inputs or {})


def _read_argument(name: str, kind: str, text: str) -> Any:
    """Read a flag's text as the type that the pipeline declares for the parameter."""
    try:
        match kind:
            case "Integer":
                return int(text)
            case "Float":
                return float(text)
            case "Boolean":
                return {"true": True, "false": False}[text.lower()]
            case "List" | "Dict":
                return orjson.loads(text)
            case _:
                return text
    except (ValueError, KeyError):
        valid = {"Integer": "an integer", "Float": "a number", "Boolean": "true or false"}
        raise UsageError(
            f"--{name} {text}: expected {valid.get(kind, f'JSON ({kind.lower()})')}"
        ) from None


def _arguments(pipeline: Any, options: Any) -> dict[str, Any]:
    given = {}
    for name, specification in _parameters(pipeline).items():
        text = getattr(options, name)
        if text is not None:
            given[name] = _read_argument(name, specification.type, text)
        elif not specification.optional:
            raise UsageError(f"--{name} is required")
    return given


def _parser(pipeline: Any, file: Path) -> cli.ArgumentParser:
    parser = cli.ArgumentParser(
        prog=f"python {file.parent.name}/{file.name}", description=pipeline.description
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--local", action="store_true", help="run on this machine")
    where.add_argument(
        "--host", metavar="URL", help="submit to the KFP API at this address (token: KFP_TOKEN)"
    )
    parser.add_argument(
        "--root",
        type=Path,
        default=Path("local-outputs"),
        help="folder of local runs (%(default)s)",
    )
    parser.add_argument(
        "--output", type=Path, default=file.with_suffix(".yaml"), help="the YAML to write"
    )
    parser.add_argument(
        "--resource",
        action="append",
        default=[],
        metavar="STEP.FIELD=QUANTITY",
        help="what a step asks for: cpu, memory, cpu_limit or memory_limit; repeat for several",
    )
    parser.add_argument("--experiment", help="experiment of the submitted run")
    parser.add_argument("--namespace", help="namespace of the submitted run")
    group = parser.add_argument_group("pipeline parameters")
    for name, specification in _parameters(pipeline).items():
        default = "required" if not specification.optional else f"default {specification.default}"
        text = f"{specification.description or ''} ({default})".replace("%", "%%")
        group.add_argument(f"--{name}", metavar=specification.type.upper(), help=text)
    return parser


def _write(pipeline: Any, resources: Sequence[str], path: Path) -> None:
    try:
        if resources:
            path.write_text(yaml.safe_dump_all(compiled(pipeline, resources)), encoding="utf-8")
        else:
            write_yaml(pipeline, path)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from None


def main(pipeline: Any, file: str) -> None:
    """Run the command line of the pipeline file `file` and exit.

    Args:
        pipeline: the decorated pipeline function.
        file: `__file__` of the pipeline's module.
    """
    parser = _parser(pipeline, Path(file))

    def command(argv: Sequence[str] | None) -> None:
        options = parser.parse_args(argv)
        if options.local:
            run = run_local(pipeline, _arguments(pipeline, options), options.root)
            for name, artifact in run.outputs.items():
                print(f"{name}: {getattr(artifact, 'path', artifact)}")
        elif options.host:
            destination = Destination(options.host, options.namespace, options.experiment)
            arguments = _arguments(pipeline, options)
            run_id = submit(compiled(pipeline, options.resource), arguments, destination)
            print(f"run {run_id} submitted to {options.host}")
        else:
            _write(pipeline, options.resource, options.output)
            print(f"wrote {options.output}")

    code = cli.run(command)
    logging.shutdown()
    sys.exit(code)
