"""What the compiled kernels take: registers, spills, shared memory. Needs no GPU.

  python -m kftext.blazingtext.cuda.resources                       # the table, for sm_80 and sm_90
  python -m kftext.blazingtext.cuda.resources --dim 100 300 1024 --json resources.json

A kernel is compiled to PTX by numba-cuda and to machine code by NVIDIA's ptxas, from the package nvidia-cuda-nvcc-cu12 or PATH.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import util
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from kftext import cli
from kftext.blazingtext.cuda.device import require_numba_cuda
from kftext.blazingtext.cuda.kernels.shape import RowShape, Shape, TextShape
from kftext.errors import ResourceError

__all__ = ["ARCHITECTURES", "Resources", "assemble", "compile_ptx", "main", "shape_for"]

ARCHITECTURES = {"sm_80": (8, 0), "sm_90": (9, 0)}
"""Compute capabilities by name: A100 and H100."""

_USED = re.compile(r"Used (\d+) registers")
_STACK = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_SHARED = re.compile(r"(\d+) bytes smem")


@dataclass(frozen=True)
class Resources:
    """What a kernel takes.

    Attributes:
        kernel: its name, with what sets it apart.
        dim: length of the vectors.
        architecture: "sm_80".
        registers: a thread.
        spills: bytes that a thread writes to memory, and reads again, because registers do not suffice.
        stack: bytes of memory that a thread's arrays take.
        shared: bytes of shared memory that a block, one warp, takes.
    """

    kernel: str
    dim: int
    architecture: str
    registers: int
    spills: int
    stack: int
    shared: int


@contextmanager
def _device_of(capability: tuple[int, int]) -> Iterator[None]:
    """Let device functions compile for a GPU that is not there: numba-cuda asks the current device."""
    from numba.cuda import dispatcher

    present = dispatcher.get_current_device
    dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=capability)
    try:
        yield
    finally:
        dispatcher.get_current_device = present


def compile_ptx(mode: str, shape: RowShape, capability: tuple[int, int]) -> str:
    """Return a kernel as PTX.

    Args:
        mode: skipgram, cbow, batch_skipgram or supervised.
        shape: what it is compiled for: `kernels.shape.Shape`, or `TextShape` for supervised.
        capability: compute capability, (9, 0) for sm_90.
    """
    from numba import cuda

    from kftext.blazingtext.cuda.kernels.compilation import LAUNCH_BOUNDS
    from kftext.blazingtext.cuda.launch import KERNELS

    # Device functions remember what they were compiled for: build them anew.
    build = KERNELS[mode].__wrapped__
    with _device_of(capability):
        text, _ = cuda.compile(
            build(shape).py_func,
            _signature(mode),
            device=False,
            abi="numba",
            fastmath=True,
            cc=capability,
            launch_bounds=LAUNCH_BOUNDS,
        )
    return str(text)


def _signature(mode: str) -> Any:
    """Return the types of a kernel's arguments."""
    from numba import float32, float64, int32, int64, types, uint32, uint64

    from kftext.blazingtext.cuda.kernels import state

    def struct(kind: type, *members: object) -> object:
        return types.NamedTuple(members, kind)

    weights = struct(state.Weights, float32[::1], float32[::1])
    if mode == "supervised":
        data = [
            struct(state.Texts, *[int32[::1]] * 5),
            weights,
            struct(
                state.Features, uint32[::1], int64, uint64, uint64, int64, int64[::1], int32[::1]
            ),
            struct(state.Labels, int64, int64, uint64[::1], int64[::1], int32[::1], float32[::1]),
        ]
    else:
        data = [
            struct(state.Lines, *[int32[::1]] * 3),
            weights,
            struct(state.Sampling, uint32[::1], uint64[::1]),
            struct(state.Subwords, int64[::1], int32[::1]),
        ]
    return types.void(
        *data,
        struct(state.Schedule, float64, float64),
        struct(state.Streams, uint64[::1], float64[::1], int64[::1]),
        struct(state.Scratch, float32[::1], int32[::1]),
    )


def find_ptxas() -> str:
    """Return the path of ptxas.

    Raises:
        ResourceError: there is none.
    """
    spec = util.find_spec("nvidia")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        program = Path(folder) / "cuda_nvcc" / "bin" / "ptxas"
        if program.exists():
            return str(program)
    program_on_path = shutil.which("ptxas")
    if program_on_path is None:
        raise ResourceError(
            "ptxas was not found: pip install nvidia-cuda-nvcc-cu12, or put CUDA's bin on PATH"
        )
    return program_on_path


