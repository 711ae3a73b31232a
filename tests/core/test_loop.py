"""The closed loop: each key node surfaces by itself, nothing closes without a call-back or a reasoned waiver, a complaint must be answered."""

from datetime import timedelta

import msgspec
import pytest

from gateway.config import HotlineConfig
from gateway.core.incident import ASKED, Action, Flag, LegState, Outcome, State, with_leg
from gateway.core.state import Draft
from gateway.errors import Refused
from gateway.event import Kind, Phase
from tests.core.room import START, Room

REASON = "in hospital, the family asks not to be rung"


@pytest.fixture
def room() -> Room:
    return Room()


def pressed(room: Room) -> list[str]:
    """Why somebody was pressed, oldest first."""
    facts = [msgspec.json.decode(record.facts) for record in room.records if record.kind is Kind.ESCALATE]
    return [str(one["reason"]) for one in facts if "reason" in one]


def served(room: Room) -> str:
    """An alarm that a station has seen to, resolved."""
    room.press("w-wang")
    name = room.only.id
    room.do("acknowledge", name)
    for word in ("accept", "arrived", "done"):
        room.answer("station-7", word)
    room.do("resolve", name, outcome="helped")
    return name


def test_scenario_8_the_loop_broken_at_each_node_surfaces_by_itself(room: Room) -> None:
    """A supervisor sees three times, without asking: nobody arrived; nobody called back; a complaint that nobody answers."""
    room.press("w-wang")
    name = room.only.id
    room.do("acknowledge", name)
    room.answer("station-7", "accept")
    room.advance(minutes=16)
    assert pressed(room) == ["not_arrived"]
    assert {Flag.STALLED, Flag.ESCALATED} <= set(room.only.flags)
    room.answer("station-7", "arrived")
    room.answer("station-7", "done")
    room.do("resolve", name, outcome="helped")
    assert Flag.STALLED not in room.only.flags
    room.advance(minutes=25 * 60)
    assert pressed(room)[-1] == "no_call_back"
    assert Flag.STALLED in room.only.flags
    room.do("call_back", name, complaint=True, note="nobody came for an hour", about="station-7")
    assert room.only.state is State.ACKNOWLEDGED
    room.advance(minutes=7 * 24 * 60 + 1)
    assert pressed(room)[-1] == "complaint_unanswered"
    last = [msgspec.json.decode(record.facts) for record in room.records if record.kind is Kind.ESCALATE][-1]
    assert last["to"] == "supervisor"
    assert room.working.nodes == {"not_arrived": 1, "no_call_back": 1, "complaint_unanswered": 1}


def test_nobody_accepts(room: Room) -> None:
    room.event(Kind.HELP, "w-wang")
    room.do("acknowledge", room.only.id)
    room.do("dispatch", room.only.id, responder="station-7")
    room.advance(seconds=299)
    assert pressed(room) == []
    room.advance(seconds=2)
    assert pressed(room) == ["not_accepted"]
    room.answer("town", "accept")
    room.advance(minutes=14)
    assert pressed(room) == ["not_accepted"]


def test_who_is_there_and_does_not_finish(room: Room) -> None:
    room.press("w-wang")
    room.do("acknowledge", room.only.id)
    room.answer("station-7", "arrived")
    room.advance(minutes=119)
    assert pressed(room) == []
    room.advance(minutes=2)
    assert pressed(room) == ["not_finished"]


