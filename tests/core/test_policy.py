"""Escalation by chains: each step once, in order, at its own time, whenever the house falls and comes back."""

import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import msgspec
import pytest

from gateway.config import CallsConfig, Chain, PolicyConfig
from gateway.config.policies import StepConfig
from gateway.core.decide import on_event
from gateway.core.escalation import on_deadline, shifted
from gateway.core.incident import Action, Incident, State
from gateway.core.policy import CATCH_UP, due_at, times
from gateway.core.requests import request_event
from gateway.core.state import Draft, Record, WorkingSet
from gateway.event import Event, Kind, Phase
from tests.core.room import POLICY, START, Room

NIGHT = datetime(2026, 3, 14, 15, 0, tzinfo=UTC)  # 23:00 in Lanzhou


def step(after_s: float, to: str = "desk", how: str = "ring", **more: object) -> StepConfig:
    return msgspec.convert({"after_s": after_s, "to": to, "how": how, **more}, StepConfig)


def policy_with(severity: str = "critical", steps: str = "ours") -> PolicyConfig:
    return msgspec.structs.replace(POLICY, **{severity: msgspec.structs.replace(getattr(POLICY, severity), steps=steps)})


def room_with(*steps: StepConfig, severity: str = "critical") -> Room:
    room = Room(policy_with(severity))
    room.working.chains = {"ours": Chain(step=steps, name="ours")}
    return room


def steps_taken(records: list[Record]) -> list[tuple[datetime, int, int]]:
    """(when, number, turn) of each step that the journal has."""
    found = []
    for record in records:
        facts = msgspec.json.decode(record.facts)
        if record.kind in (Kind.ESCALATE, Kind.REMIND) and isinstance(facts.get("step"), int):
            found.append((record.at, facts["step"], facts.get("turn", 1)))
    return found


def said(room: Room, reason: str) -> list[dict[str, object]]:
    facts = [(record.at, msgspec.json.decode(record.facts)) for record in room.records if record.kind in (Kind.ESCALATE, Kind.REMIND, Kind.RELEASE)]
    return [{"at": (at - START).total_seconds(), **fact} for at, fact in facts if fact.get("reason") == reason]


def test_each_step_comes_at_its_own_time_and_the_desk_comes_last_for_ever() -> None:
    room = room_with(step(90), step(120, "supervisor", repeat_every_s=60, times=2), step(200, "emergency"))
    room.press("w-wang")
    room.advance(minutes=10)
    assert [(at - START).total_seconds() for at, _, _ in steps_taken(room.records)] == [90, 120, 180, 200]
    assert [one["at"] for one in said(room, "not_acknowledged")] == [60, 320, 440, 560]  # acknowledge_s, then every repeat_s after the last step
    assert [one["to"] for one in said(room, "policy_ring")] == ["desk", "supervisor", "supervisor"]
    assert [one["to"] for one in said(room, "policy_emergency")] == ["desk"], "the machine calls no emergency service: the operator is told to"


def test_orders_go_up_the_tree_by_role() -> None:
    room = room_with(step(5, "own", "order"), step(10, "parent", "order"), step(20, "district_centre", "order"), step(30, "city_centre", "order"))
    room.press("w-wang")
    room.advance(seconds=40)
    sent = [str(order["to"]) for order in room.orders if order["to"] not in ("health-1",)]
    assert sent == ["station-7", "station-7", "town", "district"], "the station again, then its centre, then the district's"
    assert said(room, "policy_nobody")[0]["result"] == "no_city_centre"


def test_nobody_further_is_ordered_while_somebody_comes() -> None:
    room = room_with(step(20, "parent", "order"))
    room.press("w-wang")
    room.answer("station-7", "accept")
    room.advance(seconds=30)
    assert not room.sent_to("town")
    assert said(room, "policy_held")[0]["result"] == "somebody_coming"


def test_a_notice_is_left_for_a_responder() -> None:
    room = room_with(step(20, "district_centre", "notify"))
    room.press("w-wang")
    room.advance(seconds=30)
    assert [(notice.to, notice.moment, notice.state) for notice in room.only.notices if notice.to.startswith("responder:district")] == [
        ("responder:district", "alarm", "pending")
    ]


def test_under_duress_nobody_is_told_by_text_but_the_desk_is_rung() -> None:
    room = room_with(step(20, "district_centre", "notify"))
    room.event(Kind.DURESS, "w-wang")
    room.advance(seconds=30)
    assert room.only.notices == ()
    assert said(room, "policy_held")[0]["result"] == "duress"


def test_taking_it_stops_the_chain_and_giving_it_back_begins_it_anew() -> None:
    room = room_with(step(30), step(60))
    room.press("w-wang")
    room.advance(seconds=31)
    room.do(Action.ACKNOWLEDGE, room.only.id)
    assert room.only.rung_at is None
    room.advance(seconds=10)
    room.do(Action.RELEASE, room.only.id)
    room.advance(seconds=70)
    assert [(at - START).total_seconds() for at, _, _ in steps_taken(room.records)] == [30, 71, 101]


