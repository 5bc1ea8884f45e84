"""What a pipeline run does besides its work: look at its inputs, stop where a model is not good enough, and report."""
