"""Word vectors by the losses that go over the whole vocabulary, softmax and one-vs-all, which BlazingText does not know.

Skip-gram and CBOW as in fastText (`FastText::skipgram`, `FastText::cbow`): an example costs as many rows as there are words,
so that these losses are for small vocabularies. Mikolov et al., "Efficient Estimation of Word Representations in Vector
Space", 2013, section 3; the rows of a word are those of Bojanowski et al., "Enriching Word Vectors with Subword
Information", TACL 2017.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kftext.blazingtext.encoded import EncodedCorpus
from kftext.blazingtext.subwords import Subwords
from kftext.fasttext.arguments import TrainingArguments
from kftext.fasttext.line_training import Block, BlockRun, LineTraining
from kftext.fasttext.output_updates import draw, update_output
from kftext.models import Loss, Model
from kftext.models.compiled.compilation import compiled, entry

__all__ = ["train_full_output"]

Floats = npt.NDArray[np.float32]
_OVA = int(Loss.OVA)


@compiled
def _keep_words(ids, keep, line, random):
    """Write the words of a line that subsampling keeps to `line`; return their number."""
    kept = 0
    for i in range(len(ids)):
        share = np.float64(draw(random) >> np.uint64(11)) / 9007199254740992.0
        if share <= keep[ids[i]]:
            line[kept] = ids[i]
            kept += 1
    return kept


@compiled
def _add_word(offsets, rows, word, input, hidden):
    """Add the rows of a word to the hidden vector; return their number."""
    for i in range(offsets[word], offsets[word + 1]):
        for j in range(hidden.size):
            hidden[j] += input[rows[i], j]
    return offsets[word + 1] - offsets[word]


@compiled
def _move_word(offsets, rows, word, input, gradient):
    """Add the gradient to the rows of a word."""
    for i in range(offsets[word], offsets[word + 1]):
        for j in range(gradient.size):
            input[rows[i], j] += gradient[j]


@compiled
def _update(subwords, words, targets, matrices, loss, rate, scratch, random):
    """Train on one example: the words that the hidden vector is the mean of, and the targets; return the loss."""
    offsets, rows = subwords
    input, output = matrices
    hidden, gradient, scores, tree, negatives = scratch
    hidden[:], gradient[:] = np.float32(0), np.float32(0)
    count = 0
    for i in range(len(words)):
        count += _add_word(offsets, rows, words[i], input, hidden)
    for j in range(hidden.size):
        hidden[j] /= np.float32(count)
    result = update_output(
        output, loss, targets, len(targets), hidden, gradient, rate, scores, tree, negatives, random
    )
    for i in range(len(words)):
        _move_word(offsets, rows, words[i], input, gradient)
    return result


@entry
def _train_block(ids, line_offsets, lines, subwords, matrices, how, rate, keep, random):
    """Train on the lines `lines[0]` to `lines[1] - 1`; `how` is window, loss, and 1 for skip-gram, 0 for CBOW.

    Returns:
        The sum of losses and the number of examples.
    """
    window, loss, skipgram = how
    longest = 0
    for n in range(lines[0], lines[1]):
        longest = max(longest, line_offsets[n + 1] - line_offsets[n])
    line, context = np.empty(longest, np.int64), np.empty(2 * window, np.int64)
    output = matrices[1]
    words, dim = output.shape
    hidden, gradient = np.empty(dim, np.float32), np.empty(dim, np.float32)
    # What hierarchical softmax and negative sampling need: neither is asked for here.
    tree = (np.zeros(1, np.int64), np.zeros(0, np.int64), np.zeros(0, np.bool_))
    negatives = (0, np.zeros(0, np.float64))
    scratch = (hidden, gradient, np.empty(words, np.float32), tree, negatives)
    total, examples = 0.0, 0
    for n in range(lines[0], lines[1]):
        size = _keep_words(ids[line_offsets[n] : line_offsets[n + 1]], keep, line, random)
        for w in range(size):
            reach = 1 + np.int64(draw(random) % np.uint64(window))
            found = 0
            for c in range(w - reach, w + reach + 1):
                if c != w and 0 <= c < size:
                    context[found] = c
                    found += 1
            if skipgram:
                for i in range(found):
                    c = context[i]
                    # fastText holds all words of the line for right where each decides for itself.
                    targets = line[:size] if loss == _OVA else line[c : c + 1]
                    total += _update(
                        subwords, line[w : w + 1], targets, matrices, loss, rate, scratch, random
                    )
                examples += found
            elif found:
                for i in range(found):
                    context[i] = line[context[i]]
                targets = line[:size] if loss == _OVA else line[w : w + 1]
                total += _update(
                    subwords, context[:found], targets, matrices, loss, rate, scratch, random
                )
                examples += 1
    return total, examples


def train_full_output(
    arguments: TrainingArguments,
    corpus: EncodedCorpus,
    counts: npt.NDArray[np.int64],
    subwords: Subwords | None,
    how: LineTraining,
    matrices: tuple[Floats, Floats],
) -> None:
    """Train the matrices in place.

    Args:
        arguments: `loss` softmax or ova, `model`, `ws`, `t`.
        corpus: the text.
        counts: int64[words], occurrences of each word.
        subwords: the rows of each word; None for its own alone.
        how: learning rate, epochs, threads, seed.
        matrices: input float32[rows, dim] and output float32[words, dim].
    """
    if subwords is None:
        size = len(counts)
        rows = np.arange(size + 1, dtype=np.int64), np.arange(size, dtype=np.int32)
    else:
        rows = subwords.offsets, subwords.rows
    shares = arguments.t / (counts / corpus.token_count)
    keep = np.sqrt(shares) + shares
    kind = (
        arguments.ws,
        int(arguments.loss_function),
        int(arguments.model_kind == Model.SKIPGRAM),
    )

    def train(block: Block, random: npt.NDArray[np.uint64]) -> tuple[float, int]:
        result: tuple[float, int] = _train_block(
            corpus.ids,
            corpus.line_offsets,
            (block.first, block.last),
            rows,
            matrices,
            kind,
            block.rate,
            keep,
            random,
        )
        return result

    BlockRun(how, corpus.line_count).train(train)
