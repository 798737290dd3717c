"""Log-in to a camera's web server: Basic (RFC 7617) and Digest (RFC 7616)."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets

_PAIR = re.compile(r'(\w+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))')
_HASHES = {"": "md5", "md5": "md5", "sha-256": "sha256"}


def answer(challenges: list[str], username: str, password: str, target: str) -> str | None:
    """The value of Authorization for a GET of `target`; None when no challenge can be met.

    Digest is preferred: it does not send the password.
    """
    for challenge in challenges:
        scheme, _, rest = challenge.strip().partition(" ")
        if scheme.lower() == "digest":
            made = _digest(rest, username, password, target)
            if made:
                return made
    if any(challenge.strip().lower().startswith("basic") for challenge in challenges):
        login = base64.b64encode(f"{username}:{password}".encode()).decode()
        return f"Basic {login}"
    return None


def _digest(challenge: str, username: str, password: str, target: str) -> str | None:
    given = {key.lower(): quoted or plain for key, quoted, plain in _PAIR.findall(challenge)}
    algorithm = given.get("algorithm", "")
    name = _HASHES.get(algorithm.lower())
    offered = [word.strip() for word in given.get("qop", "").split(",")]
    if name is None or ("qop" in given and "auth" not in offered):
        return None

    def hashed(text: str) -> str:
        return hashlib.new(name, text.encode(), usedforsecurity=False).hexdigest()

    realm, nonce = given.get("realm", ""), given.get("nonce", "")
    user_hash = hashed(f"{username}:{realm}:{password}")
    request_hash = hashed(f"GET:{target}")
    fields = {"username": username, "realm": realm, "nonce": nonce, "uri": target}
    tail = ""
    if "qop" in given:
        client_nonce = secrets.token_hex(8)
        fields["cnonce"] = client_nonce
        tail = ", qop=auth, nc=00000001"
        response = f"{user_hash}:{nonce}:00000001:{client_nonce}:auth:{request_hash}"
    else:  # RFC 2069, which old cameras still speak
        response = f"{user_hash}:{nonce}:{request_hash}"
    fields["response"] = hashed(response)
    if "opaque" in given:
        fields["opaque"] = given["opaque"]
    if algorithm:
        tail += f", algorithm={algorithm}"
    return "Digest " + ", ".join(f'{key}="{value}"' for key, value in fields.items()) + tail
