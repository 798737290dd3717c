"""Sinks: one module per kind. See `edge_runtime.interfaces.Sink`."""
