"""Whole calls as sequences of SIP messages: what the hotline is told of each."""

from dataclasses import replace

import msgspec
import pytest

from drivers.calls.call import FINAL, KIND, TRANSITIONS, Action, State
from drivers.calls.table import MAX_STALE
from gateway.event import Kind
from tests.sip.sip_wire import AGENT, CALLER, OTHER_AGENT, PROXY, Dialog, Exchange

QUEUE = Dialog(to_tag="queue")
LEG = Dialog(call_id="77c2-b@192.0.2.10", from_tag="pbx-9", to_tag="agent-7", called="8001", vias=("z9hG4bK-b1",))


def sent_on(dialog: Dialog, branch: str = "z9hG4bK-p1", uri: str = "sip:8001@192.0.2.31") -> Dialog:
    """The copy a proxy sends on: same Call-ID, one Via more, the phone's own URI."""
    return replace(dialog, vias=(branch, *dialog.vias), uri=uri)


def test_a_call_through_a_proxy_is_thirteen_packets_and_one_call() -> None:
    pbx, near = Exchange(), Dialog()
    far = sent_on(near)
    assert pbx.say(CALLER, PROXY, near.request()) == ["offered"]
    assert pbx.say(PROXY, CALLER, near.response(100, "trying -- your call is important to us", tagged=False)) == []
    assert pbx.say(PROXY, AGENT, far.request()) == []
    assert pbx.say(AGENT, PROXY, far.response(180, "Ringing")) == ["ringing"]
    assert pbx.say(PROXY, CALLER, near.response(180, "Ringing")) == []
    assert pbx.say(AGENT, PROXY, far.response(200, "OK")) == ["answered"]
    assert pbx.last["agent"] == "8001"
    assert pbx.say(PROXY, CALLER, near.response(200, "OK")) == []
    assert pbx.say(CALLER, PROXY, near.request("ACK", tagged=True, vias=("z9hG4bK-c2",))) == []
    assert pbx.say(PROXY, AGENT, far.request("ACK", tagged=True, vias=("z9hG4bK-p2", "z9hG4bK-c2"))) == []
    assert pbx.say(CALLER, PROXY, near.request("BYE", tagged=True, cseq=2, vias=("z9hG4bK-c3",)), after=30) == ["ended"]
    assert pbx.last["by"] == "caller"
    assert pbx.say(PROXY, AGENT, far.request("BYE", tagged=True, cseq=2, vias=("z9hG4bK-p3", "z9hG4bK-c3"))) == []
    assert pbx.say(AGENT, PROXY, far.response(200, "OK", method="BYE", cseq=2)) == []
    assert pbx.say(PROXY, CALLER, near.response(200, "OK", method="BYE", cseq=2)) == []
    assert len({signal.detail["call"] for signal in pbx.signals}) == 1
    assert len({signal.dedup for signal in pbx.signals}) == 4
    assert {signal.device for signal in pbx.signals} == {"+8613893100001"}
    assert pbx.codec.live_calls == 0


def test_every_message_twice_changes_nothing() -> None:
    pbx, call = Exchange(), Dialog()
    told: list[str] = []
    for source, destination, message in (
        (CALLER, PROXY, call.request()),
        (PROXY, CALLER, call.response(180)),
        (PROXY, CALLER, call.response(200)),
        (CALLER, PROXY, call.request("BYE", tagged=True, cseq=2)),
    ):
        told += pbx.say(source, destination, message) + pbx.say(source, destination, message)
    assert told == ["offered", "ringing", "answered", "ended"]


def test_who_is_asked_for_a_password_and_comes_back_is_one_call() -> None:
    pbx, call = Exchange(), Dialog()
    assert pbx.say(CALLER, PROXY, call.request()) == ["offered"]
    assert pbx.say(PROXY, CALLER, call.response(407)) == []
    assert pbx.say(CALLER, PROXY, call.request("ACK", tagged=True)) == []
    again = replace(call, cseq=2, vias=("z9hG4bK-c9",))
    assert pbx.say(CALLER, PROXY, again.request()) == []
    assert pbx.wait(40) == []
    assert pbx.say(PROXY, CALLER, again.response(200)) == ["answered"]


