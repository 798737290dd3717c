"""A camera read in a process of its own, which can be killed when its driver blocks."""
