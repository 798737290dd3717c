"""A model that takes over from another between two frames, and goes back if it fails."""