def test_who_does_not_come_back_was_missed() -> None:
    pbx, call = Exchange(), Dialog()
    pbx.say(CALLER, PROXY, call.request())
    pbx.say(PROXY, CALLER, call.response(401))
    assert pbx.wait(33) == ["missed"]
    assert pbx.last["reason"] == "auth"


def test_hung_up_while_it_rang() -> None:
    pbx, call = Exchange(), Dialog()
    far = sent_on(call)
    pbx.say(CALLER, PROXY, call.request())
    pbx.say(PROXY, AGENT, far.request())
    pbx.say(AGENT, PROXY, far.response(180))
    assert pbx.say(CALLER, PROXY, call.request("CANCEL")) == []
    assert pbx.say(PROXY, AGENT, far.request("CANCEL", vias=("z9hG4bK-p1",))) == []
    assert pbx.say(AGENT, PROXY, far.response(487)) == []
    assert pbx.say(PROXY, CALLER, call.response(487)) == ["abandoned"]
    assert pbx.last["by"] == "caller"


def test_a_cancel_nobody_answers_is_abandoned_all_the_same() -> None:
    pbx, call = Exchange(), Dialog()
    pbx.say(CALLER, PROXY, call.request())
    pbx.say(CALLER, PROXY, call.request("CANCEL"))
    assert pbx.wait(33) == ["abandoned"]


def test_cancel_crossing_an_answer_that_lasts_an_instant() -> None:
    pbx, call = Exchange(), Dialog()
    pbx.say(CALLER, PROXY, call.request())
    pbx.say(CALLER, PROXY, call.request("CANCEL"))
    assert pbx.say(PROXY, CALLER, call.response(200)) == []
    assert pbx.say(CALLER, PROXY, call.request("BYE", tagged=True, cseq=2), after=0.2) == ["abandoned"]


def test_cancel_crossing_an_answer_that_lasts() -> None:
    pbx, call = Exchange(), Dialog()
    pbx.say(CALLER, PROXY, call.request())
    pbx.say(CALLER, PROXY, call.request("CANCEL"))
    pbx.say(PROXY, CALLER, call.response(200))
    assert pbx.wait(1.1) == ["answered"]
    assert pbx.say(CALLER, PROXY, call.request("BYE", tagged=True, cseq=2), after=20) == ["ended"]


def test_ring_all_through_a_proxy_the_losers_are_cancelled() -> None:
    pbx, call = Exchange(), Dialog()
    first, second = sent_on(call), replace(sent_on(call, "z9hG4bK-p2", "sip:8002@192.0.2.32"), to_tag="agent-2")
    pbx.say(CALLER, PROXY, call.request())
    pbx.say(PROXY, AGENT, first.request())
    pbx.say(PROXY, OTHER_AGENT, second.request())
    assert pbx.say(AGENT, PROXY, first.response(180)) == ["ringing"]
    assert pbx.say(OTHER_AGENT, PROXY, second.response(180)) == []
    assert pbx.say(OTHER_AGENT, PROXY, second.response(200)) == ["answered"]
    assert pbx.last["agent"] == "8002"
    reason = 'Reason: SIP;cause=200;text="Call completed elsewhere"'
    assert pbx.say(PROXY, AGENT, first.request("CANCEL", vias=("z9hG4bK-p1",), extra=reason)) == []
    assert pbx.say(AGENT, PROXY, first.response(487)) == []
    assert pbx.say(PROXY, CALLER, replace(call, to_tag="agent-2").response(200)) == []
    assert pbx.codec.live_calls == 1


def test_two_phones_answer_and_the_call_ends_with_the_last() -> None:
    pbx, call = Exchange(), Dialog()
    other = replace(call, to_tag="agent-2")
    pbx.say(CALLER, PROXY, call.request())
    assert pbx.say(PROXY, CALLER, call.response(200)) == ["answered"]
    assert pbx.say(PROXY, CALLER, other.response(200)) == []
    assert pbx.say(CALLER, PROXY, other.request("BYE", tagged=True, cseq=2)) == []
    assert pbx.say(PROXY, CALLER, call.request("BYE", tagged=True, by_callee=True), after=60) == ["ended"]
    assert pbx.last["by"] == "agent"


