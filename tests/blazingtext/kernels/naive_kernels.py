"""Slow, obvious NumPy twins of the kernels, in float64, with the same random draws: `ref = naive.f(...)`, `comp = f(...)`.

Matrices are float64[rows, dim], without padding. Each function changes them in place.
"""

import numpy as np

GROUP = 6
MASK = 2**64 - 1


class Random:
    """SplitMix64."""

    def __init__(self, seed):
        self.state = int(seed)

    def next(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return z ^ (z >> 31)

    def below(self, n):
        return ((self.next() >> 32) * n) >> 32

    def draw(self, entries, bits):
        k = ((bits >> 32) * len(entries)) >> 32
        entry = int(entries[k])
        return k if (bits & 0xFFFFFFFF) <= (entry & 0xFFFFFFFF) else entry >> 32


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


class Trainer:
    """What the Word2Vec kernels have in common.

    Args:
        words: float64[rows, dim], the input matrix.
        outputs: float64[rows, dim], the output matrix.
        keep: uint32[words].
        entries: the alias table.
        window, negatives, rate, exact: as in the kernels.
        paths: for each word a list of (node, turn), where negatives is 0.
        subwords: for each word a list of rows, or None.
        reach: positions that the ring keeps behind the window.
    """

    def __init__(
        self,
        words,
        outputs,
        keep,
        entries,
        window,
        negatives,
        rate,
        seed,
        *,
        exact=False,
        paths=None,
        subwords=None,
    ):
        self.words, self.outputs, self.keep, self.entries = words, outputs, keep, entries
        self.window, self.negatives, self.rate = window, negatives, rate
        self.exact, self.paths, self.subwords = exact, paths, subwords
        self.random = Random(seed)

    def kept(self, line):
        return [word for word in line if (self.random.next() >> 32) <= int(self.keep[word])]

    def draw_first(self):
        self.tosses = [self.random.next() for _ in range(self.negatives)]
        self.draw_ahead()

    def draw_ahead(self):
        self.ahead = [self.random.draw(self.entries, bits) for bits in self.tosses]
        self.tosses = [self.random.next() for _ in range(self.negatives)]

    def choose(self, word):
        """Return groups of (row, target), at most six each."""
        if not self.negatives:
            pairs = list(self.paths[word])
        else:
            pairs = [(word, 1.0)]
            for negative in self.ahead:
                group = pairs[len(pairs) // GROUP * GROUP :]
                if negative != word and negative not in [row for row, _ in group]:
                    pairs.append((negative, 0.0))
            self.draw_ahead()
        return [pairs[i : i + GROUP] for i in range(0, len(pairs), GROUP)]

    # Where input vectors live: in the matrix, or with subwords in `ring`, by position.

    def start_line(self, line):
        self.line, self.ring, self.before, self.entered = line, {}, {}, 0

    def slide(self, position, first_needed):
        """Let words before `first_needed` out, those up to the end of the window in."""
        if self.subwords is None:
            return
        for other in sorted(self.ring):
            if other < first_needed:
                self.let_out(other)
        while self.entered < min(len(self.line), position + self.window + 1):
            rows = self.subwords[self.line[self.entered]]
            self.ring[self.entered] = self.words[rows].mean(axis=0)
            self.before[self.entered] = self.ring[self.entered].copy()
            self.entered += 1

    def let_out(self, position):
        change = self.ring.pop(position) - self.before.pop(position)
        for row in self.subwords[self.line[position]]:
            self.words[row] += change

    def end_line(self):
        for position in sorted(self.ring):
            self.let_out(position)

    def vector(self, position):
        """Return the array and the index that the input vector at a position is read and written by."""
        if self.subwords is None:
            return self.words, self.line[position]
        return self.ring, position

    def step(self, positions, groups):
        """Train input vectors against output rows, a group after the other."""
        for group in groups:
            rows, targets = [row for row, _ in group], np.array([target for _, target in group])
            before = self.outputs[rows].copy()
            vectors = [self.vector(position) for position in positions]
            gradients = [
                self.rate * (targets - sigmoid(before @ store[index])) for store, index in vectors
            ]
            for (store, index), gradient in zip(vectors, gradients, strict=True):
                x = store[index].copy()
                for row, g in zip(rows, gradient, strict=True):
                    self.outputs[row] += g * x
                store[index] = x + gradient @ before

    def contexts(self, position):
        reach = 1 + self.random.below(self.window)
        around = range(max(0, position - reach), min(len(self.line), position + reach + 1))
        return [context for context in around if context != position]


def skipgram(trainer, lines):
    trainer.draw_first()
    for line in lines:
        trainer.start_line(trainer.kept(line))
        for position, word in enumerate(trainer.line):
            contexts = trainer.contexts(position)
            trainer.slide(position, position - trainer.window)
            if trainer.exact:
                for context in contexts:
                    trainer.step([position], trainer.choose(trainer.line[context]))
            elif contexts:
                trainer.step(contexts, trainer.choose(word))
        trainer.end_line()


def cbow(trainer, lines):
    trainer.draw_first()
    for line in lines:
        trainer.start_line(trainer.kept(line))
        for position, word in enumerate(trainer.line):
            contexts = trainer.contexts(position)
            trainer.slide(position, position - trainer.window)
            if not contexts:
                continue
            vectors = [trainer.vector(context) for context in contexts]
            shares = [
                len(trainer.subwords[trainer.line[context]]) if trainer.subwords else 1
                for context in contexts
            ]
            hidden = sum(
                share * store[index] for share, (store, index) in zip(shares, vectors, strict=True)
            ) / sum(shares)
            gradient = train_vector(hidden, trainer.outputs, trainer.choose(word), trainer.rate)
            for store, index in vectors:
                store[index] = store[index] + gradient
        trainer.end_line()


def train_vector(hidden, outputs, groups, rate):
    """Train output rows against one vector; return its gradient times the learning rate."""
    gradient = np.zeros_like(hidden)
    for group in groups:
        for row, target in group:
            g = rate * (target - sigmoid(outputs[row] @ hidden))
            gradient += g * outputs[row]
            outputs[row] += g * hidden
    return gradient


def batch_skipgram(trainer, lines, batch_size):
    trainer.draw_first()
    for line in lines:
        trainer.start_line(trainer.kept(line))
        batch = []
        for position in range(len(trainer.line)):
            contexts = trainer.contexts(position)
            trainer.slide(
                position, min([position, *[middle for _, middle in batch]]) - trainer.window
            )
            for context in contexts:
                batch.append((context, position))
                if len(batch) == batch_size:
                    _train_batch(trainer, batch)
                    batch = []
        if batch:
            _train_batch(trainer, batch)
        trainer.end_line()


def _train_batch(trainer, batch):
    negatives = list(dict.fromkeys(trainer.ahead))
    trainer.draw_ahead()
    input_changes, output_changes = [], np.zeros_like(trainer.outputs)
    for context, position in batch:
        word = trainer.line[position]
        store, index = trainer.vector(context)
        x, change = store[index], np.zeros(trainer.outputs.shape[1])
        for row, target in [(word, 1.0)] + [(k, 0.0) for k in negatives if k != word]:
            g = trainer.rate * (target - sigmoid(trainer.outputs[row] @ x))
            change += g * trainer.outputs[row]
            output_changes[row] += g * x
        input_changes.append((store, index, change))
    for store, index, change in input_changes:
        store[index] = store[index] + change
    trainer.outputs += output_changes


def ngram_rows(ids, hashes, words, buckets, longest):
    """Rows of a text as fastText has them: words, then word n-grams."""
    rows = [word for word in ids if word < words]
    signed = [int(hashes[word]) - (1 << 32 if hashes[word] >= 1 << 31 else 0) for word in ids]
    for i in range(len(ids)) if longest > 1 else ():
        h = signed[i] & MASK
        for j in range(i + 1, min(len(ids), i + longest)):
            h = (h * 116049371 + signed[j]) & MASK
            rows.append(words + h % buckets)
    return rows


def supervised(texts, words, outputs, rate, seed, loss, *, negatives=0, entries=(), paths=None):
    """`texts` are pairs of rows and labels. Returns the sum of the losses of softmax, ova and hs.

    The outputs of ns are trained one after the other: a label that is drawn twice is trained twice.
    """
    chooser = Trainer(words, outputs, (), entries, 1, negatives, rate, seed, paths=paths)
    total = 0.0
    for rows, labels in texts:
        if not rows or not labels:
            continue
        hidden = words[rows].mean(axis=0)
        if loss == "ova":
            pairs = [(label, float(label in labels)) for label in range(len(outputs))]
        else:
            target = labels[chooser.random.below(len(labels))]
            pairs = paths[target] if loss == "hs" else [(target, 1.0)]
            while loss == "ns" and len(pairs) < 1 + negatives and len(entries) > 1:
                label = chooser.random.draw(entries, chooser.random.next())
                if label != target:
                    pairs.append((label, 0.0))
        if loss == "softmax":
            scores = outputs @ hidden
            p = np.exp(scores - scores.max())
            p /= p.sum()
            total -= np.log(p[target])
            g = -rate * p
            g[target] += rate
            gradient = g @ outputs
            outputs += np.outer(g, hidden)
        else:
            p = sigmoid(outputs[[row for row, _ in pairs]] @ hidden)
            targets = np.array([target for _, target in pairs])
            total -= np.log(np.where(targets == 1, p, 1 - p)).sum()
            gradient = train_vector(hidden, outputs, [pairs], rate)
        for row in rows:
            words[row] += gradient / len(rows)
    return total
