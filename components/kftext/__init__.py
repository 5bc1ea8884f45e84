"""Kubeflow Pipelines components that train and serve text models.

Importing this package is cheap on purpose: it pulls in neither Numba nor TensorFlow nor KFP, so that a pipeline
compiles, and a command answers `--help`, without them.
"""

__version__ = "0.1.0"
