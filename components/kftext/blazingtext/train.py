"""Train word vectors or a text classifier.

  python -m kftext.blazingtext.train --train text.txt --model-dir model --mode skipgram --vector-dim 100
  python -m kftext.blazingtext.train --train train.txt --validation valid.txt --model-dir model --mode supervised --early-stopping True
  python -m kftext.blazingtext.train --train s3://bucket/corpus/ --model-dir s3://bucket/model --hyperparameters hyperparameters.json

A flag wins over the hyperparameters' file. Paths are local or s3://bucket/key; a folder or prefix is one data set.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from kftext import cli
from kftext.blazingtext.hyperparameters import (
    MODES,
    SupervisedHyperparameters,
    Word2VecHyperparameters,
    read_hyperparameters,
)
from kftext.cores import available_cores
from kftext.data.formats import Format, ReadOptions
from kftext.data.tokens import LABEL_PREFIX

__all__ = ["main"]


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected an integer > 0")
    return int(text)


def build_parser() -> cli.ArgumentParser:
    """Return the parser of this command."""
    parser = cli.ArgumentParser(
        prog="python -m kftext.blazingtext.train",
        usage="%(prog)s --train PATH --model-dir DIR --mode MODE [options; --help lists them]",
        description=__doc__,
    )
    _add_data(parser.add_argument_group("data and model"))
    _add_run(parser.add_argument_group("run"))
    hyperparameters = parser.add_argument_group("hyperparameters")
    hyperparameters.add_argument(
        "--hyperparameters", metavar="FILE.json", help="a JSON object of hyperparameters"
    )
    hyperparameters.add_argument("--mode", metavar="MODE", help=f"one of {', '.join(MODES)}")
    Word2VecHyperparameters.add_arguments(parser)
    SupervisedHyperparameters.add_arguments(parser)
    return parser


def _add_data(paths: argparse._ArgumentGroup) -> None:
    """Add what is read, how, and what is written."""
    paths.add_argument(
        "--train", nargs="+", required=True, metavar="PATH", help="training data: files or folders"
    )
    paths.add_argument(
        "--validation",
        nargs="+",
        default=[],
        metavar="PATH",
        help="data that a classifier is tried on",
    )
    paths.add_argument(
        "--model-dir", required=True, metavar="DIR", help="the model folder to write"
    )
    paths.add_argument(
        "--format",
        choices=[member.value for member in Format],
        help="of the data (default: corpus for word vectors, labeled-text for a classifier)",
    )
    paths.add_argument(
        "--label-prefix", default=LABEL_PREFIX, help="what labels start with (default %(default)s)"
    )
    paths.add_argument(
        "--source-attribute", default="source", help="a manifest's text (default %(default)s)"
    )
    paths.add_argument(
        "--label-attribute", default="label", help="a manifest's label (default %(default)s)"
    )
    paths.add_argument(
        "--initial-model",
        metavar="PATH",
        help="a model to go on from, with the new words and labels added",
    )
    paths.add_argument(
        "--pretrained-vectors",
        metavar="PATH",
        help="word vectors that a classifier begins with: word2vec text, a fastText binary or a model folder",
    )
    paths.add_argument(
        "--pairs",
        nargs="+",
        default=[],
        metavar="FILE",
        help="similarity sets that word vectors are judged on (default: the installed WS-353)",
    )


def _add_run(run: argparse._ArgumentGroup) -> None:
    """Add where and with what the run computes, and where it is saved."""
    run.add_argument("--seed", type=int, default=0, help="one thread repeats bit for bit")
    run.add_argument(
        "--threads",
        type=_positive,
        default=available_cores(),
        help="default: the processors at hand, here %(default)s",
    )
    run.add_argument(
        "--device",
        choices=["auto", "cpu", "cuda"],
        default="auto",
        help="cuda: the GPUs at hand, one for a classifier; auto: the GPUs where there are some and it pays, else the CPU "
        "(default %(default)s)",
    )
    run.add_argument(
        "--checkpoint",
        metavar="DIR",
        help="save the run here now and then, and go on from what was saved",
    )
    run.add_argument(
        "--checkpoint-minutes",
        type=float,
        default=10.0,
        metavar="MINUTES",
        help="between two checkpoints (default %(default)s)",
    )
    run.add_argument(
        "--checkpoint-epochs",
        type=_positive,
        metavar="EPOCHS",
        help="save after every so many epochs as well",
    )
    run.add_argument("--work-dir", metavar="DIR", help="for what does not fit in memory")
    run.add_argument(
        "--memory-limit",
        type=int,
        metavar="MIB",
        help="token ids held in memory, in MiB; others go to the work dir (default: half of what is available)",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    options = build_parser().parse_args(argv)
    names = {*Word2VecHyperparameters.model_fields, *SupervisedHyperparameters.model_fields}
    given = {name: getattr(options, name) for name in names}
    file = options.hyperparameters
    hyperparameters = read_hyperparameters(
        Word2VecHyperparameters.read_file(file) if file else {}, given
    )
    # Numba is imported once it is clear that there is something to train.
    from kftext.blazingtext.checkpoint import CheckpointOptions
    from kftext.blazingtext.training import TrainingRequest, train

    checkpoint = None
    if options.checkpoint:
        checkpoint = CheckpointOptions(
            options.checkpoint, options.checkpoint_minutes, options.checkpoint_epochs
        )
    train(
        TrainingRequest(
            train=options.train,
            model_dir=options.model_dir,
            hyperparameters=hyperparameters,
            format=Format(options.format) if options.format else None,
            validation=options.validation,
            reading=ReadOptions(
                options.label_prefix, options.source_attribute, options.label_attribute
            ),
            seed=options.seed,
            threads=options.threads,
            device=options.device,
            work_dir=options.work_dir,
            memory_limit=None if options.memory_limit is None else options.memory_limit << 20,
            initial_model=options.initial_model,
            checkpoint=checkpoint,
            pretrained_vectors=options.pretrained_vectors,
            word_pairs=options.pairs,
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
