"""Lines: can the address be used, and what the gateway that runs knows of each."""

import contextlib
import errno
import socket
from collections.abc import Iterator
from pathlib import Path

from drivers.lines.serial_port import read_endpoint
from drivers.supervisor import LineState
from gateway.config import LineConfig
from gateway.doctor.finding import Finding, bad, good, note
from gateway.doctor.gateway_itself import restart
from gateway.doctor.machine import holder_of
from gateway.doctor.patient import LineTold, Patient, connects, reason

TOPIC = "lines"
LISTENS = ("udp:", "tcp:", "ssl:")


def look(patient: Patient) -> Iterator[Finding]:
    """A finding for each line and each further address of it."""
    if patient.config.bus.servers:
        return  # edges tell of theirs (gateway.doctor.cluster); the ports of another machine are not ours to try
    running = patient.running
    with contextlib.ExitStack() as held:  # each port until the end: two lines on one port are found as well
        for number, line in enumerate(patient.config.line, 1):
            told = running.lines.get(line.name) if running is not None else None
            if line.name in patient.brokers_bad:
                continue  # told of its broker
            found = list(_address(patient, number, line, told, held))
            yield from found
            if told is not None and all(one.good for one in found):
                yield from _state(patient, line, told)


def _address(patient: Patient, number: int, line: LineConfig, told: LineTold | None, held: contextlib.ExitStack) -> Iterator[Finding]:
    what = f"line {line.name}"
    if line.connect is not None:
        yield from _server(patient.where(number, "connect"), what, line.connect, told)
    elif (line.listen or "").startswith("serial:"):
        yield _serial(patient, patient.where(number, "listen"), what, line.listen or "")
    else:
        others = line.options.get("also", ())
        addresses = [(what, patient.where(number, "listen"), line.listen or "")]
        addresses += [
            (f"{what}, also {count}", patient.where(number, "options.also"), one)
            for count, one in enumerate(others if isinstance(others, list | tuple) else (), 1)
            if isinstance(one, str)
        ]
        for name, key, address in addresses:
            if address.startswith(LISTENS):
                yield from _listens(name, key, address, told, held)


def _listens(what: str, key: str, address: str, told: LineTold | None, held: contextlib.ExitStack) -> Iterator[Finding]:
    if told is not None and told.state != LineState.LOST:
        return  # it has the port: its state says the rest
    word, port, *rest = [*address.replace("\\:", "\0").split(":"), ""]
    port = port.removeprefix("port=")
    interface = next((one.removeprefix("interface=").replace("\0", ":") for one in rest if one.startswith("interface=")), "")
    if not (port.isascii() and port.isdigit() and int(port) <= 65_535):
        yield bad(TOPIC, what, "port_no_address", key=key, address=address)
        return
    kind = socket.SOCK_DGRAM if word == "udp" else socket.SOCK_STREAM
    with contextlib.ExitStack() as briefly:  # the line wants it back
        fault = bind(kind, interface, int(port), held if told is None else briefly)
    if fault is None:
        if told is None:
            yield good(TOPIC, what, "port_free", address=address)
        return
    yield port_fault(TOPIC, what, key, address, kind, int(port), fault)


def port_fault(topic: str, what: str, key: str, address: str, kind: socket.SocketKind, port: int, fault: OSError) -> Finding:
    """Why nobody can listen there, with who does if that can be seen."""
    facts = {"key": key, "address": address, "reason": reason(fault)}
    if fault.errno == errno.EADDRINUSE:
        holder = holder_of(kind, port)
        if holder is not None:
            return bad(topic, what, "port_taken_by", pid=holder[0], program=holder[1], **facts)
        return bad(topic, what, "port_taken", port=port, **facts)
    word = {errno.EADDRNOTAVAIL: "port_foreign_address", errno.EACCES: "port_privileged"}.get(fault.errno or 0, "port_refused")
    return bad(topic, what, word, **facts)


def bind(kind: socket.SocketKind, interface: str, port: int, held: contextlib.ExitStack) -> OSError | None:
    """What keeps us from listening there; None when nothing does: then the port is ours until `held` ends."""
    with contextlib.ExitStack() as mine:
        opened = mine.enter_context(socket.socket(socket.AF_INET6 if ":" in interface else socket.AF_INET, kind))
        if kind == socket.SOCK_STREAM:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the line does: connections just ended are in nobody's way
        try:
            opened.bind((interface, port))
            if kind == socket.SOCK_STREAM:
                opened.listen(1)
        except OSError as error:
            return error
        held.push(mine.pop_all())
    return None


def _server(key: str, what: str, connect: str, told: LineTold | None) -> Iterator[Finding]:
    """Does anybody listen there? Name and password are tried by the line itself."""
    _, *parts = connect.replace("\\:", "\0").split(":")
    host, port = (part.replace("\0", ":") for part in parts[:2]) if len(parts) > 1 else ("", "")
    if not host or not port.isdecimal():
        yield bad(TOPIC, what, "server_no_address", key=key, address=connect)
    elif told is not None and told.state == LineState.LIVE:
        return
    elif (error := connects(host, int(port))) is not None:
        yield bad(TOPIC, what, "server_away", key=key, address=connect, reason=reason(error))
    elif told is None:
        yield good(TOPIC, what, "server_answers", address=connect)


def _serial(patient: Patient, key: str, what: str, listen: str) -> Finding:
    try:
        device, _ = read_endpoint(listen)
    except ValueError as error:
        return bad(TOPIC, what, "serial_no_address", key=key, reason=error)
    path, user = Path(device), patient.user
    if not path.exists():
        there = ", ".join(str(one) for pattern in ("ttyUSB*", "ttyACM*", "serial/by-id/*") for one in sorted(Path("/dev").glob(pattern))[:4])
        return bad(TOPIC, what, "serial_gone", key=key, device=device, there=there or "-")
    if not user.may(path, 6):
        group = path.group() if path.stat().st_gid in range(1000) else str(path.stat().st_gid)
        return bad(TOPIC, what, "serial_no_right", device=device, user=user.name, group=group, mode=f"{path.stat().st_mode & 0o777:04o}")
    return good(TOPIC, what, "serial_there", device=device)


def _state(patient: Patient, line: LineConfig, told: LineTold) -> Iterator[Finding]:
    """What the running gateway says of a line whose address is as it should be."""
    what = f"line {line.name}"
    facts = {"state": told.state, "reason": told.reason or "-", "restart": restart(patient)}
    if told.state == LineState.LIVE:
        yield good(TOPIC, what, "line_live")
    elif told.state == LineState.CONNECTING:
        yield note(TOPIC, what, "line_connecting", **facts)
    elif told.state == LineState.SUSPECT:
        yield bad(TOPIC, what, "line_silent", silence=f"{line.silence_s or 0:g}", **facts)
    else:
        yield bad(TOPIC, what, "line_lost", **facts)
    for profile in told.profiles:
        if profile.state != "running":
            word = "profile_refused" if profile.state == "refused" else "profile_off"
            yield bad(TOPIC, f"{what}, {profile.name}", word, profile=profile.name, fault=profile.fault or "-", **facts)
