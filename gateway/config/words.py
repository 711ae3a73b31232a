"""Types and limits that several sections of `gateway.toml` share."""

import ipaddress
from typing import Annotated
from urllib.parse import urlsplit

import msgspec

MONTH_S = 31 * 86400  # no waiting of ours is longer; also refuses inf
MIN_SECRET = 16  # bytes; a shorter key can be guessed from one signed message

Seconds = Annotated[float, msgspec.Meta(gt=0, le=MONTH_S)]
Name = Annotated[str, msgspec.Meta(pattern="^[a-z0-9][a-z0-9_-]{0,63}$")]  # a metric label, a log field and part of a file name


def is_web_address(text: str) -> bool:
    """Is it http(s)://HOST…?"""
    try:
        url = urlsplit(text)
        return url.scheme in ("http", "https") and bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError:
        return False


def is_this_machine(host: str) -> bool:
    """Does the name or address mean this machine alone?"""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
