"""Model updates over the air: verified, staged, gated on the device, watched, taken back.

`remote` says what is released and brings its bytes (TUF; https, file, stick); `choose` finds this
device's release, purely; `store` keeps slots, links and journal, every step durable before the
next; `gate` judges the candidate in a child without rights; `engines` are fleet servers that say
which release; `client` does it in order; `desk` is what a running pipeline sees of the store.
"""
