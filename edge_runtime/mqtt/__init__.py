"""MQTT: the way in, one connection, which one, the sender thread, and a small broker for demos."""
