"""What each kind of capture agent does differently (hep3.md, "Who emits it" and "What the gateway must know"): none of it costs a call."""

import struct

import pytest

from drivers.calls.hep import HepCodec
from drivers.calls.hep3 import parse_packet
from drivers.contract import Rejected
from tests.sip.sip_wire import AGENT, AGENT_ADDRESS, CALLER, PROXY, START, Dialog, Exchange
from tests.sip.test_hep3 import chunk, packet

CALL = Dialog()


def address(host: str) -> bytes:
    return bytes(int(part) for part in host.split("."))


def envelope(payload: bytes, order: str, source: tuple[str, int], destination: tuple[str, int], at: float, **more: bytes) -> bytes:
    """`order`: chunk types in hex, as this emitter was seen to write them; `more` fills or replaces chunks, named x followed by their type."""
    body = {
        "1": b"\x02", "2": b"\x11", "3": address(source[0]), "4": address(destination[0]), "7": struct.pack("!H", source[1]),
        "8": struct.pack("!H", destination[1]), "9": struct.pack("!I", int(at)), "a": struct.pack("!I", round(at % 1 * 1e6)), "b": b"\x01",
        "c": struct.pack("!I", 2001), "f": payload,
    } | {name[1:]: value for name, value in more.items()}  # fmt: skip
    return packet(*(chunk(int(name, 16), body[name]) for name in order.split()))


def hear(codec: HepCodec, data: bytes, now: float = 1.0) -> list[str]:
    found = codec.receive_message(AGENT_ADDRESS, data, now, START)
    return [item.reason if isinstance(item, Rejected) else item.kind.value.removeprefix("call_") for item in found]


ASTERISK = "1 2 7 8 9 a b c 3 4 e 11 13 f"
KAMAILIO = "1 2 3 4 7 8 9 a b c f"


@pytest.mark.parametrize("order", [KAMAILIO, ASTERISK, "f b 8 7 4 3 2 1 c a 9"])
def test_chunks_in_the_order_of_each_emitter(order: str) -> None:
    data = envelope(CALL.request(), order, CALLER, PROXY, START.timestamp(), xe=b"key", x11=b"a84b4c76e66710@192.0.2.20", x13=b"pbx-1")
    found = parse_packet(data)
    assert (found.source, found.destination, found.agent_id, found.payload_type) == (CALLER, PROXY, 2001, 1)
    assert hear(Exchange().codec, data) == ["offered"]


def test_asterisk_stamps_received_messages_coarsely_and_sent_ones_exactly() -> None:
    """Observed: an ACK stamped .585000 arrived after the 200 stamped .585607. The order of arrival counts."""
    codec, base = Exchange().codec, START.timestamp()
    steps = ((CALL.request(), CALLER, 0.500), (CALL.response(200), PROXY, 0.585607), (CALL.request("ACK", tagged=True), CALLER, 0.585000))
    news = [
        hear(codec, envelope(data, ASTERISK, source, PROXY if source == CALLER else CALLER, base + at, xe=b"", x11=b"x", x13=b""))
        for data, source, at in steps
    ]
    assert news == [["offered"], ["answered"], []]


def test_asterisk_tells_of_rtcp_beside_the_calls() -> None:
    codec = Exchange().codec
    assert hear(codec, envelope(b'{"ssrc":1}', ASTERISK, CALLER, PROXY, START.timestamp(), xb=b"\x05", xe=b"", x11=b"x", x13=b"")) == []
    assert codec.counts["type_5"] == 1


def test_asterisks_correlation_ids_join_nothing_wrongly() -> None:
    """With uuid_type=channel both legs carry their own channel's name; with call-id their own Call-ID."""
    codec = Exchange().codec
    leg = Dialog(call_id="other", from_tag="o", caller="13893100009", called="8001")
    first = envelope(CALL.request(), ASTERISK, CALLER, PROXY, START.timestamp(), xe=b"", x11=b"PJSIP/trunk-00000001", x13=b"")
    second = envelope(leg.request(), ASTERISK, PROXY, AGENT, START.timestamp(), xe=b"", x11=b"PJSIP/8001-00000002", x13=b"")
    answer = envelope(leg.response(200), ASTERISK, AGENT, PROXY, START.timestamp(), xe=b"", x11=b"PJSIP/8001-00000002", x13=b"")
    assert [hear(codec, data) for data in (first, second, answer)] == [["offered"], [], []]


