"""Starting anew at any point equals having lived through it: whatever was decided, the tables give the same working set back."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.config import CallsConfig, Policy, PolicyConfig
from gateway.core import decide
from gateway.core.command import Command, on_command
from gateway.core.escalation import on_deadline
from gateway.core.incident import FIELD_ACTIONS, Action, Outcome
from gateway.core.orders import delivered
from gateway.core.register import Area, AreaKind, Device, Person, Register, Responder, ResponderKind
from gateway.core.state import Draft, WorkingSet
from gateway.errors import Refused
from gateway.event import Event, Kind, Phase, Position
from gateway.store.store import Batch, Store

START = datetime(2026, 3, 14, 3, 0, tzinfo=UTC)
REGISTER = Register(
    district="invented",
    areas=[Area(id="town", name="town", kind=AreaKind.TOWN, lat=36.34, lon=102.86)],
    persons=[
        Person(id="wang", name="甲", area="town", lat=36.34, lon=102.86, phones=("+8617400000001",)),
        Person(id="li", name="乙", area="town", lat=36.35, lon=102.87, phones=("+8617400000002",)),
        Person(id="zhao", name="丙", area="town", phones=("+8617400000002",)),
    ],
    devices=[
        Device(id="w-wang", person="wang"),
        Device(id="b-wang", person="wang"),
        Device(id="w-li", person="li"),
        Device(id="hall", home="house-1"),
    ],
    responders=[
        Responder(id="desk", name="desk", kind=ResponderKind.DESK, channel="console", capacity=1000),
        Responder(id="centre", name="centre", kind=ResponderKind.DISTRICT_CENTRE, parent="desk", lat=36.36, lon=102.88, capacity=3),
        Responder(id="one", name="one", kind=ResponderKind.STATION, parent="centre", areas=("town",), lat=36.34, lon=102.87, capacity=1),
        Responder(id="two", name="two", kind=ResponderKind.STATION, parent="centre", lat=36.37, lon=102.89, capacity=2),
    ],
    version="test",
)
POLICY = PolicyConfig(
    critical=Policy(acknowledge_s=60, reply_s=60, repeat_s=120, order="at_once"),
    major=Policy(acknowledge_s=60, reply_s=180, repeat_s=120, order="unacknowledged", accept_acknowledges=True),
)

devices = st.sampled_from(["w-wang", "b-wang", "w-li", "hall", "unknown"])
kinds = st.sampled_from(
    [Kind.SOS, Kind.FALL, Kind.FALL_SUSPECTED, Kind.HELP, Kind.SMOKE, Kind.LOW_BATTERY, Kind.POWER_CUT, Kind.POWER_BACK, Kind.CANCEL, Kind.LOCATION]
)
phases = st.sampled_from([Phase.RAISE, Phase.RAISE, Phase.REPEAT, Phase.CLEAR, Phase.TEST])
answers = st.sampled_from([Kind.ACCEPT, Kind.DECLINE, Kind.EN_ROUTE, Kind.ARRIVED, Kind.DONE])
call_steps = st.sampled_from([Kind.CALL_OFFERED, Kind.CALL_RINGING, Kind.CALL_ANSWERED, Kind.CALL_ABANDONED, Kind.CALL_ENDED])
numbers = st.sampled_from(["+8617400000001", "+8617400000002", "+8617400000009", None])
actions = st.sampled_from([action for action in Action if action not in FIELD_ACTIONS])
picks = st.integers(0, 1000)


class Restarts(RuleBasedStateMachine):
    """One life with a real database beside it; after each step another life is begun from that database and compared."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.store = Store("sqlite:///gateway.db", Path(self.folder.name))
        self.store.open()
        self.working = WorkingSet(REGISTER, POLICY, CallsConfig())
        self.now = START
        self.count = 0

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    @contextmanager
    def batch(self) -> Iterator[Draft]:
        """What the pipeline does with a batch: decide on a draft, write, swap in. (A draft that raised is thrown away.)"""
        draft = Draft(self.working)
        yield draft
        incidents = [incident for incident in draft.incidents.written.values() if incident is not None]
        self.store.write(Batch(records=draft.records, incidents=incidents, calls=list(draft.calls.written.items()), refusals=draft.refusals))
        if draft.seen:
            self.store.checkpoint(draft.seen.items())
        draft.settle()

    def event(self, kind: Kind, line: str, device: str | None, **more: Any) -> None:
        self.count += 1
        with self.batch() as draft:
            more.setdefault("dedup", str(self.count))
            decide.on_event(draft, Event(kind=kind, line=line, device=device, received_at=self.now, occurred_at=self.now, **more), self.now)

    def do(self, action: Action, name: str, key: str | None = None, **facts: object) -> None:
        with self.batch() as draft:
            on_command(draft, Command(action=action, actor="Li Na", incident=name, facts=facts, key=key), self.now)

    @rule(kind=kinds, device=devices, phase=phases, placed=st.booleans())
    def cry(self, kind: Kind, device: str, phase: Phase, placed: bool) -> None:
        position = Position(lat=36.341, lon=102.861, fixed_at=self.now) if placed else None
        self.event(kind, "wearables", device, phase=phase, position=position, raw=b"\x00\xff")

    @rule(kind=st.sampled_from([Kind.LINE_LOST, Kind.LINE_RESTORED, Kind.GAP]))
    def line(self, kind: Kind) -> None:
        self.event(kind, "wearables", None, phase=Phase.RAISE if kind is Kind.LINE_LOST else Phase.STATE, dedup=None)

    @rule(kind=call_steps, number=numbers, key=st.sampled_from(["c1", "c2"]))
    def call(self, kind: Kind, number: str | None, key: str) -> None:
        detail: dict[str, object] = {"call": key, "caller_e164": number, "caller": number, "hotline": "12349", "inferred": kind is Kind.CALL_ENDED}
        self.event(kind, "pbx", number, phase=Phase.STATE, detail=detail)

    @precondition(lambda self: self.working.by_delivery)
    @rule(word=answers, pick=picks, wrong=st.booleans())
    def answer(self, word: Kind, pick: int, wrong: bool) -> None:
        legs = [leg for name in sorted(self.working.incidents) for leg in self.working.incidents[name].legs]  # ids are drawn anew in each run
        leg = legs[pick % len(legs)]
        responder = "two" if wrong and pick % 5 == 0 else leg.responder
        self.event(word, "replies", responder, phase=Phase.STATE, detail={"delivery": leg.delivery, "by": "somebody"})

    @precondition(lambda self: any(leg.pending for incident in self.working.incidents.values() for leg in incident.legs))
    @rule(pick=picks, failed=st.booleans())
    def leaves(self, pick: int, failed: bool) -> None:
        pending = [leg for incident in self.working.incidents.values() for leg in incident.legs if leg.pending]
        leg = pending[pick % len(pending)]
        with self.batch() as draft:
            delivered(draft, leg.delivery, leg.repeat, leg.pending, "unreachable" if failed and pick % 3 == 0 else None, self.now)

    @precondition(lambda self: self.working.incidents)
    @rule(action=actions, pick=picks, responder=st.sampled_from(["one", "two", None, "nobody"]), key=st.sampled_from([None, "k1", "k2", "k3"]))
    def command(self, action: Action, pick: int, responder: str | None, key: str | None) -> None:
        names = sorted(self.working.incidents)
        name = names[pick % len(names)]
        legs = self.working.incidents[name].legs
        facts: dict[str, object] = {
            Action.ASSIGN: {"to": "Zhou"},
            Action.NOTE: {"text": "note"},
            Action.STEP: {"step": "call_person"},
            Action.DISPATCH: {"responder": responder} if responder else {},
            Action.WITHDRAW: {"delivery": legs[pick % len(legs)].delivery if legs else "none"},
            Action.IDENTIFY: {"person": ["wang", "li", "zhao"][pick % 3]},
            Action.RESOLVE: {"outcome": Outcome.HELPED.value},
            Action.COMPLAIN: {"note": "late"},
            Action.CALL_BACK: {"satisfaction": 5, "complaint": pick % 7 == 0, "note": "late"},
        }.get(action, {})
        try:
            self.do(action, name, key and f"{name}|{action}|{key}", **facts)
        except Refused:
            pass

    @rule(seconds=st.sampled_from([1, 29, 61, 200, 700, 90_000]))
    def time_passes(self, seconds: int) -> None:
        """Deadlines that fall due meanwhile are handled in order, each when it is due."""
        until = self.now + timedelta(seconds=seconds)
        for _ in range(200):
            due = [(i.next_deadline[1], i.id, i.next_deadline[0]) for i in self.working.open_incidents if i.next_deadline is not None]
            if not due or min(due)[0] > until:
                break
            at, name, deadline = min(due)
            self.now = max(self.now, at)
            with self.batch() as draft:
                on_deadline(draft, self.working.incidents[name], deadline, self.now)
        self.now = until

    @rule()
    def closed_are_forgotten(self) -> None:
        for name in [name for name, incident in self.working.incidents.items() if not incident.is_open]:
            self.working.forget(name)

    @invariant()
    def a_new_life_begins_with_the_same(self) -> None:
        found = self.store.load()
        born = WorkingSet(REGISTER, POLICY, CallsConfig())
        born.restore(found.incidents, found.calls, found.known, found.seen)
        born.next_number, born.opened, born.closed = found.next_number, found.opened, found.closed
        lived, again = facts_of(self.working, self.now), facts_of(born, self.now)
        for name in lived:
            assert lived[name] == again[name], name

    @invariant()
    def nobody_is_forgotten(self) -> None:
        for incident in self.working.open_incidents:
            assert incident.next_deadline is not None

    @invariant()
    def the_chain_is_whole(self) -> None:
        assert self.store.verify()[1] is None


