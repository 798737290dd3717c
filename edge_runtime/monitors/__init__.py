"""Monitors: what watches a source behind the model and publishes events of its own."""
