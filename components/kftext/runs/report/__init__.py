"""The last step of a run, whatever happened before it: a page that says what did."""
