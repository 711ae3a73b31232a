"""Stories of alarms, orders and answers, read like incident reports. An order that nobody expected fails the story."""

import msgspec
import pytest

from gateway.core.incident import Action, Flag, LegState, Outcome, State
from gateway.core.joining import ALSO
from gateway.core.register import Device, Register
from gateway.errors import Refused
from gateway.event import ALARM_KINDS, Kind, Phase, Position, Severity
from tests.core.room import AREAS, PERSONS, RESPONDERS, Room


@pytest.fixture
def room() -> Room:
    return Room()


def test_a_press_reaches_the_nearest_station_at_once(room: Room) -> None:
    assert room.press("w-wang", dedup="1", detail={"ts": 1773457200123}) == "stored"
    (order,) = room.orders
    assert order["to"] == "station-7"
    assert order["ts"] == 1773457200123
    assert order["device"] == "w-wang"
    assert order["person"]["id"] == "wang"
    assert order["position"]["source"] == "home"
    assert room.only.state is State.RAISED
    assert room.only.severity is Severity.CRITICAL
    assert room.kinds(room.only.id) == ["sos", "dispatch", "sent"]


def test_the_same_message_again_is_folded_and_orders_nothing(room: Room) -> None:
    room.press("w-wang", dedup="1")
    assert room.press("w-wang", dedup="1") == "duplicate"
    assert len(room.orders) == 1
    assert room.only.cries == 1


def test_a_second_cry_is_never_swallowed(room: Room) -> None:
    room.press("w-wang", dedup="1", detail={"ts": 1})
    room.do(Action.ACKNOWLEDGE, room.only.id)
    room.advance(seconds=5)
    room.press("w-wang", dedup="2", detail={"ts": 2})
    first, again = room.sent_to("station-7")
    assert again["delivery"] == first["delivery"]
    assert (first["repeat"], again["repeat"]) == (0, 1)
    assert (first["ts"], again["ts"]) == (1, 2)
    incident = room.only
    assert incident.state is State.RAISED
    assert Flag.SECOND_CRY in incident.flags
    assert incident.cries == 2
    assert incident.owner is None


def test_a_press_of_another_device_of_the_same_person_is_a_second_cry(room: Room) -> None:
    room.press("w-wang")
    room.press("w-wang-2")
    assert room.only.cries == 2


def test_an_order_names_what_else_cries(room: Room) -> None:
    room.press("w-wang")
    room.event(Kind.WATER_LEAK, "w-wang-2")
    first, again = room.sent_to("station-7")
    assert "also" not in first
    assert (again["kind"], again["also"], again["device"]) == ("sos", ["water_leak"], "w-wang-2")
    room.event(Kind.WATER_LEAK, "w-wang-2")
    room.press("w-wang")
    room.event(Kind.SMOKE, "w-wang-2")
    room.event(Kind.LOW_BATTERY, "w-wang-2")
    assert room.sent_to("station-7")[-1]["also"] == ["water_leak", "smoke"]


def test_the_kind_that_a_worse_one_displaced_is_named_in_the_order_too(room: Room) -> None:
    room.event(Kind.WATER_LEAK, "w-wang-2")
    room.press("w-wang")
    order = room.sent_to("station-7")[-1]
    assert (order["kind"], order["also"]) == ("sos", ["water_leak"])


def test_an_order_names_no_call_and_not_more_kinds_than_a_text_can_bear(room: Room) -> None:
    room.call(Kind.CALL_OFFERED, "+8613800000001")
    room.call(Kind.CALL_ANSWERED, "+8613800000001")
    room.press("w-wang")
    assert "also" not in room.sent_to("station-7")[-1]
    kinds = [kind for kind in sorted(ALARM_KINDS) if kind not in (Kind.SOS, Kind.DURESS)]
    for kind in kinds:
        room.event(kind, "w-wang-2")
    assert room.sent_to("station-7")[-1]["also"] == [kind.value for kind in kinds[-ALSO:]]


def test_kinds_that_a_merger_brings_are_named_too(room: Room) -> None:
    room.event(Kind.WATER_LEAK, "stranger")
    leak = room.only.id
    room.press("w-wang")
    alarm = next(one.id for one in room.working.open_incidents if one.id != leak)
    room.do("merge", leak, into=alarm)
    assert room.only.also == (Kind.WATER_LEAK,)


