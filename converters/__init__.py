"""Workstation tools that make model directories; nothing on the device imports them."""
