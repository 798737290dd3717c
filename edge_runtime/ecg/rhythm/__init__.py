"""Rules over heart beats, times and signal quality: what they say, since when, by which limits.

Every rule is arithmetic over a stream of beats and moments. It knows no clock and no signal but
what a beat carries, and decides the same however the stream was cut.
"""
