"""Who goes beside the station: parallel legs, each with a life of its own (domain 1.10, 2.11, 3.10, 4.10, 4.11)."""

import msgspec
import pytest

from gateway.config.teams import DEFAULT_TEAMS, TeamConfig
from gateway.core.incident import Action, Flag, Incident, Leg, LegState, Role, State
from gateway.core.orders import delivered
from gateway.core.register import Person, Register, Responder, ResponderKind, Risk
from gateway.core.state import Draft
from gateway.errors import Refused
from gateway.event import Kind, Severity
from tests.core.room import AREAS, DEVICES, PERSONS, POLICY, RESPONDERS, Room

BESIDE = [
    Responder(id="next-door", name="Next", kind=ResponderKind.NEIGHBOUR, areas=("haishiwan",), lat=36.3402, lon=102.8802, channel="phone"),
    Responder(id="across", name="Across", kind=ResponderKind.NEIGHBOUR, areas=("haishiwan",), lat=36.3406, lon=102.8808, channel="phone"),
    Responder(id="caretaker", name="Property", kind=ResponderKind.PROPERTY, areas=("haishiwan",), lat=36.3403, lon=102.8803, skills=("keys",)),
    Responder(id="dr-ma", name="Ma", kind=ResponderKind.DOCTOR, parent="health-centre", hours="08:00-18:00", capacity=1),
    Responder(id="health-centre", name="Health centre", kind=ResponderKind.HEALTH_CENTRE, parent="district", lat=36.342, lon=102.882, capacity=9),
    Responder(id="hospital-1", name="One", kind=ResponderKind.HOSPITAL, lat=36.35, lon=102.87, capacity=9),
    Responder(id="hospital-2", name="Two", kind=ResponderKind.HOSPITAL, lat=36.36, lon=102.90, capacity=9),
]
WANG = msgspec.structs.replace(PERSONS[0], doctor="dr-ma", hospital="hospital-2", risks=(Risk.LIVING_ALONE,), conditions="hypertension")


def room_with(person: Person = WANG, policy: object = POLICY, without: tuple[str, ...] = ()) -> Room:
    responders = [one for one in (*RESPONDERS, *BESIDE) if one.id not in without]
    register = Register(district="honggu", persons=[person, *PERSONS[1:]], devices=DEVICES, responders=responders, areas=AREAS, version="teams")
    return Room(policy, register=register)  # type: ignore[arg-type]


@pytest.fixture
def room() -> Room:
    return room_with()


def legs(incident: Incident, role: Role) -> list[Leg]:
    return [leg for leg in incident.legs if leg.role is role]


def sent(room: Room) -> dict[str, str]:
    return {leg.responder: leg.role.value for leg in room.only.legs}


def reasons(room: Room) -> list[object]:
    return [msgspec.json.decode(record.facts).get("reason") for record in room.records if record.kind is Kind.REMIND]


# --- who is sent ---------------------------------------------------------------------------------------------------------


def test_a_fall_of_somebody_living_alone_sends_station_health_station_and_neighbour(room: Room) -> None:
    room.event(Kind.FALL, "w-wang")
    assert sent(room) == {"station-7": "social", "health-1": "medical", "next-door": "neighbour"}
    assert room.orders[0]["to"] == "station-7", "the station leaves first"


def test_an_illness_tells_the_signed_doctor_too(room: Room) -> None:
    room.event(Kind.HEART_RATE_ABNORMAL, "w-wang")
    assert room.orders == [], "a major alarm is the desk's for a minute"
    room.advance(seconds=61)
    assert sent(room)["dr-ma"] == "doctor"
    assert "medical" not in sent(room).values(), "not critical"


def test_who_has_not_signed_with_a_doctor_lacks_none() -> None:
    room = room_with(msgspec.structs.replace(WANG, doctor=""))
    room.event(Kind.MEDICAL, "w-wang")
    assert not legs(room.only, Role.DOCTOR)
    assert "no_doctor" not in reasons(room)


def test_an_sos_of_somebody_with_company_near_a_station_sends_the_station_alone(room: Room) -> None:
    room.press("w-li")
    assert sent(room) == {"station-7": "social"}


