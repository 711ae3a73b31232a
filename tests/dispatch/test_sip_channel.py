"""Orders as SIP texts: what a responder reads, what a refusal means, and which texts are answers."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from drivers.contract import STORED, Rejected, Verdict
from gateway.console.views import Json
from gateway.core.incident import Incident, Leg, LegState, State
from gateway.core.register import Register, Responder, ResponderKind
from gateway.dispatch.contract import DeliveryError, Order
from gateway.dispatch.sip import MAX_TEXT, MEDIA_TYPE, SipChannel, order_text
from gateway.dispatch.text_answers import HINT_EVERY_S, TextAnswers
from gateway.dispatch.words import KINDS_SAID
from gateway.event import Event, Kind, Severity

NOW = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)
ADDRESS = "sip:station-7@pbx.example"
PERSON = {"id": "p1", "name": "王秀兰", "address": "红古区海石湾镇红古路12号3单元", "risks": ["living_alone"], "age": 86}
BODY: Json = {
    "delivery": "d1",
    "incident": "I100905",
    "kind": "sos",
    "severity": "critical",
    "device": "w1",
    "ts": 1,
    "repeat": 0,
    "person": PERSON,
    "position": None,
    "travel_min": 8,
    "reply_by": "2026-11-22T06:01:00Z",
}


class Line:
    """Takes texts; answers with `reason`."""

    name = "sip"

    def __init__(self, reason: str = "") -> None:
        self.reason = reason
        self.sent: list[tuple[str, str, str]] = []

    async def send_text(self, address: str, body: bytes, content_type: str) -> str:
        self.sent.append((address, body.decode(), content_type))
        return self.reason


def order(**more: object) -> Order:
    return Order(delivery="d1", incident="I100905", responder="station-7", address=ADDRESS, body=json.dumps({**BODY, **more}).encode())


async def test_the_responder_reads_who_where_and_how_to_answer() -> None:
    line = Line()
    await SipChannel(lambda: line).deliver(order())
    assert line.sent == [
        (
            ADDRESS,
            "【12349】SOS 求助 I100905：王秀兰，86岁，红古区海石湾镇红古路12号3单元。回复：1 接受，2 拒绝，3 到达，4 完成",
            MEDIA_TYPE,
        )
    ]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"repeat": 1}, "【12349】再次呼叫，SOS 求助 I100905："),
        ({"also": ["water_leak", "smoke"]}, "】SOS 求助，另有漏水、烟雾 I100905："),
        ({"person": None}, "：设备 w1。"),
        ({"person": None, "position": {"lat": 36.3412345, "lon": 102.86, "source": "gnss"}}, "：设备 w1，位置 36.34123,102.86000。"),
        ({"person": {**PERSON, "address": ""}, "position": None}, "：王秀兰，86岁。"),
        ({"kind": "call_abandoned"}, "】求助 I100905："),
    ],
)
def test_what_else_it_may_say(more: dict[str, object], said: str) -> None:
    assert said in order_text(order(**more).body).decode()


@pytest.mark.parametrize(("body", "said"), [({"taken_by": "station-8"}, "已有人前往"), ({"withdrawn": True, "reason": "resolved"}, "已撤回")])
def test_what_is_over_is_told_too(body: dict[str, object], said: str) -> None:
    text = order_text(json.dumps({"delivery": "d1", "incident": "I100905", **body}).encode()).decode()
    assert said in text
    assert "station-8" not in text


def test_a_text_fits_into_one_datagram_however_long_the_address_is() -> None:
    body = json.dumps({**BODY, "person": {**PERSON, "name": "王" * 500, "address": "路" * 5000}, "device": "d" * 5000}).encode()
    text = order_text(body)
    assert len(text) <= MAX_TEXT
    assert text.decode().endswith("4 完成")
    body = json.dumps({**BODY, "person": None, "device": "号" * 5000}).encode()
    assert len(order_text(body)) <= MAX_TEXT


@pytest.mark.parametrize(
    ("reason", "retry"),
    [
        *((f"sip_{code}", False) for code in (400, 401, 403, 404, 405, 415, 488, 600, 603, 604)),
        *((f"sip_{code}", True) for code in (408, 480, 486, 491, 500, 503, 504)),
        *((word, True) for word in ("timeout", "no_route", "line_down", "unreachable", "connection_lost")),
    ],
)
async def test_which_refusals_are_final(reason: str, retry: bool) -> None:
    with pytest.raises(DeliveryError, match=reason) as told:
        await SipChannel(lambda: Line(reason)).deliver(order())
    assert told.value.retry is retry


async def test_without_line_or_address_it_says_so() -> None:
    with pytest.raises(DeliveryError, match="line_down") as told:
        await SipChannel(lambda: None).deliver(order())
    assert told.value.retry
    with pytest.raises(DeliveryError, match="no_address") as told:
        await SipChannel(Line).deliver(msgspec.structs.replace(order(), address=""))
    assert not told.value.retry


def test_kinds_are_called_as_on_the_page() -> None:
    from gateway.app import STATIC

    page = json.loads((STATIC / "lang" / "zh-CN.json").read_text("utf-8"))
    assert {kind: page[f"kind.{kind}"] for kind in KINDS_SAID} == KINDS_SAID


# ---- answers


def responder(name: str, address: str) -> Responder:
    return Responder(id=name, name=name, kind=ResponderKind.STATION, channel="sip", address=address)


REGISTER = Register(
    responders=[
        responder("station-7", ADDRESS),
        responder("station-8", "sip:duty@a.example"),
        responder("station-9", "sip:duty@b.example"),
        Responder(id="web", name="web", kind=ResponderKind.PROVIDER, channel="webhook", address="https://a.example"),
    ]
)


def incident(name: str, state: LegState, responder: str = "station-7") -> Incident:
    leg = Leg(delivery=f"d-{name}", responder=responder, channel="sip", state=state, ordered_at=NOW, reply_by=NOW, ts=1)
    return Incident(
        id=name, key=f"person:{name}", kind=Kind.SOS, severity=Severity.CRITICAL, state=State.RAISED, opened_at=NOW, changed_at=NOW,
        last_event_at=NOW, ts=1, legs=(leg,),
    )  # fmt: skip


class Desk:
    """Where texts go: what was emitted, what was said back. `now`: monotonic."""

    def __init__(self, *incidents: Incident, verdict: Verdict = STORED) -> None:
        self.emitted: list[Event | Rejected] = []
        self.said: list[tuple[str, str]] = []
        self.now = 1000.0
        self.verdict = verdict
        self.answers = TextAnswers(lambda: REGISTER, lambda: incidents, lambda address, text: self.said.append((address, text)), lambda: self.now)

    async def emit(self, events: Sequence[Event | Rejected]) -> list[Verdict]:
        self.emitted += events
        return [self.verdict] * len(events)

    async def hears(self, text: str, uri: str = ADDRESS, **more: Any) -> Verdict:
        event = Event(
            kind=Kind.HELP, kind_raw="text/plain", line="sip", device="station-7", received_at=NOW, occurred_at=NOW, dedup="c1:1",
            detail={"text": text, "from": uri, "call_id": "c1"}, raw=b"MESSAGE",
        )  # fmt: skip
        (verdict,) = await self.answers.receive([msgspec.structs.replace(event, **more)], self.emit)
        return verdict

    @property
    def last(self) -> Any:
        return self.emitted[-1]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("1", Kind.ACCEPT),
        (" １ ", Kind.ACCEPT),  # full width, as an input method writes it
        ("1。", Kind.ACCEPT),
        ("接受", Kind.ACCEPT),
        ("2", Kind.DECLINE),
        ("拒绝", Kind.DECLINE),
        ("出发", Kind.EN_ROUTE),
        ("3", Kind.ARRIVED),
        ("到达", Kind.ARRIVED),
        ("4", Kind.DONE),
        ("完成", Kind.DONE),
    ],
)
async def test_words_and_digits_are_answers(text: str, kind: Kind) -> None:
    desk = Desk(incident("I100905", LegState.SENT))
    assert await desk.hears(text) == STORED
    assert (desk.last.kind, desk.last.device, desk.last.dedup) == (kind, "station-7", "c1:1")
    assert desk.last.detail == {"delivery": "d-I100905", "by": "station-7", "way": "sip"}
    assert desk.said == []


async def test_what_is_written_after_the_answer_is_kept() -> None:
    desk = Desk(incident("I100905", LegState.SENT))
    await desk.hears("1，十分钟到")
    assert desk.last.detail["note"] == "十分钟到"


@pytest.mark.parametrize("text", ["接受不了", "12349", "门锁着，叫120", "5", "不接受", ""])
async def test_what_is_no_answer_is_read_by_a_person_and_the_sender_told(text: str) -> None:
    desk = Desk(incident("I100905", LegState.SENT))
    await desk.hears(text)
    assert (desk.last.kind, desk.last.detail["text"]) == (Kind.HELP, text)
    [(address, said)] = desk.said
    assert address == ADDRESS
    assert "1 接受" in said


async def test_two_machines_do_not_answer_each_other_for_ever() -> None:
    desk = Desk()
    for _ in range(5):
        await desk.hears("?")
    assert len(desk.said) == 1
    desk.now += HINT_EVERY_S
    await desk.hears("?")
    assert len(desk.said) == 2


async def test_several_open_orders_must_be_named() -> None:
    desk = Desk(incident("I100905", LegState.SENT), incident("I100906", LegState.SENT), incident("I100907", LegState.ARRIVED))
    assert await desk.hears("1") == STORED
    assert (desk.last.reason, desk.last.device) == ("ambiguous_answer", "station-7")
    assert "I100905、I100906" in desk.said[0][1]
    await desk.hears("1 I100906")
    assert desk.last.detail == {"delivery": "d-I100906", "by": "station-7", "way": "sip"}
    await desk.hears("4")  # only one is being worked on
    assert desk.last.detail["delivery"] == "d-I100907"


async def test_an_answer_to_nothing_is_kept_and_told() -> None:
    desk = Desk(incident("I100905", LegState.SENT, "station-8"))
    await desk.hears("1")
    assert desk.last.reason == "no_open_order"
    assert "没有等您答复的派单" in desk.said[0][1]


async def test_a_late_acceptance_is_still_one() -> None:
    desk = Desk(incident("I100905", LegState.EXPIRED))
    await desk.hears("1")
    assert desk.last.kind is Kind.ACCEPT


@pytest.mark.parametrize(
    ("uri", "device"),
    [
        ("sip:station-7@192.0.2.5:5080", "station-7"),  # the PBX put its own name in place of the domain
        ("sip:duty@b.example", "station-9"),
        ("sip:duty@c.example", None),  # two have this user: neither is guessed
        ("sip:+8617400000001@pbx.example", None),
        ("tel:+8617400000001", None),
    ],
)
async def test_whose_text_it_is(uri: str, device: str | None) -> None:
    desk = Desk(*(incident(f"I10000{n}", LegState.SENT, f"station-{n}") for n in (7, 8, 9)))
    await desk.hears("1", uri)
    assert (desk.last.device if desk.last.kind is Kind.ACCEPT else None) == device


async def test_who_has_not_proved_who_he_is_answers_nothing_where_proof_is_asked_for() -> None:
    desk = Desk(incident("I100905", LegState.SENT))
    await desk.hears("1", integrity="unauthenticated")
    assert desk.last.kind is Kind.HELP
    await desk.hears("1", integrity="verified")
    assert desk.last.kind is Kind.ACCEPT


async def test_the_sender_repeats_what_could_not_be_stored_and_is_not_told_twice() -> None:
    busy = Verdict("refused", "store_down", retry=True)
    desk = Desk(verdict=busy)
    assert await desk.hears("1") == busy
    assert desk.said == []


async def test_other_messages_pass_as_they_are() -> None:
    desk = Desk(incident("I100905", LegState.SENT))
    await desk.hears("1", kind_raw="scaip")
    assert desk.last.kind is Kind.HELP
    rejected = Rejected(reason="x", raw=b"")
    assert await desk.answers.receive([rejected], desk.emit) == [STORED]
    assert desk.last is rejected