def test_what_the_device_itself_repeats_joins_without_sounding_again(room: Room) -> None:
    room.press("w-wang")
    room.do(Action.ACKNOWLEDGE, room.only.id)
    room.press("w-wang", phase=Phase.REPEAT)
    assert room.only.state is State.ACKNOWLEDGED
    assert (room.only.cries, room.only.entries) == (1, 2)
    assert len(room.orders) == 1


def test_two_persons_are_two_incidents(room: Room) -> None:
    room.press("w-wang")
    room.press("w-li")
    assert len(list(room.working.open_incidents)) == 2


def test_silence_climbs_the_tree_until_the_desk_and_never_ends(room: Room) -> None:
    room.press("w-wang")
    room.advance(minutes=30)
    asked = [order["to"] for order in room.orders]
    assert asked[:3] == ["station-7", "town", "district"]
    assert set(asked[3:]) == {"desk"}
    assert len(asked[3:]) >= 10
    deliveries = {order["delivery"] for order in room.sent_to("desk")}
    assert len(deliveries) == 1
    repeats = [order["repeat"] for order in room.sent_to("desk")]
    assert repeats == list(range(len(repeats)))
    assert Flag.ESCALATED in room.only.flags


def test_an_accept_stops_the_climbing_but_not_the_ringing(room: Room) -> None:
    room.press("w-wang")
    room.answer("station-7", "accept")
    room.advance(minutes=5)
    assert [order["to"] for order in room.orders] == ["station-7"]
    assert room.only.state is State.RAISED
    assert room.kinds(room.only.id).count("escalate") >= 2
    room.do(Action.ACKNOWLEDGE, room.only.id)
    rung = room.kinds(room.only.id).count("escalate")
    room.advance(minutes=5)
    assert room.kinds(room.only.id).count("escalate") == rung


def test_a_decline_goes_up_at_once(room: Room) -> None:
    room.press("w-wang")
    room.answer("station-7", "decline")
    assert [order["to"] for order in room.orders] == ["station-7", "town"]


def test_late_accept_is_taken_when_nobody_else_has(room: Room) -> None:
    room.press("w-wang")
    room.advance(seconds=61)
    assert [order["to"] for order in room.orders] == ["station-7", "town"]
    room.answer("station-7", "accept")
    assert room.only.legs[0].state is LegState.ACCEPTED
    assert room.only.legs[1].state is LegState.WITHDRAWN
    assert room.sent_to("town")[-1]["taken_by"] == "station-7"


def test_two_accept_and_the_first_commit_wins(room: Room) -> None:
    room.press("w-wang")
    room.advance(seconds=61)
    room.answer("town", "accept")
    room.answer("station-7", "accept")
    assert room.sent_to("station-7")[-1]["taken_by"] == "town"
    assert {leg.responder: leg.state for leg in room.only.legs} == {"station-7": LegState.WITHDRAWN, "town": LegState.ACCEPTED}


def test_an_answer_to_somebody_elses_order_is_refused_with_a_reason(room: Room) -> None:
    room.press("w-wang")
    delivery = str(room.orders[0]["delivery"])
    assert room.answer("station-8", "accept", delivery) == "not_your_delivery"
    assert room.answer("station-7", "accept", "never-sent") == "unknown_delivery"
    assert room.only.legs[0].state is LegState.SENT


def test_help_on_its_way_that_never_arrives_surfaces(room: Room) -> None:
    room.press("w-wang")
    room.answer("station-7", "accept")
    room.do(Action.ACKNOWLEDGE, room.only.id)
    room.advance(minutes=16)
    assert Flag.STALLED in room.only.flags


def test_acknowledged_and_untouched_is_reminded_then_escalated(room: Room) -> None:
    room.event(Kind.HELP, "w-wang")
    room.do(Action.ACKNOWLEDGE, room.only.id)
    room.advance(seconds=181)
    assert room.kinds(room.only.id)[-1] == "remind"
    room.advance(seconds=125)
    assert Flag.STALLED in room.only.flags
    room.do(Action.NOTE, room.only.id, text="on it")
    assert Flag.STALLED not in room.only.flags


