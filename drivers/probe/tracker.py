"""What wearables that speak raw TCP say: an SOS of the test device, without a position."""

from functools import reduce
from operator import xor
from typing import Any

from drivers.probe.contract import Moment, Probe, Step, Unsayable
from drivers.tracker.gt06_frame import build
from drivers.tracker.jt808_frame import escape
from drivers.tracker.jt808_location import CHINA
from drivers.tracker.watch3g_frames import write_frame


def watch3g(device: str, moment: Moment, options: Any, hotline: str) -> Probe:  # noqa: ARG001  one signature for all
    """AL with the SOS bit and no fix; answered by AL. Device: the watch's id, ten digits."""
    when = f"{moment.at:%d%m%y},{moment.at:%H%M%S}"
    content = f"AL,{when},V,0.0,N,0.0,E,0.00,0.0,0.0,0,0,100,0,0,00010000,0,1,460,0".encode()
    return Probe(
        device=device,
        steps=(Step(write_frame("3G", device, None, content), lambda answer: f"[3G*{device}*".encode() in answer and b"*AL" in answer),),
        token=when.encode(),
    )


def gt06(device: str, moment: Moment, options: Any, hotline: str) -> Probe:  # noqa: ARG001
    """Login, then alarm 26 with alarm byte 01 (SOS); each answered under its own number. Device: the IMEI, 15 digits."""
    first = moment.number * 2 % 0xFFFE + 1
    login = build(0x01, bytes.fromhex(device.zfill(16)) + b"\x10\x02\x00\x01", first)
    at = moment.at
    place = bytes([at.year % 100, at.month, at.day, at.hour, at.minute, at.second, 0xC0]) + bytes(9) + b"\x00\x00"
    cells = b"\x09" + b"\x01\xcc\x00\x28\x7d\x00\x1f\x71"
    alarm = build(0x26, place + cells + b"\x44\x04\x04\x01\x02", first + 1)

    def answered(protocol: int, serial: int) -> bytes:
        return bytes([protocol]) + serial.to_bytes(2)

    return Probe(
        device=device,
        steps=(Step(login, lambda answer: answered(0x01, first) in answer), Step(alarm, lambda answer: answered(0x26, first + 1) in answer)),
        token=alarm,
    )


def jt808(device: str, moment: Moment, options: Any, hotline: str) -> Probe:  # noqa: ARG001
    """Authentication (0102), then a location report (0200) with alarm bit 0 and no fix, edition 2013; each answered by 8001.

    Device: the number packed in the header."""
    if options.authentication == "strict":
        raise Unsayable("authentication strict: the probe has no code")
    first = moment.number * 2 % 0xFFFE + 1
    at = f"{moment.at.astimezone(CHINA):%y%m%d%H%M%S}"
    location = (1).to_bytes(4) + bytes(18) + bytes.fromhex(at)

    def frame(message: int, serial: int, body: bytes) -> bytes:
        data = message.to_bytes(2) + len(body).to_bytes(2) + bytes.fromhex(device.zfill(12)) + serial.to_bytes(2) + body
        return b"\x7e" + escape(data + bytes([reduce(xor, data)])) + b"\x7e"

    def step(message: int, serial: int, body: bytes) -> Step:
        done = escape(serial.to_bytes(2) + message.to_bytes(2) + b"\x00")  # general answer 8001: number, id, result 0
        return Step(frame(message, serial, body), lambda answer: done in answer and answer.endswith(b"\x7e"))

    return Probe(
        device=device, steps=(step(0x0102, first, b"self-test"), step(0x0200, first + 1, location)), token=frame(0x0200, first + 1, location)
    )
