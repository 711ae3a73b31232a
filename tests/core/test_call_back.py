"""Stories of lost calls: each is a task, in order, until somebody is reached; nobody is forgotten."""

import json
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.config import HotlineConfig
from gateway.core.calls import LOST, call_backs
from gateway.core.incident import Action, Flag, State
from gateway.errors import Refused
from gateway.event import Kind, Severity
from tests.core.room import START, Room

WANG, COUPLE, STRANGER, SECOND_STRANGER = "+8613800000001", "+8613800000003", "+8613900000009", "+8613900000010"
HOTLINES = (HotlineConfig(number="12345", severity="minor", call_back_s=3600), HotlineConfig(number="6212345", severity="critical"))


@pytest.fixture
def room() -> Room:
    return Room(hotlines=HOTLINES)


def test_the_hotline_chooses_urgency_and_time(room: Room) -> None:
    room.calls_in_vain(WANG, "a", hotline="12345")
    assert (room.only.hotline, room.only.severity) == ("12345", Severity.MINOR)
    assert room.only.deadlines["call"] == START + timedelta(hours=1)
    room.calls_in_vain(STRANGER, "b", hotline="6212345")
    urgent = call_backs(room.working.open_incidents)[0]
    assert (urgent.caller, urgent.severity, urgent.deadlines["call"]) == (STRANGER, Severity.CRITICAL, START + timedelta(minutes=5))


def test_a_hotline_without_a_section_has_the_defaults(room: Room) -> None:
    room.calls_in_vain(WANG, "a", hotline="12349")
    assert (room.only.severity, room.only.deadlines["call"]) == (Severity.MAJOR, START + timedelta(minutes=5))


def test_repeated_attempts_are_one_task_with_a_count_and_rising_urgency(room: Room) -> None:
    room.calls_in_vain(STRANGER, "a")
    room.advance(seconds=60)
    room.calls_in_vain(STRANGER, "b")
    assert (room.only.attempts, room.only.severity, room.only.first_attempt_at) == (2, Severity.MAJOR, START)
    assert room.only.deadlines["call"] == START + timedelta(seconds=60 + 120), "half of what was left"
    room.advance(seconds=20)
    room.calls_in_vain(STRANGER, "c")
    assert (room.only.attempts, room.only.severity) == (3, Severity.CRITICAL)
    assert room.only.deadlines["call"] == START + timedelta(seconds=80 + 50)


def test_the_third_attempt_rings_the_desk_again_although_somebody_had_taken_it(room: Room) -> None:
    room.calls_in_vain(STRANGER, "a")
    room.do(Action.ACKNOWLEDGE, room.only.id)
    room.calls_in_vain(STRANGER, "b")
    assert room.only.state is State.ACKNOWLEDGED, "twice may be chance"
    room.calls_in_vain(STRANGER, "c")
    assert room.only.state is State.RAISED


def test_attempts_at_one_persons_alarm_leave_it_an_alarm(room: Room) -> None:
    room.event(Kind.FALL_SUSPECTED, "w-wang")
    for key in "abc":
        room.calls_in_vain(WANG, key)
    assert (room.only.kind, room.only.severity, room.only.attempts) == (Kind.FALL_SUSPECTED, Severity.CRITICAL, 3)
    assert [order["to"] for order in room.orders] == ["station-7"], "a critical alarm is ordered at once, however it became critical"


def test_the_list_is_urgent_first_then_who_tried_first(room: Room) -> None:
    for minute, (caller, hotline) in enumerate([(WANG, "12345"), (STRANGER, "12349"), (SECOND_STRANGER, "12349"), (None, "12349")]):
        room.calls_in_vain(caller, f"k{minute}", hotline=hotline)
        room.advance(seconds=10)
    room.calls_in_vain(STRANGER, "again")
    assert [one.caller for one in call_backs(room.working.open_incidents)] == [STRANGER, SECOND_STRANGER, None, WANG]


