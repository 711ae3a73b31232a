"""The user agent at a PBX: registered and registered again, subscribed to busy lamps, answering every NOTIFY at once."""

from collections.abc import Sequence

import pytest

from drivers.sip.hop import Hop
from drivers.user_agent.registration import State as Registered
from tests.sip.sip_peer import Answer, request
from tests.sip.sip_wire import START
from tests.sip.test_user_agent import Desk

PBX = Hop("udp", ("192.0.2.30", 5060), ("192.0.2.10", 5060))
REGISTER = {"registrar": "sip:pbx.example", "address": "sip:12349@pbx.example", "expires_s": 1000}
PHONE = "sip:8001@pbx.example"


class AtPbx(Desk):
    """Requests of ours find their way at once; the PBX answers when the test says so."""

    def wait(self, seconds: float) -> list[Answer]:
        until = self.now + seconds
        found: list[Answer] = []
        while (deadline := self.agent.deadline()) is not None and deadline <= until:
            self.now = max(self.now, deadline)
            self.agent.handle_deadline(self.now, START)
            found += self.go()
        self.now = until
        return found

    def go(self) -> list[Answer]:
        for ask in self.agent.wanted():
            self.agent.launch(ask, [PBX], self.now)
        return self.take()

    def answer(self, asked: Answer, code: int = 200, extra: Sequence[str] = (), tag: str = "pbx") -> list[Answer]:
        to = asked.one("to")
        lines = [f"SIP/2.0 {code} X", f"Via: {asked.one('via')}", f"From: {asked.one('from')}", f"To: {to if ';tag=' in to else f'{to};tag={tag}'}"]
        lines += [f"Call-ID: {asked.one('call-id')}", f"CSeq: {asked.one('cseq')}", *extra, "Content-Length: 0", "", ""]
        return self.say("\r\n".join(lines).encode(), PBX) + self.go()

    def faults(self) -> list[tuple[str | None, str, object]]:
        return [(s.kind_raw, s.phase.value, s.detail.get("cause")) for s in self.signals if s.kind.value == "fault"]


# ---- REGISTER (RFC 3261, 10.2)


def test_a_registration_is_refreshed_in_time_in_one_call_id() -> None:
    desk = AtPbx(register=REGISTER)
    [first] = desk.wait(0.0)
    assert first.first == "REGISTER sip:pbx.example SIP/2.0"
    assert (first.one("to"), first.one("from").partition(";")[0]) == ("<sip:12349@pbx.example>",) * 2
    assert (first.one("contact"), first.one("expires"), first.one("cseq")) == ("<sip:12349@192.0.2.10:5060>", "1000", "1 REGISTER")
    others = "Contact: <sip:12349@203.0.113.1:5060>;expires=20, <sip:12349@192.0.2.10:5060>;expires=500"
    desk.answer(first, extra=[others, "Expires: 3600"])
    assert desk.wait(399.0) == []
    [second] = desk.wait(1.1)
    assert (second.one("call-id"), second.one("from"), second.one("cseq")) == (first.one("call-id"), first.one("from"), "2 REGISTER")
    assert second.one("via") != first.one("via")
    desk.answer(second, extra=["Expires: 40"])
    [third] = desk.wait(20.1)
    assert third.one("cseq") == "3 REGISTER"
    assert desk.faults() == []


def test_an_interval_too_short_is_raised_to_what_the_pbx_wants() -> None:
    desk = AtPbx(register=REGISTER)
    [first] = desk.wait(0.0)
    desk.answer(first, 423, ["Min-Expires: 1800"])
    [second] = desk.wait(0.1)
    assert second.one("expires") == "1800"


def test_failures_back_off_and_are_told_once() -> None:
    desk = AtPbx(register=REGISTER)
    [first] = desk.wait(0.0)
    desk.answer(first, 500)
    waits = []
    for _ in range(5):
        before = desk.now
        while not (again := desk.wait(1.0)):
            pass
        waits.append(round(desk.now - before))
        desk.answer(again[0], 500)
    assert waits == [30, 60, 120, 240, 300]
    assert desk.faults() == [("registration_failed", "raise", "sip_500")]
    [last] = desk.wait(300.0)
    desk.answer(last)
    assert desk.faults()[1:] == [("registration_failed", "clear", None)]


