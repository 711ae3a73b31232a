"""What is tested, and how: the configured points, and one for each line that none of them names."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from drivers.probe.contract import Moment, Probe, Unsayable
from drivers.probe.frame import faults_of, from_config
from drivers.probe.table import Row, row_of
from drivers.registry import Transport, driver_for
from gateway.config import Config, LineConfig
from gateway.config.self_test import SelfTestPoint
from gateway.core.register import Register
from gateway.core.self_test import Marks
from gateway.core.state import TestMark

PATH, WIRE, PRESS = "path", "wire", "press"
DIALLED = ("tcp", "ssl", "udp")  # first words of `listen` that tell where to dial


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One point as it is tested.

    how   wire, path or press; why: of a path, why nothing is sent (English words for `gateway check` and the page's tooltip; a word of WHY)
    """

    name: str
    line: LineConfig
    how: str
    device: str = ""
    every_s: float = 60.0
    within_s: float = 10.0
    why: str = ""
    asked: SelfTestPoint
    by_default: bool = False
    options: Any = None
    row: Row | None = None
    hotline: str = "12349"

    @property
    def mark(self) -> TestMark | None:
        """What alarms of its device are."""
        if not self.device:
            return None
        return TestMark.PRESS if self.how == PRESS else TestMark.PROBE

    @property
    def topic(self) -> str:
        """Where it is published, of a broker; "" else."""
        return self.probe(Moment(number=1, at=datetime.fromtimestamp(0, UTC))).topic if self.how == WIRE and self.line.broker is not None else ""

    def probe(self, moment: Moment) -> Probe:
        """What is sent at this moment. Raises Unsayable."""
        asked = self.asked
        if asked.frame:
            return from_config(self.device, moment, asked.frame, asked.receipt, asked.topic)
        if self.row is None:
            raise Unsayable("only the configuration knows what this codec's devices say: write frame")
        probe = self.row.maker(self.device, moment, self.options, self.hotline)
        return msgspec.structs.replace(probe, topic=asked.topic.replace("$device", self.device)) if asked.topic else probe


def points_of(config: Config) -> list[Point]:
    """All points: those of the configuration first, then one for each line without one. Reads a HEP line's key, if it may."""
    found = []
    lines = {line.name: line for line in config.line}
    for asked in config.self_test.point:
        if asked.line in lines:
            found.append(_point(config, lines[asked.line], asked))
    named = {point.line.name for point in found if point.how != PRESS}
    found += [_point(config, line, None) for line in config.line if line.name not in named]
    return found


def marks_of(config: Config) -> Marks:
    """The test devices, whether anything is sent or not: what waits at a broker must not become a real alarm by a switch."""
    return {(point.line.name, point.device): point.mark for point in points_of(config) if point.mark is not None}


def point_problems(config: Config, register: Register) -> list[str]:
    """Points that were asked for over the wire and cannot be, templates that cannot be filled, test devices and stations that are real ones."""
    problems = []
    for number, asked in enumerate(config.self_test.point, 1):
        where = f"{config.path}: self_test.point[{number}]"
        for key in ("frame", "receipt", "topic"):
            if fault := faults_of(getattr(asked, key)):
                problems.append(f"{where}.{key}: {fault}")
        if asked.area and asked.area not in register.areas:
            problems.append(f"{where}.area: there is no area {asked.area!r} in the district; correct it")
    if config.self_test.station in register.responders:
        problems.append(f"{config.path}: self_test.station: {config.self_test.station!r} is a real responder; name one that is none")
    for point in points_of(config):
        known = register.device(point.line.name, point.device) if point.device else None
        if known is not None and (known.person or known.home):
            problems.append(
                f"{config.path}: self_test.point {point.name!r}: device: {point.device!r} is somebody's in the register, whose cries would be"
                " taken for tests; name another device"
            )
        if point.asked.how == "wire" and point.how != WIRE:
            problems.append(f"{config.path}: self_test.point {point.name!r}: how: {WHY[point.why]}; correct it, or write how = path")
    return problems


WHY = {
    "asked": "only the connection is wanted",
    "serial": "a serial line needs a second port wired to its input: write port",
    "dials": "the gateway dials its peer there, nobody can dial in",
    "no_words": "what this codec's devices say only the place knows: write frame and device",
    "options": "the line's options leave no words for a test device",
    "silence": "the line has silence_s: a probe would be heard as its peer and hide its silence",
    "systemd": "systemd opens the port, it is not known here: write to",
}


def _point(config: Config, line: LineConfig, asked: SelfTestPoint | None) -> Point:
    common = config.self_test
    one = asked or SelfTestPoint(name=line.name, line=line.name)
    every_s = one.every_s or common.every_s
    point = Point(
        name=one.name,
        line=line,
        how=PRESS if one.how == "press" else PATH,
        device=one.device,
        every_s=every_s,
        within_s=min(one.within_s or common.within_s, every_s),
        asked=one,
        by_default=asked is None,
        row=row_of(line.codec),
        hotline=next(iter(config.calls.hotlines), "12349"),
    )
    if one.how == "press":
        return point
    why = _why_not(point)
    if why:
        return msgspec.structs.replace(point, why=why)
    device = one.device or (point.row.device if point.row is not None else "")
    point = msgspec.structs.replace(point, how=WIRE, device=device, options=_options(line))
    try:
        point.probe(Moment(number=1, at=datetime.fromtimestamp(0, UTC)))
    except (Unsayable, AttributeError, ValueError, KeyError):
        return msgspec.structs.replace(point, how=PATH, why="options")
    return point


def _why_not(point: Point) -> str:
    """Why nothing can be sent; "" if it can."""
    one, line = point.asked, point.line
    transport = driver_for(line.codec).transport
    if one.how == "path":
        return "asked"
    if transport is Transport.CLIENT or line.connect is not None:
        return "" if one.frame and (one.to or one.port) else "dials"
    if point.row is None and not one.frame:
        return "no_words"
    if point.by_default and line.silence_s is not None:
        return "silence"
    if transport is Transport.BROKER:
        return "" if point.row is not None or one.topic else "no_words"
    word = (line.listen or "").partition(":")[0]
    if one.to or one.port:
        return ""
    if word == "serial":
        return "serial"
    return "" if word in DIALLED else "systemd"


def _options(line: LineConfig) -> Any:
    """The line's options as its driver reads them; a HEP line's key out of its file."""
    options = msgspec.convert(line.options, driver_for(line.codec).options)
    file = getattr(options, "auth_key_file", "")
    if line.codec == "hep" and file:
        try:
            options = msgspec.structs.replace(options, auth_key=Path(file).read_text("utf-8").partition("\n")[0].strip())
        except (OSError, UnicodeDecodeError):
            return options
    return options
