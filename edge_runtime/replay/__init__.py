"""A recording as a live source: the bench in a file, with faults on order."""