def test_a_worse_cry_begins_the_worse_chain() -> None:
    policy = msgspec.structs.replace(policy_with("major", "mild"), critical=msgspec.structs.replace(POLICY.critical, steps="ours"))
    room = Room(policy)
    room.working.chains = {"ours": Chain(step=(step(5),), name="ours"), "mild": Chain(step=(step(100),), name="mild")}
    room.event(Kind.BED_EXIT, "w-wang")
    room.advance(seconds=50)
    room.press("w-wang")
    room.advance(seconds=10)
    assert [(at - START).total_seconds() for at, _, _ in steps_taken(room.records)] == [55]


def test_who_takes_it_and_does_nothing_is_told_and_it_rings_for_others() -> None:
    room = room_with(step(30, "owner", "notify"))
    room.unreachable.update(("station-7", "station-8", "town", "district", "health-1"))
    room.press("w-wang")
    name = room.only.id
    room.do(Action.ACKNOWLEDGE, name, actor="Li Na")
    for leg in room.only.legs:
        room.do(Action.WITHDRAW, name, actor="Li Na", delivery=leg.delivery)
    room.advance(seconds=301)
    assert room.only.state is State.RAISED
    assert room.only.owner is None
    assert said(room, "given_back")[0]["to"] == "Li Na"
    room.advance(seconds=31)
    assert said(room, "policy_notify")[-1]["to"] == "Li Na", "who received first stays responsible"


def test_who_was_there_is_not_called_back_to_raised() -> None:
    room = Room()
    room.press("w-wang")
    room.do(Action.ACKNOWLEDGE, room.only.id)
    room.answer("station-7", "accept")
    room.answer("station-7", "arrived")
    room.answer("station-7", "done")
    room.advance(seconds=301)
    assert room.only.state is State.ACKNOWLEDGED
    assert "stalled" in room.only.flags


def test_quiet_hours_put_off_what_is_no_alarm_and_never_an_alarm() -> None:
    chain = Chain(step=(step(600, quiet="22:00-07:00"), step(1200)), name="ours")
    alarm = times(chain, NIGHT, is_alarm=True)
    fault = times(chain, NIGHT, is_alarm=False)
    assert [(one.at - NIGHT).total_seconds() for one in alarm] == [600, 1200]
    assert [(one.at - NIGHT, one.number) for one in fault] == [(timedelta(seconds=1200), 2), (timedelta(hours=8), 1)], "23:00 to 07:00"
    assert times(chain, NIGHT + timedelta(hours=9), is_alarm=False)[0].at == NIGHT + timedelta(hours=9, minutes=10)


def test_a_chain_that_is_shorter_after_a_reload_goes_on_with_its_end() -> None:
    room = room_with(step(30), step(60), step(90))
    room.press("w-wang")
    room.advance(seconds=61)
    room.working.chains = {"ours": Chain(step=(step(30),), name="ours")}
    room.advance(minutes=10)
    assert [number for _, number, _ in steps_taken(room.records)] == [1, 2]
    assert len(said(room, "not_acknowledged")) > 3
    room.working.chains = {}
    room.advance(minutes=10)
    assert room.only.deadlines.keys() >= {"acknowledge"}
    assert room.only.rung_at is None


def test_a_step_of_the_wall_clock_moves_the_whole_chain() -> None:
    room = room_with(step(30), step(90))
    room.press("w-wang")
    before = room.only
    moved = shifted(before, timedelta(hours=1))
    assert moved.rung_at == before.rung_at + timedelta(hours=1)
    assert moved.deadlines["policy:0"] == before.deadlines["policy:0"] + timedelta(hours=1)


def test_after_downtime_late_steps_follow_in_order_and_the_end_comes_once() -> None:
    room = room_with(step(60), step(70), step(200))
    room.press("w-wang")
    room.now += timedelta(hours=2)
    at = room.now
    room.advance(minutes=3)
    assert [(when - at).total_seconds() for when, _, _ in steps_taken(room.records)] == [0, 10, 40]
    ends = [one["at"] - 7200 for one in said(room, "not_acknowledged")]
    assert ends[0] == 0
    assert ends[1] == 70, "min(120, 30) s after the last step"
    assert all(later - sooner == 120 for sooner, later in pairwise(ends[2:])), "then on its own grid"


