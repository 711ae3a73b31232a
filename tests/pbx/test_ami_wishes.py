"""What is asked of an Asterisk, and what it comes to: each wish told once, nothing smuggled into a dial string."""

import pytest

from drivers.contract import Signal
from drivers.pbx.ami_wishes import LIMIT_S, MAX_WISHES
from drivers.telephone import Answer, Dial, HangUp, Ring, Told, Transfer, Wish
from tests.pbx.ami_wire import Desk, channel, message

NUMBER = "017400000001"
DIAL = Dial(id="d1", agent="8001", number=NUMBER, shown="12349", ring_s=20)
RING = Ring(id="r1", number=NUMBER, shown="12349", say="王芳 needs help, now", keys=("1", "2"), ring_s=20)


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.connect()
    return desk


def ask(desk: Desk, wish: Wish, token: int = 7) -> dict[str, str]:
    desk.codec.ask(wish, token, desk.now)
    [sent] = desk.sent()
    return sent


def originated(desk: Desk, sent: dict[str, str], response: str = "Success", reason: str = "4") -> None:
    desk.say(message("Response: Success", ActionID=sent["ActionID"], Message="Originate successfully queued"))
    desk.say(message("Event: OriginateResponse", ActionID=sent["ActionID"], Response=response, Reason=reason, Uniqueid=sent["ChannelId"]))


def far_end(name: str, status: str) -> bytes:
    leg = {f"Dest{key}": value for key, value in channel("PJSIP/trunk-00000002", NUMBER, "2.2", "gateway-d1").items()}
    return message(f"Event: {name}", **{**channel("PJSIP/8001-00000001", "8001", "gateway-d1"), **leg, "DialStatus": status})


def test_a_dial_rings_the_agent_first_and_carries_our_id(desk: Desk) -> None:
    sent = ask(desk, DIAL)
    assert {key: sent[key] for key in sent if key != "ActionID"} == {
        "Action": "Originate",
        "Channel": "PJSIP/8001",
        "Application": "Dial",
        "Data": f"PJSIP/{NUMBER}@trunk,20",
        "ChannelId": "gateway-d1",
        "Timeout": "20000",
        "Async": "true",
        "CallerID": "<12349>",
        "Variable": "__GATEWAY_ID=d1",
    }
    originated(desk, sent)
    assert desk.codec.answers() == []
    desk.say(far_end("DialState", "RINGING"))
    assert desk.codec.answers() == []
    desk.say(far_end("DialEnd", "ANSWER"))
    assert desk.codec.answers() == [(7, Told(outcome="done"))]


def test_a_channel_whose_name_cannot_be_written_is_hung_up_by_its_id(desk: Desk) -> None:
    ask(desk, RING)
    desk.say(message("Event: Newchannel", **channel("PJSIP/a\rAction: x-00000001", NUMBER, "gateway-r1")))
    desk.sent()
    desk.advance(RING.ring_s + LIMIT_S)
    assert [sent["Channel"] for sent in desk.sent() if sent["Action"] == "Hangup"] == ["gateway-r1"]
    assert desk.codec.answers() == [(7, Told(outcome="failed", reason="timeout"))]


def test_a_dial_through_the_agents_own_context() -> None:
    desk = Desk(dial_context="from-internal", agent_channel="SIP/{number}")
    desk.connect()
    sent = ask(desk, DIAL)
    assert (sent["Channel"], sent["Context"], sent["Exten"], sent["Priority"]) == ("SIP/8001", "from-internal", NUMBER, "1")
    assert "Application" not in sent


@pytest.mark.parametrize(
    ("reason", "outcome"), [("5", "busy"), ("3", "no_answer"), ("1", "no_answer"), ("0", "failed"), ("8", "failed"), ("junk", "failed")]
)
def test_whoever_is_rung_first_is_not_to_be_had(desk: Desk, reason: str, outcome: str) -> None:
    for wish in (DIAL, RING):
        originated(desk, ask(desk, wish), "Failure", reason)
        [(_, told)] = desk.codec.answers()
        assert told.outcome == outcome


