"""The call after an accepted alarm: unit, SIP line, exchange and mirrored SIP on real sockets, and one incident in the core."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import msgspec
from waiting import wait_until

from drivers.calls.hep import HepCodec, HepOptions
from drivers.contract import Signal, to_event
from gateway.config import CallsConfig
from gateway.core import decide
from gateway.core.state import Draft
from gateway.event import Event
from simulators.home_link import Receiver
from simulators.home_unit import HomeUnit
from tests.core.room import Room
from tests.sip.sip_peer import Store, a_line, running
from tests.sip.sip_wire import hep3

CALLS = CallsConfig(hotlines=("12349",))


class Exchange(asyncio.DatagramProtocol):
    """Takes every call, and mirrors each message to a HEP codec."""

    def __init__(self) -> None:
        self.codec = HepCodec(HepOptions(), CALLS)
        self.signals: list[Signal] = []
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.transport.get_extra_info("sockname")
        return host, port

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        self.mirror(data, address, self.address)
        lines = data.decode().split("\r\n")
        method = lines[0].split(" ")[0]
        for status in {"INVITE": ("180 Ringing", "200 OK"), "BYE": ("200 OK",)}.get(method, ()):
            kept = [f"{line};tag=pbx" if line.startswith("To:") and "tag=" not in line else line for line in lines]
            kept = [line for line in kept if line.partition(":")[0] in ("Via", "From", "To", "Call-ID", "CSeq")]
            contact = f"Contact: <sip:8001@{self.address[0]}:{self.address[1]}>"
            answer = "\r\n".join([f"SIP/2.0 {status}", *kept, contact, "Content-Length: 0", "", ""]).encode()
            self.transport.sendto(answer, address)
            self.mirror(answer, self.address, address)

    def mirror(self, data: bytes, source: tuple[str, int], destination: tuple[str, int]) -> None:
        now, at = asyncio.get_running_loop().time(), datetime.now(UTC)
        packet = hep3(data, source=source, destination=destination, at=at.timestamp())
        found = self.codec.receive_message(("127.0.0.1", 9060), packet, now, at)
        self.signals += [signal for signal in found if isinstance(signal, Signal)]


async def test_alarm_and_call_are_one_incident() -> None:
    store = Store()
    voice = {"cre": "62", "tnu": "sip:12349@pbx.example"}
    transport, exchange = await asyncio.get_running_loop().create_datagram_endpoint(Exchange, local_addr=("127.0.0.1", 0))
    async with running(a_line(body_options={"scaip": {"voice": voice}}), store) as line:
        assert line.port is not None
        async with HomeUnit("1234567890", [Receiver("127.0.0.1", line.port)], voice=exchange.address, talk_s=0.05, t1_s=0.05) as home:
            said = await home.alarm()
        await wait_until(lambda: len(exchange.signals) == 4, "the call is told whole")
    transport.close()
    assert (said.outcome, said.call) == ("confirmed", 200)
    assert [signal.kind.value for signal in exchange.signals] == ["call_offered", "call_ringing", "call_answered", "call_ended"]

    room = Room(calls=CALLS)
    alarms = [msgspec.structs.replace(event, line="units") for event in store.events]  # the line on which the register has the unit
    for event in [*alarms, *(to_event(signal, "pbx", datetime.now(UTC)) for signal in exchange.signals)]:
        decided(room, event)
    incident = room.only
    assert room.kinds(incident.id)[0] == "sos"
    assert {"call_offered", "call_answered"} <= set(room.kinds(incident.id))


def decided(room: Room, event: Event) -> None:
    draft = Draft(room.working)
    assert decide.on_event(draft, event, event.received_at) == "stored"
    room._settle(draft)
