"""Deploy a packaged model to KServe and see that it answers.

python -m kftext.deployment --model-uri s3://models/topics/model.tar.gz --name topics
python -m kftext.deployment --model-uri s3://models/topics/2/model.tar.gz --name topics --traffic-percent 10

The cluster is that of KUBECONFIG (or of the pod). An endpoint that does not get ready or answers wrongly is rolled back. Prints
the endpoint as JSON. A local path as the model's URI is served on this machine, asked, and stopped.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict

import orjson

from kftext import cli
from kftext.deployment.deploy import deploy
from kftext.deployment.request import FORMATS, DeployRequest


def _parser() -> cli.ArgumentParser:
    default = DeployRequest("s3://models/model.tar.gz", "model")
    parser = cli.ArgumentParser("python -m kftext.deployment", description=__doc__)
    add = parser.add_argument
    add(
        "--model-uri",
        required=True,
        help="model.tar.gz, a folder or a fastText binary, where the cluster can fetch it",
    )
    add("--name", required=True, help="of the InferenceService, and of the model in the URL")
    add(
        "--namespace",
        default=default.namespace,
        help="that of the pod, or of the kubeconfig's context, when not given",
    )
    add("--model-format", default=default.model_format, choices=FORMATS, help="(%(default)s)")
    add(
        "--runtime",
        default=default.runtime,
        help="ServingRuntime; KServe chooses by the format when not given",
    )
    add("--service-account", default=default.service_account, help="that the model is fetched with")
    add(
        "--mode",
        default=default.mode,
        choices=("Standard", "Knative"),
        help="of a new endpoint (%(default)s)",
    )
    add(
        "--min-replicas",
        type=int,
        default=default.min_replicas,
        help="-1 leaves what is there (%(default)s)",
    )
    add(
        "--max-replicas",
        type=int,
        default=default.max_replicas,
        help="-1 leaves what is there (%(default)s)",
    )
    add(
        "--traffic-percent",
        type=int,
        default=default.traffic_percent,
        help="less than 100: a canary (%(default)s)",
    )
    add(
        "--text", action="append", dest="texts", help="what to ask the endpoint; repeat for several"
    )
    add(
        "--expected-label",
        default=default.expected_label,
        help="label that the first text must get",
    )
    add(
        "--timeout",
        type=float,
        default=default.timeout,
        help="seconds until it must be ready (%(default)s)",
    )
    add(
        "--url",
        default=default.url,
        help="how to reach the endpoint from here, such as a port-forward",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    arguments = vars(_parser().parse_args(argv))
    texts = arguments.pop("texts")
    if texts:
        arguments["texts"] = tuple(texts)
    deployed = deploy(DeployRequest(**arguments))
    sys.stdout.buffer.write(orjson.dumps(asdict(deployed), option=orjson.OPT_INDENT_2) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