def test_who_gets_through_later_is_no_task_any_more(room: Room) -> None:
    room.calls_in_vain(STRANGER, "a")
    room.advance(seconds=30)
    room.call(Kind.CALL_OFFERED, STRANGER, "b")
    room.call(Kind.CALL_ANSWERED, STRANGER, "b", agent="8001")
    assert (Flag.CALL_DUE in room.only.flags, "call" in room.only.deadlines, room.only.attempts) == (False, False, 0)
    assert room.kinds(room.only.id)[-2:] == ["call_answered", "call_back"], "noted"
    room.advance(minutes=30)
    assert room.orders == []


def test_an_anonymous_lost_call_is_a_task_of_its_own_each_time(room: Room) -> None:
    for key in "ab":
        room.call(Kind.CALL_OFFERED, None, key, caller="anonymous")
        room.call(Kind.CALL_ABANDONED, None, key, caller="anonymous")
    assert [one.attempts for one in call_backs(room.working.open_incidents)] == [1, 1], "nobody knows whether it is one person"


def test_calls_passed_on_by_another_hotline_under_its_number_are_many_people(room: Room) -> None:
    for key in "ab":
        room.calls_in_vain("12345", key)
    assert len(call_backs(room.working.open_incidents)) == 2


def test_a_task_of_a_shared_number_stays_one_after_the_person_is_known(room: Room) -> None:
    room.calls_in_vain(COUPLE, "a")
    room.do(Action.IDENTIFY, room.only.id, person="sun")
    room.advance(minutes=20)
    room.calls_in_vain(COUPLE, "b")
    assert (room.only.person, room.only.attempts) == ("sun", 2)


def test_an_attempt_after_the_visit_was_ordered_sets_a_new_and_nearer_time(room: Room) -> None:
    room.calls_in_vain(WANG, "a")
    room.advance(seconds=301)
    assert [order["to"] for order in room.orders] == ["station-7"]
    room.calls_in_vain(WANG, "b")
    assert room.only.deadlines["call"] == room.now + timedelta(seconds=150)


def test_a_call_that_ends_unseen_after_it_was_resolved_is_no_task(room: Room) -> None:
    room.call(Kind.CALL_ANSWERED, WANG, "a")
    room.do(Action.ACKNOWLEDGE, room.only.id)
    room.do(Action.RESOLVE, room.only.id, outcome="helped")
    room.call(Kind.CALL_ENDED, WANG, "a", inferred=True)
    assert (room.only.state, room.only.flags) == (State.RESOLVED, ())


def test_a_new_call_about_what_was_resolved_rings_the_desk(room: Room) -> None:
    room.call(Kind.CALL_ANSWERED, WANG, "a")
    room.do(Action.ACKNOWLEDGE, room.only.id)
    room.do(Action.RESOLVE, room.only.id, outcome="helped")
    room.call(Kind.CALL_ENDED, WANG, "a")
    room.advance(minutes=2)
    room.call(Kind.CALL_ANSWERED, WANG, "b")
    assert room.only.state is State.RAISED


