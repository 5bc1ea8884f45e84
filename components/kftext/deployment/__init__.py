"""From a packaged model to a KServe endpoint that answers: create or update, wait, ask, roll back."""
