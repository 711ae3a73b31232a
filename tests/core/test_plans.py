"""Action plans: which one fits, what ticks a step, and that its required steps stand before the end; merging and arriving as people say it."""

from datetime import timedelta

import msgspec
import pytest

from gateway.config.plans import WORDS, PlanConfig, PlanStep
from gateway.core import plans
from gateway.core.incident import Flag, State
from gateway.core.register import Ability, Category, Person, Register, Risk
from gateway.errors import Refused
from gateway.event import Kind, Severity
from tests.core.room import AREAS, DEVICES, PERSONS, RESPONDERS, Room

REASON = "老人当面在场，无需回拨"


@pytest.fixture
def room() -> Room:
    """Where required steps are asked for, as in the gateway."""
    room = Room()
    room.working.plans = ()
    return room


def steps(room: Room, *own: PlanConfig) -> dict[str, bool]:
    return {step.id: step.done for step in plans.steps_of(own, room.only, room.working.register)}


def name_of(room: Room, *own: PlanConfig) -> str:
    return plans.plan_for(own, room.only, room.working.register).name


def test_the_plan_of_a_cry_and_of_a_thing(room: Room) -> None:
    room.press("w-wang")
    assert (name_of(room), list(steps(room))) == ("call_for_help", ["call_person", "ask_injury", "call_family", "dispatch"])
    other = Room()
    other.event(Kind.LOW_BATTERY, "w-li")
    assert name_of(other) == "fault"
    third = Room()
    third.event(Kind.POWER_CUT, "w-li")
    assert name_of(third) == "power_cut_at_home"


def test_a_faulty_thing_of_somebody_alone_is_asked_after() -> None:
    alone = [msgspec.structs.replace(one, risks=(Risk.LIVING_ALONE,)) if one.id == "li" else one for one in PERSONS]
    room = Room(register=Register(district="honggu", persons=alone, devices=DEVICES, responders=RESPONDERS, areas=AREAS))
    room.event(Kind.FAULT, "w-li")
    assert name_of(room) == "fault_of_one_alone"


@pytest.mark.parametrize(
    ("facts", "fits"),
    [
        ({}, True),
        ({"kinds": ("sos",)}, True),
        ({"kinds": ("person",)}, True),
        ({"kinds": ("danger", "device")}, False),
        ({"severities": (Severity.CRITICAL,)}, True),
        ({"severities": (Severity.MINOR,)}, False),
        ({"hotlines": ("12349",)}, False),
        ({"needs": ("self_caring",)}, True),
        ({"needs": ("disabled", "self_caring")}, True),
        ({"needs": ("living_alone",)}, False),
        ({"when": ("person",)}, True),
        ({"when": ("call_due",)}, False),
    ],
)
def test_which_plan_fits(room: Room, facts: dict[str, tuple[str, ...]], fits: bool) -> None:
    room.press("w-wang")
    own = PlanConfig(name="own", step=(PlanStep(word="ask_injury"),), **facts)
    assert (name_of(room, own) == "own") is fits


def test_the_hotline_that_was_dialled_chooses(room: Room) -> None:
    room.call(Kind.CALL_ANSWERED, "+8613800000009", hotline="12345", agent="8001")
    assert name_of(room, PlanConfig(name="city", hotlines=("12345",))) == "city"
    assert name_of(room, PlanConfig(name="ours", hotlines=("12349",))) == "call_for_help"


def test_words_of_people_are_those_of_the_register() -> None:
    for word in (*Risk, *Ability, *Category):
        assert msgspec.convert({"name": "a", "needs": [word.value]}, PlanConfig).needs == (word.value,)


