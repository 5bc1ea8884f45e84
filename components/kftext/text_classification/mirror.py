"""Fill a mirror of hub models, so that training needs no network: run this where there is one.

  python -m kftext.text_classification.mirror --output s3://bucket/models tensorflow-tc-albert-en-base
  python -m kftext.text_classification.mirror --output /mnt/models --all
  export KFTEXT_MODEL_MIRROR=s3://bucket/models

Each model becomes `<output>/<path of its handle>.tar.gz`, the matching preprocessing model too; what is there already stays.
"""

from __future__ import annotations

import sys
import tarfile
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from kftext import cli, storage
from kftext.errors import UsageError
from kftext.text_classification.catalogue import CATALOGUE, find
from kftext.text_classification.resolution import fetch, is_handle, mirror_path

__all__ = ["handles_of", "main", "mirror"]


def handles_of(models: Iterable[str]) -> list[str]:
    """Return the hub handles that models need, each once: encoders and their preprocessing.

    Raises:
        UsageError: one is neither an id of the catalogue nor a hub handle.
    """
    handles: dict[str, None] = {}
    for name in models:
        entry = find(name)
        if entry is not None:
            handles |= {entry.handle: None, entry.preprocessing: None}
        elif is_handle(name):
            handles[name.rstrip("/")] = None
        else:
            raise UsageError(
                f"{name!r} is neither an id of the catalogue nor a TensorFlow Hub handle"
            )
    return list(handles)


def mirror(handle: str, output: str, work_dir: Path) -> str:
    """Put one hub model into a mirror, unless it is there; return the archive's path.

    Raises:
        StorageError: the hub can't be reached, or the archive can't be written.
    """
    archive = mirror_path(output, handle)
    if storage.exists(archive):
        return archive
    folder = fetch(handle, work_dir)
    with (
        storage.open_writer(archive) as stream,
        tarfile.open(fileobj=stream, mode="w|gz") as tar,
    ):
        for file in storage.list_files(folder):
            tar.add(file, Path(file).relative_to(folder).as_posix())
    return archive


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; it prints the path of each archive."""
    parser = cli.ArgumentParser("python -m kftext.text_classification.mirror", description=__doc__)
    parser.add_argument(
        "models", nargs="*", metavar="MODEL", help="ids of the catalogue or handles"
    )
    parser.add_argument("--all", action="store_true", help="all models of the catalogue")
    parser.add_argument("--output", required=True, metavar="DIR", help="the mirror, local or s3://")
    options = parser.parse_args(argv)
    if bool(options.models) == options.all:
        raise UsageError("expected ids or handles of models, or --all")
    with tempfile.TemporaryDirectory(prefix="kftext-") as work_dir:
        for handle in handles_of(CATALOGUE if options.all else options.models):
            print(mirror(handle, options.output, Path(work_dir)), flush=True)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
