"""A flood of INVITEs from one source must not cost another source's call, though all come through one capture agent."""

import asyncio
import sys
from collections import Counter

import pytest
from waiting import wait_until

from drivers.calls.flood import CallFlood, peek_call_id
from drivers.contract import Rejected
from gateway.clock import monotonic, utc_now
from gateway.event import Event
from tests.sip.sip_wire import CALLER, OTHER_AGENT, PROXY, Dialog, Exchange, hep3
from tests.sip.test_datagram import Pipeline, a_line, running
from tests.sip.test_packet_stream import a_line as a_stream_line
from tests.sip.test_packet_stream import connect, hang_up
from tests.sip.test_packet_stream import running as running_stream

FLOODER = ("198.51.100.66", 5060)
MINE = Dialog(call_id="mine", from_tag="m")
STEPS = (MINE.request(), MINE.response(180), MINE.response(200), MINE.request("BYE", tagged=True, cseq=2))


def flood_packet(number: int) -> bytes:
    return hep3(Dialog(call_id=f"flood-{number}", from_tag="f").request(), FLOODER, PROXY, utc_now().timestamp())


def my_packet(message: bytes) -> bytes:
    return hep3(message, CALLER, PROXY, utc_now().timestamp())


def kinds_of_mine(pipeline: Pipeline) -> list[str]:
    return [item.kind.value for item in pipeline.kept if isinstance(item, Event) and item.detail["call_id"] == "mine"]


def check(pipeline: Pipeline, counts: Counter[str], sent: int, took_s: float) -> None:
    """The flood got what its source may have in that time, no more; every INVITE is accounted for, and the refusal is told once."""
    limit = 20 + 10 * took_s
    offered = sum(1 for item in pipeline.kept if isinstance(item, Event) and item.kind_raw == "INVITE") - 1
    assert offered <= limit
    assert offered + counts["flood"] == sent
    assert [item.reason for item in pipeline.kept if isinstance(item, Rejected)] == ["flood"]


async def test_another_sources_call_goes_through_over_udp() -> None:
    line, pipeline = a_line(max_new_calls_per_s=10), Pipeline()
    flood = [flood_packet(number) for number in range(5000)]
    began = monotonic()
    async with running(line, pipeline) as agent:
        for part, step in enumerate(STEPS):
            for at in range(0, 1250, 25):  # small enough for any kernel's buffer: what is tried here is the line
                for packet in flood[part * 1250 + at : part * 1250 + at + 25]:
                    agent.send(packet)
                await wait_until(lambda seen=part * 1251 + at + 25: line.counts["datagrams"] >= seen, "these are read")
            agent.send(my_packet(step))
            await wait_until(lambda seen=(part + 1) * 1251: line.counts["datagrams"] >= seen, "the step is read")
        await wait_until(lambda: line.held == 0, "all is stored")
    assert kinds_of_mine(pipeline) == ["call_offered", "call_ringing", "call_answered", "call_ended"]
    check(pipeline, line.codec.counts, 5000, monotonic() - began)  # type: ignore[attr-defined]


async def test_another_sources_call_goes_through_over_tcp() -> None:
    line, pipeline = a_stream_line(max_new_calls_per_s=10), Pipeline()
    began = monotonic()
    async with running_stream(line, pipeline):
        peer = await connect(line)
        for part, step in enumerate(STEPS):
            peer[1].write(b"".join(flood_packet(part * 1250 + number) for number in range(1250)) + my_packet(step))
            await peer[1].drain()
        await wait_until(lambda: line.counts["packets"] == 5004 and line.held == 0, "all is read and stored")
        await hang_up(peer)
    assert kinds_of_mine(pipeline) == ["call_offered", "call_ringing", "call_answered", "call_ended"]
    check(pipeline, line.codec.counts, 5000, monotonic() - began)  # type: ignore[attr-defined]


def test_what_a_flooding_source_had_before_goes_on() -> None:
    """Its calls under way, their password round and their end are no new calls."""
    pbx = Exchange(max_new_calls_per_s=1)
    call = Dialog(call_id="early")
    assert pbx.say(CALLER, PROXY, call.request(), after=0) == ["offered"]
    for number in range(50):
        pbx.say(CALLER, PROXY, Dialog(call_id=f"flood-{number}").request(), after=0)
    assert pbx.codec.counts["flood"] == 49  # two seconds' worth came at once: the early call and one of the flood
    pbx.say(PROXY, CALLER, call.response(401), after=0)
    pbx.say(CALLER, PROXY, call.request(cseq=2, vias=("z9hG4bK-again",)), after=0)
    assert pbx.say(PROXY, CALLER, call.response(200, cseq=2, vias=("z9hG4bK-again",)), after=0) == ["answered"]
    assert pbx.say(CALLER, PROXY, call.request("BYE", tagged=True, cseq=3), after=0) == ["ended"]
    assert pbx.say(CALLER, PROXY, Dialog(call_id="later").request(), after=1.0) == ["offered"]  # the flood is over


