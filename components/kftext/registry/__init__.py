"""Models by name and version in an object store, each with its card."""