@pytest.mark.parametrize(
    ("code", "reason"),
    [(486, "busy"), (600, "busy"), (408, "no_answer"), (480, "no_answer"), (603, "declined"), (404, "not_found"), (503, "failure"), (500, "failure")],
)
def test_refused(code: int, reason: str) -> None:
    pbx, call = Exchange(), Dialog()
    far = sent_on(call)
    pbx.say(CALLER, PROXY, call.request())
    pbx.say(PROXY, AGENT, far.request())
    assert pbx.say(AGENT, PROXY, far.response(code)) == []  # one phone's refusal is not the caller's
    assert pbx.say(PROXY, CALLER, call.response(code)) == ["failed" if code >= 500 and reason == "failure" else "missed"]
    assert pbx.last["state"] == "missed"  # lost all the same: somebody calls back
    assert (pbx.last["reason"], pbx.last["code"]) == (reason, code)
    assert pbx.say(PROXY, CALLER, call.response(code), after=2) == []


def test_sent_elsewhere_and_never_seen_again() -> None:
    pbx, call = Exchange(), Dialog()
    pbx.say(CALLER, PROXY, call.request())
    pbx.say(PROXY, CALLER, call.response(302))
    assert pbx.wait(6) == ["missed"]
    assert pbx.last["reason"] == "redirected"


def test_trying_again_after_a_refusal_is_a_new_call() -> None:
    pbx, call = Exchange(), Dialog()
    pbx.say(CALLER, PROXY, call.request())
    pbx.say(PROXY, CALLER, call.response(503))
    assert pbx.say(CALLER, PROXY, call.request(), after=0.5) == []  # a late retransmission is not
    assert pbx.say(CALLER, PROXY, replace(call, cseq=2, vias=("z9hG4bK-c2",)).request(), after=1) == ["offered"]
    assert pbx.signals[0].dedup != pbx.signals[-1].dedup


def test_nobody_ever_says_how_it_ended() -> None:
    pbx, call = Exchange(), Dialog()
    pbx.say(CALLER, PROXY, call.request())
    assert pbx.wait(179) == []
    assert pbx.wait(2) == ["missed"]
    assert (pbx.last["reason"], pbx.last["inferred"]) == ("no_final_answer", True)
    assert pbx.wait(60) == []
    assert pbx.codec.deadline() is None  # forgotten


def test_the_answered_call_whose_bye_was_lost() -> None:
    pbx, call = Exchange(), Dialog()
    pbx.say(CALLER, PROXY, call.request())
    pbx.say(PROXY, CALLER, call.response(200, extra="Session-Expires: 1800;refresher=uac"))
    assert pbx.wait(1900) == []
    assert pbx.say(CALLER, PROXY, call.request("UPDATE", tagged=True, cseq=2)) == []
    pbx.say(PROXY, CALLER, call.response(200, method="UPDATE", cseq=2))
    assert pbx.wait(1900) == []
    assert pbx.wait(100) == ["ended"]
    assert pbx.last["inferred"] is True


def test_bye_before_the_answer_was_seen() -> None:
    pbx, call = Exchange(), Dialog()
    pbx.say(CALLER, PROXY, call.request())
    assert pbx.say(PROXY, CALLER, call.request("BYE", tagged=True, by_callee=True)) == ["ended"]
    assert pbx.last["inferred"] is True


def test_200_before_180() -> None:
    pbx, call = Exchange(), Dialog()
    pbx.say(CALLER, PROXY, call.request())
    assert pbx.say(PROXY, CALLER, call.response(200)) == ["answered"]
    assert pbx.say(PROXY, CALLER, call.response(180)) == []


def test_the_proxys_copy_arrives_before_the_original() -> None:
    pbx, call = Exchange(), Dialog()
    far = sent_on(call)
    assert pbx.say(PROXY, AGENT, replace(far, uri="sip:12349@192.0.2.31").request()) == ["offered"]
    assert pbx.say(CALLER, PROXY, call.request()) == []
    assert pbx.say(AGENT, PROXY, far.response(486)) == []
    assert pbx.say(PROXY, CALLER, call.response(486)) == ["missed"]