def test_a_wrong_password_is_not_tried_again_for_minutes() -> None:
    desk = AtPbx(register=REGISTER, accounts={"12349": "hush"}, account="12349")
    challenge = 'WWW-Authenticate: Digest realm="pbx", nonce="n", algorithm=SHA-256, qop="auth"'
    [first] = desk.wait(0.0)
    [proved] = desk.answer(first, 401, [challenge])
    assert 'uri="sip:pbx.example"' in proved.one("authorization")
    assert (proved.one("cseq"), proved.one("call-id")) == ("2 REGISTER", first.one("call-id"))
    desk.answer(proved, 401, [challenge])
    assert desk.faults() == [("registration_failed", "raise", "sip_401")]
    assert desk.wait(299.0) == []
    [later] = desk.wait(1.1)
    assert later.one("cseq") == "3 REGISTER"


def test_nobody_there_and_no_way() -> None:
    desk = AtPbx(register=REGISTER)
    desk.wait(33.0)
    assert desk.faults() == [("registration_failed", "raise", "timeout")]


def test_the_binding_is_taken_back_at_the_stop() -> None:
    desk = AtPbx(register=REGISTER)
    [first] = desk.wait(0.0)
    desk.answer(first)
    assert desk.agent.stop()
    [last] = desk.go()
    assert (last.one("expires"), last.one("cseq"), last.one("call-id")) == ("0", "2 REGISTER", first.one("call-id"))
    assert not desk.agent.is_quiet
    desk.answer(last)
    assert desk.agent.is_quiet
    assert desk.agent._registration is not None
    assert desk.agent._registration.state is Registered.ENDED


def test_a_restart_registers_anew() -> None:
    desk = AtPbx(register=REGISTER)
    [first] = desk.wait(0.0)
    desk.answer(first)
    desk.agent.stop()
    desk.agent.restart(desk.now)
    assert [asked.one("expires") for asked in desk.wait(0.0)] == ["0", "1000"]


# ---- SUBSCRIBE and NOTIFY (RFC 6665, RFC 4235)


def lamps(state: str, version: int, caller: str = "", full: str = "full", identity: str = "8001") -> bytes:
    """As Asterisk 22 sends it (sip-ua.md, section 6)."""
    remote = f"<remote><identity display='x'>sip:{caller}@pbx</identity><target uri='sip:{caller}@pbx'/></remote>" if caller else ""
    way = " direction='recipient'" if state in ("early", "confirmed") and caller else ""
    return (
        f"<?xml version='1.0'?><dialog-info xmlns='urn:ietf:params:xml:ns:dialog-info' version='{version}' state='{full}'"
        f" entity='sip:{identity}@pbx'>"
        f"<dialog id='{identity}'{way}><state>{state}</state>{remote}</dialog></dialog-info>"
    ).encode()


def notify(asked: Answer, body: bytes = b"", cseq: int = 1, state: str = "active;expires=3600", event: str = "dialog", **changes: object) -> bytes:
    tag = asked.one("from").partition(";tag=")[2]
    told = {
        "to": f"<sip:12349@192.0.2.10>;tag={tag}",
        "from_": f"<{PHONE}>;tag=pbx",
        "call_id": asked.one("call-id"),
        "branch": f"z9hG4bKn{cseq}",
        "headers": [f"Event: {event}", f"Subscription-State: {state}", "Contact: <sip:8001@192.0.2.30:5060>", *changes.pop("more", [])],  # type: ignore[misc]
        "content_type": "application/dialog-info+xml",
    }
    return request("NOTIFY", uri="sip:12349@192.0.2.10", body=body, cseq=cseq, **(told | changes))  # type: ignore[arg-type]


