"""Pack a model folder into the archive that KServe and SageMaker-style hosts take.

python -m kftext.packaging --model-dir model/ --output model.tar.gz
python -m kftext.packaging --model-dir model/ --output s3://models/topics/model.tar.gz
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from kftext import cli
from kftext.packaging.packing import pack


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its answer on stdout is the archive's path, size and digest."""
    parser = cli.ArgumentParser("python -m kftext.packaging", description=__doc__)
    parser.add_argument(
        "--model-dir", required=True, metavar="DIR", help="model folder, local or s3://"
    )
    parser.add_argument(
        "--output", required=True, metavar="FILE", help="archive to write, local or s3://"
    )
    options = parser.parse_args(argv)
    archive = pack(options.model_dir, options.output)
    print(f"{archive.uri}: {archive.size} bytes, sha256 {archive.sha256}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