def test_a_major_alarm_is_ordered_only_when_nobody_took_it(room: Room) -> None:
    room.event(Kind.BED_EXIT, "w-wang")
    assert room.orders == []
    room.advance(seconds=61)
    assert [order["to"] for order in room.orders] == ["station-7"]


def test_a_major_alarm_that_was_taken_is_the_operators(room: Room) -> None:
    room.event(Kind.BED_EXIT, "w-wang")
    room.do(Action.ACKNOWLEDGE, room.only.id)
    room.advance(minutes=3)
    assert room.orders == []


def test_a_worse_alarm_raises_severity_and_orders(room: Room) -> None:
    room.event(Kind.BED_EXIT, "w-wang")
    room.do(Action.ACKNOWLEDGE, room.only.id)
    room.event(Kind.FALL, "w-wang", phase=Phase.REPEAT)
    assert room.only.severity is Severity.CRITICAL
    assert room.only.kind is Kind.FALL
    assert room.only.state is State.RAISED
    assert [order["to"] for order in room.orders] == ["station-7", "health-1"], "a fall: somebody to look, and somebody to treat"


def test_a_lesser_alarm_never_lowers(room: Room) -> None:
    room.press("w-wang")
    room.event(Kind.HELP, "w-wang")
    assert (room.only.severity, room.only.kind) == (Severity.CRITICAL, Kind.SOS)


def test_cancelled_by_wearer_is_noted_and_ends_nothing(room: Room) -> None:
    room.press("w-wang")
    room.event(Kind.CANCEL, "w-wang")
    assert room.only.flags == (Flag.CANCELLED,)
    assert room.only.state is State.RAISED
    room.advance(seconds=61)
    assert len(room.orders) == 2


def test_a_leak_that_dries_up_is_ended_and_stays_until_taken(room: Room) -> None:
    room.event(Kind.WATER_LEAK, "lobby")
    room.event(Kind.WATER_LEAK, "lobby", phase=Phase.CLEAR)
    assert room.only.flags == (Flag.ENDED,)
    room.advance(minutes=10)
    assert room.orders == []
    assert room.do(Action.ACKNOWLEDGE, room.only.id).state is State.ACKNOWLEDGED


def test_history_never_raises_a_live_alarm(room: Room) -> None:
    room.press("w-wang", late="backfill")
    assert list(room.working.open_incidents) == []
    assert [record.kind for record in room.records] == [Kind.SOS]


def test_unknown_device_ends_with_a_person(room: Room) -> None:
    room.press("never-registered")
    (order,) = room.orders
    assert order["to"] == "district"
    assert order["person"] is None


def test_a_fresh_position_beats_home_and_a_stale_one_does_not(room: Room) -> None:
    far = Position(lat=36.3701, lon=102.9201, fixed_at=room.now)
    room.event(Kind.LOCATION, "w-wang", phase=Phase.STATE, position=far)
    room.press("w-wang")
    assert room.orders[0]["to"] == "station-8"
    other = Room()
    other.event(Kind.LOCATION, "w-wang", phase=Phase.STATE, position=far)
    other.advance(minutes=11)
    other.press("w-wang")
    assert other.orders[0]["to"] == "station-7"


def test_no_coordinates_falls_back_to_the_area(room: Room) -> None:
    room.press("w-zhao")
    assert room.orders[0]["position"]["source"] == "area"


def test_full_station_is_passed_over_with_a_reason(room: Room) -> None:
    room.press("w-wang")
    room.press("w-li")
    room.press("lobby")
    assert [order["to"] for order in room.orders] == ["station-7", "station-7", "station-8"]
    decision = next(record for record in reversed(room.records) if record.kind is Kind.DISPATCH)
    assert b'"at_capacity"' in decision.facts
    assert b'"off_duty"' in decision.facts
    assert b'"register":"test"' in decision.facts


def test_illness_takes_the_station_and_the_health_station(room: Room) -> None:
    """The health station is nearer, and is kept for the order that only it can do."""
    room.event(Kind.MEDICAL, "w-wang")
    assert [order["to"] for order in room.orders] == ["station-7", "health-1"]


