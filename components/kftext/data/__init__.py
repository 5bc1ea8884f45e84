"""Text data sets: one reader a format, used by validation and training alike, so that both agree on what a line is."""
