"""Signal knowledge as arithmetic over arrays: filters, beats, leads; no clock, no I/O."""
