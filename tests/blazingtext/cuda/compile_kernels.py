"""Compile kernels; write as JSON, to the file named, what they take, and the PTX of all but the last, which goes through the command.

A program of its own: the simulator and the compiler exclude each other.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path

from kftext.blazingtext.cuda import resources

CASES = [
    ("skipgram", 100, "sm_90"),
    ("skipgram", 300, "sm_80"),
    ("skipgram", 1024, "sm_90"),
    ("skipgram, subwords", 100, "sm_90"),
    ("batch_skipgram", 100, "sm_90"),
    ("cbow, subwords", 1024, "sm_90"),
    ("supervised, softmax", 100, "sm_90"),
    ("supervised, ns", 100, "sm_80"),
    ("cbow", 100, "sm_90"),
]


def main(file):
    table, texts = [], []
    for kernel, dim, architecture in CASES[:-1]:
        mode, _ = resources.VARIANTS[kernel]
        capability = resources.ARCHITECTURES[architecture]
        texts.append(resources.compile_ptx(mode, resources.shape_for(kernel, dim), capability))
        table.append(asdict(resources.assemble(kernel, dim, texts[-1], architecture)))
    kernel, dim, architecture = CASES[-1]
    options = ["--kernels", kernel, "--dim", str(dim), "--architectures", architecture]
    assert resources.main([*options, "--json", str(file)]) == 0
    table += json.loads(file.read_text())
    file.write_text(
        json.dumps(
            {"table": table, "ptx": dict(zip((case[0] for case in CASES), texts, strict=False))}
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