def test_no_station_within_the_circle_calls_the_neighbour(room: Room) -> None:
    nobody = ("station-7", "station-8", "night-house", "town", "district")
    far = room_with(msgspec.structs.replace(WANG, risks=()), without=nobody)
    far.press("w-wang")
    assert sent(far) == {"desk": "social", "next-door": "neighbour"}


def test_fire_sends_the_property_company_never_a_neighbour_and_asks_the_operator_to_call_119(room: Room) -> None:
    room.event(Kind.SMOKE, "w-wang")
    assert [leg.responder for leg in legs(room.only, Role.NEIGHBOUR)] == ["caretaker"]
    assert room.only.tasks == ("call_119",)
    assert reasons(room).count("call_119") == 1
    room.event(Kind.SMOKE, "w-wang")
    assert reasons(room).count("call_119") == 1, "asked once"


def test_teams_are_configuration(room: Room) -> None:
    room.working.teams = (TeamConfig(name="all-three", kinds=("sos",), roles=("medical", "doctor"), call="110"),)
    room.press("w-li")
    assert sent(room) == {"station-7": "social", "health-1": "medical"}
    assert room.only.tasks == ("call_110",)


@pytest.mark.parametrize("team", DEFAULT_TEAMS, ids=lambda team: team.name)
def test_each_team_that_we_ship_is_met_by_an_alarm(team: TeamConfig) -> None:
    for kind in (Kind.FALL, Kind.MEDICAL, Kind.SMOKE):
        room = room_with()
        room.working.teams = (team,)
        room.event(kind, "w-wang")
        if len(room.only.legs) > 1:
            return
    pytest.fail("no alarm calls this team")


def test_every_order_beside_is_journalled_with_its_decision(room: Room) -> None:
    room.event(Kind.MEDICAL, "w-wang")
    facts = [msgspec.json.decode(record.facts) for record in room.records if record.kind is Kind.DISPATCH]
    assert {one["responder"]: one.get("role", "social") for one in facts} == sent(room)
    assert {"social", "doctor", "neighbour"} <= set(sent(room).values())
    assert all(one["decision"]["responder"] == one["responder"] for one in facts)


# --- each role has rivals of its own ---------------------------------------------------------------------------------------


def test_a_neighbour_who_comes_stops_neither_the_station_nor_its_successors(room: Room) -> None:
    room.press("w-wang")
    room.answer("next-door", "accept")
    assert legs(room.only, Role.SOCIAL)[0].state is LegState.SENT, "not taken back"
    room.advance(seconds=61)
    assert [leg.responder for leg in legs(room.only, Role.SOCIAL)] == ["station-7", "town"], "the silent station is climbed past"
    room.answer("town", "accept")
    assert legs(room.only, Role.NEIGHBOUR)[0].state is LegState.ACCEPTED, "and she is not sent home"


def test_the_first_of_a_role_wins_and_the_other_of_that_role_hears_it(room: Room) -> None:
    room.event(Kind.FALL, "w-wang")
    room.advance(seconds=61)  # all expire, each role goes on by itself
    room.answer("station-7", "accept")
    later = [leg for leg in legs(room.only, Role.SOCIAL) if leg.responder != "station-7"]
    assert [leg.state for leg in later] == [LegState.WITHDRAWN]
    assert all(leg.state in (LegState.SENT, LegState.EXPIRED) for leg in legs(room.only, Role.NEIGHBOUR)), "they are no rivals of it"


def test_a_neighbour_who_declines_is_followed_by_the_next_and_never_by_the_tree(room: Room) -> None:
    room.press("w-wang")
    for name in ("next-door", "across", "caretaker"):
        room.answer(name, "decline")
    assert [leg.responder for leg in legs(room.only, Role.NEIGHBOUR)] == ["next-door", "across", "caretaker"]
    assert [leg.responder for leg in legs(room.only, Role.SOCIAL)] == ["station-7"]
    assert "no_neighbour" in reasons(room)


