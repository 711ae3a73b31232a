"""Signed links: who may see which order, until when. Pure: bytes in, bytes out; the key is given.

Wire: base64url without padding of  kind and key (1) | expiry, minutes since 2025 (3) | fingerprint (3) | body | MAC (16).
kind and key: high nibble what it is (1 order, 2 family), low nibble which key signed. body: the 16 bytes of a delivery id, or PERSON:PLACE.
MAC: HMAC-SHA-256 over all before it, its left half (RFC 2104, section 5). An order's token is 52 characters.
"""

import base64
import binascii
import hashlib
import hmac
import os
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import IntEnum

import msgspec

EPOCH = datetime(2025, 1, 1, tzinfo=UTC)
HEAD, MAC = 7, 16  # bytes
LAST_MINUTE = (1 << 24) - 1  # in the year 2056
TOKEN = re.compile(r"[A-Za-z0-9_-]{34,200}")  # 200 leaves a person's id over 100 characters
_DELIVERY = re.compile(r"[0-9a-f]{32}")
SEED = 12  # bytes of chance in a device's secret and in a nonce: 96 bits, never guessed, never drawn twice


class What(IntEnum):
    ORDER = 1
    FAMILY = 2


class Reading(msgspec.Struct, frozen=True):
    """What a token says, once its signature was found good. It may have expired."""

    token: str
    what: What
    expires: datetime
    fingerprint: bytes
    body: bytes

    @property
    def delivery(self) -> str:
        return self.body.hex()

    @property
    def contact(self) -> tuple[str, int]:
        """(person, place in their list of contacts); place -1 when it is none."""
        person, _, place = self.body.decode("utf-8", "replace").rpartition(":")
        return person, int(place) if place.isascii() and place.isdecimal() and len(place) < 4 else -1


def fingerprint(*parts: str) -> bytes:
    """Three bytes that change when one of them does; not a proof, the MAC is."""
    return hashlib.sha256("\0".join(parts).encode()).digest()[:3]


class Links:
    """Makes and reads tokens. keys: the one that signs, then those whose links are still good (at most two are configured)."""

    def __init__(self, public_url: str, keys: Sequence[bytes], *, allow_forward: bool = False) -> None:
        self._base = public_url.rstrip("/")
        self._keys = [(hashlib.sha256(b"key" + key).digest()[0] & 0x0F, key) for key in keys]
        self.allow_forward = allow_forward

    def link_for(self, delivery: str, responder: str, expires: datetime) -> str | None:
        """The link by which this responder sees and answers this order; None for an id that is none of ours."""
        if _DELIVERY.fullmatch(delivery) is None:
            return None
        return f"{self._base}/{self._sign(What.ORDER, expires, fingerprint(responder), bytes.fromhex(delivery))}"

    def family_link(self, person: str, place: int, name: str, phone: str, expires: datetime) -> str | None:
        """The link of a family contact. It is good while the register has the same name and phone at this place."""
        token = self._sign(What.FAMILY, expires, fingerprint(name, phone), f"{person}:{place}".encode())
        return f"{self._base}/{token}" if TOKEN.fullmatch(token) else None

    def read(self, token: str) -> Reading | None:
        """What it says; None for whatever we did not sign."""
        if TOKEN.fullmatch(token) is None:
            return None
        try:
            data = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except (binascii.Error, ValueError):
            return None
        if len(data) <= HEAD + MAC or _encode(data) != token:  # spare bits of the last character: one link has one spelling
            return None
        signed, given = data[:-MAC], data[-MAC:]
        if not any(number == data[0] & 0x0F and hmac.compare_digest(_mac(key, b"link", signed), given) for number, key in self._keys):
            return None
        if data[0] >> 4 not in (What.ORDER, What.FAMILY):
            return None
        expires = EPOCH + timedelta(minutes=int.from_bytes(signed[1:4]))
        return Reading(token, What(data[0] >> 4), expires, signed[4:HEAD], signed[HEAD:])

    def _sign(self, what: What, expires: datetime, mark: bytes, body: bytes) -> str:
        number, key = self._keys[0]
        minutes = min(max(0, -(-int((expires - EPOCH).total_seconds()) // 60)), LAST_MINUTE)
        signed = bytes([what << 4 | number]) + minutes.to_bytes(3) + mark + body
        return _encode(signed + _mac(key, b"link", signed))

    # --- devices and nonces ------------------------------------------------------------------------------------------

    def new_device(self, token: str) -> str:
        """A secret for the device that opens this link: good for it alone, and only we can make one."""
        seed = os.urandom(SEED)
        return _encode(seed + _mac(self._keys[0][1], b"device", token.encode() + seed))

    def is_device(self, token: str, secret: str) -> bool:
        """Did we give this secret to a device that opened this link?"""
        return self._is_ours(b"device", token.encode(), secret)

    def new_nonce(self, secret: str) -> str:
        """For one showing of the page on this device: an answer that is sent twice under it counts once."""
        seed = os.urandom(SEED)
        return _encode(seed + _mac(self._keys[0][1], b"nonce", secret.encode() + seed))

    def is_nonce(self, secret: str, nonce: str) -> bool:
        """Did we put this nonce on a page for this device?"""
        return self._is_ours(b"nonce", secret.encode(), nonce)

    def _is_ours(self, purpose: bytes, about: bytes, given: str) -> bool:
        if len(given) > 64 or not given.isascii():
            return False
        try:
            data = base64.urlsafe_b64decode(given + "=" * (-len(given) % 4))
        except (binascii.Error, ValueError):
            return False
        if len(data) != SEED + MAC or _encode(data) != given:
            return False
        return any(hmac.compare_digest(_mac(key, purpose, about + data[:SEED]), data[SEED:]) for _, key in self._keys)


def device_mark(secret: str) -> str:
    """What is remembered of a device's secret: it is found again by it, and nobody can make the secret out of it."""
    return hashlib.sha256(secret.encode()).hexdigest()[:24]


def _mac(key: bytes, purpose: bytes, data: bytes) -> bytes:
    return hmac.digest(key, purpose + b"\0" + data, "sha256")[:MAC]


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
