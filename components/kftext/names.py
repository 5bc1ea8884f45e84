"""What a model may be called: its endpoint, its folder in the registry and its place in URLs have the same name."""

from __future__ import annotations

import re

from kftext.errors import UsageError

__all__ = ["check_name"]

_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
# `<name>-<canary>-predictor` has to be a DNS label of at most 63 characters.
_LONGEST = 40


def check_name(name: str) -> None:
    """Refuse a name that an endpoint can't have.

    Raises:
        UsageError: with what is valid.
    """
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        raise UsageError(
            f"name {name!r}: expected at most {_LONGEST} lower-case letters, digits and dashes, a letter first"
        )
