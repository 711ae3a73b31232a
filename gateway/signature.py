"""Signed messages between machines: HMAC-SHA-256 with a shared secret, written `sha256=<hex>` in the header X-Signature.

Two forms. Orders and hand-overs sign the body alone: they carry an id of their own, and the same id is taken once. Where a caller asks or
files something (gateway.upward, the platform API) the time is signed too: X-Timestamp (seconds since 1970) and a full stop stand before it.
"""

import hashlib
import hmac

WINDOW_S = 300  # so far a timestamp may be away from our clock: clocks are wrong by minutes, and a request travels for seconds


def sign(secret: bytes, content: bytes) -> str:
    """What stands in X-Signature."""
    return "sha256=" + hmac.digest(secret, content, hashlib.sha256).hex()


def is_signed(secret: bytes, content: bytes, given: str) -> bool:
    """Does the signature fit? An empty secret fits nothing."""
    return bool(secret) and hmac.compare_digest(given.encode("utf-8", "surrogatepass"), sign(secret, content).encode())


def timed(timestamp: str, content: bytes) -> bytes:
    """What is signed when the time is part of it."""
    return timestamp.encode("utf-8", "surrogatepass") + b"." + content


def is_fresh(timestamp: str, now: float) -> bool:
    """Is it a whole number of seconds near `now` (seconds since 1970)?"""
    return timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= 12 and abs(int(timestamp) - now) <= WINDOW_S
