"""People living alone, played with a clock of its own: what counts as a sign, when a check-in is missed, each step of the ladder, what ends it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from gateway.config import DeviceClassConfig, SupervisionConfig, WatchConfig
from gateway.console.watch_views import missed_by_person, some_of
from gateway.core import decide
from gateway.core.absence import Wish, on_wish
from gateway.core.incident import Flag, Incident, LegState, Outcome, State
from gateway.core.missed import is_missed, watch_counts
from gateway.core.orders import told
from gateway.core.register import Contact, Device, Person, Register, Responder, ResponderKind
from gateway.core.routing import CHINA
from gateway.core.state import Draft, WorkingSet
from gateway.core.watched import START_GRACE
from gateway.errors import Refused
from gateway.event import Event, Kind, Phase, Severity
from tests.core.room import AREAS, RESPONDERS, Room

ALONE = WatchConfig(name="alone")  # twelve waking hours and one more, quiet from 22:00 to 07:00
NEIGHBOURS = [
    Responder(
        id="neighbour-1", name="Near", kind=ResponderKind.NEIGHBOUR, parent="town", areas=("haishiwan",), lat=36.3402, lon=102.8802, channel="console"
    ),
    Responder(
        id="neighbour-2", name="Far", kind=ResponderKind.NEIGHBOUR, parent="town", areas=("haishiwan",), lat=36.35, lon=102.89, channel="console"
    ),
]
PERSONS = [
    Person(id="wang", name="Invented", area="haishiwan", home="h1", lat=36.3401, lon=102.8801, phones=("+8617400000001",), watch="alone"),
    Person(id="li", name="Invented", area="haishiwan", home="h2", lat=36.3402, lon=102.8803, watch="alone"),
    Person(id="zhao", name="Invented", area="haishiwan", home="h3", phones=("+8617400000003",)),
    Person(id="sun", name="Invented", area="haishiwan", home="h3", phones=("+8617400000003",), watch="alone"),
]
DEVICES = [
    Device(id="w-wang", line="wearables", person="wang", device_class="watch", via="gw"),
    Device(id="door-wang", line="sensors", home="h1", device_class="watch", via="gw"),
    Device(id="w-li", line="panel", person="li"),
    Device(id="door-sun", line="sensors", home="h3"),
    Device(id="w-sun", line="wearables", person="sun"),
    Device(id="gw", line="wearables"),
]
CLASSES = (DeviceClassConfig(name="watch", interval_s=600, grace_s=300),)


class Street(Room):
    """Wang has a watch that can be told and a door; Li a button on a panel, no telephone; Sun shares home and telephone with Zhao."""

    def __init__(self, *rules: WatchConfig, neighbours: list[Responder] = NEIGHBOURS, supervised: bool = False) -> None:
        super().__init__()
        self.classes = CLASSES if supervised else ()
        self.rules = rules or (ALONE,)
        register = Register(persons=PERSONS, devices=DEVICES, responders=[*RESPONDERS, *neighbours], areas=AREAS, version="test")
        self.begin(WorkingSet(register, self.working.policy), None)

    def begin(self, working: WorkingSet, alive_until: datetime | None) -> None:
        self.working = working
        working.tell_lines = frozenset(("wearables",))
        working.supervise(self.classes, {}, SupervisionConfig(path_least=2), self.now)
        working.watch_over(self.rules, alive_until, self.now)

    def restart(self, down: timedelta) -> None:
        """Killed now, started so much later."""
        before, at = self.working, self.now
        self.now += down
        working = WorkingSet(before.register, before.policy)
        working.restore(before.open_incidents, (), before.known, before.seen.items())
        working.next_number, working.opened, working.closed = before.next_number, before.opened, before.closed
        self.begin(working, at)

    def until(self, day: int, hour: int, minute: int = 0, second: int = 0) -> None:
        """Let time pass until then, local time of March 2026."""
        at = datetime(2026, 3, day, hour, minute, second, tzinfo=CHINA).astimezone(UTC)
        assert at >= self.now
        self.advance(seconds=(at - self.now).total_seconds())

    def sign(self, person: str = "wang", kind: Kind = Kind.BUTTON, **fields: object) -> None:
        line = "panel" if person == "li" else "wearables"
        self.event(kind, f"w-{person}", line=line, **fields)  # type: ignore[arg-type]

    def others_are_well(self) -> None:
        for person in ("li", "sun"):
            self.sign(person)

    def wish(self, person: str = "wang", **fields: object) -> None:
        draft = Draft(self.working)
        on_wish(draft, Wish(person=person, actor="Li Na", **fields), self.now)  # type: ignore[arg-type]
        self._settle(draft)

    def missed(self, person: str = "wang") -> Incident | None:
        """The open incident of a missed check-in that nothing has ended."""
        mine = [one for one in self.working.open_incidents if one.person == person and is_missed(one)]
        return mine[0] if mine else None

    def steps(self, incident: str) -> list[tuple[str, str]]:
        """Steps of the ladder with what came of each."""
        facts = [msgspec.json.decode(record.facts) for record in self.records if record.incident == incident and record.kind is Kind.ESCALATE]
        return [(fact["reason"], fact["result"]) for fact in facts if str(fact["reason"]).startswith("ladder_")]

    def facts(self, kind: Kind, phase: Phase = Phase.STATE) -> list[dict[str, object]]:
        return [msgspec.json.decode(record.facts) for record in self.records if record.kind is kind and record.phase is phase]

    def due(self, person: str = "wang") -> datetime:
        one = self.working.watch.by_person[person]
        return one.due(one.state).astimezone(CHINA)


def local(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 3, day, hour, minute, tzinfo=CHINA)


@pytest.fixture
def room() -> Street:
    """It is Saturday the 14th, eleven in the morning."""
    return Street()


# --- when ------------------------------------------------------------------------------------------------------------


def test_thirteen_waking_hours_without_a_sign_are_a_missed_check_in(room: Street) -> None:
    room.sign()
    room.until(15, 8, 59, 59)
    assert room.missed() is None
    room.until(15, 9)
    incident = room.missed()
    assert incident is not None
    assert (incident.kind, incident.severity, incident.state) == (Kind.MISSED_CHECKIN, Severity.MAJOR, State.RAISED)
    assert (incident.key, incident.watch, incident.position is not None) == ("person:wang", "alone", True)
    (told_facts,) = [one for one in room.facts(Kind.MISSED_CHECKIN, Phase.RAISE) if one["person"] == "wang"]
    assert told_facts["detail"] == {
        "by": "gateway",
        "watch": "alone",
        "last_sign": "button",
        "last_sign_at": "2026-03-14T03:00:00Z",
        "silent_s": 22 * 3600,
    }


def test_each_sign_begins_a_new_interval(room: Street) -> None:
    for day in range(14, 20):
        for hour in (12, 21):
            room.until(day, hour)
            room.sign()
            room.others_are_well()
    assert not [record for record in room.records if record.kind is Kind.MISSED_CHECKIN]
    assert room.due() == local(20, 19)


def test_a_sign_at_night_counts_from_the_morning(room: Street) -> None:
    room.until(15, 3)
    room.sign()
    assert room.due() == local(15, 20)


def test_history_that_ends_a_missed_check_in_does_not_put_off_the_next(room: Street) -> None:
    """The next is due by when the person truly gave the sign, not by when we heard of it."""
    room.sign()
    room.until(15, 9)
    assert room.missed() is not None
    room.until(15, 11)
    room.sign(kind=Kind.MOTION, late="backfill", occurred_at=local(14, 21).astimezone(UTC), time_source="device")
    assert room.missed() is None
    assert room.due() == local(15, 19)
    room.until(15, 19)
    assert room.missed() is not None


def test_who_never_gave_a_sign_has_a_full_interval_from_the_start(room: Street) -> None:
    room.until(15, 9)
    assert {one.person for one in room.working.open_incidents} == {"wang", "li", "sun"}


# --- what ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "fields", "counts"),
    [
        (Kind.MOTION, {}, True),
        (Kind.CONTACT_OPEN, {"phase": Phase.STATE}, True),
        (Kind.CHECKIN, {}, True),
        (Kind.VIBRATION, {}, True),
        (Kind.CANCEL, {}, True),
        (Kind.SOS, {}, True),
        (Kind.BED_EXIT, {}, True),
        (Kind.BED_EXIT, {"phase": Phase.CLEAR}, True),
        (Kind.INACTIVITY, {"phase": Phase.CLEAR}, True),
        (Kind.INACTIVITY, {}, False),
        (Kind.MOTION, {"phase": Phase.CLEAR}, False),
        (Kind.SOS, {"phase": Phase.REPEAT}, False),  # the device repeats by itself
        (Kind.SOS, {"phase": Phase.TEST}, False),
        (Kind.HEARTBEAT, {}, False),  # a watch on its charger sends them too
        (Kind.LOCATION, {}, False),
        (Kind.GEOFENCE_EXIT, {}, False),
        (Kind.TELEMETRY, {}, False),
        (Kind.LOW_BATTERY, {}, False),
        (Kind.OFFLINE, {}, False),
        (Kind.SMOKE, {}, False),
        (Kind.TEST, {}, False),
        (Kind.MOTION, {"late": "replayed"}, False),  # kept by a broker, nobody knows since when
    ],
)
def test_what_counts(room: Street, kind: Kind, fields: dict[str, object], counts: bool) -> None:
    room.advance(minutes=60)
    room.sign(kind=kind, **fields)
    assert (room.working.watch.by_person["wang"].state.sign == kind.value) is counts
    assert room.due() == local(15, 10 if counts else 9)


def test_a_state_told_again_is_no_sign(room: Street) -> None:
    for minute, counts in ((0, False), (10, True), (20, False)):
        kind = Kind.CONTACT_CLOSED if minute == 0 else Kind.CONTACT_OPEN
        room.until(14, 12, minute)
        room.event(kind, "door-wang", line="sensors", edge="door")
        assert (room.working.watch.by_person["wang"].state.sign_at == room.now) is counts


def test_the_configuration_says_what_counts() -> None:
    room = Street(WatchConfig(name="alone", signs=("heartbeat", "telemetry")))
    room.advance(minutes=60)
    room.sign(kind=Kind.BUTTON)
    assert room.due() == local(15, 9)
    room.sign(kind=Kind.HEARTBEAT, detail={"worn": False})
    assert room.due() == local(15, 9)
    room.sign(kind=Kind.HEARTBEAT)
    assert room.due() == local(15, 10)


def test_a_call_from_ones_own_number_is_a_sign_and_one_from_a_shared_number_is_nobodys(room: Street) -> None:
    room.advance(minutes=60)
    room.call(Kind.CALL_OFFERED, "+8617400000001")
    room.call(Kind.CALL_OFFERED, "+8617400000003", "c2")
    assert (room.due("wang"), room.due("sun")) == (local(15, 10), local(15, 9))
    room.advance(minutes=60)
    room.call(Kind.CALL_ENDED, "+8617400000001", inferred=True)
    assert room.due("wang") == local(15, 10)


def test_the_door_of_who_lives_alone_is_theirs_and_that_of_two_is_nobodys(room: Street) -> None:
    room.advance(minutes=60)
    for door in ("door-wang", "door-sun"):
        room.event(Kind.MOTION, door, line="sensors")
    assert (room.due("wang"), room.due("sun")) == (local(15, 10), local(15, 9))


def test_history_counts_when_it_was(room: Street) -> None:
    room.sign()
    room.until(14, 20)
    room.sign(late="backfill", occurred_at=local(14, 16), time_source="device")
    assert room.due() == local(15, 14)
    room.sign(late="queued", occurred_at=local(14, 13), time_source="device")  # older than what is known
    room.sign(late="backfill", occurred_at=local(14, 19), time_source="received")  # nobody knows when
    assert room.due() == local(15, 14)


# --- the ladder ------------------------------------------------------------------------------------------------------


def test_the_whole_ladder_is_climbed_by_the_clock(room: Street) -> None:
    room.sign()
    room.until(14, 23)
    room.others_are_well()
    room.until(15, 9)
    incident = room.only
    assert [(one.word, one.device, one.state) for one in incident.tellings] == [("prompt", "w-wang", "pending")]
    assert incident.deadlines["ladder:1"] == local(15, 9, 15)
    assert not incident.legs
    room.until(15, 9, 14, 59)
    assert Flag.CALL_DUE not in room.only.flags
    room.until(15, 9, 15)
    assert Flag.CALL_DUE in room.only.flags
    assert not room.orders
    room.until(15, 9, 30)
    assert [leg.responder for leg in room.only.legs] == ["neighbour-1"]
    room.until(15, 9, 33)  # no reply in three minutes: no reason to wait for the quarter of an hour
    assert [leg.responder for leg in room.only.legs] == ["neighbour-1", "station-7"]
    assert room.only.severity is Severity.MAJOR
    room.answer("station-7", "decline")
    room.until(15, 9, 48)
    assert room.only.severity is Severity.CRITICAL
    assert room.steps(incident.id) == [
        ("ladder_prompt", "asked"),
        ("ladder_call", "task"),
        ("ladder_neighbour", "ordered"),
        ("ladder_station", "ordered"),
        ("ladder_emergency", "desk"),
    ]
    assert not [name for name in room.only.deadlines if name.startswith("ladder")]
    assert room.only.deadlines["acknowledge"] > room.now
    room.until(15, 19)
    assert room.steps(incident.id)[5:] == []
    assert room.only.cries == 1


def test_what_cannot_be_done_is_said_and_the_next_step_taken_at_once() -> None:
    room = Street(neighbours=[])
    room.sign("wang")
    room.sign("sun")
    room.until(15, 8)
    room.sign("wang")
    room.sign("sun")
    room.until(15, 9)
    incident = room.missed("li")
    assert incident is not None
    assert room.steps(incident.id) == [
        ("ladder_prompt", "no_device"),
        ("ladder_call", "no_telephone"),
        ("ladder_neighbour", "no_neighbour"),
        ("ladder_station", "ordered"),
    ]
    assert room.only.deadlines["ladder:4"] == local(15, 9, 15)


def test_a_prompt_that_reaches_nobody_is_followed_at_once(room: Street) -> None:
    room.until(15, 8)
    room.others_are_well()
    room.until(15, 9)
    (telling,) = room.only.tellings
    room.advance(seconds=40)
    draft = Draft(room.working)
    told(draft, room.only.id, telling.id, "cannot", room.now)
    room._settle(draft)
    room.advance(seconds=0)
    assert room.steps(room.only.id) == [("ladder_prompt", "asked"), ("ladder_call", "task")]
    assert room.only.deadlines["ladder:2"] == room.now + timedelta(seconds=900)


def test_a_prompt_that_arrives_is_waited_for(room: Street) -> None:
    room.until(15, 8)
    room.others_are_well()
    room.until(15, 9)
    draft = Draft(room.working)
    told(draft, room.only.id, room.only.tellings[0].id, "", room.now)
    room._settle(draft)
    room.until(15, 9, 14)
    assert room.steps(room.only.id) == [("ladder_prompt", "asked")]


def test_an_acknowledgement_stops_it_and_giving_back_lets_it_go_on(room: Street) -> None:
    room.until(15, 8)
    room.others_are_well()
    room.until(15, 9, 1)
    name = room.only.id
    room.do("acknowledge", name)
    assert not [one for one in room.only.deadlines if one.startswith("ladder")]
    room.advance(seconds=20)
    room.do("release", name)
    assert room.only.deadlines["ladder:1"] == room.now + timedelta(seconds=900)
    room.do("acknowledge", name)
    room.advance(minutes=120)
    assert room.steps(name) == [("ladder_prompt", "asked")]
    assert not room.orders


def test_the_ladder_orders_instead_of_the_policy(room: Street) -> None:
    """Major alarms order after a minute that nobody took them: this one waits for its steps, and then orders once."""
    room.until(15, 8)
    room.others_are_well()
    room.until(15, 9, 29)
    assert not room.only.legs
    room.until(15, 9, 33)
    room.answer("station-7", "accept")
    room.until(15, 11)
    assert [leg.responder for leg in room.only.legs] == ["neighbour-1", "station-7"]
    held = [fact for fact in room.facts(Kind.REMIND) if fact["reason"] == "ladder_waits"]
    assert {(fact["step"], fact["why"]) for fact in held} == {("emergency", "somebody_coming")}
    assert room.only.severity is Severity.MAJOR


def test_while_a_neighbour_is_on_the_way_no_station_is_sent_and_a_decline_sends_it_at_once(room: Street) -> None:
    room.until(15, 8)
    room.others_are_well()
    room.until(15, 9, 31)
    room.answer("neighbour-1", "accept")
    room.until(15, 9, 50)
    assert [leg.responder for leg in room.only.legs] == ["neighbour-1"]
    room.answer("neighbour-1", "decline")
    room.advance(seconds=0)
    assert [leg.responder for leg in room.only.legs] == ["neighbour-1", "station-7"]


def test_the_steps_are_what_the_configuration_says() -> None:
    room = Street(WatchConfig(name="alone", steps=("call",), step_s=60))
    room.until(15, 8)
    room.sign("sun")
    room.sign("li")
    room.until(15, 12)
    assert room.steps(room.only.id) == [("ladder_call", "task")]
    assert not room.only.legs
    assert len([fact for fact in room.facts(Kind.ESCALATE) if fact["reason"] == "not_acknowledged"]) > 20  # the desk rings on


# --- its end ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("minutes", [0, 16, 31, 34, 50])
def test_a_sign_at_any_step_ends_it_and_the_watch_begins_anew(room: Street, minutes: int) -> None:
    room.until(15, 8)
    room.others_are_well()
    room.until(15, 9)
    name = room.only.id
    room.advance(minutes=minutes)
    legs = len(room.only.legs)
    room.sign(kind=Kind.MOTION)
    incident = room.only
    assert Flag.ENDED in incident.flags
    assert Flag.CALL_DUE not in incident.flags
    assert incident.state is State.RAISED  # it stays in the queue until somebody takes it
    assert not [one for one in incident.deadlines if one.startswith(("ladder", "reply"))]
    assert {leg.state for leg in incident.legs} <= {LegState.WITHDRAWN, LegState.EXPIRED}
    assert all(one.state != "pending" for one in incident.tellings)
    (end,) = room.facts(Kind.MISSED_CHECKIN, Phase.CLEAR)
    assert end["detail"]["reason"] == "sign_of_life"  # type: ignore[index]
    assert end["detail"]["sign"] == "motion"  # type: ignore[index]
    steps = room.steps(name)
    room.advance(minutes=120)
    assert room.steps(name) == steps
    assert len(room.only.legs) == legs
    assert room.due() == (datetime(2026, 3, 15, 9, 0, tzinfo=CHINA) + timedelta(minutes=minutes + 13 * 60)).astimezone(CHINA) or minutes
    room.do("acknowledge", name)
    room.do("resolve", name, outcome=Outcome.FALSE_ALARM.value)
    room.others_are_well()
    room.until(16, 12)
    assert room.missed() is not None


def test_who_was_asked_is_told_that_all_is_well_and_who_is_coming_learns_it(room: Street) -> None:
    room.until(15, 8)
    room.others_are_well()
    room.until(15, 9, 33)
    room.sign()
    assert room.sent_to("station-7")[-1]["reason"] == "person_is_well"
    room = Street()
    room.until(15, 8)
    room.others_are_well()
    room.until(15, 9, 33)
    room.answer("station-7", "accept")
    assert "ended" not in room.sent_to("station-7")[-1]
    room.sign()
    assert room.sent_to("station-7")[-1]["ended"] is True
    assert room.only.legs[-1].state is LegState.ACCEPTED


def test_after_it_is_taken_a_sign_is_told_and_calls_nobody_off(room: Street) -> None:
    room.until(15, 8)
    room.others_are_well()
    room.until(15, 9)
    room.do("acknowledge", room.only.id)
    room.do("dispatch", room.only.id, responder="station-8")
    room.sign()
    assert Flag.ENDED in room.only.flags
    assert room.only.legs[0].state is LegState.SENT


def test_resolving_begins_a_full_interval_even_without_a_sign(room: Street) -> None:
    room.until(15, 8)
    room.others_are_well()
    room.until(15, 10)
    room.do("acknowledge", room.only.id)
    room.until(15, 12)
    room.others_are_well()
    room.do("resolve", room.only.id, outcome=Outcome.HELPED.value)
    assert room.due() == local(16, 10)
    room.until(16, 8)
    room.others_are_well()
    assert room.missed() is None
    room.until(16, 10)
    incident = room.missed()
    assert incident is not None
    assert incident.state is State.RAISED


def test_resolving_the_alarm_that_a_missed_check_in_joined_begins_a_full_interval_too(room: Street) -> None:
    room.until(14, 12)
    room.sign(kind=Kind.SOS)
    name = room.only.id
    room.do("acknowledge", name)
    room.until(15, 8)
    room.others_are_well()
    room.until(15, 12)
    room.do("resolve", name, outcome=Outcome.HELPED.value)
    assert room.due() == local(16, 10)


def test_missed_again_before_anybody_took_the_first_it_sounds_again_and_climbs_anew(room: Street) -> None:
    room.until(15, 8)
    room.others_are_well()
    room.until(15, 9, 20)
    name = room.only.id
    room.sign()
    room.until(15, 20)
    room.others_are_well()
    room.until(16, 7, 19)
    assert room.missed() is None
    room.until(16, 7, 20)
    assert room.only.id == name
    assert (room.only.cries, Flag.SECOND_CRY in room.only.flags, Flag.ENDED in room.only.flags) == (2, True, False)
    assert room.steps(name)[2:] == [("ladder_prompt", "asked")]
    assert len({one.id for one in room.only.tellings}) == len(room.only.tellings) == 2


def test_one_that_is_left_open_is_not_opened_again_and_again(room: Street) -> None:
    room.until(15, 9)
    room.until(20, 9)
    assert len(list(room.working.open_incidents)) == 3
    assert len(room.facts(Kind.MISSED_CHECKIN, Phase.RAISE)) == 3


def test_an_old_sign_told_late_ends_nothing_and_one_that_is_new_enough_does(room: Street) -> None:
    room.until(15, 8)
    room.others_are_well()
    room.until(15, 12)
    room.sign(late="backfill", occurred_at=local(14, 14), time_source="device")
    assert room.missed() is not None or room.due() > room.now.astimezone(CHINA)
    room = Street()
    room.until(15, 8)
    room.others_are_well()
    room.until(15, 12)
    room.sign(late="backfill", occurred_at=local(14, 11, 30), time_source="device")
    assert room.missed() is not None
    room.sign(late="backfill", occurred_at=local(14, 20), time_source="device")
    assert room.missed() is None


# --- with alarms and calls -------------------------------------------------------------------------------------------


def test_an_alarm_joins_and_is_pressed_as_an_alarm(room: Street) -> None:
    room.until(15, 8)
    room.others_are_well()
    room.until(15, 9, 16)
    room.sign(kind=Kind.SOS)
    incident = room.only
    assert (incident.kind, incident.severity, incident.watch) == (Kind.SOS, Severity.CRITICAL, "")
    assert [leg.responder for leg in incident.legs] == ["station-7"]
    assert not [one for one in incident.deadlines if one.startswith("ladder")]


def test_an_alarm_that_is_no_worse_ends_the_patience_of_the_ladder(room: Street) -> None:
    room.until(15, 8)
    room.others_are_well()
    room.until(15, 9, 1)
    room.sign(kind=Kind.BED_EXIT)
    room.advance(seconds=60)
    assert [leg.responder for leg in room.only.legs] == ["station-7"]  # unacknowledged for a minute, as any major alarm


def test_a_missed_check_in_joins_the_alarm_that_is_open(room: Street) -> None:
    room.until(14, 12)
    room.sign(kind=Kind.SOS)
    room.do("acknowledge", room.only.id)
    room.until(15, 8)
    room.others_are_well()
    entries = room.only.entries
    room.until(15, 10)
    assert (room.only.kind, room.only.state, room.only.entries) == (Kind.SOS, State.ACKNOWLEDGED, entries + 1)
    assert room.steps(room.only.id) == []


def alarm_with_a_missed_check_in(room: Street, is_resolved: bool) -> str:
    """Wang cried at noon on the 14th and gave no sign since; it is 10:00 on the 15th."""
    room.until(14, 12)
    room.sign(kind=Kind.SOS)
    name = room.only.id
    room.do("acknowledge", name)
    room.until(15, 8)
    room.others_are_well()
    room.until(15, 9, 55)
    room.sign(kind=Kind.SOS, phase=Phase.REPEAT)  # by the device itself: no sign of life
    if is_resolved:
        room.do("resolve", name, outcome=Outcome.HELPED.value)
    room.until(15, 10)
    return name


def row_of(room: Street, person: str = "wang") -> dict[str, Any]:
    """What the page and the metric say of them."""
    missed = missed_by_person(room.working.open_incidents)
    rows, _ = some_of(room.working, missed, 0, room.now)
    counts = watch_counts(room.working)
    row = next(row for row in rows if row["person"]["id"] == person)
    assert counts["missed"] == sum(one["state"] == "missed" for one in rows)
    return row


@pytest.mark.parametrize("is_resolved", [False, True])
def test_whose_missed_check_in_joined_an_alarm_is_missed_until_a_sign(room: Street, is_resolved: bool) -> None:
    name = alarm_with_a_missed_check_in(room, is_resolved)
    assert room.only.state is (State.RAISED if is_resolved else State.ACKNOWLEDGED)
    row = row_of(room)
    assert (row["state"], row["incident"], row["due_at"]) == ("missed", name, None)
    room.restart(timedelta(minutes=1))
    room.advance(minutes=15)
    assert row_of(room)["state"] == "missed"
    assert len(room.facts(Kind.MISSED_CHECKIN, Phase.RAISE)) == 1
    room.sign()
    row = row_of(room)
    assert (row["state"], row["incident"]) == ("well", None)
    assert row["due_at"] > room.now + timedelta(hours=12)
    assert Flag.ENDED not in room.only.flags  # the alarm is not over by it
    assert len(room.facts(Kind.MISSED_CHECKIN, Phase.CLEAR)) == 1


def test_whose_missed_check_in_joined_an_alarm_is_well_again_when_it_is_resolved_or_they_cry_or_are_away(room: Street) -> None:
    name = alarm_with_a_missed_check_in(room, is_resolved=False)
    room.do("resolve", name, outcome=Outcome.HELPED.value)
    assert row_of(room)["state"] == "well"
    assert row_of(room)["due_at"] > room.now + timedelta(hours=12)
    room.do("call_back", name, complaint=True, note="nobody came")
    assert row_of(room)["state"] == "well"
    room = Street()
    alarm_with_a_missed_check_in(room, is_resolved=False)
    room.sign(kind=Kind.SOS)
    assert row_of(room)["state"] == "well"
    room = Street()
    alarm_with_a_missed_check_in(room, is_resolved=False)
    room.wish()
    assert (row_of(room)["state"], Flag.ENDED in room.only.flags) == ("absent", False)


def test_an_alarm_that_is_no_sign_of_life_leaves_the_person_missed(room: Street) -> None:
    room.until(15, 8)
    room.others_are_well()
    room.until(15, 9, 1)
    room.event(Kind.SMOKE, "w-wang")
    assert (room.only.kind, room.only.watch) == (Kind.SMOKE, "")
    assert row_of(room)["state"] == "missed"
    room.event(Kind.SMOKE, "w-wang", phase=Phase.CLEAR)
    assert Flag.ENDED not in room.only.flags
    room.sign()
    assert row_of(room)["state"] == "well"


def test_who_is_not_yet_missed_after_a_start_is_due_when_it_will_be(room: Street) -> None:
    room.until(15, 8)
    room.others_are_well()
    room.until(15, 8, 59, 59)
    room.restart(timedelta(minutes=1))
    began = room.now
    room.advance(minutes=5)
    assert row_of(room)["due_at"] == began + START_GRACE


def test_a_call_that_is_still_open_becomes_a_missed_check_in_with_its_ladder(room: Street) -> None:
    room.until(14, 12)
    room.call(Kind.CALL_OFFERED, "+8617400000001")
    room.call(Kind.CALL_ANSWERED, "+8617400000001")
    room.do("acknowledge", room.only.id)
    room.until(15, 8)
    room.others_are_well()
    room.until(15, 10)
    assert (room.only.kind, room.only.state) == (Kind.MISSED_CHECKIN, State.RAISED)
    assert room.steps(room.only.id) == [("ladder_prompt", "asked")]


def test_a_check_in_that_the_field_says_is_missed_is_an_ordinary_alarm(room: Street) -> None:
    room.event(Kind.MISSED_CHECKIN, "w-li", line="panel")
    room.advance(seconds=60)
    assert [leg.responder for leg in room.only.legs] == ["station-7"]


# --- silence of devices ----------------------------------------------------------------------------------------------


def test_a_dead_watch_of_a_person_living_alone_gets_its_own_ladder() -> None:
    room = Street(supervised=True)
    room.sign("wang")
    room.until(15, 8)
    room.others_are_well()
    room.until(15, 9)
    incident = room.missed()
    assert incident is not None
    assert room.steps(incident.id) == [("ladder_prompt", "asked")]
    assert "path_out" not in room.facts(Kind.MISSED_CHECKIN, Phase.RAISE)[-1]["detail"]  # type: ignore[operator]


def test_a_path_that_is_out_stops_no_watch_but_keeps_the_machine_from_ordering() -> None:
    room = Street(supervised=True)
    room.sign("wang")
    room.event(Kind.MOTION, "door-wang", line="sensors")
    room.event(Kind.LINE_LOST, line="wearables")
    room.event(Kind.OFFLINE, "gw", edge="online")
    room.until(15, 8)
    room.others_are_well()
    room.until(15, 9)
    incident = room.missed()
    assert incident is not None
    detail = room.facts(Kind.MISSED_CHECKIN, Phase.RAISE)[-1]["detail"]
    assert detail["path_out"] in room.working.incidents  # type: ignore[index]
    assert room.steps(incident.id) == [("ladder_prompt", "no_path"), ("ladder_call", "task")]
    room.until(15, 12)
    assert not room.working.incidents[incident.id].legs
    held = [fact for fact in room.facts(Kind.REMIND) if fact["reason"] == "ladder_waits"]
    assert {(fact["step"], fact["why"]) for fact in held} == {("neighbour", "path_out")}


def test_when_the_line_is_back_the_ladder_goes_on(room: Street) -> None:
    room.event(Kind.LINE_LOST, line="wearables")
    room.until(15, 8)
    room.sign("wang")
    room.sign("li")
    room.until(15, 10)
    incident = room.missed("sun")
    assert incident is not None
    assert room.steps(incident.id) == [("ladder_prompt", "no_path"), ("ladder_call", "task")]
    room.event(Kind.LINE_RESTORED, line="wearables", phase=Phase.STATE)
    room.until(15, 10, 15)
    assert [leg.responder for leg in room.working.incidents[incident.id].legs] == ["neighbour-1"]


# --- absences --------------------------------------------------------------------------------------------------------


def test_nobody_is_missed_who_is_away_and_the_return_begins_a_full_interval(room: Street) -> None:
    room.wish(until=local(16, 18), by="family", name="Invented", note="with her daughter")
    room.until(16, 17, 59)
    assert room.missed() is None
    room.until(16, 18)
    assert room.working.watch.by_person["wang"].state.absence is None
    assert room.due() == local(17, 16)
    said = [(record.actor, msgspec.json.decode(record.facts)) for record in room.records if record.kind is Kind.ABSENCE]
    assert said == [("Li Na", {"until": "2026-03-16T18:00:00+08:00", "by": "family", "name": "Invented", "note": "with her daughter"})]
    assert room.facts(Kind.ABSENCE_OVER) == [{"reason": "until"}]
    room.until(17, 16)
    assert room.missed() is not None


def test_an_absence_without_an_end_lasts_until_it_is_cancelled(room: Street) -> None:
    room.wish()
    for _ in range(40):
        room.advance(minutes=24 * 60)
        room.others_are_well()
    assert room.missed() is None
    room.wish(over=True)
    assert [(record.actor, record.person) for record in room.records if record.kind is Kind.ABSENCE_OVER] == [("Li Na", "wang")]
    room.advance(minutes=24 * 60)
    assert room.missed() is not None


def test_a_sign_during_an_absence_is_noted_and_ends_nothing(room: Street) -> None:
    room.wish(until=local(20, 18))
    room.until(14, 15)
    room.event(Kind.MOTION, "door-wang", line="sensors")
    state = room.working.watch.by_person["wang"].state
    assert (state.sign, state.sign_at) == ("motion", room.now)
    assert state.absence is not None
    room.until(19, 12)
    assert room.missed() is None


def test_an_absence_announced_after_the_check_in_was_missed_ends_it(room: Street) -> None:
    room.until(15, 8)
    room.others_are_well()
    room.until(15, 9)
    room.until(15, 9, 33)
    assert [leg.state for leg in room.only.legs] == [LegState.EXPIRED, LegState.SENT]
    room.wish(until=local(16, 9), by="family")
    assert room.missed() is None
    assert Flag.ENDED in room.only.flags
    leg = room.only.legs[-1]
    assert (leg.state, leg.reason) == (LegState.WITHDRAWN, "person_is_away")  # nobody has said that all is well


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"person": "nobody"}, "unknown_person"),
        ({"person": "zhao"}, "not_watched"),
        ({"over": True}, "not_absent"),
        ({"until": local(14, 10)}, "bad_until"),
        ({"until": datetime(2028, 1, 1, tzinfo=UTC)}, "bad_until"),
        ({"by": "machine"}, "bad_by"),
        ({"note": "x" * 501}, "note_too_long"),
    ],
)
def test_wishes_that_cannot_be_done(room: Street, fields: dict[str, object], reason: str) -> None:
    before = len(room.records)
    with pytest.raises(Refused) as refused:
        room.wish(**fields)  # type: ignore[arg-type]
    assert refused.value.reason == reason
    assert len(room.records) == before


def test_a_wish_repeated_with_its_key_is_done_once(room: Street) -> None:
    for _ in range(2):
        room.wish(key="k1")
    assert len(room.facts(Kind.ABSENCE)) == 1


# --- restarts --------------------------------------------------------------------------------------------------------


def test_time_in_which_we_were_down_does_not_count_and_what_had_counted_does(room: Street) -> None:
    room.sign()
    room.until(14, 15)
    room.restart(timedelta(hours=2))
    assert room.due() == local(15, 11)
    room.until(14, 19)
    room.restart(timedelta(hours=1))
    assert room.due() == local(15, 12)
    room.until(15, 11, 59)
    room.others_are_well()
    assert room.missed() is None
    room.until(15, 12)
    assert room.missed() is not None


def test_restarts_all_the_time_forget_nobody(room: Street) -> None:
    room.sign()
    for _ in range(40):
        room.advance(minutes=55)
        room.restart(timedelta(minutes=1))
    assert room.missed() is not None


def test_after_a_start_nobody_is_missed_before_the_devices_are_back(room: Street) -> None:
    room.sign()
    room.until(15, 8, 59)
    room.restart(timedelta(seconds=1))
    room.until(15, 9, 8)
    assert room.missed() is None
    room.advance(seconds=START_GRACE.total_seconds())
    assert room.missed() is not None


def test_the_ladder_goes_on_after_a_restart_where_it_stood(room: Street) -> None:
    room.until(15, 8)
    room.others_are_well()
    room.until(15, 9, 20)
    name = room.only.id
    room.restart(timedelta(minutes=5))
    assert room.only.deadlines["ladder:2"] == local(15, 9, 30)
    room.until(15, 9, 30)
    assert [leg.responder for leg in room.only.legs] == ["neighbour-1"]
    room.restart(timedelta(hours=1))
    room.advance(seconds=29)
    assert [step for step, _ in room.steps(name)] == ["ladder_prompt", "ladder_call", "ladder_neighbour", "ladder_station"]
    assert room.missed() is not None
    room.sign()
    assert room.missed() is None


def test_late_steps_follow_each_other_in_order_and_not_all_at_once() -> None:
    room = Street(neighbours=[])
    room.until(15, 8)
    room.others_are_well()
    room.until(15, 9)
    room.restart(timedelta(hours=2))
    room.advance(seconds=1)
    assert [step for step, _ in room.steps(room.only.id)] == ["ladder_prompt", "ladder_call"]
    room.advance(seconds=30)
    assert [step for step, _ in room.steps(room.only.id)][2:] == ["ladder_neighbour", "ladder_station"]


def test_a_clock_set_back_while_we_were_down_loses_no_sign(room: Street) -> None:
    room.until(15, 8)
    room.sign()
    room.restart(-timedelta(hours=3))
    room.advance(minutes=1)
    room.sign()
    assert room.working.watch.by_person["wang"].state.sign_at == room.now
    assert room.due() == local(15, 20)


def test_an_absence_survives_a_restart(room: Street) -> None:
    room.wish(until=local(16, 18))
    room.restart(timedelta(hours=1))
    room.until(16, 18)
    assert len(room.facts(Kind.ABSENCE_OVER)) == 1
    assert room.due() == local(17, 16)


# --- the rest --------------------------------------------------------------------------------------------------------


def test_a_failed_commit_leaves_no_trace(room: Street) -> None:
    room.until(15, 8, 59)
    room.now = local(15, 9).astimezone(UTC)
    names = [name for name in room.working.due.take(room.now, 10) if name == "watch:wang"]
    assert names
    decide.on_due(Draft(room.working), names, room.now)
    event = Event(kind=Kind.MOTION, line="wearables", device="w-wang", received_at=room.now, occurred_at=room.now)
    decide.on_event(Draft(room.working), event, room.now)
    assert not list(room.working.open_incidents)
    assert room.working.watch.by_person["wang"].state.sign == ""
    assert not room.working.watch.counts
    draft = Draft(room.working)
    decide.on_event(draft, event, room.now)
    decide.on_due(draft, names, room.now)
    room._settle(draft)
    assert not list(room.working.open_incidents)  # the sign came while the check-in was being missed


def test_a_new_register_keeps_what_is_known_and_gives_who_is_new_a_full_interval(room: Street) -> None:
    room.sign()
    room.until(14, 15)
    persons = [*PERSONS[:1], msgspec.structs.replace(PERSONS[2], watch="alone"), Person(id="new", name="Invented", watch="alone")]
    room.working.use(Register(persons=persons, devices=DEVICES, responders=RESPONDERS, areas=AREAS), room.now)
    room.until(15, 8, 59)
    assert not list(room.working.open_incidents)
    room.until(15, 9)
    assert [one.person for one in room.working.open_incidents] == ["wang"]
    room.until(15, 13)
    assert sorted(str(one.person) for one in room.working.open_incidents) == ["new", "wang", "zhao"]


def test_a_step_of_the_clock_is_no_silence(room: Street) -> None:
    room.sign()
    room.until(14, 13)
    room.working.shift(timedelta(hours=4))
    room.now += timedelta(hours=4)
    assert room.due() == local(15, 13)
    room.until(15, 12, 59)
    assert room.missed() is None
    room.until(15, 13)
    assert room.missed() is not None


def test_contacts_are_somebody_to_ring() -> None:
    register = Register(
        persons=[Person(id="wang", name="Invented", watch="alone", contacts=(Contact(name="Invented", phone="+8617400000009"),))],
        responders=RESPONDERS,
        areas=AREAS,
    )
    room = Street()
    room.begin(WorkingSet(register, room.working.policy), None)
    room.until(15, 9)
    assert room.steps(room.only.id) == [("ladder_prompt", "no_device"), ("ladder_call", "task")]


def test_a_property_company_goes_when_no_neighbour_can_and_one_far_away_is_no_neighbour() -> None:
    others = [
        Responder(id="elsewhere", name="E", kind=ResponderKind.NEIGHBOUR, areas=("pingan",), lat=36.3401, lon=102.8801, channel="console"),
        Responder(id="far", name="F", kind=ResponderKind.NEIGHBOUR, lat=36.36, lon=102.90, channel="console"),
        Responder(id="asleep", name="A", kind=ResponderKind.NEIGHBOUR, areas=("haishiwan",), hours="18:00-20:00", channel="console"),
        Responder(id="house", name="H", kind=ResponderKind.PROPERTY, lat=36.3403, lon=102.8803, channel="console"),
    ]
    room = Street(neighbours=others)
    room.until(15, 8)
    room.others_are_well()
    room.until(15, 9, 30)
    assert [leg.responder for leg in room.only.legs] == ["house"]
    decision = next(fact["decision"] for fact in room.facts(Kind.DISPATCH))
    assert decision["rule"] == "neighbour"  # type: ignore[index]
    verdicts = {one["responder"]: one["verdict"] for one in decision["candidates"]}  # type: ignore[index]
    assert verdicts == {"asleep": "off_duty", "far": "too_far", "elsewhere": "other_area", "house": "chosen"}
