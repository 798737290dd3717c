"""Where results wait until a broker has them: in memory, and in one SQLite file.

`outbox` is what a sink talks to. `row` and `gap` are the values, `options` the limits; `queue` is
the order of things in memory, `unsaved` what of it no disk has; `store` the file, with its `log`;
`writer` the thread that owns it, with `room` for what has to go (`age`: what is too old), `keeper`
for a disk that fails and `damage` for a file that is broken.
"""
