"""What the machine gives the gateway: open files, receive buffers, memory, and swap that wears a card out."""

import re
from collections.abc import Iterator
from pathlib import Path

from drivers.lines.datagram import RECEIVE_BUFFER
from gateway.config import Config
from gateway.core.register import Register
from gateway.doctor.finding import Finding, bad, good, note, unknown
from gateway.doctor.gateway_itself import restart
from gateway.doctor.patient import Patient

TOPIC = "limits"
OWN_FILES = 512  # store, log, channels, consoles (200 at most) and some air
STREAMS = ("tcp:", "ssl:", "systemd:")
LOW_MEMORY_KB = 128 * 1024
RMEM = Path("/proc/sys/net/core/rmem_max")


def look(patient: Patient) -> Iterator[Finding]:
    """Each limit that something in the configuration asks for."""
    yield _files(patient)
    if any((line.listen or "").startswith("udp:") for line in patient.config.line) and (granted := _number(RMEM)) is not None:
        if granted < RECEIVE_BUFFER:
            yield note(TOPIC, "UDP", "receive_buffer_small", granted=granted, wanted=RECEIVE_BUFFER)
        else:
            yield good(TOPIC, "UDP", "receive_buffer_good", granted=granted)
    available = _memory_kb()
    if available is not None:
        if available < LOW_MEMORY_KB:
            yield bad(TOPIC, "memory", "memory_low", free=available // 1024)
        else:
            yield good(TOPIC, "memory", "memory_good", free=available // 1024)
    for device in swap_on_cards():
        yield note(TOPIC, "swap", "swap_on_card", device=device)


def _files(patient: Patient) -> Finding:
    running = patient.running
    allowed = running.metric("process_max_fds") if running is not None else 0
    if not allowed:
        return unknown(TOPIC, "open files", "files_not_asked")
    wanted = wanted_files(patient.config, patient.register)
    if allowed < wanted:
        return bad(TOPIC, "open files", "files_few", allowed=f"{allowed:.0f}", wanted=wanted, restart=restart(patient))
    return good(TOPIC, "open files", "files_enough", allowed=f"{allowed:.0f}", wanted=wanted)


def wanted_files(config: Config, register: object) -> int:
    """As many as could be open: a connection for each device of a line that takes connections, twice, as a line takes at most half."""
    streams = {line.name for line in config.line if (line.listen or "").startswith(STREAMS)}
    devices = sum(one.line in streams for one in register.devices) if isinstance(register, Register) else 0
    return OWN_FILES + 2 * len(config.line) + 2 * devices


def swap_on_cards(table: Path = Path("/proc/swaps")) -> Iterator[str]:
    """Swap areas that lie on a memory card."""
    try:
        rows = table.read_text().splitlines()[1:]
    except OSError:
        return
    for row in rows:
        if re.match(r"/dev/mmcblk", row):
            yield row.split()[0]


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None


def _memory_kb() -> int | None:
    try:
        found = re.search(r"^MemAvailable:\s+(\d+)", Path("/proc/meminfo").read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) if found else None
