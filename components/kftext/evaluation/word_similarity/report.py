"""The page that a person reads: one table, one picture a set, and neighbours to judge by eye."""

from __future__ import annotations

import os

from kftext.evaluation.word_similarity.evaluate import WordVectorEvaluation
from kftext.reports import charts
from kftext.reports.html import Page

__all__ = ["write_report"]


def write_report(evaluation: WordVectorEvaluation, path: str | os.PathLike[str]) -> None:
    """Write the HTML report."""
    page = Page(
        "Word vectors",
        f"{evaluation.words:,} words, {evaluation.dimension} dimensions.",
    )
    page.heading("Similarity judged by people")
    if evaluation.similarity:
        page.table(
            ["set", "pairs", "with an unknown word", "unknown words", "Spearman's rho"],
            [
                [
                    result.name,
                    result.total_pairs,
                    result.not_found,
                    result.words_not_found,
                    result.spearmans_rho,
                ]
                for result in evaluation.similarity
            ],
        )
    else:
        page.text(
            "No similarity set is at hand: install gensim, which ships WS-353, or name files of pairs."
        )
    for result in evaluation.similarity:
        if result.spearmans_rho is not None:
            chart = charts.scatter(
                result.human.tolist(), result.cosine.tolist(), "human score", "cosine"
            )
            page.figure(chart, f"{result.name}: each pair that was found")
    page.heading("Nearest neighbours").table(
        ["word", "neighbours (cosine)"],
        [
            [word, ", ".join(f"{near} ({cosine:.2f})" for near, cosine in neighbors)]
            for word, neighbors in evaluation.neighbors.items()
        ],
    )
    if evaluation.unknown:
        page.text(f"No vector for: {', '.join(evaluation.unknown)}.")
    page.write(path)