def test_nobody_medical_is_a_task_for_the_operator_and_holds_up_nothing() -> None:
    room = room_with(without=("health-1", "health-centre"))
    room.event(Kind.FALL, "w-wang")
    assert legs(room.only, Role.SOCIAL)[0].state is LegState.SENT
    assert "arrange_medical" in room.only.tasks
    assert reasons(room).count("no_medical") == 1
    room.event(Kind.FALL, "w-wang")
    assert reasons(room).count("no_medical") == 1, "told once"


def test_a_medical_leg_that_cannot_be_reached_goes_on_and_the_desk_hears_when_there_is_nobody(room: Room) -> None:
    room.unreachable |= {"health-1", "health-centre"}
    room.event(Kind.FALL, "w-wang")
    for name in ("health-1", "health-centre"):
        leg = legs(room.only, Role.MEDICAL)[-1]
        assert leg.responder == name
        draft = Draft(room.working)
        delivered(draft, leg.delivery, leg.repeat, "order", "http_410", room.now)
        room._settle(draft)
    assert "arrange_medical" in room.only.tasks
    assert all(leg.responder != "desk" for leg in room.only.legs), "the desk is the station's last resort alone"


def test_only_the_stations_accept_ends_the_ringing_where_policy_says_so() -> None:
    deskless = msgspec.structs.replace(POLICY, critical=msgspec.structs.replace(POLICY.critical, accept_acknowledges=True))
    room = room_with(policy=deskless)
    room.event(Kind.FALL, "w-wang")
    room.answer("next-door", "accept")
    room.answer("health-1", "accept")
    assert room.only.state is State.RAISED
    room.answer("station-7", "accept")
    assert room.only.state is State.ACKNOWLEDGED


# --- who is informed -----------------------------------------------------------------------------------------------------


def test_a_doctor_who_knows_is_nobody_who_comes(room: Room) -> None:
    room.event(Kind.MEDICAL, "w-wang")
    room.answer("dr-ma", "accept")
    leg = legs(room.only, Role.DOCTOR)[0]
    assert leg.state is LegState.ACCEPTED
    assert not [name for name in room.only.deadlines if leg.delivery in name], "no arrival is waited for"
    assert room.only.leading_leg is not None
    assert room.only.leading_leg.role is not Role.DOCTOR
    assert room.only.leading_leg.state is LegState.SENT
    room.advance(minutes=3)
    assert len(legs(room.only, Role.SOCIAL)) > 1, "the station's silence is pressed as ever"


def test_a_doctor_owes_no_answer_and_is_not_told_at_each_press(room: Room) -> None:
    room.event(Kind.MEDICAL, "w-wang")
    room.advance(minutes=30)
    assert [leg.state for leg in legs(room.only, Role.DOCTOR)] == [LegState.SENT]
    room.event(Kind.MEDICAL, "w-wang")
    assert len(room.sent_to("dr-ma")) == 1


@pytest.mark.parametrize("how", ["off duty", "declines", "no doctor any more"])
def test_for_an_absent_doctor_the_health_centre_is_told(how: str) -> None:
    room = room_with(without=("dr-ma",) if how == "no doctor any more" else ())
    if how == "off duty":
        room.advance(minutes=12 * 60)
    room.event(Kind.HEART_RATE_ABNORMAL, "w-wang")
    room.advance(seconds=61)
    if how == "declines":
        room.answer("dr-ma", "decline")
    assert legs(room.only, Role.DOCTOR)[-1].responder == "health-centre"


def test_being_told_takes_nobodys_capacity(room: Room) -> None:
    room.event(Kind.MEDICAL, "w-wang")
    assert room.working.load.get("dr-ma", 0) == 0
    room.do(Action.ACKNOWLEDGE, room.only.id)
    room.do(Action.RESOLVE, room.only.id, outcome="helped")
    assert not any(room.working.load.values())


# --- the operator ---------------------------------------------------------------------------------------------------------


