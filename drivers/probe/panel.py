"""What panels, receivers and radio buttons say: the test event of their protocol where it has one, else an alarm of the test device."""

from functools import reduce
from operator import xor
from typing import Any

from drivers.panel.dc09_frame import make_frame
from drivers.probe.contract import Moment, Probe, Step, Unsayable

ACK = b"\x06"
HEX_WEIGHT = {digit: int(digit, 16) or 10 for digit in "0123456789BCDEF"}  # SIA DC-05: a 0 counts as 10


def surgard(device: str, moment: Moment, options: Any, hotline: str) -> Probe:  # noqa: ARG001  one signature for all
    """Contact ID 602, periodic test, as `5RRL 18AAAAQXYZGGCCC` DC4; the zone counts the probes. Device: account, four hex digits."""
    if options.format != "surgard":
        raise Unsayable(f"format {options.format} has no words here")
    record = f"5011 18{device}E60200{moment.number % 1000:03}".encode()
    return Probe(device=device, steps=(Step(record + b"\x14", lambda answer: ACK in answer),), token=record)


def sia_dc09(device: str, moment: Moment, options: Any, hotline: str) -> Probe:  # noqa: ARG001
    """`"SIA-DCS"` with RP (automatic test), plain; answered by `"ACK"` of the same number."""
    if device in options.accounts:
        raise Unsayable(f"account {device} has habits of its own in options.accounts")
    if options.strict:
        raise Unsayable("strict: accounts that nobody named are refused")
    number = f"{moment.number % 9999 + 1:04}"
    body = f'"SIA-DCS"{number}L0#{device}[#{device}|NRP0000]_{moment.at:%H:%M:%S,%m-%d-%Y}'.encode()
    receipt = f'"ACK"{number}'.encode()
    return Probe(device=device, steps=(Step(make_frame(body), lambda answer: receipt in answer and answer.endswith(b"\r")),), token=body)


def contact_id(device: str, moment: Moment, options: Any, hotline: str) -> Probe:  # noqa: ARG001
    """A block of 16 digits, 602 with the number as zone, and the kiss-off that is configured for the line."""
    if options.notation != "hex":
        raise Unsayable("notation dtmf has no words here")
    digits = f"{device}18160200{moment.number % 1000:03}".upper()
    missing = -sum(HEX_WEIGHT[digit] for digit in digits) % 15
    check = {0: "F", 10: "0"}.get(missing, f"{missing:X}")  # a digit that counts as 10 is written 0, and 15 is as good as none
    block = (digits + check).encode()
    kiss_off = bytes.fromhex(options.kiss_off)
    return Probe(device=device, steps=(Step(block + b"\r\n", (lambda answer: kiss_off in answer) if kiss_off else None),), token=block)


def ascii_button(device: str, moment: Moment, options: Any, hotline: str) -> Probe:  # noqa: ARG001
    """A press as RFLink prints it, with its counter. Nothing answers. Device: ID:SWITCH."""
    identity, _, switch = device.partition(":")
    line = f"20;{moment.number % 256:02X};SelfTest;ID={identity};SWITCH={switch or '1'};CMD=ON;".encode()
    return Probe(device=device, steps=(Step(line + b"\r\n"),), token=line)


def espa444(device: str, moment: Moment, options: Any, hotline: str) -> Probe:  # noqa: ARG001
    """A call by a control station: select, block, end. ESPA 4.4.4 (1984), 3; BCC: XOR from behind SOH to ETX."""
    if options.role != "station":
        raise Unsayable("role control polls its stations: a probe cannot")
    text = f"TEST {moment.number}"
    checked = f"1\x021\x1f{device}\x1e2\x1f{text}\x1e3\x1f1\x1e4\x1f3\x1e5\x1f1\x1e6\x1f3\x03".encode()
    block = b"\x01" + checked + bytes([reduce(xor, checked)])

    def taken(answer: bytes) -> bool:
        return ACK in answer

    select = b"\x041\x05" + chr(options.own_address).encode() + b"\x05"
    return Probe(device=device, steps=(Step(select, taken), Step(block, taken)), token=text.encode(), after=(b"\x04",))
