"""Who a JT/T 808 terminal says it is: registration (0100) of all editions, authentication (0102), attributes (0107), and the code we give it.

The code is derived, not stored: HMAC-SHA-256 of the identity under a secret of ours. So a code given before a restart, or by another machine
with the same secret, is still right, and there is no table that could be lost.
"""

import hashlib
import hmac

PROVINCE_AND_CITY = 4
ICCID = 10


def code_for(device: str, secret: bytes) -> str:
    """The authentication code of a terminal. Without a secret it is no proof of anything; it only gives the terminal one to keep."""
    return hmac.new(secret, device.encode("ascii"), hashlib.sha256).hexdigest()[:16]


def is_code(code: str, device: str, secret: bytes) -> bool:
    """Have we given it this code? Never without a secret."""
    return bool(secret) and hmac.compare_digest(code.encode("utf-8"), code_for(device, secret).encode())


def read_registration(body: bytes, *, is_2019: bool) -> dict[str, object]:
    """Province(2) city(2) maker(5; 2019: 11) model(20; 2011: 8; 2019: 30) id(7; 2019: 30) plate colour(1) plate. What is missing is absent."""
    if is_2019:
        sizes = (11, 30, 30)
    else:  # 2011 with a plate of 8 octets has 33, 2013 without one has 37
        sizes = (5, 20, 7) if len(body) >= 37 else (5, 8, 7)
    detail: dict[str, object] = {}
    if len(body) >= PROVINCE_AND_CITY:
        detail |= {"province": int.from_bytes(body[:2]), "city": int.from_bytes(body[2:4])}
    at = PROVINCE_AND_CITY
    for name, size in zip(("maker", "model", "terminal"), sizes, strict=True):
        field = text_of(body[at : at + size])
        if field:
            detail[name] = field
        at += size
    if len(body) > at:
        detail["plate_colour"] = body[at]
        plate = text_of(body[at + 1 :])
        if plate:
            detail["plate"] = plate
    return detail


def read_attributes(body: bytes, *, is_2019: bool) -> tuple[str | None, dict[str, str]]:
    """(firmware, what else it says). type(2) maker(5) model(20; 2019: 30) id(7; 2019: 30) ICCID(10) and, each behind its length(1), hardware
    and firmware. The ICCID names a person's contract and is left out. What is missing is absent."""
    sizes = (5, 30, 30) if is_2019 else (5, 20, 7)
    detail: dict[str, str] = {}
    at = 2
    for name, size in zip(("maker", "model", "terminal"), sizes, strict=True):
        detail[name] = text_of(body[at : at + size])
        at += size
    at += ICCID
    for name in ("hardware", "firmware"):
        length = body[at] if at < len(body) else 0
        detail[name] = text_of(body[at + 1 : at + 1 + length])
        at += 1 + length
    firmware = detail.pop("firmware")
    return firmware or None, {name: value for name, value in detail.items() if value}


def read_authentication(body: bytes, *, is_2019: bool) -> tuple[str, dict[str, str]]:
    """(code, what else it says). 2013: the body is the code; 2019: length(1) code IMEI(15) version(20)."""
    if not is_2019 or not body:
        return text_of(body), {}
    length = body[0]
    rest = body[1 + length :]
    more = {"imei": text_of(rest[:15]), "version": text_of(rest[15:35])}
    return text_of(body[1 : 1 + length]), {name: value for name, value in more.items() if value}


def text_of(data: bytes) -> str:
    """GBK text; some pad with zeros at the end, some in front, some with spaces."""
    return data.decode("gbk", "replace").strip("\0 ")