def test_an_exchange_that_answers_for_its_queue() -> None:
    """Asterisk answers at once for the queue; only its own call to an agent can answer for a person."""
    pbx = Exchange(answer_on="agent_leg")
    assert pbx.say(CALLER, PROXY, QUEUE.request()) == ["offered"]
    assert pbx.say(PROXY, CALLER, QUEUE.response(200)) == []
    assert pbx.say(PROXY, AGENT, LEG.request()) == []
    assert pbx.say(AGENT, PROXY, LEG.response(180)) == ["ringing"]
    assert pbx.say(AGENT, PROXY, LEG.response(200), after=1.5) == ["answered"]
    assert (pbx.last["agent"], pbx.last["leg_count"]) == ("8001", 2)
    assert pbx.say(AGENT, PROXY, LEG.request("BYE", tagged=True, by_callee=True), after=60) == []
    assert pbx.say(PROXY, CALLER, QUEUE.request("BYE", tagged=True, by_callee=True)) == ["ended"]
    assert pbx.last["by"] == "agent"


def test_the_exchange_is_found_out_and_the_first_answer_corrected() -> None:
    pbx = Exchange()
    pbx.say(CALLER, PROXY, QUEUE.request())
    assert pbx.say(PROXY, CALLER, QUEUE.response(200)) == ["answered"]
    assert pbx.say(PROXY, AGENT, LEG.request()) == []
    assert pbx.say(AGENT, PROXY, LEG.response(180)) == ["ringing"]
    assert pbx.say(AGENT, PROXY, LEG.response(200)) == ["answered"]
    assert (pbx.last["correction"], pbx.last["agent"]) == (True, "8001")
    assert len({signal.dedup for signal in pbx.signals}) == len(pbx.signals)
    later = replace(QUEUE, call_id="second", from_tag="caller-2", caller="09318412345")
    pbx.say(CALLER, PROXY, later.request())
    assert pbx.say(PROXY, CALLER, later.response(200)) == []  # learned
    assert pbx.say(CALLER, PROXY, later.request("BYE", tagged=True, cseq=2), after=40) == ["abandoned"]


def test_waited_in_the_queue_until_the_exchange_gave_up() -> None:
    pbx = Exchange(answer_on="agent_leg")
    pbx.say(CALLER, PROXY, QUEUE.request())
    pbx.say(PROXY, CALLER, QUEUE.response(200))
    pbx.say(PROXY, AGENT, LEG.request())
    assert pbx.wait(600) == []
    assert pbx.say(AGENT, PROXY, LEG.response(486)) == []
    assert pbx.say(PROXY, CALLER, QUEUE.request("BYE", tagged=True, by_callee=True)) == ["missed"]


def test_an_agent_takes_it_just_when_the_caller_gives_up() -> None:
    pbx = Exchange()
    pbx.say(CALLER, PROXY, QUEUE.request())
    pbx.say(PROXY, AGENT, LEG.request())
    pbx.say(CALLER, PROXY, QUEUE.request("CANCEL"))
    assert pbx.say(AGENT, PROXY, LEG.response(200)) == []
    assert pbx.say(PROXY, CALLER, QUEUE.response(487)) == ["abandoned"]


def test_legs_are_joined_by_a_hint_when_the_caller_is_anonymous() -> None:
    pbx = Exchange(answer_on="agent_leg")
    hint = "X-Asterisk-Linkedid: 1773480413.7"
    pbx.say(CALLER, PROXY, replace(QUEUE, caller="anonymous", extra=hint).request())
    assert pbx.signals[-1].device is None
    pbx.say(PROXY, AGENT, replace(LEG, caller="anonymous", extra=hint).request())
    assert pbx.say(AGENT, PROXY, LEG.response(200)) == ["answered"]


