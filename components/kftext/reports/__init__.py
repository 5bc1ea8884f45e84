"""Reports: HTML pages that open with no network, and their pictures."""
