"""The demo: a generated stream through the real pipeline, heard over MQTT, scored against truth.

Everything here computes and renders to values; `cli/demo.py` writes them to the terminal.
"""
