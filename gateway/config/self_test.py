"""`[self_test]`: synthetic alarms through every line's real wire, and the points where more is wanted (质量哨点); gateway.self_test."""

from collections.abc import Iterable, Iterator
from typing import Annotated, Literal

import msgspec

from gateway.config.words import Name
from gateway.toml_file import Checks, Fault

DAY_S = 86_400.0
Interval = Annotated[float, msgspec.Meta(ge=0.2, le=DAY_S)]
How = Literal["auto", "wire", "path", "press"]
ON_A_WIRE = ("device", "to", "port", "topic", "frame", "receipt", "username", "password_file", "ca_file", "certificate_file", "key_file")


class SelfTestPoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[self_test.point]]`: what is otherwise than by default. A line that none names is probed by itself.

    how         auto: over the wire where the gateway knows the line's words, else only whether its connection stands; wire: this is wanted (a fault
                where it cannot be); path: only the connection; press: a person presses this device, at least every press_every_days
    device      the address of the test device as the codec tells it; alarms of it are tests and nothing else
    to          HOST:PORT to dial in place of the line's own port (an address outside, to have the firewall tested too)
    port        serial: the second port, wired to the line's input: DEVICE or DEVICE:baudrate=9600
    topic, frame, receipt  what is sent (of a broker: published), and what must stand in the answer; $device $seq $seq2 $seq3 $seq4 $ts $time
    username … key_file    at the line's broker; left out: the line's own
    sentinel    a chosen point (质量哨点), shown apart; place, area: where
    withhold    false: misses of it do not withhold the heartbeat
    """

    name: Name
    line: Name
    how: How = "auto"
    device: Annotated[str, msgspec.Meta(max_length=128)] = ""
    every_s: Interval | None = None
    within_s: Interval | None = None
    sentinel: bool = False
    place: Annotated[str, msgspec.Meta(max_length=200)] = ""
    area: str = ""
    press_every_days: Annotated[float, msgspec.Meta(gt=0, le=80)] = 7.0  # JGJ/T 484-2019: checked weekly; a last sign is kept 90 days
    to: str = ""
    port: str = ""
    topic: str = ""
    frame: str = ""
    receipt: str = ""
    username: str = ""
    password_file: str = ""
    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""
    withhold: bool = True


class SelfTestConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[self_test]`.

    enabled   false: nothing is sent; what the points name are test devices all the same
    every_s   between two probes of one line; within_s: so soon it must be seen back
    misses    so many in a row raise an incident and withhold the heartbeat
    station   the responder id of a test station: each probe goes on as a test order to it, over `channel`; "" = no such stage
    address   of the test station, for channel webhook
    """

    enabled: bool = True
    every_s: Interval = 60.0
    within_s: Interval = 10.0
    misses: Annotated[int, msgspec.Meta(ge=1, le=100)] = 2
    station: Annotated[str, msgspec.Meta(pattern=r"^[^/+#\s]{0,64}$", examples=["self-test"])] = ""
    channel: Literal["mqtt", "webhook"] = "mqtt"
    address: str = ""
    point: tuple[SelfTestPoint, ...] = ()


def point_faults(point: SelfTestPoint) -> Iterator[Fault]:
    """What must hold beyond the types."""
    if point.how == "press":
        if not point.device:
            yield ("device", "how"), "is missing", "name the device that people press"
        for key in ("to", "port", "topic", "frame", "receipt", "every_s", "within_s"):
            if getattr(point, key):
                yield (
                    (key, "how"),
                    "stands beside how = press: people press this device, we do not",
                    "remove it, or give the probe a point of its own",
                )
        return
    if point.every_s is not None and point.within_s is not None and point.within_s > point.every_s:
        yield ("within_s", "every_s"), f"{point.within_s} is longer than every_s", "write at most every_s"
    if point.how == "path":
        for key in ON_A_WIRE:
            if getattr(point, key):
                yield (key, "how"), "stands beside how = path: nothing is sent", "remove it, or write how = wire"
        return
    if point.frame and not point.device:
        yield ("device", "frame"), "is missing beside frame", "name the test device that the frame speaks for"
    if point.receipt and not point.frame:
        yield ("receipt", "frame"), "stands without frame", "write what is sent as frame"


def self_test_faults(config: SelfTestConfig) -> Iterator[Fault]:
    """As above."""
    if config.within_s > config.every_s:
        yield ("within_s", "every_s"), f"{config.within_s} is longer than every_s", "write at most every_s"
    if config.station and config.channel == "webhook" and not config.address.startswith(("http://", "https://")):
        yield ("address", "channel"), "is no web address", "write where the test station listens: https://HOST/PATH"


def point_problems(config: SelfTestConfig, lines: Iterable[str], channels: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """(key, what, remedy) of what must hold beside other sections."""
    known, names, devices = set(lines), set[str](), set[tuple[str, str]]()
    named = {point.name for point in config.point}
    for number, point in enumerate(config.point, 1):
        where = f"self_test.point[{number}]"
        if point.line and point.line not in known:
            yield f"{where}.line", f"there is no line {point.line!r}", "name a [[line]]"
        if point.name in names:
            yield f"{where}.name", f"there is a point {point.name!r} already", "give it a name of its own"
        if point.name in known and point.name != point.line and point.name in named:
            yield f"{where}.name", f"{point.name!r} is the name of another line", "give it a name of its own"
        if point.device and (point.line, point.device) in devices:
            yield f"{where}.device", f"{point.device!r} is the device of another point of this line", "give each point a device of its own"
        names.add(point.name)
        devices.add((point.line, point.device))
    if config.station and config.channel not in set(channels):
        yield "self_test.channel", f"there is no [dispatch.{config.channel}]", "add it, or leave self_test.station empty"


CHECKS: Checks = {SelfTestPoint: point_faults, SelfTestConfig: self_test_faults}
