"""The clock: is it kept, and does it agree with other clocks that this machine can ask?

Orders, evidence and DC-09's time window (-40 to +20 s) stand on it. What is asked: time servers (those this machine is set up with, and
--ntp), PostgreSQL, and the Date of the web servers that the configuration names; of these no page is fetched that does something.
"""

import ctypes
import http.client
import re
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import closing
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from gateway.doctor.finding import Finding, bad, good, note, unknown
from gateway.doctor.patient import Patient

TOPIC = "clock"
OFF_S = 2.0  # a kept clock is right to milliseconds; web servers tell whole seconds
ASK_S = 1.0
UNSYNCHRONISED = 0x40  # STA_UNSYNC of adjtimex(2)
TIMEX = 256  # octets; struct timex is 208 on 64-bit Linux
STATUS_AT = 40  # of `status` in it: modes, then offset, freq, maxerror, esterror as longs
NTP_EPOCH = 2_208_988_800  # seconds from 1900 to 1970 (RFC 5905)
NTP_FILES = ("/etc/systemd/timesyncd.conf", "/etc/chrony/chrony.conf", "/etc/ntpsec/ntp.conf", "/etc/ntp.conf")
NTP_NAMES = re.compile(r"^\s*(?:NTP=|server\s+|pool\s+)(\S+)", re.MULTILINE)
MAX_ASKED = 3  # of each sort: more would tell nothing new


def look(patient: Patient) -> Iterator[Finding]:
    """One finding: off, not kept, or good."""
    offsets = dict(_offsets(patient))
    worst = max(offsets.items(), key=lambda one: abs(one[1]), default=None)
    synchronised = is_synchronised()
    if worst is not None and abs(worst[1]) > OFF_S:
        yield bad(TOPIC, TOPIC, "clock_off", source=worst[0], offset=f"{worst[1]:+.1f}")
    elif synchronised is False:
        yield note(TOPIC, TOPIC, "clock_not_kept", asked=", ".join(offsets) or "-")
    elif worst is not None:
        yield good(TOPIC, TOPIC, "clock_right", asked=", ".join(offsets), offset=f"{worst[1]:+.2f}")
    elif synchronised:
        yield good(TOPIC, TOPIC, "clock_kept")
    else:
        yield unknown(TOPIC, TOPIC, "clock_nobody_asked")


def is_synchronised() -> bool | None:
    """Does the kernel believe that somebody keeps its clock? None where it cannot be asked."""
    try:
        buffer = ctypes.create_string_buffer(TIMEX)
        if ctypes.CDLL(None).adjtimex(buffer) < 0:
            return None
    except (OSError, AttributeError):
        return None
    (status,) = struct.unpack_from("i", buffer.raw, STATUS_AT)
    return not status & UNSYNCHRONISED


def _offsets(patient: Patient) -> Iterator[tuple[str, float]]:
    """(who was asked, how far this machine's clock is ahead of theirs, seconds)."""
    for server in [*patient.ntp, *_time_servers()][:MAX_ASKED]:
        if (offset := ask_time_server(server)) is not None:
            yield f"NTP {server}", offset
    if not patient.is_sqlite and patient.engine is not None:
        try:
            with patient.engine.connect() as connection:
                before = time.time()
                theirs = float(connection.scalar(text("SELECT extract(epoch FROM clock_timestamp())")) or 0)
                yield "PostgreSQL", (before + time.time()) / 2 - theirs
        except SQLAlchemyError:
            pass
    for url in list(dict.fromkeys(_web_servers(patient)))[:MAX_ASKED]:
        if (offset := ask_web_server(url)) is not None:
            yield url, offset


def _time_servers() -> Iterator[str]:
    for file in NTP_FILES:
        try:
            found = NTP_NAMES.findall(Path(file).read_text("utf-8", "replace"))
        except OSError:
            continue
        yield from found[:1]


def _web_servers(patient: Patient) -> Iterator[str]:
    config = patient.config
    urls = [config.heartbeat.url, config.dispatch.sms.url if config.dispatch.sms is not None else "", config.oidc.issuer]
    urls += [one.hand_over for one in config.hotline]
    for url in urls:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.netloc:
            yield f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def ask_time_server(server: str) -> float | None:
    """How far we are ahead of this NTP server, seconds (RFC 4330); None when it does not answer."""
    host, _, port = server.partition(":") if server.count(":") == 1 else (server, "", "")
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, int(port or 123), type=socket.SOCK_DGRAM)[0]
        with closing(socket.socket(family, kind)) as asking:
            asking.settimeout(ASK_S)
            asking.connect(address)
            began = time.time()
            asking.send(b"\x23" + bytes(47))  # version 4, client
            answer = asking.recv(512)
            ended = time.time()
    except (OSError, ValueError):
        return None
    if len(answer) < 48 or answer[0] & 7 not in (4, 5) or answer[1] == 0:  # mode server or broadcast; stratum 0 is a refusal
        return None
    received, sent = ((whole + part / 2**32 - NTP_EPOCH) for whole, part in struct.iter_unpack("!II", answer[32:48]))
    return float((began - received) + (ended - sent)) / 2


def ask_web_server(url: str) -> float | None:
    """How far we are ahead of the Date of this web server, seconds; None when it does not answer or tells none. It tells whole seconds."""
    parts = urlsplit(url)
    make = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    try:
        with closing(make(parts.hostname or "", parts.port, timeout=ASK_S)) as asking:
            before = time.time()
            asking.request("HEAD", "/")
            told = asking.getresponse().getheader("Date")
            middle = (before + time.time()) / 2
        return middle - parsedate_to_datetime(told).timestamp() - 0.5 if told else None
    except (OSError, ValueError, http.client.HTTPException):
        return None