class Telephones(RuleBasedStateMachine):
    """Every lost call is a task until somebody was called back, got through, or the incident was resolved."""

    def __init__(self) -> None:
        super().__init__()
        self.room = Room(hotlines=HOTLINES)
        self.live: dict[str, str | None] = {}
        self.lost: dict[str, int] = {}  # incident -> lost calls that nobody has answered yet
        self.count = 0

    def _heard(self, kind: Kind, caller: str | None, key: str, **detail: object) -> None:
        self.room.call(kind, caller, key, **detail)
        name = next(record.incident for record in reversed(self.room.records) if record.kind is kind)
        for record in self.room.records[self.count :]:  # a merger takes the tasks along
            if record.kind is Kind.MERGE and b'"into"' in record.facts and record.incident in self.lost:
                merged = self.room.working.incidents[str(record.incident)]
                self.lost[str(merged.merged_into)] = self.lost.pop(str(record.incident)) + self.lost.get(str(merged.merged_into), 0)
        self.count = len(self.room.records)
        if kind in LOST:
            assert name is not None
            self.lost[name] = self.lost.get(name, 0) + 1
        elif kind is Kind.CALL_ANSWERED and name is not None:
            self.lost.pop(name, None)

    @rule(
        caller=st.sampled_from([WANG, COUPLE, STRANGER, SECOND_STRANGER, None, "+8617400000005"]),
        end=st.sampled_from(sorted({*LOST, Kind.CALL_ANSWERED, Kind.CALL_OFFERED})),
        hotline=st.sampled_from(["12349", "12345", "6212345"]),
    )
    def a_call(self, caller: str | None, end: Kind, hotline: str) -> None:
        key = f"c{len(self.live)}"
        self.live[key] = caller
        self._heard(Kind.CALL_OFFERED, caller, key, hotline=hotline)
        if end is not Kind.CALL_OFFERED:
            self._heard(end, caller, key, hotline=hotline)

    @precondition(lambda self: any(call.state is Kind.CALL_OFFERED for call in self.room.working.calls.values()))
    @rule(learnt=st.sampled_from([WANG, COUPLE, STRANGER]), end=st.sampled_from(sorted(LOST)))
    def the_caller_is_learnt_late(self, learnt: str, end: Kind) -> None:
        key = next(call.key.partition("|")[2] for call in self.room.working.calls.values() if call.state is Kind.CALL_OFFERED)
        self._heard(Kind.CALL_OFFERED, learnt, key, correction=True)
        self._heard(end, learnt, key)

    @rule(device=st.sampled_from(["w-wang", "w-zhao", "1234567890"]))
    def a_device_cries(self, device: str) -> None:
        self.room.press(device, line="units" if device.isdecimal() else "wearables")

    @rule(seconds=st.sampled_from([1, 100, 400, 4000]))
    def time_passes(self, seconds: int) -> None:
        self.room.advance(seconds=seconds)

    @precondition(lambda self: list(self.room.working.open_incidents))
    @rule(
        data=st.data(),
        action=st.sampled_from([Action.ACKNOWLEDGE, Action.CALL_BACK, Action.RESOLVE, Action.IDENTIFY, Action.MERGE, Action.RELEASE]),
        person=st.sampled_from(["wang", "sun", "li"]),
    )
    def an_operator_acts(self, data: st.DataObject, action: Action, person: str) -> None:
        names = [incident.id for incident in self.room.working.open_incidents]
        name = data.draw(st.sampled_from(names))
        facts = {"outcome": "helped", "person": person, "into": data.draw(st.sampled_from(names))}
        wanted = {Action.RESOLVE: ("outcome",), Action.IDENTIFY: ("person",), Action.MERGE: ("into",)}.get(action, ())
        before = {incident.id: incident for incident in self.room.working.open_incidents}
        try:
            self.room.do(action, name, **{key: facts[key] for key in wanted})
        except Refused:
            return
        if action in (Action.CALL_BACK, Action.RESOLVE):
            self.lost.pop(name, None)
        for record in self.room.records[self.count :]:
            if record.kind is Kind.UNMERGE and name in self.lost:  # the call was somebody else's: the task is both people's
                parted = self.room.working.incidents[json.loads(record.facts)["into"]]
                heir = parted.merged_into or parted.id
                self.lost[heir] = self.lost.get(heir, 0) + self.lost[name]
        for other in before:
            into = self.room.working.incidents[other].merged_into
            if into is not None and other in self.lost:
                self.lost[into] = self.lost.get(into, 0) + self.lost.pop(other)
        self.count = len(self.room.records)

    @invariant()
    def every_lost_call_is_a_task(self) -> None:
        tasks = {incident.id: incident.attempts for incident in call_backs(self.room.working.open_incidents)}
        assert tasks == self.lost

    @invariant()
    def books_balance(self) -> None:
        working = self.room.working
        assert working.opened == len(list(working.open_incidents)) + working.closed
        indexed = {(alias, name) for alias, names in working.by_alias.items() for name in names}
        assert indexed == {(alias, incident.id) for incident in working.open_incidents for alias in incident.aliases}


Telephones.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck))
TestTelephones = Telephones.TestCase