def test_the_green_channel_sends_the_summary_to_the_persons_hospital_and_records_its_acceptance(room: Room) -> None:
    room.event(Kind.MEDICAL, "w-wang")
    room.answer("station-7", "arrived") if "station-7" in sent(room) else room.answer("health-1", "arrived")
    room.do(Action.DISPATCH, room.only.id, role="hospital")
    order = room.sent_to("hospital-2")[0]
    summary = order["summary"]
    assert isinstance(summary, dict)
    assert summary["what"] == ["medical"]
    assert [one["state"] for one in summary["there"]] == ["arrived"]
    room.answer("hospital-2", "accept", by="Dr Invented")
    (leg,) = legs(room.only, Role.HOSPITAL)
    assert (leg.state, leg.by) == (LegState.ACCEPTED, "Dr Invented")
    assert f"arrive:{leg.delivery}" not in room.only.deadlines


def test_a_hospital_that_refuses_is_followed_by_the_nearest_and_then_by_a_task(room: Room) -> None:
    room.event(Kind.MEDICAL, "w-wang")
    room.do(Action.DISPATCH, room.only.id, role="hospital")
    room.answer("hospital-2", "decline")
    assert [leg.responder for leg in legs(room.only, Role.HOSPITAL)] == ["hospital-2", "hospital-1"]
    room.advance(minutes=4)  # silent
    assert "arrange_hospital" in room.only.tasks


def test_an_operator_who_asks_for_a_role_that_nobody_has_is_told_so() -> None:
    room = room_with(without=("hospital-1", "hospital-2"))
    room.event(Kind.MEDICAL, "w-wang")
    with pytest.raises(Refused, match="nobody_fits"):
        room.do(Action.DISPATCH, room.only.id, role="hospital")


def test_a_named_responder_has_the_role_of_its_kind_unless_said_otherwise(room: Room) -> None:
    room.event(Kind.BED_EXIT, "w-li")
    room.do(Action.DISPATCH, room.only.id, responder="across")
    room.do(Action.DISPATCH, room.only.id, responder="station-8")
    room.do(Action.DISPATCH, room.only.id, responder="health-1", role="social")
    assert sent(room) == {"across": "neighbour", "station-8": "social", "health-1": "social"}
    with pytest.raises(Refused, match="bad_role"):
        room.do(Action.DISPATCH, room.only.id, responder="station-7", role="plumber")


def test_a_name_corrected_takes_the_order_from_the_wrong_doctor(room: Room) -> None:
    room.event(Kind.MEDICAL, "stranger")
    room.do(Action.IDENTIFY, room.only.id, person="wang")
    assert [leg.responder for leg in legs(room.only, Role.DOCTOR)] == ["dr-ma"], "known whose it is, the doctor is told"
    room.do(Action.IDENTIFY, room.only.id, person="li")
    assert legs(room.only, Role.DOCTOR)[0].state is LegState.WITHDRAWN
    assert "person" not in room.sent_to("dr-ma")[-1], "and learns nothing of Li"


# --- nothing waits ---------------------------------------------------------------------------------------------------------


def test_resolving_takes_back_every_role(room: Room) -> None:
    room.event(Kind.MEDICAL, "w-wang")
    room.do(Action.ACKNOWLEDGE, room.only.id)
    done = room.do(Action.RESOLVE, room.only.id, outcome="helped")
    assert {leg.state for leg in done.legs} == {LegState.WITHDRAWN}


def test_a_second_cry_reaches_every_role_that_goes(room: Room) -> None:
    room.event(Kind.FALL, "w-wang")
    room.event(Kind.FALL, "w-wang")
    assert {leg.responder: leg.repeat for leg in room.only.legs} == dict.fromkeys(sent(room), 1)


def test_a_worse_alarm_calls_whom_it_needs_beside_those_who_go(room: Room) -> None:
    room.event(Kind.BED_EXIT, "w-wang")
    room.advance(seconds=61)
    assert Role.MEDICAL not in {leg.role for leg in room.only.legs}
    room.event(Kind.FALL, "w-wang")
    assert room.only.severity is Severity.CRITICAL
    assert len(legs(room.only, Role.SOCIAL)) == 1
    assert legs(room.only, Role.MEDICAL)


