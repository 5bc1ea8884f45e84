"""Build the container images: `python images/build.py [NAME ...]`.

Uses the first of docker, podman and buildah that works, or the one that --builder names. Images are tagged as the pipelines and
manifests name them: KFTEXT_IMAGE_REGISTRY/NAME:KFTEXT_IMAGE_TAG.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from kftext import __version__, cli
from kftext.errors import KftextError, ResourceError
from kftext.images import NAMES, image

ROOT = Path(__file__).resolve().parents[1]
BUILDERS = ("docker", "podman", "buildah")
VARIANTS = {"tensorflow-gpu": ("tensorflow", ("VARIANT=gpu",))}
"""Image → the folder of the Dockerfile that it shares with another, and its build arguments."""


class BuildError(KftextError):
    """An image could not be built; the builder's output says why."""


def find_builder(name: str | None = None) -> str:
    """Return the builder to use.

    Raises:
        ResourceError: none works.
    """
    for candidate in [name] if name else BUILDERS:
        # `docker` alone is a client: whether there is a daemon behind it, only `info` tells.
        if (
            shutil.which(candidate)
            and not subprocess.run([candidate, "info"], capture_output=True).returncode
        ):
            return candidate
    raise ResourceError(f"no builder works: expected {name or 'docker, podman or buildah'}")


def command(builder: str, name: str, options: Sequence[str]) -> list[str]:
    """Return the command that builds one image.

    Args:
        builder: one of `BUILDERS`.
        name: one of `kftext.images.NAMES`.
        options: more options of the builder's `build`.
    """
    revision = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()
    folder, arguments = VARIANTS.get(name, (name, ()))
    arguments = (f"VERSION={__version__}", f"REVISION={revision or 'unknown'}", *arguments)
    words = [builder, "build", "--file", f"images/{folder}/Dockerfile", "--tag", image(name)]
    if builder != "docker":
        words += ["--format", "docker"]  # OCI's format has no health check
    for argument in arguments:
        words += ["--build-arg", argument]
    return [*words, *options, "."]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; options that it doesn't know go to the builder."""
    parser = cli.ArgumentParser("python images/build.py", description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"of {', '.join(NAMES)}; all of them when none is given",
    )
    parser.add_argument("--builder", choices=BUILDERS, help="the first that works")
    options, rest = parser.parse_known_args(argv)
    unknown = [word for word in options.names if word not in NAMES]
    if unknown:
        parser.error(f"no image is named {unknown[0]}: expected {', '.join(NAMES)}")
    builder = find_builder(options.builder)
    for name in options.names or NAMES:
        print(f"{image(name)} with {builder}", flush=True)  # noqa: T201
        if subprocess.run(command(builder, name, rest), cwd=ROOT).returncode:
            raise BuildError(f"{builder} could not build {name}: its output above says why")
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
