"""Runs code as if only some of this package's extras were installed.

What an environment with an extra alone could not import is blocked by a finder in a subprocess: no second environment has to be
built, and no network is needed.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable
from importlib import metadata

from packaging.requirements import Requirement

_PRELUDE = """
import sys

class Blocker:
    blocked = frozenset({blocked})

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.blocked:
            raise ModuleNotFoundError(f"blocked: {{name}} is not installed with these extras", name=name)
        return None

sys.meta_path.insert(0, Blocker())
"""


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def distributions(extras: Iterable[str]) -> set[str]:
    """Return the names of the distributions that `pip install 'kftext[extras]'` brings, found in this environment."""
    found: set[str] = set()
    todo = [("kftext", frozenset(extras))]
    seen = set()
    while todo:
        name, wanted = todo.pop()
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        found.add(name)
        try:
            requirements = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue  # for another platform or Python
        for text in requirements:
            requirement = Requirement(text)
            marker = requirement.marker
            environments = [{"extra": extra} for extra in ("", *wanted)]
            if marker is None or any(marker.evaluate(environment) for environment in environments):
                todo.append((_canonical(requirement.name), frozenset(requirement.extras)))
    return found


def blocked_modules(extras: Iterable[str]) -> set[str]:
    """Return the top-level modules of this environment that come with none of the extras' distributions."""
    allowed = distributions(extras)
    return {
        module
        for module, owners in metadata.packages_distributions().items()
        if not any(_canonical(owner) in allowed for owner in owners)
    }


def run_with_extras(
    code: str, extras: Iterable[str], **options
) -> subprocess.CompletedProcess[str]:
    """Run Python code in a subprocess where only the base package and some extras are there.

    Args:
        code: statements.
        extras: names of extras of pyproject.toml; none for the base package alone.
        options: for `subprocess.run`.
    """
    prelude = _PRELUDE.format(blocked=json.dumps(sorted(blocked_modules(extras))))
    command = [sys.executable, "-c", prelude + code]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, **options)
