"""Whatever happens, in whatever order: nobody is forgotten, books balance, loads are true, one exclusive leg comes (invariants 2, 4, 6)."""

from collections import Counter
from datetime import timedelta

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.config import CallsConfig, HotlineConfig, PolicyConfig
from gateway.core.command import Command, on_command
from gateway.core.decide import on_event
from gateway.core.escalation import on_deadline
from gateway.core.hand_over import Taken, told
from gateway.core.incident import COMING, OPEN_LEG, Action, Outcome, State
from gateway.core.orders import delivered
from gateway.core.state import Draft, Record, WorkingSet
from gateway.errors import Refused
from gateway.event import ALARM_KINDS, KINDS, Event, Group, Kind, Phase, Severity
from tests.core.room import DEVICES, POLICY, RESPONDERS, Room

FIELD = sorted(kind for kind, facts in KINDS.items() if facts.group in (Group.PERSON, Group.ENVIRONMENT, Group.DEVICE, Group.LIFE, Group.SUBJECTLESS))
CALLS = sorted(kind for kind, facts in KINDS.items() if facts.group is Group.TELEPHONE)
LINES = (Kind.LINE_LOST, Kind.LINE_RESTORED, Kind.GAP)
ANSWERS = (Kind.ACCEPT, Kind.DECLINE, Kind.EN_ROUTE, Kind.ARRIVED, Kind.DONE)
ADDRESSES = [*(device.id for device in DEVICES), "stranger"]
CALLERS = ["+8613800000001", "+8613800000003", "+8613900000009", None]
FACTS = {
    Action.ASSIGN: {"to": "Wang Qiang"},
    Action.NOTE: {"text": "a note"},
    Action.STEP: {"step": "call_person"},
    Action.IDENTIFY: {"person": "wang"},
    Action.COMPLAIN: {"note": "nobody came"},
}
NEIGHBOUR = HotlineConfig(number="6212345", hand_over="https://neighbour.example/api/v1/hand-overs", secret_file="neighbour.secret")
DISTRICT_WITHOUT_DESK = PolicyConfig(
    critical=msgspec.structs.replace(POLICY.critical, accept_acknowledges=True), major=msgspec.structs.replace(POLICY.major, accept_acknowledges=True)
)