def test_an_exchange_that_rings_agents_is_never_shed() -> None:
    """Its INVITEs are legs of other people's calls, a dozen for each when all phones ring at once."""
    pbx = Exchange(max_new_calls_per_s=1)
    pbx.say(CALLER, PROXY, Dialog(call_id="a").request())
    assert pbx.say(PROXY, OTHER_AGENT, Dialog(call_id="a-leg", from_tag="l", called="8001").request()) == []
    for number in range(20):  # the exchange is a source of calls to the hotline, too: transfers from another department
        pbx.say(PROXY, ("192.0.2.50", 5060), Dialog(call_id=f"own-{number}", caller="6001").request(), after=0)
    assert pbx.codec.counts["flood"] > 0
    pbx.say(CALLER, PROXY, Dialog(call_id="b", from_tag="b", caller="13893100002").request(), after=3)
    leg = Dialog(call_id="b-leg", from_tag="bl", caller="13893100002", called="8002", to_tag="x")
    pbx.say(PROXY, OTHER_AGENT, leg.request(), after=0)
    assert pbx.say(OTHER_AGENT, PROXY, leg.response(200), after=0) == ["answered"]
    assert pbx.last["agent"] == "8002"


def test_a_source_with_too_many_calls_at_a_time_is_told_once_until_it_is_calm() -> None:
    pbx = Exchange(max_calls_per_source=1, ring_guard_s=10_000)
    assert pbx.say(CALLER, PROXY, Dialog(call_id="a").request()) == ["offered"]
    assert pbx.say(CALLER, PROXY, Dialog(call_id="b").request()) == ["rejected too_many_calls"]
    assert pbx.say(CALLER, PROXY, Dialog(call_id="c").request(), after=50) == []
    assert pbx.say(CALLER, PROXY, Dialog(call_id="d").request(), after=61) == ["rejected too_many_calls"]
    assert pbx.codec.counts["too_many_calls"] == 3


def test_the_table_of_sources_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("drivers.calls.flood", "drivers.token_bucket"):
        monkeypatch.setattr(f"{module}.MAX_SOURCES", 3)
    flood = CallFlood(1)
    for number in range(10):
        assert flood.admits(f"192.0.2.{number}", 0.0)
        assert flood.is_news(f"192.0.2.{number}", "flood", 0.0)
    assert len(flood._buckets) == len(flood._refused) == 3
    assert CallFlood(0).admits("x", 0.0)
    assert not CallFlood(0).is_over("x", 0.0)


@pytest.mark.parametrize(
    ("wire", "call_id"),
    [
        (b"INVITE x SIP/2.0\r\nCall-ID: a@b\r\n\r\n", "a@b"),
        (b"INVITE x SIP/2.0\r\nVia: y\r\ni :\t a@b \r\n", "a@b"),
        (b"INVITE x SIP/2.0\nCALL-ID:a\n\n", "a"),
        (b"INVITE x SIP/2.0\r\nX: Call-ID: z\r\n\r\n", ""),
        (b"INVITE x SIP/2.0\r\n" + b"X: " + b"y" * 9000 + b"\r\nCall-ID: far\r\n", ""),
    ],
)
def test_a_call_id_without_parsing(wire: bytes, call_id: str) -> None:
    assert peek_call_id(wire) == call_id


SENDER = """
import socket, sys, time
port, rate, seconds = int(sys.argv[1]), 5000, 20
head, tail = bytes.fromhex(sys.argv[2]).split(b"flood-0000000")
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
    out.connect(("127.0.0.1", port))
    begin = time.monotonic()
    for number in range(rate * seconds):
        ahead = begin + number / rate - time.monotonic()
        if ahead > 0:
            time.sleep(ahead)
        out.send(head + b"flood-%07d" % number + tail)
"""


@pytest.mark.campaign
async def test_twenty_seconds_of_five_thousand_a_second() -> None:
    """From a process of its own, by the clock; meanwhile a call every tenth of a second from another source."""
    line, pipeline = a_line(), Pipeline()
    packet = hep3(Dialog(call_id="flood-0000000", from_tag="f").request(), FLOODER, PROXY, utc_now().timestamp())
    async with running(line, pipeline) as agent:
        sender = await asyncio.create_subprocess_exec(sys.executable, "-c", SENDER, str(line.port), packet.hex())
        calls = 0
        try:
            while sender.returncode is None:
                call = Dialog(call_id=f"mine-{calls}", from_tag="m")
                for message in (call.request(), call.response(180), call.response(200), call.request("BYE", tagged=True, cseq=2)):
                    agent.send(my_packet(message))
                calls += 1
                await asyncio.sleep(0.1)
        finally:
            if sender.returncode is None:
                sender.terminate()
            await sender.wait()
        await wait_until(lambda: line.held == 0, "all is stored")
        dropped = line.kernel_drops()
    ended = sum(
        1 for item in pipeline.kept if isinstance(item, Event) and item.kind.value == "call_ended" and str(item.detail["call_id"])[:4] == "mine"
    )
    counts = line.codec.counts  # type: ignore[attr-defined]
    shed = counts["flood"] + counts["too_many_calls"]
    print(f"\nflood: {line.counts['datagrams']} datagrams, kernel dropped {dropped}, shed {shed}, other calls {ended} of {calls}")
    assert dropped == 0, "raise net.core.rmem_max: see the guide"
    assert ended == calls
