"""Pages that the server holds itself: `/openapi.json` and `/ui`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import resources

import orjson

from kftext.serving.messages import Reply
from kftext.serving.openapi import document

__all__ = ["PAGES"]

# The page brings its own style and script, and talks to nobody but this server.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; connect-src 'self'; base-uri 'none'"


@cache
def _ui(_: tuple[str, ...]) -> Reply:
    page = resources.files("kftext.serving").joinpath("ui.html").read_bytes()
    return Reply(page, "text/html; charset=utf-8", headers=(("content-security-policy", POLICY),))


@cache
def _openapi(models: tuple[str, ...]) -> Reply:
    return Reply(orjson.dumps(document(models)))


PAGES: dict[str, Callable[[tuple[str, ...]], Reply]] = {"/openapi.json": _openapi, "/ui": _ui}
"""Path -> the page, given the names of the models."""