def test_the_stages_say_when_by_whom_and_with_what_evidence(room: Room) -> None:
    room.press("w-wang")
    name = room.only.id
    room.advance(seconds=5)
    room.do("acknowledge", name)
    delivery = room.sent_to("station-7")[0]["delivery"]
    for word in ("accept", "arrived", "done"):
        room.advance(seconds=60)
        room.answer("station-7", word, by="Zhang Min")
    room.do("resolve", name, outcome="helped")
    room.advance(minutes=60)
    room.do("call_back", name, actor="Wang Qiang", satisfaction=2, complaint=True, note="came late")
    room.do("handle", name, actor="Zhou Jie", finding="justified", note="the station was told")
    room.do("resolve", name, outcome="helped")
    done = room.do("call_back", name, actor="Wang Qiang", satisfaction=4)
    assert done.state is State.CLOSED
    stages = [(stage.name, stage.actor, stage.evidence) for stage in done.stages]
    assert stages == [
        ("order", "", "wearables"),
        ("agree", "Zhang Min", delivery),
        ("serve", "Zhang Min", delivery),
        ("call_back", "Wang Qiang", "satisfaction:2"),
        ("complain", "Wang Qiang", ""),
        ("handle", "Zhou Jie", "finding:justified"),
        ("serve", "Li Na", "outcome:helped"),
        ("call_back", "Wang Qiang", "satisfaction:4"),
    ]
    agree, serve, call_back = done.stages[1], done.stages[2], done.stages[3]
    assert agree.due == START + timedelta(seconds=60)
    assert serve.due == START + timedelta(seconds=65 + 900)
    assert call_back.due is not None
    assert call_back.due > call_back.at


def test_nothing_closes_without_a_call_back_or_a_reasoned_waiver(room: Room) -> None:
    name = served(room)
    for reason, why in ((" ", "missing_reason"), ("ok", "reason_too_short")):
        with pytest.raises(Refused, match=why):
            room.do("waive", name, reason=reason)
    done = room.do("waive", name, actor="Zhou Jie", reason=REASON)
    assert (done.state, done.waived, done.outcome) == (State.CLOSED, f"Zhou Jie: {REASON}", Outcome.HELPED)
    assert done.stages[-1].name == "waive"
    assert "waive" in room.kinds(name)


def test_no_waiver_before_it_is_resolved(room: Room) -> None:
    room.press("w-wang")
    with pytest.raises(Refused, match="not_when_raised"):
        room.do("waive", room.only.id, reason=REASON)


def test_a_complaint_must_be_answered_before_it_closes_again(room: Room) -> None:
    name = served(room)
    room.do("call_back", name)
    room.do("complain", name, note="nobody came", about="Li Na")
    assert room.only.deadlines.keys() == {"complaint"}
    room.do("resolve", name, outcome="helped")
    for action, facts in (("call_back", {}), ("waive", {"reason": REASON})):
        with pytest.raises(Refused, match="complaint_not_handled"):
            room.do(action, name, **facts)
    with pytest.raises(Refused, match="bad_finding"):
        room.do("handle", name, finding="perhaps", note="x")
    with pytest.raises(Refused, match="complained_about"):
        room.do("handle", name, actor="Li Na", finding="unjustified", note="I was there")
    room.do("handle", name, actor="Zhou Jie", finding="partly", note="the visit was noted under the wrong address")
    with pytest.raises(Refused, match="complained_about"):
        room.do("waive", name, actor="Li Na", reason=REASON)
    assert room.do("call_back", name).state is State.CLOSED


def test_what_was_not_complained_about_is_not_handled(room: Room) -> None:
    name = served(room)
    with pytest.raises(Refused, match="no_complaint"):
        room.do("handle", name, finding="partly", note="nothing")


def test_a_hold_keeps_every_node_quiet_until_then(room: Room) -> None:
    name = served(room)
    until = room.now + timedelta(days=3)
    room.do("hold", name, until=until.isoformat(), reason="in hospital until Tuesday")
    assert room.only.next_deadline == ("hold", until)
    room.advance(minutes=3 * 24 * 60 - 1)
    assert pressed(room) == []
    room.advance(minutes=2)
    assert room.only.held_until is None
    assert pressed(room) == ["no_call_back"], "it was due a day ago: somebody must act now"
    assert "resume" in room.kinds(name)


def test_a_hold_ends_by_hand_and_by_a_new_cry(room: Room) -> None:
    name = served(room)
    room.do("hold", name, until=(room.now + timedelta(days=3)).isoformat(), reason="away")
    room.do("resume", name)
    assert room.only.next_deadline is not None
    assert room.only.next_deadline[0] == "call_back"
    room.do("hold", name, until=(room.now + timedelta(days=3)).isoformat(), reason="away")
    room.press("w-wang")
    assert (room.only.state, room.only.held_until) == (State.RAISED, None)
    assert room.only.next_deadline[0] == "acknowledge"


