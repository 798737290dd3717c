"""Real brokers for the tests, their certificates, a subscriber, and a relay that misbehaves."""

from __future__ import annotations

from .certificates import Certificates, certificates
from .gate import Gate, gate
from .listener import Listener, listen
from .mosquitto import Mosquitto, mosquitto
from .ports import HOST, free_port, is_open, wait_until
from .proxy import Proxy, proxy
from .scripted_broker import ScriptedBroker, scripted_broker
from .server import Server

__all__ = [
    "HOST",
    "Certificates",
    "Gate",
    "Listener",
    "Mosquitto",
    "Proxy",
    "ScriptedBroker",
    "Server",
    "certificates",
    "free_port",
    "gate",
    "is_open",
    "listen",
    "mosquitto",
    "proxy",
    "scripted_broker",
    "wait_until",
]