class Life(RuleBasedStateMachine):
    """One life of the core. A draft that is thrown away must leave no trace, so each step may be decided once for nothing."""

    policy = POLICY

    def __init__(self) -> None:
        super().__init__()
        room = Room(self.policy, (NEIGHBOUR,))
        self.register = room.working.register
        self.working = room.working
        self.now = room.now
        self.records: list[Record] = []
        self.count = 0

    def decided(self, draft: Draft) -> None:
        self.records += draft.records
        draft.settle()

    def take(self, kind: Kind, line: str, device: str | None, phase: Phase, *, late: str | None = None, **detail: object) -> None:
        self.count += 1
        event = Event(
            kind=kind,
            phase=phase,
            line=line,
            device=device,
            dedup=str(self.count),
            received_at=self.now,
            occurred_at=self.now,
            late=late,
            detail=detail,
        )
        on_event(Draft(self.working), event, self.now)
        draft = Draft(self.working)
        on_event(draft, event, self.now)
        self.decided(draft)

    @rule(
        kind=st.sampled_from(FIELD),
        device=st.sampled_from(ADDRESSES),
        phase=st.sampled_from(Phase),
        late=st.sampled_from([None, None, None, "queued"]),
    )
    def something_is_heard(self, kind: Kind, device: str, phase: Phase, late: str | None) -> None:
        self.take(kind, "wearables", device, phase, late=late)

    @rule(kind=st.sampled_from((Kind.SOS, Kind.HELP, Kind.BED_EXIT)), device=st.sampled_from(ADDRESSES))
    def somebody_cries(self, kind: Kind, device: str) -> None:
        self.take(kind, "wearables", device, Phase.RAISE)

    @rule(kind=st.sampled_from(CALLS), caller=st.sampled_from(CALLERS), call=st.integers(0, 2), inferred=st.booleans())
    def a_call_moves(self, kind: Kind, caller: str | None, call: int, inferred: bool) -> None:
        self.take(kind, "pbx", caller, Phase.STATE, call=f"c{call}", caller_e164=caller, inferred=inferred)

    @rule(kind=st.sampled_from(LINES), mandatory=st.booleans())
    def a_line_comes_or_goes(self, kind: Kind, mandatory: bool) -> None:
        self.take(kind, "panel", None, Phase.RAISE if kind is Kind.LINE_LOST else Phase.STATE, mandatory=mandatory)

    @precondition(lambda self: self.working.by_delivery)
    @rule(data=st.data(), word=st.sampled_from(ANSWERS))
    def a_responder_answers(self, data: st.DataObject, word: Kind) -> None:
        delivery = data.draw(st.sampled_from(sorted(self.working.by_delivery, key=self._age)))
        leg = self.working.incidents[self.working.by_delivery[delivery]].leg(delivery)
        assert leg is not None
        self.take(word, "replies", leg.responder, Phase.STATE, delivery=delivery, by="somebody")

    def _age(self, delivery: str) -> tuple[str, int]:
        """Delivery ids are drawn anew in each run; their places are not."""
        name = self.working.by_delivery[delivery]
        return name, [leg.delivery for leg in self.working.incidents[name].legs].index(delivery)

    @precondition(lambda self: self.working.by_delivery)
    @rule(data=st.data(), failed=st.sampled_from([None, None, "http_404"]))
    def a_channel_reports(self, data: st.DataObject, failed: str | None) -> None:
        legs = [(leg.delivery, leg.repeat, leg.pending) for incident in self.working.incidents.values() for leg in incident.legs if leg.pending]
        if legs:
            delivery, repeat, notice = data.draw(st.sampled_from(legs))
            draft = Draft(self.working)
            delivered(draft, delivery, repeat, notice, failed, self.now)
            self.decided(draft)

    @precondition(lambda self: self.working.incidents)
    @rule(
        data=st.data(),
        action=st.sampled_from([action for action in Action if action not in (Action.JOIN, Action.SECOND_CRY, Action.END)]),
        actor=st.sampled_from(["Li Na", "Wang Qiang"]),
    )
    def an_operator_acts(self, data: st.DataObject, action: Action, actor: str) -> None:
        incident = self.working.incidents[data.draw(st.sampled_from(list(self.working.incidents)))]
        facts: dict[str, object] = dict(FACTS.get(action, {}))
        if action is Action.DISPATCH:
            facts = {"responder": data.draw(st.sampled_from([None, *(responder.id for responder in RESPONDERS)]))}
        elif action is Action.WITHDRAW and incident.legs:
            facts = {"delivery": data.draw(st.sampled_from(incident.legs)).delivery}
        elif action is Action.HAND_OVER:
            facts = {"to": data.draw(st.sampled_from(["12345", NEIGHBOUR.number]))}
        elif action is Action.MERGE:
            facts = {"into": data.draw(st.sampled_from(list(self.working.incidents)))}
        elif action is Action.RESOLVE:
            facts = {"outcome": data.draw(st.sampled_from(Outcome)).value}
        draft = Draft(self.working)
        try:
            on_command(draft, Command(action=action, actor=actor, incident=incident.id, facts=facts), self.now)
        except Refused:
            written = (*draft.records, *draft.incidents.written, *draft.by_key.written, *draft.known)
            assert written == (), "what is refused changes nothing"
        self.decided(draft)

    @precondition(lambda self: any(one.handed is not None for one in self.working.incidents.values()))
    @rule(data=st.data(), has_it=st.booleans())
    def a_neighbour_answers(self, data: st.DataObject, has_it: bool) -> None:
        handed = [(one.id, one.handed.delivery) for one in self.working.incidents.values() if one.handed is not None]
        name, delivery = data.draw(st.sampled_from(handed))
        draft = Draft(self.working)
        told(draft, name, delivery, Taken(incident="WO-1") if has_it else None, "http_409", self.now)
        self.decided(draft)

    @precondition(lambda self: self.working.incidents)
    @rule(data=st.data(), orders=st.lists(st.booleans(), min_size=1, max_size=5))
    def an_incident_goes_nearer_its_end(self, data: st.DataObject, orders: list[bool]) -> None:
        """The usual way, so that all states are met often; here and there with an order beside it."""
        name = data.draw(st.sampled_from(list(self.working.incidents)))
        steps = {
            State.RAISED: Action.ACKNOWLEDGE,
            State.ACKNOWLEDGED: Action.RESOLVE,
            State.RESOLVED: Action.CALL_BACK,
            State.CLOSED: Action.COMPLAIN,
        }
        for is_order in orders:
            incident = self.working.incidents[name]
            action = Action.DISPATCH if is_order and incident.is_open else steps[incident.state]
            facts: dict[str, object] = {"outcome": "helped"} if action is Action.RESOLVE else dict(FACTS.get(action, {}))
            draft = Draft(self.working)
            on_command(draft, Command(action=action, actor="Li Na", incident=name, facts=facts), self.now)
            self.decided(draft)

    @rule(seconds=st.sampled_from([1, 31, 61, 200, 1000, 90_000]))
    def time_passes(self, seconds: int) -> None:
        """To a time; each deadline on the way is handled once, in order (more would be as after a downtime)."""
        self.now += timedelta(seconds=seconds)
        due = [(i.next_deadline[1], i.id, i.next_deadline[0]) for i in self.working.open_incidents if i.next_deadline is not None]
        for at, name, deadline in sorted(due):
            if at <= self.now:
                draft = Draft(self.working)
                on_deadline(draft, self.working.incidents[name], deadline, self.now)
                self.decided(draft)
                after = self.working.incidents[name].deadlines.get(deadline)
                assert after is None or after > self.now, "a deadline that was handled has gone or moved on"

    @rule()
    def the_house_starts_again(self) -> None:
        before = self.working
        self.working = WorkingSet(self.register, self.policy, CallsConfig(), (NEIGHBOUR,))
        self.working.restore(before.open_incidents, before.calls.values(), before.known, before.seen.items())
        self.working.next_number, self.working.opened, self.working.closed = before.next_number, before.opened, before.closed
        ahead, behind = Draft(self.working), Draft(before)
        assert self.working.by_key.keys() == before.by_key.keys()
        assert all(ahead.incident_of_key(key) == behind.incident_of_key(key) for key in before.by_key)

    @invariant()
    def nobody_is_forgotten(self) -> None:
        for incident in self.working.incidents.values():
            assert incident.next_deadline is not None if incident.is_open else not incident.deadlines

    @invariant()
    def loads_are_true(self) -> None:
        legs = Counter(leg.responder for incident in self.working.incidents.values() for leg in incident.legs if leg.state in OPEN_LEG)
        assert {responder: load for responder, load in self.working.load.items() if load} == dict(legs)
        assert all(incident.is_open or not any(leg.state in OPEN_LEG for leg in incident.legs) for incident in self.working.incidents.values())

    @invariant()
    def incidents_balance(self) -> None:
        assert self.working.opened == len(list(self.working.open_incidents)) + self.working.closed

    @invariant()
    def one_exclusive_leg_is_coming(self) -> None:
        for incident in self.working.incidents.values():
            assert sum(leg.exclusive and leg.state in COMING for leg in incident.legs) <= 1

    @invariant()
    def keys_lead_to_all_open_incidents_and_to_no_other(self) -> None:
        indexed = {(key, name) for key, names in self.working.by_key.items() for name in names}
        assert indexed == {(incident.key, incident.id) for incident in self.working.open_incidents}

    @invariant()
    def a_critical_alarm_that_nobody_took_is_ordered(self) -> None:
        for incident in self.working.open_incidents:
            if incident.state is State.RAISED and incident.severity is Severity.CRITICAL and KINDS[incident.kind].group is Group.PERSON:
                assert incident.legs, "ordered at once"

    def teardown(self) -> None:
        """The journal: each alarm an entry of exactly one incident, each message once, each incident opened by its first entry."""
        alarms = [record for record in self.records if record.kind in ALARM_KINDS and record.phase in (Phase.RAISE, Phase.REPEAT)]
        for record in alarms:
            event = msgspec.json.decode(record.facts, type=Event)
            assert record.incident is not None or event.late is not None
        names = [record.dedup for record in self.records if record.dedup is not None]
        assert len(names) == len(set(names))
        opened = {record.incident for record in self.records if record.incident is not None}
        assert opened == {f"I{number}" for number in range(100_001, self.working.next_number)}


class LifeWithoutDesk(Life):
    """Where a responder's accept ends the ringing."""

    policy = DISTRICT_WITHOUT_DESK


for machine in (Life, LifeWithoutDesk):
    machine.TestCase.settings = settings(max_examples=100, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck))
TestLife = Life.TestCase
TestLifeWithoutDesk = LifeWithoutDesk.TestCase