def test_a_caller_who_rings_again_ends_a_hold(room: Room) -> None:
    room.call(Kind.CALL_OFFERED, "+8613900000009")
    room.call(Kind.CALL_ANSWERED, "+8613900000009")
    name = room.only.id
    room.do("acknowledge", name)
    room.do("hold", name, until=(room.now + timedelta(days=3)).isoformat(), reason="the technician comes on Monday")
    room.calls_in_vain("+8613900000009", key="c2")
    assert (room.only.id, room.only.state, room.only.held_until) == (name, State.RAISED, None)
    assert room.only.next_deadline is not None
    assert room.only.next_deadline[0] == "acknowledge"


def test_a_cry_for_help_cannot_wait(room: Room) -> None:
    until = (room.now + timedelta(hours=1)).isoformat()
    room.press("w-wang")
    name = room.only.id
    with pytest.raises(Refused, match="not_when_raised"):
        room.do("hold", name, until=until, reason="later")
    room.do("acknowledge", name)
    with pytest.raises(Refused, match="alarm_not_served"):
        room.do("hold", name, until=until, reason="later")
    room.answer("station-7", "arrived")
    assert room.do("hold", name, until=until, reason="they wait for the locksmith").held_until is not None


@pytest.mark.parametrize("until", ["tomorrow", "2026-03-14T05:00:00", "2026-03-14T02:00:00Z", "2027-03-14T02:00:00Z"])
def test_until_is_a_time_to_come_with_its_zone_and_within_a_month(room: Room, until: str) -> None:
    name = served(room)
    with pytest.raises(Refused, match="bad_hold"):
        room.do("hold", name, until=until, reason="away")


def test_a_matter_given_to_another_hotline_stays_open_until_they_have_it() -> None:
    from gateway.core.hand_over import Taken, told
    from gateway.core.state import Draft
    from tests.core.test_properties import NEIGHBOUR

    room = Room(hotlines=(NEIGHBOUR,))
    room.call(Kind.CALL_OFFERED, "+8613900000009", hotline="12349")
    room.call(Kind.CALL_ANSWERED, "+8613900000009", hotline="12349")
    name = room.only.id
    room.do("acknowledge", name)
    room.do("hand_over", name, to=NEIGHBOUR.number)
    room.advance(minutes=6)
    assert (room.only.state, pressed(room)[-1]) == (State.ACKNOWLEDGED, "hand_over_not_taken")
    assert Flag.STALLED in room.only.flags
    draft = Draft(room.working)
    assert room.only.handed is not None
    told(draft, name, room.only.handed.delivery, Taken(incident="WO-1"), "", room.now)
    draft.settle()
    assert room.only.state is State.RESOLVED
    assert room.only.stages[-1].name == "hand_over"


def test_a_device_in_trouble_has_no_loop(room: Room) -> None:
    room.event(Kind.TAMPER, "w-wang")
    assert room.only.stages == ()


def test_the_actions_are_in_the_journal_with_their_actor(room: Room) -> None:
    name = served(room)
    room.do(Action.HOLD, name, actor="Zhou Jie", until=(room.now + timedelta(hours=1)).isoformat(), reason="away")
    (record,) = [one for one in room.records if one.kind is Kind.HOLD]
    assert (record.actor, msgspec.json.decode(record.facts)["reason"]) == ("Zhou Jie", "away")


def test_a_complaint_begins_the_loop_anew_also_after_a_restart() -> None:
    """Two were there before the complaint; nobody has agreed or served since, whatever is written down of them later."""
    room = Room()
    room.press("w-wang")
    room.do("dispatch", room.only.id, responder="station-8")
    for who in ("station-7", "station-8"):
        room.answer(who, "arrived")
    name = room.only.id
    room.do("acknowledge", name)
    room.do("resolve", name, outcome="helped")
    room.do("call_back", name)
    room.do("complain", name, note="nobody spoke to her")
    before = room.only
    assert before.stages[-1].name == "complain"
    draft = Draft(room.working)
    draft.put(with_leg(before, msgspec.structs.replace(before.legs[0], pending=""), room.now))
    draft.settle()
    assert room.only.stages == before.stages, "that a message has left is no step of the loop"
    again = Room()
    again.working.restore([room.only], (), (), ())
    assert again.only == room.only


