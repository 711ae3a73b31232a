"""What stands on the other side of the wire in these tests: SIP text and HEP packets, built without any of our own code."""

import socket
import struct
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from drivers.calls.hep import HepCodec, HepOptions
from drivers.contract import Rejected, Signal
from gateway.config import CallsConfig

CALLER = ("192.0.2.20", 5060)
PROXY = ("192.0.2.10", 5060)
AGENT = ("192.0.2.31", 5062)
OTHER_AGENT = ("192.0.2.32", 5062)
AGENT_ADDRESS = ("192.0.2.10", 9060)  # the capture agent itself: where datagrams come from
START = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)


def hep3(
    payload: bytes,
    source: tuple[str, int] = CALLER,
    destination: tuple[str, int] = PROXY,
    at: float | None = None,
    kind: int = 1,
    key: bytes | None = None,
    correlation: bytes = b"",
) -> bytes:
    """A packet with its chunks in the order Kamailio was seen to send them: 1 2 3 4 7 8 9 a b c [11] [e] f."""

    def chunk(number: int, body: bytes) -> bytes:
        return struct.pack("!HHH", 0, number, 6 + len(body)) + body

    at = START.timestamp() if at is None else at
    v6 = ":" in source[0]
    family = socket.AF_INET6 if v6 else socket.AF_INET
    body = chunk(1, bytes([10 if v6 else 2])) + chunk(2, b"\x11")
    body += chunk(5 if v6 else 3, socket.inet_pton(family, source[0])) + chunk(6 if v6 else 4, socket.inet_pton(family, destination[0]))
    body += chunk(7, struct.pack("!H", source[1])) + chunk(8, struct.pack("!H", destination[1]))
    body += chunk(9, struct.pack("!I", int(at))) + chunk(10, struct.pack("!I", round(at % 1 * 1e6) % 1_000_000))
    body += chunk(11, bytes([kind])) + chunk(12, struct.pack("!I", 228))
    if correlation:
        body += chunk(0x11, correlation)
    if key is not None:
        body += chunk(0xE, key)
    body += chunk(0xF, payload)
    return b"HEP3" + struct.pack("!H", 6 + len(body)) + body


@dataclass
class Dialog:
    """One INVITE dialog as its ends write it. `vias`: branches from the nearest hop outwards; more than one once a proxy sent it on."""

    call_id: str = "a84b4c76e66710@192.0.2.20"
    from_tag: str = "caller-1"
    to_tag: str = "agent-1"
    caller: str = "13893100001"
    called: str = "12349"
    uri: str = ""
    vias: tuple[str, ...] = ("z9hG4bK-c1",)
    extra: str = ""
    cseq: int = 1
    headers: dict[str, str] = field(default_factory=dict)

    def request(
        self, method: str = "INVITE", *, tagged: bool = False, by_callee: bool = False, cseq: int = 0, vias: tuple[str, ...] = (), extra: str = ""
    ) -> bytes:
        uri = self.uri or f"sip:{self.called}@192.0.2.10"
        return self._message(f"{method} {uri} SIP/2.0", method, vias or self.vias, tagged, by_callee, cseq, extra)

    def response(
        self,
        code: int,
        reason: str = "",
        *,
        method: str = "INVITE",
        tagged: bool = True,
        by_callee: bool = False,
        cseq: int = 0,
        vias: tuple[str, ...] = (),
        extra: str = "",
    ) -> bytes:
        return self._message(f"SIP/2.0 {code} {reason}", method, vias or self.vias, tagged, by_callee, cseq, extra)

    def _message(self, first: str, method: str, vias: tuple[str, ...], tagged: bool, by_callee: bool, cseq: int, extra: str) -> bytes:
        caller, called = f"<sip:{self.caller}@192.0.2.20>;tag={self.from_tag}", f"<sip:{self.called}@192.0.2.10>"
        if tagged:
            called += f";tag={self.to_tag}"
        from_, to = (called, caller) if by_callee else (caller, called)
        lines = [first]
        lines += [f"Via: SIP/2.0/UDP 192.0.2.{index + 40}:5060;branch={branch}" for index, branch in enumerate(vias)]
        lines += [f"From: {from_}", f"To: {to}", f"Call-ID: {self.call_id}", f"CSeq: {cseq or self.cseq} {method}", "Max-Forwards: 70"]
        lines += [line for line in (self.extra, extra) if line and first.startswith(("INVITE", "SIP/2.0", "REFER", "BYE", "CANCEL", "UPDATE"))]
        return ("\r\n".join(lines) + "\r\nContent-Length: 0\r\n\r\n").encode()


class Exchange:
    """A hep codec with a clock of its own. `say` sends one copy of a message and gives the kinds of what is news."""

    def __init__(self, calls: CallsConfig | None = None, **options: object) -> None:
        self.codec = HepCodec(HepOptions(**options), calls or CallsConfig(hotlines=("12349",), area_code="0931"))  # type: ignore[arg-type]
        self.now = 1000.0
        self.signals: list[Signal] = []
        self.rejected: list[Rejected] = []

    @property
    def time(self) -> datetime:
        return START + timedelta(seconds=self.now - 1000.0)

    def say(self, source: tuple[str, int], destination: tuple[str, int], message: bytes, after: float = 0.01, correlation: bytes = b"") -> list[str]:
        self.now += after
        packet = hep3(message, source, destination, self.time.timestamp(), correlation=correlation)
        return self._news(self.codec.receive_message(AGENT_ADDRESS, packet, self.now, self.time))

    def wait(self, seconds: float) -> list[str]:
        """Let time pass; every timer is asked in its turn."""
        until = self.now + seconds
        news: list[str] = []
        while (deadline := self.codec.deadline()) is not None and deadline <= until:
            self.now = max(self.now, deadline)
            news += self._news(self.codec.handle_deadline(self.now, self.time))
        self.now = until
        return news

    @property
    def last(self) -> dict[str, object]:
        return self.signals[-1].detail

    def _news(self, found: list[Signal | Rejected]) -> list[str]:
        self.signals += [item for item in found if isinstance(item, Signal)]
        self.rejected += [item for item in found if isinstance(item, Rejected)]
        return [item.kind.value.removeprefix("call_") if isinstance(item, Signal) else f"rejected {item.reason}" for item in found]