def test_two_callers_at_once_keep_their_own_agents() -> None:
    pbx = Exchange(answer_on="agent_leg")
    one, two = QUEUE, replace(QUEUE, call_id="two", from_tag="t2", caller="13893100002")
    for call in (one, two):
        pbx.say(CALLER, PROXY, call.request())
        pbx.say(PROXY, CALLER, call.response(200))
    leg_two = replace(LEG, call_id="leg-two", from_tag="x2", caller="13893100002", called="8002")
    pbx.say(PROXY, AGENT, LEG.request())
    pbx.say(PROXY, OTHER_AGENT, leg_two.request())
    assert pbx.say(OTHER_AGENT, PROXY, leg_two.response(200)) == ["answered"]
    assert (pbx.last["agent"], pbx.last["caller"]) == ("8002", "13893100002")
    assert pbx.say(AGENT, PROXY, LEG.response(200)) == ["answered"]
    assert (pbx.last["agent"], pbx.last["caller"]) == ("8001", "13893100001")


def test_the_same_person_ringing_again_is_a_second_call() -> None:
    pbx = Exchange()
    assert pbx.say(CALLER, PROXY, Dialog().request()) == ["offered"]
    assert pbx.say(CALLER, PROXY, Dialog(call_id="again", from_tag="caller-2").request()) == ["offered"]


def test_exchange_and_phones_on_one_host() -> None:
    """Everything on 127.0.0.1: only the ports tell who is who."""
    caller, pbx_at, agent = ("127.0.0.1", 5080), ("127.0.0.1", 5060), ("127.0.0.1", 5070)
    pbx = Exchange()
    assert pbx.say(caller, pbx_at, QUEUE.request()) == ["offered"]
    assert pbx.say(caller, pbx_at, Dialog(call_id="again", from_tag="caller-2").request()) == ["offered"]
    pbx.say(pbx_at, agent, LEG.request())
    assert pbx.say(agent, pbx_at, LEG.response(200)) == ["answered"]


def test_blind_transfer_by_the_exchange() -> None:
    pbx = Exchange(answer_on="agent_leg")
    pbx.say(CALLER, PROXY, QUEUE.request())
    pbx.say(PROXY, AGENT, LEG.request())
    pbx.say(AGENT, PROXY, LEG.response(200))
    assert pbx.say(AGENT, PROXY, LEG.request("REFER", tagged=True, by_callee=True, extra="Refer-To: <sip:8009@192.0.2.10>")) == []
    target = replace(LEG, call_id="leg-3", from_tag="x3", called="8009", uri="sip:8009@192.0.2.32", extra="Referred-By: <sip:8001@192.0.2.10>")
    pbx.say(PROXY, OTHER_AGENT, target.request())
    assert pbx.say(OTHER_AGENT, PROXY, target.response(200)) == ["transferred"]
    assert pbx.last["agent"] == "8009"
    assert pbx.say(AGENT, PROXY, LEG.request("BYE", tagged=True, by_callee=True)) == []
    assert pbx.say(CALLER, PROXY, QUEUE.request("BYE", tagged=True, cseq=2), after=30) == ["ended"]


def test_transfer_with_replaces_outlives_the_first_dialog() -> None:
    pbx, call = Exchange(), Dialog()
    pbx.say(CALLER, PROXY, call.request())
    pbx.say(PROXY, CALLER, call.response(200))
    taken = Dialog(
        call_id="pick",
        from_tag="p1",
        to_tag="p2",
        caller="8005",
        called="13893100001",
        extra=f"Replaces: {call.call_id};to-tag=agent-1;from-tag=caller-1",
    )
    assert pbx.say(PROXY, CALLER, taken.request()) == []
    assert pbx.say(CALLER, PROXY, taken.response(200)) == ["transferred"]
    assert pbx.last["agent"] == "8005"
    assert pbx.say(CALLER, PROXY, call.request("BYE", tagged=True, cseq=2)) == []
    assert pbx.say(PROXY, CALLER, taken.request("BYE", tagged=True, cseq=2), after=9) == ["ended"]


