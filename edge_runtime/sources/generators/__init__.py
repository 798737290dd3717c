"""Signals and pictures with a known truth."""