def test_required_steps_stand_before_the_end(room: Room) -> None:
    room.press("w-wang")
    name = room.only.id
    room.do("acknowledge", name)
    with pytest.raises(Refused, match="steps_missing") as refused:
        room.do("resolve", name, outcome="helped")
    assert refused.value.status == 409
    assert refused.value.facts["steps"] == ["call_person"]
    assert room.only.state is State.ACKNOWLEDGED
    with pytest.raises(Refused, match="reason_too_short"):
        room.do("resolve", name, outcome="helped", override="ok")
    room.do("resolve", name, outcome="helped", override=REASON)
    assert room.only.state is State.RESOLVED
    (said,) = [msgspec.json.decode(one.facts) for one in room.records if one.kind is Kind.RESOLVE]
    assert said["override"] == REASON


def test_a_step_that_is_in_no_plan_is_none(room: Room) -> None:
    room.press("w-wang")
    with pytest.raises(Refused, match="unknown_step"):
        room.do("step", room.only.id, step="sing")
    room.do("step", room.only.id, step="ask_injury")
    assert steps(room)["ask_injury"]


def test_whoever_was_reached_by_telephone_ticks_their_step(room: Room) -> None:
    room.press("w-wang")
    name = room.only.id
    room.do("dial", name, dial="d1", ref="person", outcome="no_answer")
    assert not steps(room)["call_person"]
    room.do("dial", name, dial="d2", ref="contact:0", outcome="done")
    assert (steps(room)["call_person"], steps(room)["call_family"]) == (False, True)
    room.do("dial", name, dial="d3", ref="person", outcome="done")
    assert steps(room)["call_person"]


def test_an_order_ticks_the_dispatch(room: Room) -> None:
    room.press("w-wang")  # critical: the machine orders
    assert steps(room)["dispatch"]


def test_who_talks_need_not_be_rung(room: Room) -> None:
    room.call(Kind.CALL_ANSWERED, "+8613800000001", agent="8001")
    assert steps(room)["call_person"]
    room.do("acknowledge", room.only.id)
    room.do("resolve", room.only.id, outcome="helped")


def test_another_one_on_the_telephone_is_not_the_person(room: Room) -> None:
    room.press("w-wang")
    name = room.only.id
    room.call(Kind.CALL_ANSWERED, "+8613800000009", agent="8001")
    call = next(one.id for one in room.working.open_incidents if one.id != name)
    room.do("merge", call, into=name)
    assert room.only.agent == "8001"
    assert not steps(room)["call_person"]


def test_a_lost_call_that_was_rung_back_is_walked(room: Room) -> None:
    room.calls_in_vain("+8613800000001", "a")
    name = room.only.id
    room.do("acknowledge", name)
    assert Flag.CALL_DUE in room.only.flags
    assert list(steps(room)) == ["call_person", "dispatch"]
    room.do("call_back", name)
    assert steps(room)["call_person"], "the plan is another one now, the person was spoken to all the same"


def test_a_task_stands_before_the_plan(room: Room) -> None:
    room.event(Kind.SMOKE, "w-wang")
    name = room.only.id
    assert "call_119" in room.only.tasks
    room.do("acknowledge", name)
    with pytest.raises(Refused) as refused:
        room.do("resolve", name, outcome="helped")
    assert refused.value.facts["steps"] == ["call_119", "call_person"]


def test_nobody_is_asked_for_steps_where_no_plans_are_given() -> None:
    room = Room()
    room.press("w-wang")
    room.do("acknowledge", room.only.id)
    room.do("resolve", room.only.id, outcome="helped")


def test_every_word_that_ticks_itself_is_known() -> None:
    known = {"hand", "dispatch", "arrived", "call_person", "call_family", "identify", "record"}
    assert set(WORDS.values()) <= known


def test_two_people_are_merged_only_if_somebody_says_so(room: Room) -> None:
    room.press("w-wang")
    room.event(Kind.FALL_SUSPECTED, "w-li")
    wang, li = sorted(room.working.incidents)
    with pytest.raises(Refused, match="different_person"):
        room.do("merge", li, into=wang)
    room.do("merge", li, into=wang, different=True)
    assert room.working.incidents[li].merged_into == wang


def arrives(room: Room) -> str:
    room.press("w-wang")
    name = room.only.id
    room.do("acknowledge", name)
    room.do("step", name, step="call_person")
    return name


