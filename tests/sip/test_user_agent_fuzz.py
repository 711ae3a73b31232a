"""No bytes make the user agent raise, keep it from answering the next good alarm, or make it say more than it was asked.

A short form here, a long one in the campaign; seeded, so that a finding can be repeated.
"""

import random

import pytest
from codec_checks import mutate

from drivers.contract import STORED, Verdict
from drivers.sip.hop import Hop
from drivers.sip.stream_frames import StreamFrames
from tests.sip.rfc4475 import TORTURE
from tests.sip.sip_peer import ok, read, request
from tests.sip.sip_wire import START
from tests.sip.test_user_agent import ALARM, Desk, proof
from tests.sip.test_user_agent_pbx import lamps

DEVICE = Hop("udp", ("192.0.2.20", 5060), ("192.0.2.10", 5060), 1)
OPTIONS = {"authentication": "accept_and_mark", "subscribe": ("sip:8001@pbx.example",), "register": {"registrar": "sip:p", "address": "sip:1@p"}}
WIRES = [
    request(),
    request(content_type="application/scaip+xml", body=ALARM, headers=["Contact: <sip:1@192.0.2.20>"]),
    request(headers=[proof('Digest realm="12349", nonce="n", qop="auth", algorithm=MD5')]),
    request("OPTIONS", body=b""),
    request("INVITE"),
    request(
        "NOTIFY", headers=["Event: dialog", "Subscription-State: active"], content_type="application/dialog-info+xml", body=lamps("early", 1, "1")
    ),
    ok(request()),
    *(row.wire for row in TORTURE),
]


def long_form(messages: int, seed: int) -> Desk:
    rng = random.Random(seed)
    desk = Desk({"alarm-01": "s3cret"}, **OPTIONS)  # type: ignore[arg-type]
    for index in range(messages):
        data = rng.choice(WIRES) if rng.random() < 0.1 else mutate([rng.choice(WIRES)], rng)
        data = data.replace(b"demo1@", b"demo%d@" % rng.randrange(50))
        desk.verdict = rng.choice((STORED, STORED, Verdict("refused", "store_down", retry=True), Verdict("refused", "undecidable")))
        hop = Hop(rng.choice(("udp", "udp", "tcp")), (f"192.0.2.{rng.randrange(20, 30)}", 5060), DEVICE.local, 1)
        desk.now += rng.choice((0.0, 0.001, 0.1, 5.0))
        desk.agent.receive(hop, data, desk.now, START)
        for ask in desk.agent.wanted():
            desk.agent.launch(ask, [DEVICE], desk.now)
        said = desk.take()
        assert sum(answer.first.startswith("SIP/2.0 ") for answer in said) <= 1, [answer.first for answer in said]
        assert len(said) <= 4  # an answer, what follows it, and two requests of ours
        for answer in said:
            assert answer.first.startswith(("SIP/2.0 ", "MESSAGE ", "REGISTER ", "SUBSCRIBE "))
        deadline = desk.agent.deadline()
        if deadline is not None and deadline <= desk.now:
            desk.agent.handle_deadline(desk.now, START)
            desk.take()
        if index % 500 == 0:
            desk.verdict = STORED
            good = desk.say(request(branch=f"z9hG4bKgood{index}", call_id=f"good{index}"), DEVICE)
            assert good[0].code == 200
    return desk


def test_five_thousand_messages() -> None:
    desk = long_form(5_000, seed=3261)
    assert desk.agent.counts["code_200"] > 100
    assert desk.agent.counts["code_400"] > 100
    assert desk.agent.counts["code_503"] > 10
    assert desk.rejected


@pytest.mark.campaign
def test_half_a_million_messages() -> None:
    assert long_form(500_000, seed=3428).agent.counts["messages"] >= 500_000


def streams(count: int, seed: int) -> set[str]:
    """Streams of good, bad and mutated messages, cut anywhere: a fault or frames, never more octets than came."""
    rng = random.Random(seed)
    faults = set()
    for _ in range(count):
        data = b"".join(rng.choice(WIRES[:6]) if rng.random() < 0.6 else mutate([rng.choice(WIRES)], rng) for _ in range(rng.randrange(1, 5)))
        frames, now, got, at = StreamFrames(0.0), 0.0, 0, 0
        while at < len(data) and not frames.fault:
            size = rng.choice((1, 10, 100, 1000, 70_000))
            now += rng.choice((0.0, 0.0, 0.1, 6.0)) if rng.random() < 0.05 else 0.0
            frames.handle_deadline(now)
            got += sum(len(frame.data) for frame in frames.receive_data(data[at : at + size], now))
            at += size
        assert got <= len(data)
        faults.add(frames.fault)
    return faults


def test_two_thousand_streams() -> None:
    assert {"", "no_content_length", "bad_content_length", "slow_message"} <= streams(2_000, seed=793)


def test_what_is_answered_can_be_read() -> None:
    """Line ends and quotes out of hostile headers never begin a header of their own in an answer."""
    for evil in ("a\rX: 1", "a\nX: 1", 'a";tag=x', "<a>;tag=<b>", "\udc81\udcff"):
        desk = Desk()
        desk.say(request(to=f"{evil} <sip:12349@x>", call_id=evil))
        for raw in desk.raw:
            assert "x" not in read(raw).headers
