"""Step: score word vectors on sets of human similarity judgements, and show nearest neighbours."""
