"""`[console]`: where the operators' page listens, who may see it, and how it watches over its own ears."""

import ipaddress
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec
from cryptography import x509

from gateway.config.responder_page import tls_context
from gateway.toml_file import Fault, TomlReader

Hours = Annotated[float, msgspec.Meta(gt=0, le=24 * 366)]


class ConsoleConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The operators' page.

    listen: host:port; beyond this machine only with accounts. names: host names by which browsers come, beside the address itself.
    tls_certificate, tls_key: PEM files; "" = plain http, the page then says so.
    accounts: people log in (`gateway account`). false: whoever reaches it may do everything under a name of their choice; this machine only.
    idle_lock_s: without a key or a click for so long the screen locks; 0 never. It goes on alarming.
    session_hours: a log-in counts for so long; wall_hours: that of a wallboard.
    no_ears_s: with accounts, and nobody on duty whose page can sound for so long, an incident says so; 0 never.
    """

    listen: str = "127.0.0.1:12349"
    enabled: bool = True
    accounts: bool = True
    names: tuple[str, ...] = ()
    tls_certificate: str = ""
    tls_key: str = ""
    idle_lock_s: Annotated[float, msgspec.Meta(ge=0, le=12 * 3600)] = 600
    session_hours: Hours = 12  # one long shift (console design, 8)
    wall_hours: Hours = 24 * 90
    no_ears_s: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 30


def console_faults(console: ConsoleConfig) -> Iterator[Fault]:
    """What is wrong with one that has the right types."""
    if bool(console.tls_certificate) != bool(console.tls_key):
        yield ("tls_key" if console.tls_certificate else "tls_certificate",), "is missing: certificate and key go together", "write both, or neither"
    host, colon, port = console.listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (colon and port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535):
        yield ("listen",), f"{console.listen!r} has no port up to 65535", "write 127.0.0.1:12349"
    if host == "localhost" or not colon or console.accounts:
        return
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        remedy = "write accounts = true, or listen on 127.0.0.1:12349: without accounts anybody who reaches the page is let in"
        yield ("listen",), f"{host!r} is not an address of this machine alone", remedy


def check_certificate(console: ConsoleConfig, folder: Path, reader: TomlReader) -> None:
    """Are the files of TLS there, and do they fit? One that has expired is no fault: the page then warns, and alarms are seen all the same."""
    if not (console.tls_certificate and console.tls_key):
        return
    missing = False
    for key in ("tls_certificate", "tls_key"):
        file = folder / getattr(console, key)
        try:
            with open(file, "rb"):  # noqa: PTH123 - Path.open raises the same
                pass
        except (OSError, ValueError) as error:
            missing = True
            reason = getattr(error, "strerror", None) or "no file name"
            reader.add(f"console.{key}", f"{file} cannot be read ({reason})", "correct the name, or let the gateway's user read it")
    if missing:
        return
    try:
        tls_context(folder / console.tls_certificate, folder / console.tls_key)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        what = getattr(error, "reason", None) or getattr(error, "strerror", None) or "no certificate with its key"
        reader.add("console.tls_certificate", f"cannot be used with tls_key ({what})", "give the chain and its private key, in PEM, unencrypted")


def expires_at(certificate: Path) -> datetime | None:
    """Until when the console's certificate is good, aware UTC; None when it cannot be read."""
    try:
        return x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc
    except (OSError, ValueError):
        return None