def test_a_complaint_is_joined_again_when_the_newer_incident_is_closed() -> None:
    """Found by comparing with a new life: only after a restart did the next cry join the incident that was still being worked on."""
    life = Restarts()
    try:
        for name in ("I100001", "I100002"):
            life.event(Kind.SOS, "wearables", "w-wang")
            life.do(Action.ACKNOWLEDGE, name)
            life.do(Action.RESOLVE, name, outcome="helped")
            life.now += timedelta(minutes=11)
        life.do(Action.COMPLAIN, "I100001", note="nobody came")
        life.do(Action.CALL_BACK, "I100002")
        life.a_new_life_begins_with_the_same()
        life.event(Kind.SOS, "wearables", "w-wang")
        assert life.working.incidents["I100001"].cries == 2
        assert "I100003" not in life.working.incidents
    finally:
        life.teardown()


def facts_of(working: WorkingSet, now: datetime) -> dict[str, object]:
    """What decides how things go on. Not: closed incidents that consoles still show, and keys that nothing can join any more."""
    opened = {incident.id: incident for incident in working.open_incidents}
    draft = Draft(working)
    return {
        "incidents": opened,
        "calls": working.calls,
        "deliveries": {delivery: name for delivery, name in working.by_delivery.items() if name in opened},
        "load": {responder: draft.load(responder) for responder in REGISTER.responders},
        "joined by": {key: draft.incident_of_key(key) for key in working.by_key},
        "seen": dict(working.seen),
        "done once": {identity for identity in working.known if identity.startswith("command|")},
        "next number": working.next_number,
        "opened and closed": (working.opened, working.closed),
    }


Restarts.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck))
TestRestarts = Restarts.TestCase