class Life:
    """An incident that nobody takes, in a house that falls at random: what is on disk is all that lasts."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.room = Room(policy_with())
        self.chain = Chain(step=tuple(self._step() for _ in range(self.random.randint(1, 6))), name="ours")
        self.disk: dict[str, bytes] = {}
        self.journal: list[Record] = []
        self.now = START
        self.start()
        draft = Draft(self.working)
        on_event(
            draft, Event(kind=Kind.SOS, phase=Phase.RAISE, line="wearables", device="w-wang", received_at=self.now, occurred_at=self.now), self.now
        )
        self.commit(draft)
        draft.settle()

    def _step(self) -> StepConfig:
        pick = self.random
        to, how = pick.choice([("desk", "ring"), ("supervisor", "notify"), ("parent", "order"), ("own", "order"), ("emergency", "ring")])
        count = pick.randint(1, 4)
        repeat = {"times": count, "repeat_every_s": pick.choice([1, 20, 45])} if count > 1 else {}
        return step(pick.choice([0, 5, 60, 60, 61, 300, 900]), to, how, **repeat)

    def start(self) -> None:
        """A new process: nothing but the disk."""
        self.working = WorkingSet(self.room.working.register, policy_with(), CallsConfig())
        self.working.chains = {"ours": self.chain}
        self.working.restore([msgspec.json.decode(row, type=Incident) for row in self.disk.values()], [], [], [])

    def commit(self, draft: Draft) -> None:
        self.journal += draft.records
        self.disk |= {name: msgspec.json.encode(incident) for name, incident in draft.incidents.written.items() if incident is not None}

    def next(self) -> tuple[datetime, str, str]:
        (incident,) = self.working.open_incidents
        assert incident.next_deadline is not None
        return incident.next_deadline[1], incident.id, incident.next_deadline[0]

    def handle(self, crash: str) -> None:
        """The next deadline at its time, or as soon as we are up; the house falls before the commit, after it, or not."""
        at, name, deadline = self.next()
        self.now = max(self.now, at)
        draft = Draft(self.working)
        on_deadline(draft, self.working.incidents[name], deadline, self.now)
        if crash == "before":
            return self.fall()
        self.commit(draft)
        if crash == "after":
            return self.fall()
        return draft.settle()

    def fall(self) -> None:
        self.now += timedelta(seconds=self.random.choice([0, 0.2, 3, 29, 31, 400, 4000]))
        self.start()

    def run(self, falls: int) -> None:
        """So many falls, then on to the end of the chain."""
        while falls:
            crash = self.random.choice(["before", "after", "", ""])
            falls -= bool(crash)
            self.handle(crash)
            if not crash and self.random.random() < 0.3:  # between two deadlines
                falls -= 1 if falls else 0
                self.fall()
        while not due_is_over(self):
            self.handle("")


def due_is_over(life: Life) -> bool:
    (incident,) = life.working.open_incidents
    return incident.step >= sum(one.times for one in life.chain.step)


def check(life: Life) -> None:
    planned = times(life.chain, START, is_alarm=True)
    taken = steps_taken(life.journal)
    assert [(number, turn) for _, number, turn in taken] == [(one.number, one.turn) for one in planned], "no step skipped, none twice, in order"
    assert all(at >= one.at for (at, _, _), one in zip(taken, planned, strict=True)), "none too early"
    late = [at - one.at for (at, _, _), one in zip(taken, planned, strict=True)]
    for index in range(1, len(taken)):
        waited = taken[index][0] - taken[index - 1][0]
        if late[index] and planned[index].at <= taken[index - 1][0]:  # it was late already when the one before was taken
            assert waited >= min(planned[index].at - planned[index - 1].at, CATCH_UP)


@pytest.mark.parametrize("seed", range(40))
def test_a_thousand_falls_skip_and_repeat_no_step(seed: int) -> None:
    """Forty lives of 25 falls: before a commit, after it, between two deadlines; down for nothing or for an hour."""
    life = Life(seed)
    life.run(25)
    check(life)


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(1000, 3000))
def test_fifty_thousand_falls(seed: int) -> None:
    life = Life(seed)
    life.run(25)
    check(life)


@pytest.mark.parametrize("seed", range(10))
def test_without_falls_nothing_drifts(seed: int) -> None:
    """Each handled some milliseconds late, as in life: the next is due when the chain says, not later by that."""
    life = Life(seed)
    while not due_is_over(life):
        at, name, deadline = life.next()
        life.now = at + timedelta(milliseconds=life.random.randint(1, 400))
        draft = Draft(life.working)
        on_deadline(draft, life.working.incidents[name], deadline, life.now)
        life.commit(draft)
        draft.settle()
    planned = times(life.chain, START, is_alarm=True)
    late = [(at - one.at).total_seconds() for (at, _, _), one in zip(steps_taken(life.journal), planned, strict=True)]
    assert all(0 < one < 2.5 for one in late), late
    (incident,) = life.working.open_incidents
    assert due_at(Draft(life.working), incident, life.now) == planned[-1].at + timedelta(seconds=120)


def test_an_ordinary_service_is_ordered_by_a_chain_only_from_who_gives_it() -> None:
    """A station without an agreement for meals is not sent because nobody took the order; the desk hears why."""
    room = Room(policy_with("service"))
    room.working.chains = {"ours": Chain(step=(step(20, "own", "order"),), name="ours")}
    draft = Draft(room.working)
    assert on_event(draft, request_event(person="wang", service="meals", by="Li Na", now=room.now), room.now) == "stored"
    room._settle(draft)
    room.advance(seconds=30)
    assert not room.only.legs
    assert [one["result"] for one in said(room, "policy_nobody")] == ["no_agreement"]
