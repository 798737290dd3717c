"""Pictures of what happened, kept on disk within bounds."""