def test_what_is_no_call_of_ours() -> None:
    pbx = Exchange()
    assert pbx.say(CALLER, PROXY, Dialog(called="8001").request()) == []
    for method in ("OPTIONS", "REGISTER", "MESSAGE", "SUBSCRIBE", "NOTIFY", "PUBLISH", "BYE", "CANCEL", "ACK"):
        assert pbx.say(CALLER, PROXY, Dialog().request(method)) == []
    assert pbx.say(PROXY, CALLER, Dialog().response(180)) == []
    assert pbx.codec.live_calls == 0
    assert pbx.codec.deadline() is None


def test_started_late_an_answer_alone_opens_the_call() -> None:
    pbx, call = Exchange(), Dialog()
    assert pbx.say(PROXY, CALLER, call.response(200)) == ["answered"]
    assert pbx.last["inferred"] is True
    assert pbx.say(CALLER, PROXY, call.request("BYE", tagged=True, cseq=2)) == ["ended"]


def test_a_reinvite_is_no_new_call_and_its_failure_no_end() -> None:
    pbx, call = Exchange(), Dialog()
    pbx.say(CALLER, PROXY, call.request())
    pbx.say(PROXY, CALLER, call.response(200))
    assert pbx.say(CALLER, PROXY, call.request(tagged=True, cseq=2, vias=("z9hG4bK-r",))) == []
    assert pbx.say(PROXY, CALLER, call.response(491, cseq=2, vias=("z9hG4bK-r",))) == []
    assert pbx.say(PROXY, CALLER, call.request(tagged=True, by_callee=True, cseq=7, vias=("z9hG4bK-s",))) == []
    assert pbx.say(CALLER, PROXY, call.response(200, by_callee=True, cseq=7, vias=("z9hG4bK-s",))) == []
    assert pbx.codec.live_calls == 1


# ---- restart


def restarted(before: Exchange, **options: object) -> Exchange:
    """A new codec that is given what the store kept: the last detail of each call, through JSON."""
    after = Exchange(**options)
    after.now = before.now
    last = {signal.detail["call"]: signal.detail for signal in before.signals}
    kept = msgspec.json.decode(msgspec.json.encode(list(last.values())))
    after.codec.restore(kept, after.now)
    return after


def test_restart_while_ringing_then_confirmed() -> None:
    before, call = Exchange(), Dialog()
    far = sent_on(call)
    before.say(CALLER, PROXY, call.request())
    before.say(PROXY, AGENT, far.request())
    before.say(AGENT, PROXY, far.response(180))
    after = restarted(before)
    assert after.codec.live_calls == 1
    assert after.say(PROXY, CALLER, call.response(180), after=20) == []  # told before
    assert after.wait(100) == []  # confirmed: the restart guard no longer counts
    assert after.say(PROXY, CALLER, call.response(200)) == ["answered"]
    assert after.signals[-1].detail["call"] == before.signals[0].detail["call"]
    assert after.signals[-1].device == "+8613893100001"
    assert after.say(CALLER, PROXY, call.request("BYE", tagged=True, cseq=2)) == ["ended"]


@pytest.mark.parametrize("ringing", [False, True])
def test_restart_and_the_caller_is_gone(ringing: bool) -> None:
    before, call = Exchange(), Dialog()
    before.say(CALLER, PROXY, call.request())
    if ringing:
        before.say(PROXY, CALLER, call.response(180))
    after = restarted(before)
    assert after.wait(59) == []
    assert after.wait(2) == ["missed"]
    assert (after.last["reason"], after.last["inferred"]) == ("not_confirmed_after_restart", True)


def test_restart_during_the_talk() -> None:
    before, call = Exchange(), Dialog()
    before.say(CALLER, PROXY, call.request())
    before.say(PROXY, CALLER, call.response(200))
    after = restarted(before)
    assert after.wait(1799) == []
    assert after.wait(2) == ["ended"]
    assert after.last["inferred"] is True
    again = restarted(before)
    assert again.say(CALLER, PROXY, call.request("BYE", tagged=True, cseq=2), after=300) == ["ended"]
    assert "inferred" not in again.last