def test_the_whole_loop(room: Room) -> None:
    room.press("w-wang")
    name = room.only.id
    room.do(Action.ACKNOWLEDGE, name)
    for word in ("accept", "en_route", "arrived", "done"):
        room.advance(seconds=20)
        room.answer("station-7", word)
    assert room.only.legs[0].state is LegState.DONE
    room.do(Action.RESOLVE, name, outcome="helped", note="sat with her")
    assert room.only.state is State.RESOLVED
    closed = room.do(Action.CALL_BACK, name, satisfaction=5)
    assert closed.state is State.CLOSED
    assert (closed.outcome, closed.satisfaction) == (Outcome.HELPED, 5)
    room.press("w-wang")
    assert room.only.id != name


def test_resolve_takes_open_orders_back(room: Room) -> None:
    room.press("w-wang")
    room.do(Action.ACKNOWLEDGE, room.only.id)
    room.do(Action.RESOLVE, room.only.id, outcome="false_alarm")
    assert room.sent_to("station-7")[-1]["withdrawn"] is True
    room.advance(minutes=10)
    assert {order["to"] for order in room.orders} == {"station-7"}


def test_a_cry_within_ten_minutes_of_resolving_reopens_and_later_is_new(room: Room) -> None:
    room.press("w-wang")
    name = room.only.id
    room.do(Action.ACKNOWLEDGE, name)
    room.do(Action.RESOLVE, name, outcome="false_alarm")
    room.advance(minutes=9)
    room.press("w-wang")
    assert room.only.id == name
    assert room.only.state is State.RAISED
    room.do(Action.ACKNOWLEDGE, name)
    room.do(Action.RESOLVE, name, outcome="helped")
    room.advance(minutes=11)
    room.press("w-wang")
    assert sorted(i.state for i in room.working.open_incidents) == [State.RAISED, State.RESOLVED]


def test_no_call_back_surfaces(room: Room) -> None:
    room.press("w-wang")
    room.do(Action.ACKNOWLEDGE, room.only.id)
    room.do(Action.RESOLVE, room.only.id, outcome="helped")
    room.advance(minutes=24 * 60 + 1)
    assert Flag.STALLED in room.only.flags


def test_a_complaint_reopens(room: Room) -> None:
    room.press("w-wang")
    name = room.only.id
    room.do(Action.ACKNOWLEDGE, name)
    room.do(Action.RESOLVE, name, outcome="helped")
    room.do(Action.CALL_BACK, name)
    room.do(Action.COMPLAIN, name, note="nobody came")
    assert room.only.state is State.ACKNOWLEDGED
    assert Flag.COMPLAINT in room.only.flags


def test_one_operator_wins(room: Room) -> None:
    room.press("w-wang")
    room.do(Action.ACKNOWLEDGE, room.only.id, "Li Na")
    with pytest.raises(Refused) as refused:
        room.do(Action.ACKNOWLEDGE, room.only.id, "Wang Qiang")
    assert refused.value.reason == "already_acknowledged"
    assert refused.value.facts["by"] == "Li Na"
    version = room.only.version
    room.do(Action.ACKNOWLEDGE, room.only.id, "Li Na")
    assert room.only.version == version


def test_a_command_repeated_under_its_key_is_done_once(room: Room) -> None:
    room.press("w-wang")
    room.do(Action.NOTE, room.only.id, key="k1", text="called the daughter")
    room.do(Action.NOTE, room.only.id, key="k1", text="called the daughter")
    assert room.kinds(room.only.id).count("note") == 1


def test_release_within_thirty_seconds_only(room: Room) -> None:
    room.press("w-wang")
    room.do(Action.ACKNOWLEDGE, room.only.id)
    assert room.do(Action.RELEASE, room.only.id).state is State.RAISED
    room.do(Action.ACKNOWLEDGE, room.only.id)
    room.advance(seconds=31)
    with pytest.raises(Refused, match="too_late"):
        room.do(Action.RELEASE, room.only.id)


def test_an_operators_order_stands_beside_the_machines(room: Room) -> None:
    room.press("w-wang")
    room.do(Action.ACKNOWLEDGE, room.only.id)
    room.do(Action.DISPATCH, room.only.id, responder="health-1")
    room.answer("station-7", "accept")
    room.answer("health-1", "accept")
    assert [leg.state for leg in room.only.legs] == [LegState.ACCEPTED, LegState.ACCEPTED]
    with pytest.raises(Refused, match="already_ordered"):
        room.do(Action.DISPATCH, room.only.id, responder="health-1")


