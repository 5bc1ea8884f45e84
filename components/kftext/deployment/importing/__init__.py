"""A model from elsewhere as a model folder: a fastText binary, an archive, a folder."""