def test_restart_with_an_agents_leg() -> None:
    before = Exchange(answer_on="agent_leg")
    before.say(CALLER, PROXY, QUEUE.request())
    before.say(PROXY, CALLER, QUEUE.response(200))
    before.say(PROXY, AGENT, LEG.request())
    before.say(AGENT, PROXY, LEG.response(180))
    after = restarted(before, answer_on="agent_leg")
    assert after.say(AGENT, PROXY, LEG.response(200)) == ["answered"]
    assert after.last["agent"] == "8001"


def test_restart_with_records_that_are_not_ours() -> None:
    exchange = Exchange()
    assert exchange.codec.restore([{}, {"call": 1}, {"call": "x", "state": "dancing"}, {"call": "x", "state": "ringing"}], 0.0) == 0


# ---- bounds


def test_a_flood_from_one_source_finds_its_own_limit_and_takes_no_live_call_with_it() -> None:
    pbx = Exchange(max_calls=6, max_calls_per_source=4)
    other = ("192.0.2.99", 5060)
    assert pbx.say(other, PROXY, Dialog(call_id="mine", from_tag="m").request()) == ["offered"]
    told = [pbx.say(CALLER, PROXY, Dialog(call_id=f"flood-{index}").request()) for index in range(10)]
    assert told == [["offered"]] * 4 + [["rejected too_many_calls"]] + [[]] * 5  # told once, counted each time
    assert pbx.codec.counts["too_many_calls"] == 6
    assert pbx.say(PROXY, other, Dialog(call_id="mine", from_tag="m").response(200)) == ["answered"]


def test_a_full_table_gives_up_what_has_ended_first() -> None:
    pbx = Exchange(max_calls=2)
    done = Dialog(call_id="done")
    pbx.say(CALLER, PROXY, done.request())
    pbx.say(PROXY, CALLER, done.response(486))
    assert pbx.say(CALLER, PROXY, Dialog(call_id="b").request()) == ["offered"]
    assert pbx.say(CALLER, PROXY, Dialog(call_id="c").request()) == ["offered"]
    assert pbx.say(CALLER, PROXY, Dialog(call_id="d").request()) == ["rejected table_full"]


def test_a_telephone_started_anew_may_take_the_call_id_and_tag_of_an_earlier_call() -> None:
    """The store would take the second call for the first, and nobody would call back."""
    pbx = Exchange()
    for _ in range(2):
        assert pbx.say(CALLER, PROXY, Dialog().request()) == ["offered"]
        assert pbx.say(CALLER, PROXY, Dialog().request("CANCEL")) == []
        assert pbx.say(PROXY, CALLER, Dialog().response(487)) == ["abandoned"]
        pbx.wait(60)
    assert len({signal.dedup for signal in pbx.signals}) == 4


def test_calls_that_are_over_are_kept_by_no_timer() -> None:
    """A call talks under a guard of hours; ten thousand an hour must not stay in memory for as long after their end."""
    pbx = Exchange(max_new_calls_per_s=0, max_calls_per_source=10_000, proof_s=0)
    dialogs = [Dialog(call_id=f"d{number}", from_tag=f"t{number}") for number in range(2 * MAX_STALE)]
    for dialog in dialogs:
        pbx.say(CALLER, PROXY, dialog.request())
        pbx.say(PROXY, CALLER, dialog.response(200))
    pbx.wait(200)  # the guard of the ringing has come up, and that of the talk stands in its place
    for dialog in dialogs:
        pbx.say(CALLER, PROXY, dialog.request("BYE", tagged=True, cseq=2))
    pbx.wait(60)
    table = pbx.codec._tracker._table
    pbx.say(CALLER, PROXY, Dialog(call_id="last").request())
    assert len(table._calls) == 1
    assert len(table._timers) <= MAX_STALE + 2


# ---- the table itself


def test_the_table_is_whole() -> None:
    assert set(TRANSITIONS) == set(State)
    assert set(KIND) == set(Action)
    assert {State.ENDED, State.ABANDONED, State.MISSED} == FINAL
    assert all({Action.ABANDON, Action.END} <= set(actions) for state, actions in TRANSITIONS.items() if state not in FINAL)
    assert Kind.CALL_OFFERED not in KIND.values()