def test_the_time_of_arrival_is_told_where_the_field_did_not(room: Room) -> None:
    name = arrives(room)
    room.answer("station-7", "accept")
    room.now += timedelta(minutes=20)
    at = room.now - timedelta(minutes=9)
    room.do("resolve", name, outcome="helped", arrived=at.isoformat())
    leg = room.working.incidents[name].legs[0]
    assert (leg.arrived_at, leg.state) == (at, "done")
    (served,) = [stage for stage in room.working.incidents[name].stages if stage.name == "serve"]
    assert (served.at, served.evidence) == (at, leg.delivery)


def test_what_the_field_told_is_changed_for_a_reason_only(room: Room) -> None:
    name = arrives(room)
    room.answer("station-7", "accept")
    room.now += timedelta(minutes=10)
    room.answer("station-7", "arrived")
    told = room.only.legs[0].arrived_at
    room.now += timedelta(minutes=5)
    at = (room.now - timedelta(minutes=8)).isoformat()
    with pytest.raises(Refused, match="reason_too_short"):
        room.do("resolve", name, outcome="helped", arrived=at)
    room.do("resolve", name, outcome="helped", arrived=at, arrived_why="站点晚点了按钮，电话核实")
    facts = msgspec.json.decode(next(one.facts for one in reversed(room.records) if one.kind is Kind.RESOLVE))
    assert msgspec.convert(facts["arrived_told"], type(told)) == told  # both stand in the journal


@pytest.mark.parametrize("minutes", [-1, 60])
def test_nobody_arrived_before_being_asked_nor_in_the_future(room: Room, minutes: int) -> None:
    name = arrives(room)
    room.answer("station-7", "accept")
    at = room.only.legs[0].ordered_at + timedelta(minutes=minutes)
    with pytest.raises(Refused, match="bad_arrived"):
        room.do("resolve", name, outcome="helped", arrived=at.isoformat())


def test_nobody_arrived_who_never_went(room: Room) -> None:
    name = arrives(room)
    with pytest.raises(Refused, match="nobody_went"):
        room.do("resolve", name, outcome="helped", arrived=room.now.isoformat())


def test_a_caller_of_whom_nobody_knows_has_a_record_of_their_own(room: Room) -> None:
    room.call(Kind.CALL_ANSWERED, "+8613800000009", agent="8001")
    name = room.only.id
    room.do("dispatch", name, responder="station-8")
    room.do("record", name, name="Invented Zhou", address="Huapai Road 9", what="fell in the yard", area="haishiwan")
    incident = room.only
    assert incident.record is not None
    assert (incident.record.by, incident.area, incident.person) == ("Li Na", "haishiwan", None)
    assert incident.position is not None
    room.advance(seconds=1)
    body = room.sent_to("station-8")[-1]
    assert body["person"] == {"name": "Invented Zhou", "address": "Huapai Road 9"}
    assert "fell in the yard" not in str(body)
    assert room.working.register.persons.keys() == {one.id for one in PERSONS}, "nobody was registered by it"
    with pytest.raises(Refused, match="missing_address"):
        room.do("record", name)
    with pytest.raises(Refused, match="unknown_area"):
        room.do("record", name, address="x", area="atlantis")
    with pytest.raises(Refused, match="record_too_long"):
        room.do("record", name, address="x" * 121)


def test_whoever_is_known_has_no_second_record(room: Room) -> None:
    room.press("w-wang")
    with pytest.raises(Refused, match="is_identified"):
        room.do("record", room.only.id, address="elsewhere")


def test_a_person_of_the_register_stands_before_what_was_said_on_the_telephone(room: Room) -> None:
    room.call(Kind.CALL_ANSWERED, "+8613800000009", agent="8001")
    name = room.only.id
    room.do("record", name, name="Invented Zhou", address="Huapai Road 9")
    room.do("identify", name, person="li")
    room.do("dispatch", name, responder="station-8")
    assert room.sent_to("station-8")[-1]["person"]["name"] == Person(id="x", name="Invented Li").name  # type: ignore[index]