def test_a_neighbour_alone_is_no_station_for_the_desk_that_did_not_take_it(room: Room) -> None:
    room.event(Kind.BED_EXIT, "w-wang")
    room.do(Action.DISPATCH, room.only.id, responder="across")
    room.answer("across", "accept")
    room.advance(seconds=61)
    assert legs(room.only, Role.SOCIAL), "ordered when nobody took it, whoever looks in"
    assert Flag.ESCALATED in room.only.flags


def test_the_desk_given_another_role_still_stands_for_the_station() -> None:
    """An operator notes that the desk looks for a doctor. When the last station declines, the desk is asked for the station beside that."""
    room = room_with(without=("station-8", "night-house", "town", "district", "health-1", "health-centre"))
    room.press("w-wang")
    room.do("dispatch", room.only.id, responder="desk", role="medical")
    wish = legs(room.only, Role.MEDICAL)[0].delivery
    room.answer("station-7", "decline")
    assert [(leg.responder, leg.state) for leg in legs(room.only, Role.SOCIAL)] == [("station-7", LegState.DECLINED), ("desk", LegState.SENT)]
    room.answer("desk", "decline", wish)
    assert legs(room.only, Role.SOCIAL)[-1].state is LegState.SENT


@pytest.mark.parametrize("word", ["accept", "arrived", "done"])
@pytest.mark.parametrize("who", ["desk", "station-8"])
def test_who_answers_the_earlier_order_late_comes_once(room: Room, who: str, word: str) -> None:
    """Declined, ordered anew, then coming by the first order: the second is taken back, and who comes carries one order."""
    room.press("w-wang")
    room.do("dispatch", room.only.id, responder=who)
    room.answer(who, "decline")
    room.do("dispatch", room.only.id, responder=who)
    first, second = [leg for leg in room.only.legs if leg.responder == who]
    room.advance(seconds=1)
    room.press("w-wang")
    room.answer(who, word, first.delivery)
    late, newer = room.only.leg(first.delivery), room.only.leg(second.delivery)
    assert late is not None
    assert newer is not None
    assert (newer.state, newer.reason) == (LegState.WITHDRAWN, "answered")
    assert room.working.load[who] == (word != "done")
    assert late.ts == room.only.ts, "it comes for the newest cry that it was told of"
    room.answer(who, "accept", second.delivery)
    assert room.only.leg(second.delivery).state is LegState.WITHDRAWN  # type: ignore[union-attr]


def test_two_orders_of_an_operator_to_one_responder_are_one_winner(room: Room) -> None:
    room.press("w-wang")
    for word in ("decline", "accept"):
        room.do("dispatch", room.only.id, responder="station-8")
        room.answer("station-8", word)
    first, second = [leg for leg in room.only.legs if leg.responder == "station-8"]
    room.answer("station-8", "accept", first.delivery)
    assert room.only.leg(first.delivery).state is LegState.WITHDRAWN  # type: ignore[union-attr]
    assert room.only.leg(second.delivery).state is LegState.ACCEPTED  # type: ignore[union-attr]
    assert room.working.load["station-8"] == 1


def test_a_second_cry_is_no_repeat_of_the_health_stations_order_in_the_stations_place() -> None:
    """The only one who could go for the station goes for another role already: then the desk is asked for the station, and that one hears it too."""
    skilled = msgspec.structs.replace(RESPONDERS[1], skills=("medical-basic",))
    responders = [skilled if one.id == "station-8" else one for one in (RESPONDERS[0], RESPONDERS[1], RESPONDERS[6])]
    register = Register(district="honggu", persons=PERSONS, devices=DEVICES, responders=responders, areas=AREAS, version="few")
    room = Room(register=register)
    room.event(Kind.FALL, "w-wang")
    assert sent(room) == {"station-7": "social", "station-8": "medical"}
    room.do("withdraw", room.only.id, delivery=room.only.legs[0].delivery)
    lost = msgspec.structs.replace(RESPONDERS[0], hours="01:00-02:00")
    room.working.use(
        Register(district="honggu", persons=PERSONS, devices=DEVICES, responders=[lost, skilled, RESPONDERS[6]], areas=AREAS, version="2")
    )
    room.event(Kind.FALL, "w-wang")
    assert [leg.responder for leg in legs(room.only, Role.SOCIAL) if leg.state is LegState.SENT] == ["desk"]
    assert legs(room.only, Role.MEDICAL)[0].repeat == 1


