"""Measures of quality, as pure functions: training reports them and the evaluation steps stand on them."""
