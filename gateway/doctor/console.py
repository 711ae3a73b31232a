"""The console's door: its port, and who may come through it."""

import contextlib
import ipaddress
import socket
from collections.abc import Iterator

from gateway.doctor.finding import Finding, bad, good
from gateway.doctor.lines import bind, port_fault
from gateway.doctor.patient import Patient

TOPIC = "console"


def look(patient: Patient) -> Iterator[Finding]:
    """Port, reach and log-in of the page."""
    config = patient.config
    if not config.console.enabled:
        return
    listen = config.console.listen
    host, _, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    key = f"{config.path}: console.listen"
    is_near = _is_near(host)
    if not patient.is_answering and not patient.is_silent:
        with contextlib.ExitStack() as held:
            fault = bind(socket.SOCK_STREAM, "" if host == "localhost" else host, int(port), held)
        if fault is not None:
            yield port_fault(TOPIC, TOPIC, key, listen, socket.SOCK_STREAM, int(port), fault)
            return
    if not config.console.accounts:
        yield bad(TOPIC, "console.accounts", "console_no_accounts", file=config.path)
    elif not is_near and not config.console.tls_certificate:
        yield bad(TOPIC, TOPIC, "console_in_clear", key=key, listen=listen, port=port)
    else:
        yield good(TOPIC, TOPIC, "console_good", listen=listen)


def _is_near(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
