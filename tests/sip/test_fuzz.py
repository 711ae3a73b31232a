"""No bytes make the SIP and HEP readers raise, and every rejection has a reason out of the closed list.

Ten thousand examples in the normal run, a million by seeded mutation in the campaign (tests/fuzz/fuzz_sip.py goes on with atheris).
"""

import random
import re

import msgspec
import pytest
from codec_checks import mutate
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.calls.hep import HepCodec, HepOptions
from drivers.contract import Rejected
from drivers.sip.message import MalformedMessage, check_strictly, parse_message
from drivers.sip.multipart import MAX_PARTS, body_parts
from tests.sip.rfc4475 import TORTURE
from tests.sip.sip_wire import AGENT, CALLER, PROXY, START, Dialog, hep3

SOURCE = ("192.0.2.10", 9060)
TORTURE_WIRES = [row.wire for row in TORTURE]
CALL = Dialog(extra='P-Asserted-Identity: "Li, Na" <sip:13893112345@x>\r\nDiversion: <sip:8412345@x>;reason=busy\r\nSession-Expires: 90')
DIALOG = [
    CALL.request(),
    CALL.response(180),
    CALL.response(200),
    CALL.response(486),
    CALL.response(487),
    CALL.request("CANCEL"),
    CALL.request("BYE", tagged=True, cseq=2),
    CALL.request("REFER", tagged=True, extra="Refer-To: <sip:8009@x>"),
    CALL.request("INVITE", extra="Replaces: a84b4c76e66710@192.0.2.20;to-tag=agent-1;from-tag=caller-1"),
    Dialog(call_id="b", from_tag="t", caller="13893112345", called="8001", extra="Referred-By: <sip:8001@x>", uri="sip:8009@x").request(),
]
WIRES = DIALOG + TORTURE_WIRES
# Everything a line may count: hep3, message, hep and call_tracker list the same words in their docstrings.
REASONS = {
    *("not_hep", "bad_length", "bad_chunk", "too_many_chunks", "no_payload", "bad_compression", "inflated_too_long"),
    *("not_sip", "bad_start_line", "bad_version", "bad_status_code", "too_long", "too_many_headers", "repeated_header", "bad_cseq"),
    *("missing_call_id", "missing_cseq", "missing_from", "missing_to", "missing_via", "cseq_method_mismatch"),
    *("unknown_source", "missing_key", "wrong_key", "table_full", "too_many_calls", "flood"),
}
STRICT_REASONS = {
    "bad_header",
    "bad_via",
    "bad_content_length",
    "short_body",
    "body_too_long",
    "bad_max_forwards",
    "unbalanced_quotes",
    "bad_uri",
    "keepalive",
}


class Feeder:
    """A long-lived codec: what the mutations leave behind in its table is part of the trial."""

    def __init__(self) -> None:
        self.codec = HepCodec(HepOptions(trusted=("192.0.2.0/24",), hotlines=("12349",), area_code="0931", max_calls=500, max_calls_per_source=400))
        self.now = 0.0
        self.seen: dict[str, int] = {}

    def feed(self, datagram: bytes, after: float = 0.0) -> None:
        self.now += after
        found = self.codec.receive_message(SOURCE, datagram, self.now, START)
        deadline = self.codec.deadline()
        if deadline is not None and deadline <= self.now:
            found += self.codec.handle_deadline(self.now, START)
        for item in found:
            if isinstance(item, Rejected):
                assert item.reason in REASONS
            else:
                msgspec.json.encode(item.detail)  # it must fit into a row
                assert item.dedup
            outcome = item.reason if isinstance(item, Rejected) else item.kind.value
            self.seen[outcome] = self.seen.get(outcome, 0) + 1


def check_parser(data: bytes) -> None:
    """Every lazy field of whatever could be parsed is read, too."""
    fault = ""
    try:
        message = parse_message(data)
        assert message.branch is not None
        assert len(body_parts(message)) <= MAX_PARTS
        assert message.via_count >= 0
        for name in message.headers:
            for address in message.name_addrs(name):
                assert address.display is not None
                assert address.user is not None
        check_strictly(message)
    except MalformedMessage as malformed:
        fault = malformed.reason
    assert not fault or fault in REASONS | STRICT_REASONS


@settings(max_examples=1000, deadline=None)
@given(st.binary(max_size=400))
def test_random_datagrams(data: bytes) -> None:
    Feeder().feed(data)


@settings(max_examples=1000, deadline=None)
@given(st.binary(max_size=400))
def test_random_payloads(data: bytes) -> None:
    Feeder().feed(hep3(data))
    check_parser(data)


@settings(max_examples=2000, deadline=None)
@given(st.lists(st.sampled_from(WIRES), min_size=1, max_size=2), st.randoms(use_true_random=False))
def test_mutated_messages(wires: list[bytes], rng: random.Random) -> None:
    data = mutate(wires, rng)
    check_parser(data)
    feeder = Feeder()
    feeder.feed(hep3(DIALOG[0]))
    feeder.feed(hep3(data))


HEADER_TEXT = st.text(alphabet=st.sampled_from('<>";,=:@%\\ \t0123456789abISPsip/\r\n[]()李\udc81'), max_size=60)


@settings(max_examples=2000, deadline=None)
@given(st.sampled_from(["From", "To", "Via", "Contact", "CSeq", "Content-Length", "Diversion", "Privacy", "Replaces", "Reason"]), HEADER_TEXT)
def test_hostile_header_values(name: str, value: str) -> None:
    hostile = f"\r\n{name}: {value}\r\nCSeq".encode("utf-8", "surrogateescape")
    data = DIALOG[0].replace(b"\r\nCSeq", hostile, 1)
    if name in ("From", "To", "Via"):
        data = re.sub(rb"(?m)^" + name.encode() + rb": [^\r]*(sip:1|SIP/2)[^\r]*\r\n", b"", data, count=1)
    check_parser(data)
    Feeder().feed(hep3(data))


def long_form(messages: int, seed: int) -> dict[str, int]:
    """Seeded mutations of packets and of the SIP inside, through one codec with a clock that moves."""
    rng = random.Random(seed)
    feeder = Feeder()
    ends = [CALLER, PROXY, AGENT]
    for _ in range(messages):
        wires = [rng.choice(WIRES)] if rng.random() < 0.7 else WIRES
        payload = rng.choice(DIALOG) if rng.random() < 0.2 else mutate(wires, rng)
        packet = hep3(payload[:60_000], rng.choice(ends), rng.choice(ends))
        feeder.feed(mutate([packet], rng) if rng.random() < 0.1 else packet, rng.choice((0.0, 0.0, 0.01, 1.0, 20.0)))
    return feeder.seen


def test_ten_thousand_messages_through_one_codec() -> None:
    seen = long_form(10_000, seed=12349)
    assert {"call_offered", "call_answered", "bad_cseq", "not_hep"} <= set(seen)


@pytest.mark.campaign
def test_a_million_messages() -> None:
    assert sum(long_form(1_000_000, seed=4475).values()) > 100_000