@pytest.mark.parametrize(
    ("status", "outcome"), [("BUSY", "busy"), ("NOANSWER", "no_answer"), ("CONGESTION", "failed"), ("CHANUNAVAIL", "failed"), ("CANCEL", "failed")]
)
def test_the_far_end_is_not_to_be_had(desk: Desk, status: str, outcome: str) -> None:
    originated(desk, ask(desk, DIAL))
    desk.say(far_end("DialEnd", status), far_end("DialEnd", "CANCEL"))
    [(_, told)] = desk.codec.answers()
    assert told.outcome == outcome


def test_what_we_dial_is_no_call_at_the_hotline(desk: Desk) -> None:
    originated(desk, ask(desk, DIAL))
    found = desk.say(message("Event: Newchannel", **channel("PJSIP/8001-00000001", "8001", "gateway-d1")), far_end("DialEnd", "ANSWER"))
    assert [one for one in found if isinstance(one, Signal)] == []


def test_ringing_a_responder_and_the_key(desk: Desk) -> None:
    sent = ask(desk, RING)
    assert (sent["Channel"], sent["Context"], sent["Exten"]) == (f"PJSIP/{NUMBER}@trunk", "gateway-ring", "s")
    variables = dict(one.split("=", 1) for one in sent["Variable"].split("\n"))
    assert variables["GATEWAY_KEYS"] == "12"
    assert variables["GATEWAY_SAY"] == "%E7%8E%8B%E8%8A%B3%20needs%20help%2C%20now"
    originated(desk, sent)
    desk.say(message("Event: UserEvent", UserEvent="GatewayRing", Id="other", Key="1"))
    assert desk.codec.answers() == []
    desk.say(message("Event: UserEvent", UserEvent="GatewayRing", Id="r1", Key="2"))
    desk.say(message("Event: Hangup", Uniqueid="gateway-r1", Cause=16))
    assert desk.codec.answers() == [(7, Told(outcome="done", key="2"))]


def test_an_old_asterisk_that_gives_the_channel_a_name_of_its_own(desk: Desk) -> None:
    """ChannelId came with Asterisk 12."""
    sent = ask(desk, RING)
    desk.say(message("Event: OriginateResponse", ActionID=sent["ActionID"], Response="Success", Reason="4", Uniqueid="17.4"))
    desk.say(message("Event: UserEvent", UserEvent="GatewayRing", Id="r1", Key="1"))
    assert desk.codec.answers() == [(7, Told(outcome="done", key="1"))]


@pytest.mark.parametrize("key", ["", "9", "12"])
def test_another_key_is_none(desk: Desk, key: str) -> None:
    originated(desk, ask(desk, RING))
    desk.say(message("Event: UserEvent", UserEvent="GatewayRing", Id="r1", Key=key))
    assert desk.codec.answers() == [(7, Told(outcome="no_key"))]


def test_a_responder_who_hangs_up_without_a_key(desk: Desk) -> None:
    originated(desk, ask(desk, RING))
    desk.say(message("Event: Hangup", Uniqueid="gateway-r1", Cause=16))
    assert desk.codec.answers() == [(7, Told(outcome="no_key", reason="hung_up"))]


def test_hanging_up_and_transferring_a_caller(desk: Desk) -> None:
    [offered] = desk.say(message("Event: Newchannel", **channel("PJSIP/trunk-00000009", "+8617400000009", "9.9")))
    assert isinstance(offered, Signal)
    call = str(offered.detail["call"])
    sent = ask(desk, Transfer(call=call, to="8002"), 1)
    assert (sent["Action"], sent["Channel"], sent["Context"], sent["Exten"]) == ("Redirect", "PJSIP/trunk-00000009", "from-internal", "8002")
    desk.say(message("Response: Success", ActionID=sent["ActionID"], Message="Redirect successful"))
    assert desk.codec.answers() == [(1, Told(outcome="done"))]
    sent = ask(desk, Answer(call=call, agent="8001"), 4)
    assert (sent["Action"], sent["Channel"], sent["Context"], sent["Exten"]) == ("Redirect", "PJSIP/trunk-00000009", "from-internal", "8001")
    desk.say(message("Response: Error", ActionID=sent["ActionID"], Message="No such channel"))
    assert desk.codec.answers() == [(4, Told(outcome="unknown_call", reason="no_such_channel"))]
    sent = ask(desk, HangUp(call=call), 2)
    assert (sent["Action"], sent["Channel"]) == ("Hangup", "PJSIP/trunk-00000009")
    desk.say(message("Response: Error", ActionID=sent["ActionID"], Message="No such channel"))
    sent = ask(desk, HangUp(call=call), 3)
    desk.say(message("Response: Error", ActionID=sent["ActionID"], Message="Permission denied"))
    assert desk.codec.answers() == [
        (2, Told(outcome="unknown_call", reason="no_such_channel")),
        (3, Told(outcome="refused", reason="permission_denied")),
    ]


