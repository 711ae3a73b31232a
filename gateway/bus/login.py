"""How one logs in to the servers of the bus, and what to correct when they or we refuse: the key and the remedy, in words."""

import ssl
from pathlib import Path
from typing import Any

from gateway.config import BusConfig
from gateway.errors import ConfigError

REFUSED = ("authorization violation", "authentication", "authorization")  # in what a NATS server says; nats-server's auth errors


def login_of(bus: BusConfig, folder: Path) -> dict[str, Any]:
    """User, password and TLS as nats.connect takes them. Blocks for a file. Raises ConfigError."""
    found: dict[str, Any] = {}
    if bus.user:
        file = folder / bus.password_file
        try:
            password = file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                [f"bus.password_file: {file} cannot be read ({_reason(error)}): let the gateway's user read it, or correct it"]
            ) from error
        found = {"user": bus.user, "password": password}
    if bus.ca_file or any(server.startswith("tls:") for server in bus.servers):
        ca = folder / bus.ca_file if bus.ca_file else None
        try:
            found["tls"] = ssl.create_default_context(cafile=str(ca) if ca else None)
        except OSError as error:  # ssl.SSLError is one
            raise ConfigError([f"bus.ca_file: {ca} cannot be used ({_reason(error)}): put the CA's certificate there, in PEM"]) from error
    return found


def trouble(error: BaseException) -> str:
    """Of what kind a fault of a connection is: refused, untrusted, tls, away."""
    text = str(error).lower()
    if isinstance(error, ssl.SSLCertVerificationError):
        return "untrusted"
    if "ssl context" in text or "tls" in text or isinstance(error, ssl.SSLError):
        return "tls"
    return "refused" if any(word in text for word in REFUSED) else "away"


def in_words(error: BaseException, bus: BusConfig) -> str:
    """What is wrong and which key is to be corrected, for the log."""
    said = _reason(error)
    match trouble(error):
        case "refused":
            user = f"the user {bus.user!r} or its password" if bus.user else "whoever has no user"
            keys = "bus.user and bus.password_file" if bus.user else "bus.user: write one, with bus.password_file"
            return f"the servers of the bus refuse {user} ({said}): correct {keys}, or let it in at the servers (authorization)"
        case "untrusted":
            return f"the certificate of a server of the bus is not trusted ({said}): correct bus.ca_file, or the name in bus.servers"
        case "tls":
            return f"a server of the bus cannot be talked to by TLS ({said}): write tls:// in bus.servers and bus.ca_file if it wants TLS"
    return f"no server of the bus answers ({said}): start it, let this machine in, or correct bus.servers"


def _reason(error: BaseException) -> str:
    return str(getattr(error, "verify_message", "") or getattr(error, "strerror", None) or error) or type(error).__name__
