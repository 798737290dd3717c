"""Live signals: bytes of front ends, and libraries that bring samples."""