def test_a_subscription_is_refreshed_some_day_whatever_the_pbx_grants() -> None:
    desk = AtPbx(subscribe=(PHONE,))
    [first] = desk.wait(0.0)
    desk.answer(first, extra=["Expires: 9999999999"])
    desk.say(notify(first, lamps("terminated", 1), state="active;expires=9999999999"))
    due = desk.agent.deadline()
    while due is not None and due < desk.now + 60:  # what transactions wait for
        desk.wait(60)
        due = desk.agent.deadline()
    assert due is not None
    assert due - desk.now < 86_400


def test_a_subscription_tells_the_calls_of_a_phone() -> None:
    desk = AtPbx(subscribe=(PHONE,))
    [first] = desk.wait(0.0)
    assert first.first == f"SUBSCRIBE {PHONE} SIP/2.0"
    assert (first.one("event"), first.one("accept"), first.one("expires")) == ("dialog", "application/dialog-info+xml", "3600")
    assert first.one("contact") == "<sip:12349@192.0.2.10:5060>"
    desk.answer(first, extra=["Expires: 3600", "Contact: <sip:8001@192.0.2.30:5060>"])
    for cseq, (state, caller) in enumerate([("terminated", ""), ("early", "13893100001"), ("confirmed", ""), ("terminated", "")], 1):
        assert desk.one(notify(first, lamps(state, cseq, caller), cseq), PBX).code == 200
    assert desk.kinds == ["call_offered", "call_ringing", "call_answered", "call_ended"]
    assert desk.signals[0].device == "+8613893100001"
    assert desk.signals[2].detail["agent"] == "8001"


def test_a_notify_before_the_200_counts_and_a_refresh_goes_to_the_contact_through_the_route() -> None:
    desk = AtPbx(subscribe=(PHONE,))
    [first] = desk.wait(0.0)
    route = "Record-Route: <sip:192.0.2.31;lr>"
    assert desk.one(notify(first, lamps("early", 1, "13893100001"), more=[route]), PBX).code == 200
    assert desk.kinds == ["call_offered", "call_ringing"]
    desk.answer(first, extra=["Expires: 600"])
    assert [one for one in desk.wait(479.0) if one.first.startswith("SUBSCRIBE")] == []
    [refresh] = desk.wait(1.1)
    assert refresh.first == "SUBSCRIBE sip:8001@192.0.2.30:5060 SIP/2.0"
    assert refresh.headers["route"] == ["<sip:192.0.2.31;lr>"]
    assert (refresh.one("call-id"), refresh.one("from"), refresh.one("cseq")) == (first.one("call-id"), first.one("from"), "2 SUBSCRIBE")
    assert refresh.one("to") == f"<{PHONE}>;tag=pbx"


def test_who_notifies_what_is_no_subscription_of_ours() -> None:
    desk = AtPbx(subscribe=(PHONE,))
    [first] = desk.wait(0.0)
    desk.answer(first)
    body = lamps("early", 1, "13893100001")
    assert desk.one(notify(first, body, call_id="another"), PBX).code == 481
    assert desk.one(notify(first, body, to="<sip:12349@x>;tag=other"), PBX).code == 481
    refused = desk.one(notify(first, body, event="presence"), PBX)
    assert (refused.code, refused.one("allow-events")) == (489, "dialog")
    assert desk.one(notify(first, body, cseq=2, content_type="text/plain"), PBX).code == 415
    assert desk.signals == []


def test_a_notify_repeated_or_late_tells_nothing_twice() -> None:
    desk = AtPbx(subscribe=(PHONE,))
    [first] = desk.wait(0.0)
    desk.answer(first)
    ringing = notify(first, lamps("early", 2, "13893100001"), 5)
    assert desk.one(ringing, PBX) == desk.one(ringing, PBX)
    assert desk.one(notify(first, lamps("terminated", 1), 4), PBX).code == 200
    assert desk.one(notify(first, b"<not xml", 6), PBX).code == 200
    assert (desk.kinds, desk.rejected) == (["call_offered", "call_ringing"], ["bad_xml"])


