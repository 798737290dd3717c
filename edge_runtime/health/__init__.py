"""What a source's frames say of the source: judged as they come, in the capture thread."""
