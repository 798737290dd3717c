"""Slots, links and journal of the models on a device; every step durable before the next."""