def test_a_missing_version_of_a_partial_state_is_asked_for() -> None:
    desk = AtPbx(subscribe=(PHONE,))
    [first] = desk.wait(0.0)
    desk.answer(first)
    desk.say(notify(first, lamps("terminated", 1), 1), PBX)
    desk.say(notify(first, lamps("early", 5, "13893100001", full="partial"), 2), PBX)
    [refresh] = desk.wait(0.1)
    assert refresh.one("cseq") == "2 SUBSCRIBE"


@pytest.mark.parametrize(
    ("state", "again_s", "cause"),
    [
        ("terminated;reason=deactivated", 0.0, None),
        ("terminated;reason=timeout", 0.0, None),
        ("terminated;reason=probation;retry-after=77", 77.0, "terminated_probation"),
        ("terminated;reason=giveup", 30.0, "terminated_giveup"),
        ("terminated", 30.0, "terminated_unsaid"),
        ("terminated;reason=rejected", 3600.0, "terminated_rejected"),
        ("terminated;reason=noresource", 3600.0, "terminated_noresource"),
    ],
)
def test_what_the_end_of_a_subscription_means(state: str, again_s: float, cause: str | None) -> None:
    desk = AtPbx(subscribe=(PHONE,))
    [first] = desk.wait(0.0)
    desk.answer(first)
    desk.say(notify(first, lamps("terminated", 1), 1), PBX)
    assert desk.one(notify(first, b"", 2, state), PBX).code == 200
    assert desk.faults() == ([("subscription_failed", "raise", cause)] if cause else [])
    if again_s:
        assert desk.wait(again_s - 0.1) == []
    [again] = desk.wait(0.2)
    assert again.first == f"SUBSCRIBE {PHONE} SIP/2.0"
    assert again.one("call-id") != first.one("call-id")
    assert again.one("cseq") == "1 SUBSCRIBE"
    desk.answer(again)
    assert desk.one(notify(again, lamps("early", 0, "13893100001"), 1), PBX).code == 200
    assert "call_ringing" in desk.kinds
    assert not cause or desk.faults()[-1] == ("subscription_failed", "clear", None)


@pytest.mark.parametrize(("code", "extra", "again_s"), [(481, [], 0.0), (423, ["Min-Expires: 7200"], 0.0), (500, [], 30.0), (489, [], 3600.0)])
def test_a_refused_subscription(code: int, extra: list[str], again_s: float) -> None:
    desk = AtPbx(subscribe=(PHONE,))
    [first] = desk.wait(0.0)
    if code == 481:  # to a refresh: the dialog is gone
        desk.answer(first, extra=["Expires: 100"])
        desk.say(notify(first, lamps("terminated", 1), 1, "active"), PBX)
        [first] = desk.wait(80.1)
        assert first.one("cseq") == "2 SUBSCRIBE"
    desk.answer(first, code, extra)
    if again_s:
        assert desk.wait(again_s - 0.1) == []
    [again] = desk.wait(0.2)
    assert again.one("cseq") == "1 SUBSCRIBE"
    assert again.one("expires") == ("7200" if code == 423 else "3600")
    assert [fault[2] for fault in desk.faults()] == ([f"sip_{code}"] if code in (500, 489) else [])


def test_accepted_and_then_nothing_is_no_subscription() -> None:
    desk = AtPbx(subscribe=(PHONE,))
    [first] = desk.wait(0.0)
    desk.answer(first)
    assert desk.wait(31.9) == []
    desk.wait(0.2)
    assert desk.faults() == [("subscription_failed", "raise", "no_notify")]


def test_subscriptions_are_taken_back_at_the_stop() -> None:
    desk = AtPbx(subscribe=(PHONE, "sip:8002@pbx.example"))
    first, second = desk.wait(0.0)
    desk.answer(first)
    desk.say(notify(first, lamps("terminated", 1), 1), PBX)
    desk.agent.stop()
    [last] = desk.go()
    assert (last.one("expires"), last.one("call-id")) == ("0", first.one("call-id"))
    assert desk.one(notify(first, b"", 2, "terminated;reason=timeout"), PBX).code == 200
    desk.answer(last)
    assert desk.one(notify(second, lamps("early", 1, "13893100001")), PBX).code == 200
