"""Train a text classifier from a pretrained encoder.

python -m kftext.text_classification.train --train data/ --model-dir model/ --model-id tensorflow-tc-albert-en-base
python -m kftext.text_classification.train --train data/ --validation held-out/ --model-dir model/ --model-id vectors/ --epochs 20
python -m kftext.text_classification.train --train more/ --model-dir better/ --model-id model/ --reinitialize_top_layer False

A data folder holds data.csv: no header, an integer class label, a comma, the text. --model-id is an id of the catalogue
(`python -m kftext.text_classification.defaults` lists them), a TensorFlow Hub handle, or the path of a SavedModel, of word vectors,
of a BERT checkpoint or of a classifier trained before. Paths are local or s3://bucket/key. A flag wins over the file of
hyperparameters, and both over the model's defaults.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from kftext import cli
from kftext.data.formats import Format, ReadOptions
from kftext.data.tokens import LABEL_PREFIX
from kftext.text_classification.catalogue import read_hyperparameters
from kftext.text_classification.device import DEVICES, choose_device
from kftext.text_classification.hyperparameters import SYNONYMS, TextClassificationHyperparameters

__all__ = ["main"]


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("expected an integer > 0")
    return value


def build_parser() -> cli.ArgumentParser:
    """Return the parser of this command."""
    parser = cli.ArgumentParser(
        prog="python -m kftext.text_classification.train", description=__doc__
    )
    paths = parser.add_argument_group("data and model")
    paths.add_argument("--train", required=True, metavar="DIR", help="folder with data.csv")
    paths.add_argument("--validation", metavar="DIR", help="folder of the same form")
    paths.add_argument(
        "--model-dir", required=True, metavar="DIR", help="the model folder to write"
    )
    paths.add_argument(
        "--model-id", required=True, metavar="MODEL", help="id, handle or path of the encoder"
    )
    paths.add_argument(
        "--preprocessing",
        metavar="MODEL",
        help="handle or path of the preprocessing model, for a transformer that is not in the catalogue",
    )
    paths.add_argument(
        "--pooling",
        default="",
        help="word vectors: mean (default) or sif; BERT checkpoint: pooled, mean or cls (default: what it says itself, else pooled)",
    )
    paths.add_argument(
        "--format",
        default=Format.CSV.value,
        choices=[member.value for member in Format if member.has_labels],
        help="of the data (default: %(default)s)",
    )
    paths.add_argument(
        "--label-prefix", default=LABEL_PREFIX, help="of labeled-text (default: %(default)s)"
    )
    paths.add_argument("--source-attribute", default="source", help="a manifest's text")
    paths.add_argument("--label-attribute", default="label", help="a manifest's label")
    run = parser.add_argument_group("run")
    run.add_argument("--seed", type=int, default=0, help="of all that is random (default 0)")
    run.add_argument("--threads", type=_positive, help="default: as many as TensorFlow likes")
    run.add_argument(
        "--device",
        choices=DEVICES,
        default="auto",
        help="cuda: the GPUs; auto: the GPUs where there are some, else the CPU (default %(default)s)",
    )
    run.add_argument(
        "--checkpoint",
        metavar="DIR",
        help="save the state here after each epoch, and go on from what was saved",
    )
    run.add_argument(
        "--embedding-cache",
        metavar="DIR",
        help="keep the embeddings of a frozen encoder here (default: beside local data; none: nowhere)",
    )
    run.add_argument("--log-dir", metavar="DIR", help="TensorBoard's files, while training runs")
    run.add_argument("--work-dir", metavar="DIR", help="for tokenized texts and fetched models")
    parser.add_argument(
        "--hyperparameters", metavar="FILE.json", help="a JSON object of hyperparameters"
    )
    TextClassificationHyperparameters.add_arguments(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    options = build_parser().parse_args(argv)
    names = {*TextClassificationHyperparameters.model_fields, *SYNONYMS}
    given = {name: getattr(options, name) for name in sorted(names)}
    file = options.hyperparameters
    from_file = TextClassificationHyperparameters.read_file(file) if file else {}
    # Names and values are checked before seconds go into importing TensorFlow.
    read_hyperparameters("bert", from_file, given)
    reading = ReadOptions(options.label_prefix, options.source_attribute, options.label_attribute)
    data_format = Format(options.format)

    from kftext.text_classification import backend, embedding_cache

    backend.prepare(options.threads)
    print(choose_device(options.device), flush=True)  # noqa: T201
    from kftext.text_classification.examples import Source
    from kftext.text_classification.training import TrainingRequest, train

    cache = options.embedding_cache or embedding_cache.beside(options.train)
    train(
        TrainingRequest(
            train=Source(options.train, data_format, reading),
            model_dir=options.model_dir,
            model=options.model_id,
            validation=Source(options.validation, data_format, reading)
            if options.validation
            else None,
            hyperparameters=(from_file, given),
            preprocessing=options.preprocessing,
            pooling=options.pooling,
            seed=options.seed,
            work_dir=options.work_dir,
            checkpoint=options.checkpoint,
            embedding_cache=None if cache == "none" else cache,
            log_dir=options.log_dir,
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