def test_freeswitch_cuts_its_copies_at_16000_octets() -> None:
    """The headers are whole, the body is not as long as Content-Length says; agent id 200, no key, no correlation id."""
    body = b"v=0\r\n" + b"a=x\r\n" * 4000
    whole = CALL.request().replace(b"Content-Length: 0", b"Content-Type: application/sdp\r\nContent-Length: %d" % len(body)) + body
    data = envelope(whole[:16_000], KAMAILIO, CALLER, PROXY, START.timestamp(), xc=struct.pack("!I", 200))
    assert hear(Exchange().codec, data) == ["offered"]


@pytest.mark.parametrize("protocol", [6, 22, 132])
def test_tls_and_websocket_have_a_made_up_protocol_number(protocol: int) -> None:
    assert hear(Exchange().codec, envelope(CALL.request(), KAMAILIO, CALLER, PROXY, START.timestamp(), x2=bytes([protocol]))) == ["offered"]


def test_kamailio_that_traces_everything_twice() -> None:
    """sip_trace() beside trace_mode 1 doubles each packet; the ACK of a stateless reply comes twice in any case."""
    pbx = Exchange()
    steps = ((CALLER, CALL.request()), (PROXY, CALL.response(100)), (PROXY, CALL.response(180)), (PROXY, CALL.response(200)))
    steps += (
        (CALLER, CALL.request("ACK", tagged=True)),
        (CALLER, CALL.request("BYE", tagged=True, cseq=2)),
        (PROXY, CALL.response(200, method="BYE", cseq=2)),
    )
    news: list[str] = []
    for source, message in steps:
        for _ in range(2):
            news += pbx.say(source, PROXY if source == CALLER else CALLER, message, after=0.0)
    assert news == ["offered", "ringing", "answered", "ended"]


def test_what_a_proxy_makes_itself_bears_its_own_address() -> None:
    """100, 408 and CANCEL toward an agent come from the proxy; its CANCEL is no hanging up of the caller."""
    pbx, near, far = Exchange(), Dialog(), Dialog(vias=("z9hG4bK-p1", "z9hG4bK-c1"), uri="sip:8001@192.0.2.31")
    pbx.say(CALLER, PROXY, near.request())
    assert pbx.say(PROXY, CALLER, near.response(100, tagged=False)) == []
    pbx.say(PROXY, AGENT, far.request())
    assert pbx.say(AGENT, PROXY, far.response(180)) == ["ringing"]
    assert pbx.say(PROXY, AGENT, far.request("CANCEL", vias=("z9hG4bK-p1",))) == []
    assert pbx.say(PROXY, CALLER, near.response(408)) == ["missed"]
    assert pbx.last["reason"] == "no_answer"


def test_opensips_adds_json_and_log_lines() -> None:
    codec = Exchange().codec
    at = START.timestamp()
    with_json = packet(
        chunk(0x0F, b'{"correlation":"x"}', vendor=3),  # its own type space: no payload of ours
        *(chunk(int(name, 16), body) for name, body in (("3", address(CALLER[0])), ("4", address(PROXY[0])))),
        chunk(9, struct.pack("!I", int(at))),
        chunk(0x0B, b"\x01"),
        chunk(0x0F, CALL.request()),
    )
    assert hear(codec, with_json) == ["offered"]
    assert hear(codec, envelope(b"script line", KAMAILIO, CALLER, PROXY, at, xb=b"\x56")) == []
    assert codec.counts["type_86"] == 1


def test_heplify_tells_the_vlan_and_compresses_nothing() -> None:
    data = envelope(
        CALL.request(),
        "1 2 3 4 7 8 9 a b c 12 13 14 15 f",
        CALLER,
        PROXY,
        START.timestamp(),
        x12=b"\0\x0a",
        x13=b"heplify",
        x14=bytes(8),
        x15=bytes(8),
    )
    assert parse_packet(data).agent_name == b"heplify"
    assert hear(Exchange().codec, data) == ["offered"]


def test_a_keepalive_packet_of_hep_itself_says_nothing() -> None:
    """Chunk 0x000d without a payload."""
    codec = Exchange().codec
    assert hear(codec, packet(chunk(0x0C, bytes(4)), chunk(0x0D, b"\0\x1e"))) == []
    assert codec.counts["keepalive"] == 1
