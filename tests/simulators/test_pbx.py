"""Packets of the simulated PBX, read with a parser of the test's own, by the layout of the HEP3 specification."""

import re
import socket
import struct
from collections.abc import AsyncIterator

import pytest

from simulators.hep_writer import Agent, packet
from simulators.pbx import THROUGH_PROXY, Outcome, Pbx, PlacedCall
from simulators.sip_text import chinese_forms

# The worked example of the specification: 113 octets.
EXAMPLE = (
    bytes.fromhex(
        "485550330071000000010007020000000200071100000003000ad4ca000100000004000a527400d3000000070008"
        "2eea00000008000813c400000009000a4e4982cb0000000a000a0001d4c00000000b0007010000000c000a000000e40000000f0014"
    ).replace(b"HUP3", b"HEP3")
    + b"INVITE sip:bob"
)


def chunks_of(data: bytes) -> dict[int, bytes]:
    """{type: payload} of one HEPv3 packet; fails on every broken rule of the layout."""
    assert data[:4] == b"HEP3"
    assert struct.unpack_from("!H", data, 4) == (len(data),)
    found: dict[int, bytes] = {}
    place = 6
    while place < len(data):
        vendor, kind, length = struct.unpack_from("!HHH", data, place)
        assert (vendor, length >= 6, place + length <= len(data)) == (0, True, True)
        found[kind] = data[place + 6 : place + length]
        place += length
    assert place == len(data)
    return found


def test_parser_of_this_test_reads_the_example_of_the_specification() -> None:
    found = chunks_of(EXAMPLE)
    assert socket.inet_ntoa(found[3]) == "212.202.0.1"
    assert found[15] == b"INVITE sip:bob"


def test_same_facts_as_the_example() -> None:
    ours = chunks_of(packet(b"INVITE sip:bob", ("212.202.0.1", 12010), ("82.116.0.211", 5060), 1313440459.12, agent=Agent(228)))
    theirs = chunks_of(EXAMPLE)
    assert {kind: value for kind, value in ours.items() if kind != 0x0A} == {kind: value for kind, value in theirs.items() if kind != 0x0A}
    assert abs(struct.unpack("!I", ours[0x0A])[0] - 120_000) <= 1


def test_version_six_and_password() -> None:
    found = chunks_of(packet(b"x", ("::1", 5060), ("2001:db8::1", 5060), 1.0, agent=Agent(1, "pbx", "secret"), correlation="c"))
    assert (found[1], len(found[5]), found[0x0E], found[0x11], found[0x13]) == (b"\x0a", 16, b"secret", b"c", b"pbx")
    assert 3 not in found


@pytest.fixture
async def listener() -> AsyncIterator[socket.socket]:
    found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    found.bind(("127.0.0.1", 0))
    found.setblocking(False)
    yield found
    found.close()


async def messages_of(listener: socket.socket, outcome: Outcome, **more: str) -> tuple[PlacedCall, list[bytes]]:
    """Place one call and give the SIP messages that arrived."""
    async with Pbx(listener.getsockname(), seed=5, area_code="0931") as pbx:
        placed = await pbx.call("call-1", more.pop("caller", "+8617400000001"), outcome, ring_s=0, talk_s=0, **more)
    found = []
    while True:
        try:
            found.append(chunks_of(listener.recv(65535))[15])
        except BlockingIOError:
            return placed, found


def starts(messages: list[bytes]) -> list[str]:
    """Method or code of each message."""
    words = [message.split(b"\r\n")[0].decode().split(" ") for message in messages]
    return [word[1] if word[0] == "SIP/2.0" else word[0] for word in words]


FLOWS = {
    Outcome.ANSWERED: "INVITE 100 180 200 ACK BYE 200",
    Outcome.ABANDONED: "INVITE 100 180 CANCEL 200 487 ACK",
    Outcome.BUSY: "INVITE 100 486 ACK",
    Outcome.NO_ANSWER: "INVITE 100 180 480 ACK",
    Outcome.DECLINED: "INVITE 100 180 603 ACK",
    Outcome.QUEUED: "INVITE 100 200 ACK INVITE 100 180 200 ACK BYE 200 BYE 200",
    Outcome.GAVE_UP: "INVITE 100 200 ACK INVITE 100 180 CANCEL 200 487 ACK BYE 200",
    Outcome.QUEUE_TIMEOUT: "INVITE 100 200 ACK INVITE 100 CANCEL 200 487 ACK BYE 200",
    Outcome.BLIND_TRANSFER: "INVITE 100 200 ACK INVITE 100 180 200 ACK REFER 202 BYE 200 INVITE 100 180 200 ACK BYE 200 BYE 200",
}


@pytest.mark.parametrize("outcome", list(FLOWS))
async def test_whole_calls(listener: socket.socket, outcome: Outcome) -> None:
    placed, messages = await messages_of(listener, outcome)
    assert starts(messages) == FLOWS[outcome].split()
    assert placed.finished is not None
    calls = {re.search(rb"Call-ID: (\S+)", message)[1] for message in messages}  # type: ignore[index]
    assert len(calls) == (1 if outcome in THROUGH_PROXY else 3 if outcome is Outcome.BLIND_TRANSFER else 2)
    for message in messages:
        head, _, body = message.partition(b"\r\n\r\n")
        assert int(re.search(rb"Content-Length: (\d+)", head)[1]) == len(body)  # type: ignore[index]
        for needed in (b"\r\nVia: ", b"\r\nFrom: ", b"\r\nTo: ", b"\r\nCSeq: "):
            assert needed in head


async def test_tags_and_branches_hold_a_dialog_together(listener: socket.socket) -> None:
    _, messages = await messages_of(listener, Outcome.ANSWERED)
    invite, trying, _, ok, ack, bye, bye_ok = messages

    def branch(message: bytes) -> bytes:
        found = re.search(rb"branch=([^;\r]+)", message)
        assert found
        return found[1]

    assert branch(invite) == branch(trying) == branch(ok)
    assert branch(ack) != branch(invite)  # the ACK of a 2xx is a transaction of its own
    assert branch(bye) == branch(bye_ok)
    assert b";tag=" not in re.search(rb"\r\nTo: (.*)\r\n", invite)[1]  # type: ignore[index]
    assert re.search(rb"\r\nTo: (.*)\r\n", ok)[1] == re.search(rb"\r\nTo: (.*)\r\n", bye)[1]  # type: ignore[index]


async def test_name_in_gbk_and_caller_without_number(listener: socket.socket) -> None:
    _, messages = await messages_of(listener, Outcome.ANSWERED, display="王秀英")
    assert b'From: "' + "王秀英".encode("gbk") + b'" <sip:' in messages[0]
    with pytest.raises(UnicodeDecodeError):
        messages[0].decode("utf-8")
    _, messages = await messages_of(listener, Outcome.ABANDONED, caller="")
    assert b"<sip:anonymous@anonymous.invalid>" in messages[0]


def test_forms_of_chinese_numbers() -> None:
    assert set(chinese_forms("+8613893112345")) >= {"+8613893112345", "13893112345", "013893112345", "8613893112345", "008613893112345"}
    assert set(chinese_forms("+869318412345", "0931")) >= {"+869318412345", "09318412345", "8412345", "0931-8412345"}
    assert "8412345" not in chinese_forms("+869318412345", "0571")


async def test_the_same_seed_gives_the_same_calls(listener: socket.socket) -> None:
    first = await messages_of(listener, Outcome.QUEUED)
    second = await messages_of(listener, Outcome.QUEUED)
    assert first[1] == second[1]
