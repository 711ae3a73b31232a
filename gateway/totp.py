"""One-time codes of an authenticator app: TOTP (RFC 6238) with SHA-1, six digits and steps of 30 s, as every app has it. Pure."""

import base64
import binascii
import hashlib
import hmac
import secrets
from datetime import datetime
from urllib.parse import quote, urlencode

STEP_S = 30
DIGITS = 6
SKEW = 1  # steps before and after that count as well (RFC 6238, 5.2): a telephone's clock is seconds off, and people type slowly
SECRET_BYTES = 20  # as long as SHA-1's output (RFC 4226, 4, R6)


def new_secret() -> str:
    """A secret of 160 random bits in base32, which has no padding at this length."""
    return base64.b32encode(secrets.token_bytes(SECRET_BYTES)).decode()


def code_at(secret: bytes, counter: int, digits: int = DIGITS) -> str:
    """The code of one time step (RFC 4226, 5.3)."""
    digest = hmac.digest(secret, counter.to_bytes(8, "big"), hashlib.sha1)
    start = digest[-1] & 0x0F
    number = int.from_bytes(digest[start : start + 4], "big") & 0x7FFF_FFFF
    return f"{number % 10**digits:0{digits}}"


def step_of(secret: str, code: str, now: datetime, used: int = 0) -> int | None:
    """The time step that a code is of; None: it is wrong, too old, or was used (a step up to `used` counts no more)."""
    try:
        key = base64.b32decode(secret)
    except binascii.Error:
        return None
    typed = "".join(code.split())
    here = int(now.timestamp()) // STEP_S
    for step in (here, here - 1, here + 1):
        if hmac.compare_digest(code_at(key, step).encode(), typed.encode()) and step > used:
            return step
    return None


def address_of(secret: str, login: str, issuer: str) -> str:
    """The otpauth address that an app takes from a picture or a link."""
    return f"otpauth://totp/{quote(f'{issuer}:{login}')}?{urlencode({'secret': secret, 'issuer': issuer})}"
