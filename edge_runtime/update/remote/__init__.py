"""What a repository says, and its bytes: verified metadata and resumable downloads."""
