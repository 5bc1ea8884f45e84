"""Write the YAML of every component and pipeline beside its Python file, and the pipelines' manifests for GitOps.

::

    python pipelines/compile.py             write
    python pipelines/compile.py --check     write nothing; end with code 1 when a file is not current
"""

from __future__ import annotations

import functools
import importlib
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from kfp.dsl import base_component

import kftext
from compiled import write_manifest, write_yaml
from kftext import cli

PIPELINES = Path(__file__).resolve().parent
PACKAGE = Path(kftext.__file__).resolve().parent
MANIFESTS = PIPELINES.parent / "manifests" / "pipelines"


def components() -> Iterator[tuple[Path, Any]]:
    """Yield the YAML path and the component of each `component.py`: it defines one."""
    for file in sorted(PACKAGE.rglob("component.py")):
        name = ".".join(("kftext", *file.relative_to(PACKAGE).with_suffix("").parts))
        module = importlib.import_module(name)
        (component,) = (
            value
            for value in vars(module).values()
            if isinstance(value, base_component.BaseComponent)
            and value.python_func.__module__ == name
        )
        yield file.with_suffix(".yaml"), component


def pipelines() -> Iterator[tuple[Path, Any]]:
    """Yield the YAML path and the pipeline of each pipeline file: the function named after the file."""
    for file in sorted(PIPELINES.glob("*.py")):
        pipeline = getattr(importlib.import_module(file.stem), file.stem, None)
        if isinstance(pipeline, base_component.BaseComponent):
            yield file.with_suffix(".yaml"), pipeline


def files() -> Iterator[tuple[Path, Callable[[Path], None]]]:
    """Yield each file to be written, and what writes it to a path."""
    for path, definition in (*components(), *pipelines()):
        yield path, functools.partial(write_yaml, definition)
    for _, pipeline in pipelines():
        yield MANIFESTS / f"{pipeline.name}.yaml", functools.partial(write_manifest, pipeline)


def outdated() -> list[Path]:
    """Return the files that are missing or differ from what their Python files compile to."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for path, write in files():
            fresh = Path(folder, "fresh.yaml")
            write(fresh)
            if not path.exists() or path.read_bytes() != fresh.read_bytes():
                found.append(path)
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = cli.ArgumentParser(prog="python pipelines/compile.py", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    if parser.parse_args(argv).check:
        stale = outdated()
        for path in stale:
            print(f"{path} is not current: run make compile")
        return 1 if stale else 0
    for path, write in files():
        write(path)
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
