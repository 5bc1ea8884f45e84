"""Where a run ends whose model is not good enough."""