def test_a_lost_line_is_a_technical_incident_and_its_return_ends_it(room: Room) -> None:
    room.event(Kind.LINE_LOST, line="panel", detail={"mandatory": True})
    assert room.only.severity is Severity.CRITICAL
    room.event(Kind.LINE_RESTORED, line="panel", phase=Phase.STATE)
    assert room.only.flags == (Flag.ENDED,)
    room.advance(minutes=5)
    assert room.orders == []


def test_channel_that_fails_for_good_goes_up(room: Room) -> None:
    from gateway.core.orders import delivered
    from gateway.core.state import Draft

    room.unreachable.add("station-7")
    room.press("w-wang")
    draft = Draft(room.working)
    delivered(draft, room.only.legs[0].delivery, 0, "order", "http_404", room.now)
    room._settle(draft)
    assert room.only.legs[0].state is LegState.FAILED
    assert [order["to"] for order in room.orders] == ["town"]


def test_load_returns_to_zero_when_all_is_over(room: Room) -> None:
    for device in ("w-wang", "w-li"):
        room.press(device)
    for incident in list(room.working.open_incidents):
        room.do(Action.ACKNOWLEDGE, incident.id)
        room.do(Action.RESOLVE, incident.id, outcome="test")
    assert set(room.working.load.values()) == {0}


def test_an_order_that_expired_unsent_leaves_when_the_channel_is_back_unless_somebody_goes(room: Room) -> None:
    room.unreachable |= {"station-7", "town"}
    room.press("w-wang")
    room.advance(seconds=125)
    assert [leg.pending for leg in room.only.legs] == ["order", "order", ""]
    room.answer("district", "accept")
    assert [leg.pending for leg in room.only.legs] == ["", "", ""]


def test_signs_of_life_are_not_journalled(room: Room) -> None:
    for second in range(3):
        assert room.event(Kind.HEARTBEAT, "w-wang", phase=Phase.STATE, dedup=str(second)) == "stored"
    assert room.records == []
    assert len(room.working.known) == 0
    assert room.working.seen["wearables|w-wang"].at == room.now


def test_the_decision_of_an_operators_order_names_what_the_operator_chose(room: Room) -> None:
    room.press("w-wang")
    room.do(Action.ACKNOWLEDGE, room.only.id)
    room.do(Action.DISPATCH, room.only.id, responder="town")
    facts = msgspec.json.decode(next(record for record in reversed(room.records) if record.kind is Kind.DISPATCH).facts)
    verdicts = {candidate["responder"]: candidate["verdict"] for candidate in facts["decision"]["candidates"]}
    assert facts["decision"]["rule"] == "operator"
    assert [name for name, verdict in verdicts.items() if verdict == "chosen"] == ["town"]
    assert set(verdicts.values()) == {"chosen", "off_duty", "fits"}


def test_a_zone_of_a_panel_is_a_device_of_its_own_and_the_account_stands_for_the_others() -> None:
    room = Room()
    zones = [Device(id="4711:005", person="wang"), Device(id="4711:12", person="li"), Device(id="4711", home="house-1")]
    room.working.use(Register(persons=PERSONS, devices=zones, responders=RESPONDERS, areas=AREAS))
    for zone, key in (("005", "person:wang"), ("012", "person:li"), ("12", "person:li"), ("007", "home:house-1"), (None, "home:house-1")):
        room.event(Kind.SMOKE, "4711", detail={} if zone is None else {"zone": zone})
        assert room.working.incidents[str(room.records[-1].incident)].key == key, zone


def test_the_end_in_one_zone_is_not_the_end_in_another() -> None:
    room = Room()
    room.event(Kind.WATER_LEAK, "4711", detail={"zone": "001"})
    room.event(Kind.WATER_LEAK, "4711", phase=Phase.CLEAR, detail={"zone": "002"})
    assert Flag.ENDED not in room.only.flags
    room.event(Kind.WATER_LEAK, "4711", phase=Phase.CLEAR, detail={"zone": "001"})
    assert Flag.ENDED in room.only.flags
    room.event(Kind.WATER_LEAK, "4711", detail={"zone": "001"})
    room.event(Kind.WATER_LEAK, "4711", detail={"zone": "002"})
    room.event(Kind.WATER_LEAK, "4711", phase=Phase.CLEAR, detail={"zone": "002"})
    assert Flag.ENDED not in room.only.flags
