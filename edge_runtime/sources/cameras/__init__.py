"""Pictures: cameras, streams of them, and files."""
