"""Prediction compiled by Numba: the same rules as the NumPy code beside it, which is its oracle. Imported at first use."""
