"""`[responder_page]`: the page for telephones that serves only signed links, on a listener of its own. Off until `listen` is written."""

import ipaddress
import os
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import msgspec

from gateway.toml_file import Fault, TomlReader

MONTH_S = 31 * 86400
MIN_SECRET = 32  # bytes: a key as long as SHA-256's output (RFC 2104, section 3); `openssl rand -hex 32` gives 64

Seconds = Annotated[float, msgspec.Meta(ge=60, le=MONTH_S)]


class ResponderPageConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """listen: HOST:PORT; "" = no page, no links. Beyond this machine only with TLS.

    public_url  what responders' telephones open, as a proxy or the firewall leads it to `listen`; links are public_url/TOKEN
    secret_file, previous_secret_file  the key that signs links; the one before it, whose links are still good
    valid_s     a link of an order, from the order (or the time for which a service is wanted) on; family_valid_s: a link of a family contact
    allow_forward  True: whoever has the link may open it, on any device; False: the first device that opens it, alone
    desk_phone  shown as the number to ring; "" = the first of calls.hotlines
    proxies     addresses of reverse proxies whose X-Forwarded-For is believed
    per_minute  requests of one source address; a mobile operator hides many telephones behind one
    """

    listen: str = ""
    public_url: str = ""
    cert_file: str = ""
    key_file: str = ""
    secret_file: str = ""
    previous_secret_file: str = ""
    valid_s: Seconds = 43_200
    family_valid_s: Seconds = 2_592_000
    allow_forward: bool = False
    desk_phone: Annotated[str, msgspec.Meta(pattern=r"^(\+?\d{3,15})?$", examples=["12349"])] = ""
    proxies: tuple[str, ...] = ()
    per_minute: Annotated[int, msgspec.Meta(ge=10, le=100_000)] = 240

    @property
    def is_on(self) -> bool:
        return bool(self.listen)


def host_port(listen: str) -> tuple[str, int] | None:
    """Host and port of HOST:PORT or [HOST]:PORT; None when it is no such thing."""
    host, colon, port = listen.rpartition(":")
    if not (colon and host and port.isascii() and port.isdecimal() and len(port) <= 5 and int(port) <= 65535):
        return None
    return host.removeprefix("[").removesuffix("]"), int(port)


def is_loopback(host: str) -> bool:
    """Is this an address of this machine alone?"""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def page_faults(page: ResponderPageConfig) -> Iterator[Fault]:
    """What does not fit together; a page that is off has no faults but those of single keys."""
    if bool(page.cert_file) != bool(page.key_file):
        key = "key_file" if page.cert_file else "cert_file"
        yield (key, "cert_file", "key_file"), "is missing beside its partner", "name both files, or neither"
    for proxy in page.proxies:
        try:
            ipaddress.ip_address(proxy)
        except ValueError:
            yield ("proxies",), f"{proxy[:40]!r} is no address", 'write the addresses of your reverse proxies, such as ["127.0.0.1"]'
    if not page.listen:
        return
    where = host_port(page.listen)
    if where is None:
        yield ("listen",), f"{page.listen!r} is not HOST:PORT", "write 127.0.0.1:12350, or 0.0.0.0:8443 with cert_file and key_file"
    elif not is_loopback(where[0]) and not (page.cert_file and page.key_file):
        remedy = "name cert_file and key_file, or listen on 127.0.0.1 behind a proxy that has them"
        yield ("listen", "cert_file", "key_file"), f"{where[0]!r} is reached from elsewhere, and there is no TLS", remedy
    if not page.secret_file:
        yield ("secret_file",), "is missing", f"write `openssl rand -hex {MIN_SECRET}` into a file that only the gateway may read, and name it"
    yield from _url_faults(page.public_url)


def _url_faults(public_url: str) -> Iterator[Fault]:
    remedy = "write https://HOST or https://HOST:PORT/PATH, as telephones reach it"
    try:
        url = urlsplit(public_url)
        usable = url.scheme in ("http", "https") and bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError:
        usable = False
    if not usable:
        yield ("public_url",), "is no web address" if public_url else "is missing", remedy
    elif url.query or url.fragment or url.username is not None or not public_url.isascii() or not public_url.isprintable() or " " in public_url:
        yield ("public_url",), "holds more than host, port and path", remedy
    elif url.scheme == "http" and not is_loopback(url.hostname or ""):
        yield ("public_url",), "is http: everybody on the way would read addresses of elders", remedy


def check_files(page: ResponderPageConfig, folder: Path, reader: TomlReader) -> None:
    """What the files hold; that one is not there the reader has told already."""
    for key in ("secret_file", "previous_secret_file"):
        name = getattr(page, key)
        if name and (fault := secret_fault(folder / name)):
            reader.add(f"responder_page.{key}", fault, f"write `openssl rand -hex {MIN_SECRET}` into it, readable by the gateway alone")
    cert, key_file = folder / page.cert_file, folder / page.key_file
    if page.cert_file and page.key_file and os.path.isfile(cert) and os.path.isfile(key_file):  # noqa: PTH113 - Path.is_file raises on long names
        try:
            tls_context(cert, key_file)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            what = getattr(error, "reason", None) or getattr(error, "strerror", None) or "no certificate with its key"
            reader.add(
                "responder_page.cert_file", f"cannot be used with key_file ({what})", "give the chain and its private key, in PEM, unencrypted"
            )


def secret_fault(file: Path) -> str:
    """What is wrong with a secret's file that is there."""
    if not os.path.isfile(file):  # noqa: PTH113 - Path.is_file raises on a name that is too long
        return ""
    try:
        size = len(file.read_bytes().strip())
    except OSError as error:
        return f"{file}: {error.strerror}"
    return f"{file} holds {size} bytes" if size < MIN_SECRET else ""


def tls_context(cert: Path, key: Path) -> ssl.SSLContext:
    """TLS 1.2 and up, which Android has had since 5.0. Raises OSError for files that do not fit; never asks for a pass phrase."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(cert, key, password=lambda: b"")
    return context
