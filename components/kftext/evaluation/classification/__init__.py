"""Step: measure a text classifier on labelled examples."""
