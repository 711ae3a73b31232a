"""Silence, played with a clock of its own: one device, a street gateway with three hundred, a line, batteries, and what comes after an outage."""

from datetime import timedelta

import msgspec
import pytest

from gateway.config import DeviceClassConfig, SupervisionConfig
from gateway.core import decide
from gateway.core.incident import Action, Flag, Incident, Outcome, State
from gateway.core.register import Ability, Device, Person, Register, Risk
from gateway.core.state import Draft, WorkingSet
from gateway.core.supervision import LISTED, still_silent
from gateway.event import Event, Kind, Phase, Severity
from tests.core.room import AREAS, RESPONDERS, Room

CLASSES = (
    DeviceClassConfig(name="watch", interval_s=600, grace_s=300),
    DeviceClassConfig(name="smoke", interval_s=3600, grace_s=600, risk=2),
    DeviceClassConfig(name="gateway", interval_s=60, grace_s=120),
)
WINDOW = timedelta(seconds=900)


class Street(Room):
    """`count` watches behind a street gateway, `direct` ones that speak for themselves; person N lives alone if N is even."""

    def __init__(self, count: int = 0, direct: int = 2, gateway_class: str = "", more: tuple[Device, ...] = ()) -> None:
        super().__init__()
        total = count + direct
        persons = [
            Person(
                id=f"p{number}",
                name="Invented",
                area="haishiwan",
                risks=(Risk.LIVING_ALONE,) if number % 2 == 0 else (),
                ability=Ability.DISABLED if number % 3 == 0 else Ability.SELF_CARING,
            )
            for number in range(total)
        ]
        watches = [
            Device(id=f"w{number}", line="wearables", person=f"p{number}", device_class="watch", via="gw" if number < count else "")
            for number in range(total)
        ]
        gateway = Device(id="gw", line="wearables", area="haishiwan", lat=36.34, lon=102.88, device_class=gateway_class)
        devices = [*watches, gateway, *more]
        self.working = WorkingSet(Register(persons=persons, devices=devices, responders=RESPONDERS, areas=AREAS), self.working.policy)
        self.working.supervise(CLASSES, {}, SupervisionConfig(), self.now)
        self.count = count
        self.total = total

    def beat(self, *numbers: int, **fields: object) -> None:
        """These watches give a sign of life."""
        for number in numbers:
            self.event(Kind.HEARTBEAT, f"w{number}", phase=Phase.STATE, **fields)  # type: ignore[arg-type]

    def live(self, minutes: int, *numbers: int, every_s: int = 60) -> None:
        """So long these beat, each once in ten minutes, spread evenly."""
        for second in range(0, minutes * 60, every_s):
            turn = second // every_s % (600 // every_s)
            self.beat(*(number for number in numbers if number % (600 // every_s) == turn))
            self.advance(seconds=every_s)

    def open(self) -> list[Incident]:
        return [one for one in self.working.open_incidents if Flag.ENDED not in one.flags]

    def told(self, kind: Kind) -> list[dict[str, object]]:
        """What the gateway itself decided of this kind."""
        facts = [msgspec.json.decode(record.facts, type=Event) for record in self.records if record.kind is kind and record.line is not None]
        return [event.detail for event in facts if event.detail.get("by") == "gateway"]

    def restart(self) -> None:
        before, self.working = self.working, WorkingSet(self.working.register, self.working.policy)
        self.working.restore(before.open_incidents, (), before.known, before.seen.items())
        self.working.next_number, self.working.opened, self.working.closed = before.next_number, before.opened, before.closed
        self.working.supervise(CLASSES, {}, SupervisionConfig(), self.now)
        draft = Draft(self.working)
        still_silent(draft, self.working.open_incidents)
        draft.settle()

    def states(self) -> dict[str, int]:
        return {state: count for name, state, count in self.working.supervision.counts(self.working.silent) if name == "watch" and count}


# --- one device ------------------------------------------------------------------------------------------------------


def test_a_device_is_overdue_after_interval_and_grace_and_its_next_sign_ends_that() -> None:
    room = Street()
    room.beat(0, 1)
    room.advance(seconds=899)
    room.beat(1)
    assert room.open() == []
    room.advance(seconds=1)
    (incident,) = room.open()
    assert (incident.kind, incident.severity, incident.device, incident.person) == (Kind.OFFLINE, Severity.MINOR, "w0", "p0")
    assert room.told(Kind.OFFLINE) == [{"by": "gateway", "reason": "overdue", "device_class": "watch", "silent_s": 900}]
    room.live(30, 1)
    assert len(room.told(Kind.OFFLINE)) == 1
    room.beat(0)
    assert Flag.ENDED in room.working.incidents[incident.id].flags
    assert [(detail["reason"], detail["sign"]) for detail in room.told(Kind.ONLINE)] == [("heard_again", "heartbeat")]
    assert [record.kind for record in room.records if record.incident == incident.id][-1] is Kind.ONLINE
    assert room.states() == {"alive": 2}


def test_a_device_that_says_online_again_is_back_though_its_broker_never_called_it_offline() -> None:
    room = Street()
    room.event(Kind.ONLINE, "w0", edge="online")
    room.live(30, 1)
    (incident,) = room.open()
    room.event(Kind.ONLINE, "w0", edge="online")
    assert Flag.ENDED in room.working.incidents[incident.id].flags
    assert room.open() == []


def test_a_gateway_that_says_online_again_brings_its_path_back() -> None:
    room = Street(12, gateway_class="gateway")
    room.event(Kind.ONLINE, "gw", edge="online")
    room.beat(*range(12))
    room.live(60, 12, 13)
    (incident,) = room.open()
    assert incident.affected_count == 12
    room.event(Kind.ONLINE, "gw", edge="online")
    assert Flag.ENDED in room.working.incidents[incident.id].flags


def test_devices_that_leave_the_register_while_silent_do_not_weigh_on_their_path() -> None:
    room = Street(12)
    room.live(20, *range(14))
    room.live(40, 12, 13)
    assert room.working.silent_behind == {"path:gw": 12}
    known = room.working.register
    left = [device for device in known.devices if not device.via or int(device.id[1:]) >= 10]
    room.working.use(Register(persons=known.persons.values(), devices=left, responders=RESPONDERS, areas=AREAS), room.now)
    assert room.working.silent_behind == {"path:gw": 2}


def test_a_sign_that_was_being_written_while_the_register_was_read_again_counts() -> None:
    room = Street()
    draft = Draft(room.working)
    beat = Event(kind=Kind.HEARTBEAT, phase=Phase.STATE, line="wearables", device="w0", received_at=room.now, occurred_at=room.now)
    decide.on_event(draft, beat, room.now)
    known = room.working.register
    room.working.use(Register(persons=known.persons.values(), devices=known.devices, responders=RESPONDERS, areas=AREAS), room.now)
    draft.settle()
    assert room.working.supervision.by_name["device:wearables|w0"].at == room.now


@pytest.mark.parametrize("back", [1, 100, 290])
def test_who_did_not_come_back_is_one_list_however_many(back: int) -> None:
    room = Street(300, direct=12)
    room.live(20, *range(312))
    room.live(40, *range(300, 312))
    (outage,) = room.open()
    room.live(40, *range(back), *range(300, 312))
    (after,) = room.open()
    assert after.key == "after:path:gw"
    assert after.affected_count == 300 - back
    assert Flag.ENDED in room.working.incidents[outage.id].flags
    if back > 1:
        room.live(40, *range(1, back), *range(300, 312))
        assert {one.device for one in room.open()} == {None, "w0"}, "one more that falls silent is one by itself"


def test_devices_that_were_moved_to_another_gateway_end_the_outage_of_the_old_one() -> None:
    room = Street(12)
    room.live(20, *range(14))
    room.live(40, 12, 13)
    (outage,) = room.open()
    known = room.working.register
    moved = [msgspec.structs.replace(device, via="gw2") if device.via else device for device in known.devices]
    moved.append(Device(id="gw2", line="wearables", area="haishiwan"))
    room.working.use(Register(persons=known.persons.values(), devices=moved, responders=RESPONDERS, areas=AREAS), room.now)
    room.beat(*range(11))
    assert (room.working.incidents[outage.id].affected_count, room.open()) == (1, [room.working.incidents[outage.id]])
    room.beat(11)
    assert room.open() == []


def test_signs_from_before_the_clock_was_set_back_keep_nobody_alive() -> None:
    room = Street()
    room.beat(0, 1)
    room.now -= timedelta(days=3)
    room.restart()
    room.live(30, 1)
    assert [one.device for one in room.open()] == ["w0"]


def test_any_word_of_a_device_is_a_sign_of_life_except_what_a_broker_kept() -> None:
    room = Street(direct=1)
    room.beat(0)
    for fields in ({"kind": Kind.SOS}, {"kind": Kind.LOW_BATTERY}, {"kind": Kind.TAMPER, "phase": Phase.CLEAR}, {"kind": Kind.SMOKE, "edge": "s"}):
        room.advance(seconds=800)
        kind = fields.pop("kind")
        room.event(kind, "w0", **fields)  # type: ignore[arg-type]
    assert room.told(Kind.OFFLINE) == []
    room.advance(seconds=800)
    room.beat(0, late="replayed")
    room.event(Kind.SOS, "w0", late="queued")
    room.advance(seconds=100)
    assert len(room.told(Kind.OFFLINE)) == 1


def test_silence_for_a_day_is_major_and_still_no_more_than_a_task() -> None:
    room = Street(direct=1)
    room.beat(0)
    room.advance(minutes=15)
    (incident,) = room.open()
    assert incident.deadlines["acknowledge"] - incident.opened_at == timedelta(seconds=room.working.policy.warning.acknowledge_s)
    room.advance(minutes=24 * 60 - 1)
    assert room.open()[0].severity is Severity.MINOR
    rung = len([record for record in room.records if record.kind is Kind.ESCALATE])
    assert rung <= 24
    room.advance(minutes=1)
    assert room.open()[0].severity is Severity.MAJOR
    room.advance(minutes=24 * 60)
    assert len([record for record in room.records if record.kind is Kind.ESCALATE]) <= rung + 26
    room.beat(0)
    assert room.open() == []
    room.advance(minutes=3 * 24 * 60)
    assert "overdue" not in room.working.incidents[incident.id].deadlines


def test_a_device_never_heard_is_told_after_its_first_window_several_as_one_list() -> None:
    room = Street(direct=1)
    room.advance(minutes=15)
    assert [one.device for one in room.open()] == ["w0"]
    room = Street(direct=40)
    room.beat(39)
    room.advance(minutes=14)
    room.beat(39)
    room.advance(minutes=2)
    (incident,) = room.open()
    assert (incident.key, incident.affected_count, len(incident.affected)) == ("never:path:line:wearables", 39, 39)
    assert incident.affected[0].device == "w0"
    room.beat(*range(20))
    assert room.open()[0].affected_count == 19
    room.live(10, *range(40))
    assert room.open() == []


def test_a_last_will_is_silence_at_once_and_is_told_once() -> None:
    room = Street(direct=2)
    room.beat(0, 1)
    room.event(Kind.OFFLINE, "w0", edge="online")
    (incident,) = room.open()
    room.live(60, 1)
    assert incident.id == room.open()[0].id
    assert room.open()[0].entries == 1
    room.event(Kind.ONLINE, "w0", edge="online")
    assert room.open() == []
    room.live(10, 0, 1)
    room.event(Kind.OFFLINE, "w0", edge="online")
    assert len(room.open()) == 1


def test_a_last_will_told_again_is_no_sign_of_life_and_one_that_was_belied_is_news_again() -> None:
    room = Street(direct=1)
    room.beat(0)
    for kind, phase in ((Kind.OFFLINE, Phase.RAISE), (Kind.OFFLINE, Phase.RAISE), (Kind.ONLINE, Phase.CLEAR)):
        room.event(kind, "w0", phase=phase, edge="online")
        assert [one.entries for one in room.open()] == [1]
    room.beat(0)  # it speaks, and never says that it is online
    assert room.open() == []
    room.event(Kind.OFFLINE, "w0", edge="online")
    assert [one.entries for one in room.open()] == [3]


def test_after_a_start_everybody_has_a_full_window_and_who_was_silent_stays_so() -> None:
    room = Street(direct=3)
    room.beat(0, 1, 2)
    room.live(20, 1, 2)
    (incident,) = room.open()
    room.now += timedelta(hours=5)
    room.restart()
    room.advance(seconds=890)
    assert [one.id for one in room.open()] == [incident.id]
    room.beat(1, 2)
    room.advance(seconds=100)
    assert [(one.id, one.entries) for one in room.open()] == [(incident.id, 1)]
    room.beat(0)
    assert room.open() == []


def test_a_failed_commit_leaves_no_trace_of_silence() -> None:
    room = Street(direct=1)
    room.beat(0)
    room.now += WINDOW
    names = room.working.due.take(room.now, 10)
    assert names == ["device:wearables|w0"]
    decide.on_due(Draft(room.working), names, room.now)
    assert not room.working.silent
    assert not room.working.silent_behind
    assert not list(room.working.open_incidents)
    draft = Draft(room.working)
    decide.on_due(draft, names, room.now)
    draft.settle()
    assert room.working.silent.keys() == {"device:wearables|w0"}


def test_a_device_that_speaks_while_its_silence_is_on_its_way_is_not_silent() -> None:
    room = Street(direct=1)
    room.beat(0)
    room.now += WINDOW
    names = room.working.due.take(room.now, 10)
    draft = Draft(room.working)
    decide.on_event(draft, Event(kind=Kind.HEARTBEAT, line="wearables", device="w0", received_at=room.now, occurred_at=room.now), room.now)
    decide.on_due(draft, names, room.now)
    draft.settle()
    assert room.open() == []
    room.advance(minutes=15)
    assert len(room.open()) == 1


# --- a street gateway ------------------------------------------------------------------------------------------------


def test_a_dead_street_gateway_is_one_incident_one_list_and_one_return() -> None:
    room = Street(count=300, direct=2)
    everybody = range(302)
    room.live(20, *everybody, every_s=10)
    assert room.open() == []
    before = len(room.records)
    room.live(30, 300, 301, every_s=10)  # only those that speak for themselves
    (path,) = room.open()
    assert (path.key, path.kind, path.severity, path.device) == ("path:gw", Kind.OFFLINE, Severity.MAJOR, "gw")
    assert path.affected_count == 300
    assert len(path.affected) == 300
    worst = path.affected[0]
    assert (worst.device, worst.person) == ("w0", "p0")  # lives alone, disabled
    assert [item.order for item in path.affected] == sorted(item.order for item in path.affected)
    assert [record.kind for record in room.records[before:] if record.incident and record.kind is not Kind.ESCALATE] == [Kind.OFFLINE]
    assert room.states() == {"alive": 2, "unknown_path": 300}
    room.live(10, *everybody, every_s=10)
    assert Flag.ENDED in room.working.incidents[path.id].flags
    assert [(detail["reason"], detail["affected"]) for detail in room.told(Kind.ONLINE)] == [("path_back", 300)]
    assert room.states() == {"alive": 302}
    assert room.open() == []


def test_what_stays_silent_after_an_outage_is_one_list_in_order_of_risk() -> None:
    room = Street(count=300, direct=2)
    room.live(20, *range(302), every_s=10)
    room.live(30, 300, 301, every_s=10)
    alive = [number for number in range(302) if number % 25 or number == 300]
    room.live(30, *alive, every_s=10)
    (after,) = room.open()
    assert after.key == "after:path:gw"
    assert {item.device for item in after.affected} == {f"w{number}" for number in range(0, 300, 25)}
    assert [item.order for item in after.affected] == sorted(item.order for item in after.affected)
    assert after.affected_count == 12
    room.live(10, *range(302), every_s=10)
    assert room.open() == []
    assert Flag.ENDED in room.working.incidents[after.id].flags


def test_a_device_that_alone_stays_silent_after_an_outage_is_its_own_incident() -> None:
    room = Street(count=300, direct=2)
    room.live(20, *range(302), every_s=10)
    room.live(30, 300, 301, every_s=10)
    room.live(30, *range(1, 302), every_s=10)
    assert [one.device for one in room.open()] == ["w0"]


def test_one_dead_watch_behind_a_living_gateway_is_its_own_incident() -> None:
    room = Street(count=30, direct=0)
    room.live(20, *range(30), every_s=20)
    room.live(20, *range(1, 30), every_s=20)
    assert [one.device for one in room.open()] == ["w0"]


def test_where_nobody_was_due_since_the_device_waits_one_grace_more() -> None:
    room = Street(count=6, direct=0)
    room.beat(*range(6))
    room.advance(minutes=10)
    room.beat(*range(1, 6))
    room.advance(minutes=9)
    assert room.open() == []  # overdue for four minutes; is it the gateway?
    room.advance(minutes=1)
    room.beat(*range(1, 6))
    room.advance(minutes=1)
    assert [one.device for one in room.open()] == ["w0"]


def test_half_of_the_devices_silent_is_a_path_and_what_was_opened_goes_up_in_it() -> None:
    room = Street(count=20, direct=0)
    room.live(20, *range(20), every_s=30)
    room.live(40, *range(1, 20, 2), every_s=30)
    (path,) = room.open()
    assert (path.key, path.affected_count) == ("path:gw", 10)
    merged = [one for one in room.working.incidents.values() if one.outcome is Outcome.MERGED]
    assert {one.merged_into for one in merged} == {path.id}
    assert room.working.opened == len(list(room.working.open_incidents)) + room.working.closed
    back = [number for number in range(20) if number not in (0, 2, 4)]  # a few are back: the rest is no path any more
    room.live(30, *back, every_s=30)
    (after,) = room.open()
    assert (after.key, {item.device for item in after.affected}) == ("after:path:gw", {"w0", "w2", "w4"})


def test_the_last_will_of_a_gateway_lists_all_behind_it_at_once() -> None:
    room = Street(count=10, direct=0, gateway_class="gateway")
    room.live(20, *range(10))
    room.event(Kind.OFFLINE, "gw", edge="online")
    (path,) = [one for one in room.open() if one.key == "path:gw"]
    assert (path.affected_count, path.severity) == (10, Severity.MAJOR)
    room.advance(minutes=60)
    assert [one.key for one in room.open()] == ["path:gw"]
    room.event(Kind.ONLINE, "gw", edge="online")
    assert room.open() == []
    assert room.told(Kind.ONLINE) == []  # its own word is the entry
    room.live(10, *range(10))
    assert room.states() == {"alive": 10}


def test_a_silent_gateway_is_the_path_of_the_first_device_that_follows() -> None:
    room = Street(count=3, direct=0, gateway_class="gateway")  # fewer than path_least
    for _ in range(20):
        room.event(Kind.HEARTBEAT, "gw", phase=Phase.STATE)
        room.beat(0, 1, 2)
        room.advance(minutes=1)
    room.advance(minutes=30)
    assert [(one.key, one.affected_count) for one in room.open()] == [("path:gw", 3)]
    room.beat(1)  # heard through it: it is back
    assert room.open() == []
    room.advance(minutes=14)
    assert room.states() == {"alive": 1, "unknown_path": 2}


def test_a_gateway_that_only_itself_is_silent_is_a_device_like_others() -> None:
    room = Street(count=20, direct=0, gateway_class="gateway")
    for _ in range(20):
        room.event(Kind.HEARTBEAT, "gw", phase=Phase.STATE)
        room.live(1, *range(20), every_s=60)
    room.live(40, *range(20), every_s=30)
    (incident,) = room.open()
    assert (incident.device, incident.severity, incident.affected_count) == ("gw", Severity.MINOR, 0)
    room.live(40, *range(1, 20), every_s=30)
    assert [(one.device, one.affected_count) for one in room.open()] == [("gw", 0), ("w0", 0)]


def test_a_hearing_through_a_gateway_makes_its_last_will_out_of_date() -> None:
    room = Street(count=6, direct=0)
    room.live(20, *range(6))
    room.event(Kind.OFFLINE, "gw", edge="online")
    room.beat(0)
    assert room.open() == []
    room.event(Kind.OFFLINE, "gw", edge="online")
    assert len(room.open()) == 1


def test_devices_of_a_lost_line_stand_on_its_incident() -> None:
    room = Street(count=0, direct=10)
    room.live(20, *range(10))
    room.event(Kind.LINE_LOST, None, line="wearables")
    room.advance(minutes=40)
    (lost,) = room.open()
    assert (lost.kind, lost.affected_count) == (Kind.LINE_LOST, 10)
    room.event(Kind.LINE_RESTORED, None, line="wearables", phase=Phase.STATE)
    assert room.open() == []
    room.live(20, *range(2, 10))
    (after,) = room.open()
    assert (after.key, after.affected_count) == ("after:path:line:wearables", 2)


def test_a_line_that_stands_and_brings_nothing_is_a_path_too() -> None:
    room = Street(count=0, direct=20)
    room.live(20, *range(20), every_s=30)
    room.advance(minutes=40)
    assert [(one.key, one.affected_count) for one in room.open()] == [("path:line:wearables", 20)]


def test_a_long_list_names_the_worst_and_counts_the_rest() -> None:
    room = Street(count=LISTED + 100, direct=0)
    room.beat(*range(LISTED + 100))
    room.advance(minutes=40)
    (path,) = room.open()
    assert (path.affected_count, len(path.affected)) == (LISTED + 100, LISTED)


def test_a_path_lasts_over_a_restart() -> None:
    room = Street(count=20, direct=1)
    room.live(20, *range(21), every_s=30)
    room.live(40, 20, every_s=30)
    (path,) = room.open()
    room.restart()
    room.live(40, 20, every_s=30)
    assert [(one.id, one.affected_count) for one in room.open()] == [(path.id, 20)]
    room.beat(5)
    assert room.open() == []
    room.live(30, *range(2, 21), every_s=30)
    assert [one.affected_count for one in room.open()] == [2]


def test_a_path_somebody_closed_is_not_opened_again_for_the_same_silence() -> None:
    room = Street(count=10, direct=0)
    room.beat(*range(10))
    room.advance(minutes=40)
    (path,) = room.open()
    for action, facts in ((Action.ACKNOWLEDGE, {}), (Action.RESOLVE, {"outcome": "helped"}), (Action.CALL_BACK, {})):
        room.do(action, path.id, **facts)
    room.advance(minutes=600)
    assert room.open() == []
    room.live(10, *range(10))
    assert room.states() == {"alive": 10}


# --- batteries, tamper, clashes --------------------------------------------------------------------------------------


def test_a_low_battery_is_one_task_until_the_next_good_value() -> None:
    room = Street(direct=1)
    for charge in (60.0, 21.0, 20.0, 12.0, 21.0, 24.9, 3.0):
        room.beat(0, battery_pct=charge)
    (incident,) = room.open()
    assert (incident.kind, incident.severity, incident.entries) == (Kind.LOW_BATTERY, Severity.WARNING, 1)
    assert room.told(Kind.LOW_BATTERY) == [{"by": "gateway", "battery_pct": 20.0, "limit_pct": 20.0}]
    room.beat(0, battery_pct=25.0)
    assert room.open() == []
    room.beat(0, battery_pct=0.0)
    assert len(room.open()) == 1


@pytest.mark.parametrize("kind", [Kind.TAMPER, Kind.LOW_BATTERY, Kind.FAULT])
def test_troubles_of_a_device_press_like_tasks(kind: Kind) -> None:
    room = Street(direct=1)
    room.event(kind, "w0")
    room.advance(minutes=59)
    assert [record.kind for record in room.records if record.kind is Kind.ESCALATE] == []
    room.advance(minutes=24 * 60)
    assert 0 < len([record for record in room.records if record.kind is Kind.ESCALATE and record.incident == "I100001"]) <= 25


def test_an_address_on_no_register_is_remembered_and_one_of_another_line_told_once_a_day() -> None:
    room = Street(direct=1)
    room.event(Kind.HEARTBEAT, "sensor-9", phase=Phase.STATE, line="zigbee")
    assert list(room.working.strangers) == ["zigbee|sensor-9"]
    assert room.open() == []
    room.event(Kind.FAULT, "profile:acme", phase=Phase.CLEAR, line="zigbee")  # what a line says of its mapping profile is no address
    assert [key for key, _ in room.working.unregistered()] == ["zigbee|sensor-9"]
    for _ in range(3):
        room.event(Kind.HEARTBEAT, "w0", phase=Phase.STATE, line="zigbee")
    (incident,) = room.open()
    assert (incident.kind, incident.line, incident.device) == (Kind.FAULT, "zigbee", "w0")
    assert room.told(Kind.FAULT)[0]["registered_on"] == "wearables"
    room.advance(minutes=24 * 60)
    room.event(Kind.HEARTBEAT, "w0", phase=Phase.STATE, line="zigbee")
    room.event(Kind.HEARTBEAT, "w0", phase=Phase.STATE, line="zigbee")
    assert len(room.told(Kind.FAULT)) == 2
    assert room.working.incidents[incident.id].entries == 2


def test_a_panel_answers_for_its_zones() -> None:
    zones = (
        Device(id="4711", line="panel", device_class="smoke"),
        Device(id="4711:005", line="panel", person="p0"),
        Device(id="4711:006", line="panel", person="p1"),
    )
    room = Street(direct=2, more=zones)
    room.working.supervise(CLASSES, {"panel": "smoke"}, SupervisionConfig(), room.now)
    assert {name for name in room.working.supervision.by_name if "panel" in name} == {"device:panel|4711"}
    for _ in range(4):
        room.beat(0, 1)
        room.advance(minutes=10)
    room.event(Kind.TELEMETRY, "4711", line="panel", phase=Phase.STATE, detail={"zone": "005"})
    for _ in range(6):
        room.beat(0, 1)
        room.advance(minutes=10)
    assert room.open() == []


def test_a_register_read_again_gives_new_devices_a_full_window_and_forgets_old_ones() -> None:
    room = Street(direct=2)
    room.beat(0, 1)
    room.advance(minutes=14)
    devices = [Device(id=name, line="wearables", device_class="watch") for name in ("w1", "new")]
    room.working.use(Register(devices=devices, responders=RESPONDERS, areas=AREAS), room.now)
    room.advance(minutes=2)
    assert [one.device for one in room.open()] == ["w1"]
    room.beat(1)
    room.advance(minutes=12)
    assert room.open() == []
    room.advance(minutes=2)
    assert len(room.open()) == 1


def test_a_step_of_the_clock_makes_nobody_silent() -> None:
    room = Street(direct=1)
    room.beat(0)
    step = timedelta(hours=3)
    room.now += step
    room.working.due.shift(step)
    room.working.supervision.shift(step)
    room.advance(seconds=899)
    assert room.open() == []
    room.advance(seconds=1)
    assert len(room.open()) == 1


def test_incidents_that_were_acknowledged_stay_with_who_has_them() -> None:
    room = Street(direct=1)
    room.beat(0)
    room.advance(minutes=15)
    room.do(Action.ACKNOWLEDGE, room.only.id)
    room.advance(minutes=24 * 60)
    assert (room.only.state, room.only.severity) == (State.ACKNOWLEDGED, Severity.MAJOR)
