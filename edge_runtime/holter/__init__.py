"""Recordings as a whole: score a detector or model on them, write them in other formats."""
