"""The first step of a run: what lies under its URIs, as a digest."""
