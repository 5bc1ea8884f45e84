"""A model card (Mitchell et al., "Model Cards for Model Reporting", 2019, as far as a run knows what belongs in one)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import kftext
from kftext.models.metadata import ModelMetadata

__all__ = ["Card"]


@dataclass(frozen=True)
class Card:
    """What is known of a version.

    Attributes:
        name, version, uri: which it is, and where its archive lies.
        registered: when, in UTC.
        size, sha256: of the archive.
        metadata: the model's own description; None for a model from elsewhere.
        evaluation: figures, of which plain numbers are shown.
        inputs: name → uri, files, size and digest of what it was made from.
    """

    name: str
    version: str
    uri: str
    registered: datetime
    size: int
    sha256: str
    metadata: ModelMetadata | None
    evaluation: Mapping[str, Any]
    inputs: Mapping[str, Mapping[str, Any]]

    def markdown(self) -> str:
        """Return the card."""
        model = self.metadata
        rows: list[tuple[str, Any]] = [
            ("version", self.version),
            ("archive", f"`{self.uri}`"),
            ("size", f"{self.size:,} bytes"),
            ("SHA-256", f"`{self.sha256}`"),
            ("registered", f"{self.registered:%Y-%m-%d %H:%M:%S} UTC"),
        ]
        if model is not None:
            rows[:0] = [("kind", model.kind), ("algorithm", model.algorithm)]
        parts = [
            f"# {self.name}\n",
            _table(("model", ""), rows),
            _section("Evaluation", ("figure", "value"), _numbers(self.evaluation)),
            _section("Made from", ("input", "URI", "files", "bytes", "digest"), self._inputs()),
        ]
        if model is not None:
            parts += [
                _section("Training", ("figure", "value"), _numbers(model.metrics)),
                _section(
                    "Hyperparameters", ("name", "value"), sorted(model.hyperparameters.items())
                ),
                _section("Encoder", ("", ""), _plain(model.encoder)),
            ]
        versions = {
            **(model.versions if model else {}),
            "kftext": model.kftext_version if model else kftext.__version__,
        }
        parts.append(_section("Versions", ("package", "version"), versions.items()))
        return "\n".join(part for part in parts if part)

    def _inputs(self) -> Iterable[tuple[Any, ...]]:
        for name, one in self.inputs.items():
            digest = one.get("digest")
            shown = f"`{digest[:16]}`" if digest else ""
            yield name, f"`{one['uri']}`", one.get("files", ""), one.get("size", ""), shown


def _numbers(figures: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [
        (name, f"{value:.4g}" if isinstance(value, float) else value)
        for name, value in figures.items()
        if isinstance(value, int | float)
    ]


def _plain(values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in values.items() if isinstance(value, str | int | float)]


def _section(title: str, headers: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> str:
    rows = list(rows)
    return f"## {title}\n\n{_table(headers, rows)}" if rows else ""


def _table(headers: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> str:
    lines = [headers, ("---",) * len(headers), *rows]
    return "".join(f"| {' | '.join(_cell(cell) for cell in line)} |\n" for line in lines)


def _cell(value: Any) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")
