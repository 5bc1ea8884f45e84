"""Prediction over files: a file or a prefix of texts in, JSON Lines in the same order out."""
