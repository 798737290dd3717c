"""Bytes of biosignal front ends into samples: one parser for each framing, all made alike.

A parser takes bytes in any pieces and gives events (see `events`). It never raises for what comes,
holds a bounded number of bytes, looks for the next packet inside one that it rejects, and gives up
a packet that stays unfinished for half a second. It does no I/O and reads no clock.
"""