def assemble(kernel: str, dim: int, ptx: str, architecture: str) -> Resources:
    """Assemble a kernel's PTX to machine code and return what it takes.

    Raises:
        ResourceError: there is no ptxas, or it does not take the PTX.
    """
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "kernel.ptx"
        source.write_text(ptx)
        result = subprocess.run(
            [
                find_ptxas(),
                "-v",
                f"-arch={architecture}",
                "-o",
                str(source.with_suffix(".cubin")),
                str(source),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
    log = result.stdout + result.stderr
    used, stack = _USED.search(log), _STACK.search(log)
    if result.returncode or not used or not stack:
        raise ResourceError(
            f"ptxas could not assemble {kernel}, dim {dim}, for {architecture}: {log.strip()}"
        )
    shared = _SHARED.search(log)
    return Resources(
        kernel,
        dim,
        architecture,
        registers=int(used[1]),
        spills=int(stack[2]) + int(stack[3]),
        stack=int(stack[1]),
        shared=int(shared[1]) if shared else 0,
    )


VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "skipgram": ("skipgram", {}),
    "skipgram, exact": ("skipgram", {"exact": True}),
    "skipgram, subwords": ("skipgram", {"subwords": True}),
    "cbow": ("cbow", {}),
    "cbow, subwords": ("cbow", {"subwords": True}),
    "batch_skipgram": ("batch_skipgram", {"batch_size": 11}),
    "batch_skipgram, subwords": ("batch_skipgram", {"batch_size": 11, "subwords": True}),
    "supervised, softmax": ("supervised", {"loss": "softmax"}),
    "supervised, ova": ("supervised", {"loss": "ova"}),
    "supervised, ns": ("supervised", {"loss": "ns"}),
    "supervised, hs": ("supervised", {"loss": "hs"}),
    "supervised, subwords": ("supervised", {"loss": "softmax", "subwords": True}),
}


def shape_for(name: str, dim: int, window: int = 5, negatives: int = 5) -> RowShape:
    """Return what a kernel of `VARIANTS` is compiled for."""
    mode, options = VARIANTS[name]
    if mode == "supervised":
        return TextShape(dim, **options)
    return Shape(dim, window, negatives, **options)


def measure(
    kernels: Sequence[str],
    dims: Sequence[int],
    architectures: Sequence[str] = tuple(ARCHITECTURES),
    window: int = 5,
    negatives: int = 5,
) -> Iterator[Resources]:
    """Yield what kernels, names of `VARIANTS`, take at each dimension, for each of some `ARCHITECTURES`."""
    for name in kernels:
        mode, _ = VARIANTS[name]
        for dim in dims:
            shape = shape_for(name, dim, window, negatives)
            for architecture in architectures:
                ptx = compile_ptx(mode, shape, ARCHITECTURES[architecture])
                yield assemble(name, dim, ptx, architecture)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = cli.ArgumentParser(
        prog="python -m kftext.blazingtext.cuda.resources", description=__doc__
    )
    parser.add_argument(
        "--kernels",
        nargs="+",
        choices=VARIANTS,
        default=list(VARIANTS),
        metavar="KERNEL",
        help=f"of {'; '.join(VARIANTS)}",
    )
    parser.add_argument("--dim", type=int, nargs="+", default=[100, 300], help="default: 100 300")
    parser.add_argument(
        "--architectures",
        nargs="+",
        choices=ARCHITECTURES,
        default=list(ARCHITECTURES),
        metavar="ARCHITECTURE",
        help=f"of {', '.join(ARCHITECTURES)} (default: all)",
    )
    parser.add_argument("--window-size", type=int, default=5, help="default: 5")
    parser.add_argument("--negative-samples", type=int, default=5, help="default: 5")
    parser.add_argument("--json", metavar="FILE", help="write the table here too")
    options = parser.parse_args(argv)
    require_numba_cuda()
    row = "{:<26} {:>5} {:>6} {:>9} {:>7} {:>6} {:>7}"
    print(row.format("kernel", "dim", "arch", "registers", "spills", "stack", "shared"), flush=True)  # noqa: T201
    table = []
    for entry in measure(
        options.kernels,
        options.dim,
        options.architectures,
        options.window_size,
        options.negative_samples,
    ):
        table.append(asdict(entry))
        print(row.format(*table[-1].values()), flush=True)  # noqa: T201
    if options.json:
        Path(options.json).write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