# --- somebody who can do this one thing --------------------------------------------------------------------------------


def test_an_operator_asks_for_somebody_with_keys_and_gets_the_nearest_who_has_them(room: Room) -> None:
    """A supervisor sees the station ordered as ever, and beside it the property company, which has the keys; not the neighbour, who is nearer."""
    room.event(Kind.SOS, "w-li")
    incident = room.do(Action.DISPATCH, room.only.id, skill="keys")
    assert legs(incident, Role.NEIGHBOUR)[-1].responder == "caretaker"
    with pytest.raises(Refused) as refused:
        room.do(Action.DISPATCH, incident.id, skill="keys")
    assert refused.value.reason == "nobody_with_skill", "the only one who has them has been asked"


def test_a_skill_of_a_station_goes_before_the_same_skill_next_door() -> None:
    """A supervisor sees the farther station sent, because the nearer ones cannot do it."""
    responders = [msgspec.structs.replace(one, skills=("keys",)) if one.id == "station-8" else one for one in (*RESPONDERS, *BESIDE)]
    room = Room(register=Register(district="honggu", persons=PERSONS, devices=DEVICES, responders=responders, areas=AREAS, version="keys"))
    room.event(Kind.SOS, "w-li")
    incident = room.do(Action.DISPATCH, room.only.id, skill="keys")
    assert incident.legs[-1].responder == "station-8"
    assert incident.legs[-1].role is Role.SOCIAL
    decision = next(facts["decision"] for facts in (msgspec.json.decode(one.facts) for one in reversed(room.records)) if "decision" in facts)
    assert {one["verdict"] for one in decision["candidates"] if one["responder"] == "station-7"} <= {"already_asked", "not_capable"}


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"skill": "flying"}, "unknown_skill"),
        ({"skill": "keys", "responder": "caretaker"}, "skill_alone"),
        ({"skill": "keys", "role": "medical"}, "skill_alone"),
    ],
)
def test_what_may_not_be_asked_with_a_skill(room: Room, facts: dict[str, object], reason: str) -> None:
    room.event(Kind.SOS, "w-li")
    with pytest.raises(Refused) as refused:
        room.do(Action.DISPATCH, room.only.id, **facts)
    assert refused.value.reason == reason


def test_when_the_only_one_who_can_treat_does_not_come_somebody_arranges_it() -> None:
    """The station that was ordered is the one with a nurse, so nobody else was asked to treat. It is silent."""
    nurse = msgspec.structs.replace(RESPONDERS[0], skills=("medical-basic",))
    register = Register(district="honggu", persons=PERSONS, devices=DEVICES, responders=[nurse, RESPONDERS[6]], areas=AREAS, version="nurse")
    room = Room(register=register)
    room.event(Kind.FALL, "w-wang")
    assert sent(room) == {"station-7": "social"}
    assert room.only.tasks == ()
    room.answer("station-7", "decline")
    assert room.only.tasks == ("arrange_medical",)
    assert reasons(room) == ["no_medical"]


def test_when_the_nurse_does_not_come_the_health_station_does() -> None:
    nurse = msgspec.structs.replace(RESPONDERS[0], skills=("medical-basic",), capacity=1)
    health = msgspec.structs.replace(RESPONDERS[3], hours="12:00-20:00")  # closed at eleven
    responders = [nurse, health, RESPONDERS[6]]
    room = Room(register=Register(district="honggu", persons=PERSONS, devices=DEVICES, responders=responders, areas=AREAS, version="nurse"))
    room.event(Kind.FALL, "w-wang")
    assert sent(room) == {"station-7": "social"}
    room.working.use(
        Register(district="honggu", persons=PERSONS, devices=DEVICES, responders=[nurse, RESPONDERS[3], RESPONDERS[6]], areas=AREAS, version="open")
    )
    room.advance(seconds=61)
    assert sent(room) == {"station-7": "social", "desk": "social", "health-1": "medical"}