def test_a_second_complaint_that_names_nobody_clears_nobody(room: Room) -> None:
    name = served(room)
    room.do("call_back", name, complaint=True, note="nobody came for an hour", about="Li Na")
    room.do("resolve", name, outcome="helped")
    room.do("complain", name, note="and nobody rang")
    with pytest.raises(Refused, match="complained_about"):
        room.do("handle", name, actor="Li Na", finding="unjustified", note="I was there")


def test_a_cry_in_a_matter_complained_of_is_pressed_as_any_cry(room: Room) -> None:
    """A supervisor looks into a complaint for a week. The person cries again, somebody takes it and does nothing: that surfaces in minutes."""
    name = served(room)
    room.do("call_back", name)
    room.do("complain", name, note="nobody spoke to her")
    assert room.only.deadlines.keys() == {"complaint"}
    room.advance(minutes=5)
    room.press("w-wang")
    room.do("acknowledge", name)
    for leg in room.only.legs:
        if leg.state in ASKED:
            room.do("withdraw", name, delivery=leg.delivery)
    assert "idle" in room.only.deadlines
    room.advance(minutes=30)
    assert room.only.state is State.RAISED, "given back: it rings for everybody"


def held_alarm(room: Room) -> str:
    """An alarm that was seen to, taken, and waits for days."""
    room.press("w-wang")
    name = room.only.id
    room.do("acknowledge", name)
    for word in ("accept", "arrived", "done"):
        room.answer("station-7", word)
    room.do("hold", name, until=(room.now + timedelta(days=3)).isoformat(), reason="the locksmith comes on Tuesday")
    return name


def test_what_is_ordered_during_a_hold_is_pressed(room: Room) -> None:
    name = held_alarm(room)
    room.do("dispatch", name, responder="town")
    assert room.only.held_until is None
    room.advance(minutes=6)
    assert [(leg.responder, leg.state) for leg in room.only.legs[1:3]] == [("town", LegState.EXPIRED), ("district", LegState.EXPIRED)]


def test_a_cry_that_the_device_repeats_ends_a_hold(room: Room) -> None:
    held_alarm(room)
    room.event(Kind.SOS, "w-wang", phase=Phase.REPEAT)
    assert room.only.held_until is None
    assert room.only.deadlines.keys() == {"idle"}


def test_a_lost_call_ends_a_hold(room: Room) -> None:
    held_alarm(room)
    room.calls_in_vain("+8613800000001", key="c9")
    assert room.only.held_until is None
    name, at = room.only.next_deadline or ("", room.now)
    assert (name, at < room.now + timedelta(hours=1)) == ("call", True)


def test_a_lost_call_that_is_put_into_a_held_matter_ends_its_hold(room: Room) -> None:
    name = held_alarm(room)
    room.calls_in_vain("+8613900000009", key="c9")
    call = next(one.id for one in room.working.open_incidents if one.id != name)
    room.do("merge", call, into=name)
    assert room.only.next_deadline is not None
    assert room.only.next_deadline[0] == "call"


def test_a_matter_on_hold_that_is_given_to_another_queue_is_on_hold_no_more() -> None:
    room = Room(hotlines=(HotlineConfig(number="6212345"),))
    name = held_alarm(room)
    room.do("hand_over", name, to="6212345")
    assert (room.only.state, room.only.held_until) == (State.RAISED, None)


def test_a_cry_after_somebody_was_there_is_asked_for_anew(room: Room) -> None:
    """Seen to at eleven; the cry at noon has five minutes of its own until somebody must have accepted."""
    room.press("w-wang")
    for word in ("accept", "arrived", "done"):
        room.answer("station-7", word)
    room.do("acknowledge", room.only.id)
    room.advance(minutes=10)
    room.press("w-wang")
    assert room.only.deadlines["agree"] == room.now + timedelta(minutes=5)
    room.advance(seconds=61)
    assert room.only.deadlines["agree"] == room.now + timedelta(seconds=239), "who was silent since counts"
    assert Flag.STALLED not in room.only.flags
