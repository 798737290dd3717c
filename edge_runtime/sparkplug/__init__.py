"""Sparkplug B 3.0: an edge node whose devices are the sources of a pipeline."""
