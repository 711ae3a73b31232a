"""The machine beneath the gateway, read when somebody scrapes: room on the data disk, certificates and their end, how true the clock is.

What cannot be known here (no adjtimex in a sandbox, no such file) is left out, not told as zero: an alert on it then stays silent, and says so.
"""

import ctypes
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from cryptography import x509
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.config import Config

CERTIFICATE_KEY = re.compile(r"(^|_)(tls_certificate|certificate_file|cert_file|ca_file)$")
IN_ENDPOINT = re.compile(r"(?:^|:)certKey=((?:\\.|[^:])+)")  # of Twisted's ssl: endpoint
UNREADABLE = 0.0  # ended in 1970: who watches certificates is told of one that cannot be read
TIMESYNCD = Path("/run/systemd/timesync/synchronized")  # systemd-timesyncd(8) makes it at its first success
UNSYNCHRONISED = 0x0040  # STA_UNSYNC, adjtimex(2)
ERROR_STATE = 5  # TIME_ERROR, what adjtimex returns when the clock is not synchronised


class Clock(NamedTuple):
    """What the kernel thinks of its clock. error_s: the largest error it admits, None = unknown."""

    is_synchronised: bool
    error_s: float | None


class _Timex(ctypes.Structure):
    """Struct timex of adjtimex(2) as far as we read it, and room for the rest (208 octets on 64-bit Linux)."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),  # µs
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


def read_clock() -> Clock | None:
    """Ask the kernel; where it may not be asked (ProtectClock=yes of our unit), look for the mark of systemd-timesyncd; None = unknown."""
    timex = _Timex(modes=0)  # only read
    try:
        answer = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    except (AttributeError, OSError):  # another C library
        answer = -1
    if answer >= 0:
        return Clock(answer != ERROR_STATE and not timex.status & UNSYNCHRONISED, timex.maxerror / 1e6)
    return Clock(is_synchronised=True, error_s=None) if TIMESYNCD.exists() else None


def certificates(config: Config) -> Iterator[tuple[str, Path]]:
    """(key as in gateway.toml, file) of each certificate that the configuration names; of lines by name: line.panels.listen."""
    for where, value in _leaves(msgspec.to_builtins(config), ""):
        key = where.rpartition(".")[2]
        if CERTIFICATE_KEY.search(key) and isinstance(value, str) and value:
            yield where, config.folder / value
        elif key == "listen" and isinstance(value, str) and value.startswith("ssl:") and (found := IN_ENDPOINT.search(value)):
            yield where, config.folder / re.sub(r"\\(.)", r"\1", found[1])


def _leaves(value: Any, where: str) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, f"{where}.{key}" if where else str(key))
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value, 1):
            name = inner.get("name") if isinstance(inner, dict) else None
            yield from _leaves(inner, f"{where}.{name or number}")
    else:
        yield where, value


def ends_at(certificate: Path, *, is_authority: bool) -> float:
    """Unix time at which it ends; of a list of authorities the last of them, as one that holds is enough. UNREADABLE if it cannot be read."""
    try:
        found = x509.load_pem_x509_certificates(certificate.read_bytes())
    except (OSError, ValueError):
        return UNREADABLE
    ends = [one.not_valid_after_utc.timestamp() for one in found]
    return max(ends) if is_authority else ends[0]  # a chain begins with the certificate itself


class MachineCollector(Collector):
    """`config`: the one in force. A few files of some kilobytes are read at each scrape, so that a renewed certificate shows at once."""

    def __init__(self, config: Callable[[], Config], clock: Callable[[], Clock | None] = read_clock) -> None:
        self._config = config
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        """What /metrics shows."""
        config = self._config()
        try:
            room = os.statvfs(config.data_folder)
        except OSError:
            pass  # the store says that it is down
        else:
            free = room.f_bavail * room.f_frsize  # what is left for who is not root
            yield GaugeMetricFamily("gateway_data_free_bytes", "Room left on the disk of the data folder", value=free)
            yield GaugeMetricFamily("gateway_data_size_bytes", "Size of the disk of the data folder", value=room.f_blocks * room.f_frsize)
        ends = GaugeMetricFamily("gateway_certificate_not_after_seconds", "Unix time at which a certificate ends, 0 = unreadable", labels=["key"])
        for key, file in certificates(config):
            ends.add_metric([key], ends_at(file, is_authority=key.endswith("ca_file")))
        yield ends
        yield GaugeMetricFamily("gateway_clock_seconds", "Unix time by our clock, for comparison with the clock of who scrapes", value=time.time())
        clock = self._clock()
        if clock is not None:
            yield GaugeMetricFamily("gateway_clock_synchronised", "1 while the clock is kept right by NTP or the like", value=clock.is_synchronised)
            if clock.error_s is not None:
                yield GaugeMetricFamily("gateway_clock_error_seconds", "Largest error of the clock that the kernel admits", value=clock.error_s)
