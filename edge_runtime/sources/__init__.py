"""Where frames come from; one module per kind. Nothing is imported here."""