def test_hanging_up_what_we_dial_ourselves(desk: Desk) -> None:
    ask(desk, DIAL)
    desk.codec.ask(HangUp(call="d1"), 8, desk.now)
    assert desk.codec.answers() == [(8, Told(outcome="unknown_call"))], "there is no channel yet"
    desk.say(message("Event: Newchannel", **channel("PJSIP/8001-00000001", "8001", "gateway-d1", ChannelState=0)))
    assert ask(desk, HangUp(call="d1"), 9)["Channel"] == "PJSIP/8001-00000001"


@pytest.mark.parametrize(
    "wish",
    [
        Dial(id="d", agent="8001", number="1\r\nAction: Originate"),
        Dial(id="d", agent="8001", number="8001&PJSIP/8002"),
        Dial(id="d", agent="8001@evil", number="1"),
        Dial(id="d", agent="/.*/", number="1"),
        Dial(id="d,x", agent="8001", number="1"),
        Dial(id="d", agent="8001", number="1", shown="1>\r\nX: y"),
        Dial(id="d", agent="8001", number=""),
        Dial(id="d", agent="8001", number="1" * 33),
        Dial(id="d", agent="8001", number="١٢٣"),
        Ring(id="r", number="1", keys=("1", "a")),
        Ring(id="r", number="1", keys=()),
        Ring(id="r", number="1;sh"),
        HangUp(call="/.*/"),
        HangUp(call="x\r\n"),
        Transfer(call="c", to="8002,1"),
        Transfer(call="c\n", to="8002"),
        Answer(call="c", agent="8002&PJSIP/8003"),
        Answer(call="c\n", agent="8002"),
    ],
)
def test_what_fits_no_strict_pattern_is_refused_unsent(desk: Desk, wish: Wish) -> None:
    desk.codec.ask(wish, 1, desk.now)
    [(_, told)] = desk.codec.answers()
    assert told.outcome == "refused"
    assert desk.codec.data_to_send() == b""


def test_a_text_to_say_cannot_leave_its_variable(desk: Desk) -> None:
    sent = ask(desk, Ring(id="r", number="1", say="a\r\nAction: Originate\r\n,X=1" + "王" * 500))
    say = dict(one.split("=", 1) for one in sent["Variable"].split("\n"))["GATEWAY_SAY"]
    assert len(say) <= 512
    assert not set(say) & set("\r\n,= ")


def test_nobody_ever_says_what_became_of_it(desk: Desk) -> None:
    ask(desk, DIAL)
    desk.advance(DIAL.rings_s + LIMIT_S - 1)
    assert desk.codec.answers() == []
    desk.advance(2)
    assert desk.codec.answers() == [(7, Told(outcome="failed", reason="timeout"))]
    hangups = [one for one in desk.sent() if one["Action"] == "Hangup"]
    assert [one["Channel"] for one in hangups] == ["gateway-d1"]


def test_a_lost_connection_loses_what_was_under_way(desk: Desk) -> None:
    ask(desk, DIAL, 1)
    ask(desk, RING, 2)
    desk.codec.disconnected(desk.now)
    desk.codec.ask(RING, 3, desk.now)
    assert [(token, told.outcome) for token, told in desk.codec.answers()] == [(1, "lost"), (2, "lost"), (3, "lost")]
    assert desk.codec.answers() == []


def test_wishes_are_bounded(desk: Desk) -> None:
    for number in range(MAX_WISHES + 1):
        desk.codec.ask(Dial(id=f"d{number}", agent="8001", number=NUMBER), number, desk.now)
    assert desk.codec.answers() == [(MAX_WISHES, Told(outcome="refused", reason="too_many_wishes"))]
