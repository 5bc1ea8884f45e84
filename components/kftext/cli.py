"""What every command line and every pipeline step share: flags, exit codes, and how an error reaches a person."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from kftext.errors import KftextError

__all__ = ["TERMINATION_LOG", "ArgumentParser", "report_errors", "run"]

TERMINATION_LOG = "KFTEXT_TERMINATION_LOG"
"""Environment variable: the file that a failing step's last message is written to, beside stderr.

Kubernetes shows the content of `/dev/termination-log` as the reason a container ended; that file is the default where it
exists. `pipelines/` uses the variable to show a local step's message last.
"""


class ArgumentParser(argparse.ArgumentParser):
    """argparse with flags that may be written with dashes or underscores alike: `--vector_dim`, `--vector-dim`."""

    def __init__(self, *args, **kwargs):
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        kwargs.setdefault("allow_abbrev", False)
        super().__init__(*args, **kwargs)

    def parse_known_args(self, args=None, namespace=None):
        """Parse after spelling each flag the way it was declared."""
        words = list(sys.argv[1:] if args is None else args)
        return super().parse_known_args([self._declared(word) for word in words], namespace)

    def _declared(self, word: str) -> str:
        flag, equals, value = word.partition("=")
        if not flag.startswith("--") or flag in self._option_string_actions:
            return word
        name = flag[2:]
        for spelling in (name.replace("-", "_"), name.replace("_", "-")):
            if f"--{spelling}" in self._option_string_actions:
                return f"--{spelling}{equals}{value}"
        return word


@contextmanager
def report_errors() -> Iterator[None]:
    """Turn an error of ours into one clear message and the exit code that fits; let bugs through with their traceback.

    Wraps the body of each KFP component and, through `run`, each command.

    Raises:
        SystemExit: with `KftextError.exit_code`, after the message was printed to stderr and written to the termination log.
    """
    try:
        yield
    except KftextError as error:
        message = f"error: {error}"
        # stdout is flushed first so that the message is what stands last where both streams share a screen.
        _flush_stdout()
        print(message, file=sys.stderr, flush=True)  # noqa: T201
        _write_termination_log(message)
        raise SystemExit(error.exit_code) from None


def _flush_stdout() -> None:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_stdout()


def _discard_stdout() -> None:
    """The reader of our output went away (`| head`): nothing is wrong; keep Python's own flush at exit silent."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _write_termination_log(message: str) -> None:
    path = Path(os.environ.get(TERMINATION_LOG) or "/dev/termination-log")
    if os.environ.get(TERMINATION_LOG) or path.exists():
        try:
            path.write_text(message + "\n", encoding="utf-8")
        except OSError:
            # The message already stands on stderr; a read-only log must not hide it behind a second error.
            logging.getLogger(__name__).debug("can't write %s", path)


def run(
    main: Callable[[Sequence[str] | None], int | None], argv: Sequence[str] | None = None
) -> int:
    """Run a command's `main` and return its exit code: 0 success, 1 input at fault, 2 wrong usage, 130 interrupted."""
    # Our own lines are for the person at the screen; libraries speak up only when something is wrong.
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("kftext").setLevel(logging.INFO)
    try:
        with report_errors():
            code = main(argv) or 0
            _flush_stdout()
            return code
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)  # noqa: T201
        return 130
    except BrokenPipeError:
        _discard_stdout()
        return 0
