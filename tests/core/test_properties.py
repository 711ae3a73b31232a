"""Whatever happens, in whatever order: nobody is forgotten, books balance, loads are true, one exclusive leg comes (invariants 2, 4, 6)."""

import contextlib
from collections import Counter
from datetime import timedelta
from typing import ClassVar

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.config import CallsConfig, Chain, HotlineConfig, PolicyConfig
from gateway.config.policies import StepConfig
from gateway.core.command import Command, on_command
from gateway.core.decide import on_event
from gateway.core.escalation import on_deadline, shifted
from gateway.core.hand_over import Taken, told
from gateway.core.incident import COMING, OPEN_LEG, Action, Flag, Incident, LegState, Outcome, Role, State
from gateway.core.least_data import order_body
from gateway.core.maintenance import PRESSES
from gateway.core.matters import on_ruling
from gateway.core.orders import delivered, informed
from gateway.core.register import Register, Responder, ResponderKind
from gateway.core.requests import request_event
from gateway.core.shelving import is_shelvable
from gateway.core.standing import Ruling
from gateway.core.state import Call, Draft, Record, WorkingSet
from gateway.core.territory import Provider, Standing
from gateway.errors import Refused
from gateway.event import ALARM_KINDS, KINDS, Event, Group, Kind, Phase, Severity
from tests.core.room import AREAS, DEVICES, PERSONS, POLICY, RESPONDERS, Room
from tests.core.test_notices import DAUGHTER, SON
from tests.core.test_teams import BESIDE, WANG

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
    Action.WAIVE: {"reason": "in hospital for weeks"},
    Action.HANDLE: {"finding": "justified", "note": "the station apologised"},
}
NEIGHBOUR = HotlineConfig(number="6212345", hand_over="https://neighbour.example/api/v1/hand-overs", secret_file="neighbour.secret")
DISTRICT_WITHOUT_DESK = PolicyConfig(
    critical=msgspec.structs.replace(POLICY.critical, accept_acknowledges=True), major=msgspec.structs.replace(POLICY.major, accept_acknowledges=True)
)
CLEAN = Responder(id="clean-home", name="Clean", kind=ResponderKind.PROVIDER, parent="town", lat=36.341, lon=102.882, capacity=2)
AGREED = Provider(id="clean-home", services=("housekeeping",), urgent=True)


def register_without(*names: str) -> Register:
    """The town, without these responders."""
    return Register(
        district="honggu",
        persons=[msgspec.structs.replace(WANG, contacts=(DAUGHTER, SON)), *PERSONS[1:]],
        devices=DEVICES,
        responders=[one for one in (*RESPONDERS, *BESIDE, CLEAN) if one.id not in names],
        areas=AREAS,
        providers=[AGREED],
        version=f"properties without {names}",
    )


REGISTER = register_without()
POOLS = {Role.DOCTOR: "informed", Role.HOSPITAL: "informed", Role.SERVICE: "service"}


class Life(RuleBasedStateMachine):
    """One life of the core. A draft that is thrown away must leave no trace, so each step may be decided once for nothing."""

    policy = POLICY
    chains: ClassVar[dict[str, Chain]] = {}

    def __init__(self) -> None:
        super().__init__()
        room = Room(self.policy, (NEIGHBOUR,), register=REGISTER)
        room.working.chains = self.chains
        self.register = room.working.register
        self.working = room.working
        self.now = room.now
        self.records: list[Record] = []
        self.count = 0
        self.shelved: dict[str, Incident] = {}

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
            facts = {
                "responder": data.draw(st.sampled_from([None, *REGISTER.responders])),
                "role": data.draw(st.sampled_from([None, None, *(role.value for role in Role if role is not Role.SERVICE)])),
            }
        elif action is Action.WITHDRAW and incident.legs:
            facts = {"delivery": data.draw(st.sampled_from(incident.legs)).delivery}
        elif action is Action.HAND_OVER:
            facts = {"to": data.draw(st.sampled_from(["12345", NEIGHBOUR.number]))}
        elif action is Action.MERGE:
            facts = {"into": data.draw(st.sampled_from(list(self.working.incidents)))}
        elif action is Action.SPLIT:
            devices = [f"{one.line}|{one.device}" for one in incident.sounded] or [f"{incident.line}|{incident.device}"]
            by_call = incident.call is not None and data.draw(st.booleans())
            facts = {"call": incident.call} if by_call else {"device": data.draw(st.sampled_from(devices))}
        elif action is Action.HOLD:
            facts = {"until": (self.now + timedelta(hours=2)).isoformat(), "reason": "the family is away"}
        elif action is Action.SHELVE:
            facts = {"until": (self.now + timedelta(hours=data.draw(st.sampled_from([1, 8])))).isoformat(), "reason": "the technician comes"}
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
            if action is Action.CALL_BACK and Flag.COMPLAINT in incident.flags:
                action = Action.HANDLE
            if action is Action.COMPLAIN and incident.merged_into is not None:
                action = Action.UNMERGE
            facts: dict[str, object] = {"outcome": "helped"} if action is Action.RESOLVE else dict(FACTS.get(action, {}))
            draft = Draft(self.working)
            why = ""
            try:
                on_command(draft, Command(action=action, actor="Li Na", incident=name, facts=facts), self.now)
            except Refused as refused:
                why = refused.reason
            assert why in ("", "undo_too_late", "merged_further", "not_merged"), why
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

    @rule(seconds=st.sampled_from([-4000, -3, 3, 90_000]))
    def the_wall_clock_steps(self, seconds: int) -> None:
        step = timedelta(seconds=seconds)
        self.now += step
        self.working.shift(step)
        draft = Draft(self.working)
        for incident in self.working.open_incidents:
            draft.put(shifted(incident, step))
        self.decided(draft)

    @rule(service=st.sampled_from(["meals", "housekeeping"]))
    def a_service_is_wanted(self, service: str) -> None:
        self.count += 1
        draft = Draft(self.working)
        event = request_event(person="wang", service=service, by="Li Na", now=self.now, identity=f"r{self.count}")
        assert on_event(draft, event, self.now) == "stored"
        self.decided(draft)

    @rule(
        key=st.sampled_from(["lost:town", "lost:district", "frozen:station-7", "provider:clean-home", "blocked:clean-home", "saturated:honggu"]),
        value=st.sampled_from(["lost", "frozen", "saturated", "suspended", "admitted", "credit", ""]),
        hours=st.sampled_from([None, 1]),
    )
    def somebody_rules(self, key: str, value: str, hours: int | None) -> None:
        draft = Draft(self.working)
        until = self.now + timedelta(hours=hours) if hours is not None else None
        try:
            on_ruling(draft, Ruling(key=key, value=value, actor="Zhou Jie", reason="said so", until=until), self.now)
        except Refused:
            assert not draft.standings.written, "what is refused changes nothing"
        self.decided(draft)

    @rule(device=st.sampled_from(["w-wang", "lobby"]), value=st.sampled_from(["maintenance", "test", ""]), hours=st.sampled_from([1, 8, 20]))
    def somebody_works_on_a_device(self, device: str, value: str, hours: int) -> None:
        draft = Draft(self.working)
        ruling = Ruling(key=f"maintenance:wearables|{device}", value=value, actor="Ma Jun", reason="said so", until=self.now + timedelta(hours=hours))
        with contextlib.suppress(Refused):
            on_ruling(draft, ruling, self.now)
        self.decided(draft)

    @precondition(lambda self: self._things())
    @rule(data=st.data())
    def a_thing_is_put_aside(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(self._things()))
        draft = Draft(self.working)
        facts: dict[str, object] = {"until": (self.now + timedelta(hours=2)).isoformat(), "reason": "the technician comes"}
        on_command(draft, Command(action=Action.SHELVE, actor="Li Na", incident=name, facts=facts), self.now)
        self.decided(draft)
        after = self.working.incidents[name]
        assert after.next_deadline is not None
        assert after.next_deadline[0] in ("shelf", "hold"), "nothing presses before"

    def _things(self) -> list[str]:
        return [
            one.id
            for one in self.working.open_incidents
            if one.state in (State.RAISED, State.ACKNOWLEDGED) and is_shelvable(one, self.working.shelving)
        ]

    @precondition(lambda self: any(one.state == "pending" for incident in self.working.incidents.values() for one in incident.notices))
    @rule(data=st.data(), failed=st.sampled_from(["", "http_404"]))
    def somebody_was_told(self, data: st.DataObject, failed: str) -> None:
        waiting = [(incident.id, one.id) for incident in self.working.incidents.values() for one in incident.notices if one.state == "pending"]
        name, notice = data.draw(st.sampled_from(waiting))
        draft = Draft(self.working)
        informed(draft, name, notice, failed, self.now)
        self.decided(draft)

    @rule(without=st.sampled_from([(), ("station-7",), ("health-1", "dr-ma"), ("desk",)]))
    def another_register_is_read(self, without: tuple[str, ...]) -> None:
        """Who has an order in hand may be gone from it."""
        self.register = register_without(*without)
        self.working.use(self.register, self.now)

    @rule()
    def the_house_starts_again(self) -> None:
        before = self.working
        self.working = WorkingSet(self.register, self.policy, CallsConfig(), (NEIGHBOUR,))
        self.working.chains = self.chains
        written = msgspec.json.encode((list(before.open_incidents), list(before.calls.values()), list(before.standings.values())))
        incidents, calls, standings = msgspec.json.decode(written, type=tuple[list[Incident], list[Call], list[Standing]])
        assert incidents == list(before.open_incidents)
        assert standings == list(before.standings.values())
        self.working.restore(incidents, calls, before.known, before.seen.items(), standings)
        self.working.next_number, self.working.opened, self.working.closed = before.next_number, before.opened, before.closed
        ahead, behind = Draft(self.working), Draft(before)
        assert self.working.standings == before.standings
        assert {name: set(found) for name, found in self.working.by_alias.items()} == {name: set(found) for name, found in before.by_alias.items()}
        assert self.working.by_key.keys() == before.by_key.keys()
        assert {one.id: one for one in self.working.open_incidents} == {one.id: one for one in before.open_incidents}, "a restart decides nothing"
        assert all(ahead.incident_of_key(key) == behind.incident_of_key(key) for key in before.by_key)

    @invariant()
    def nobody_is_forgotten(self) -> None:
        for incident in self.working.incidents.values():
            assert incident.next_deadline is not None if incident.is_open else not incident.deadlines

    @invariant()
    def only_things_and_what_is_in_maintenance_is_on_the_shelf(self) -> None:
        """And nothing that cried, became worse or another thing since; it comes back by itself within a shift."""
        mine = {one.id: one for one in self.working.incidents.values() if one.shelf is not None}
        for incident in mine.values():
            assert incident.state in (State.RAISED, State.ACKNOWLEDGED)
            kinds = {incident.kind, *incident.also}
            is_thing = all(KINDS[kind].group in (Group.DEVICE, Group.LINE) for kind in kinds)
            assert is_thing or (Flag.MAINTENANCE in incident.flags and not kinds & set(PRESSES)), "a cry is never put aside"
            assert incident.shelf is not None
            assert incident.deadlines["shelf"] == incident.shelf.until <= incident.shelf.at + timedelta(hours=8)
            assert incident.next_deadline is not None
            assert incident.next_deadline[0] in ("shelf", "hold")
            before = self.shelved.get(incident.id)
            if before is not None and before.shelf == incident.shelf:
                assert (incident.cries, incident.kind, incident.also) == (before.cries, before.kind, before.also)
                assert incident.severity.rank >= before.severity.rank
        self.shelved = mine

    @invariant()
    def loads_are_true(self) -> None:
        """Who is only told carries nothing by it, and ordinary services fill a pool of their own."""
        legs = Counter(
            f"{leg.responder}|{POOLS[leg.role]}" if leg.role in POOLS else leg.responder
            for incident in self.working.incidents.values()
            for leg in incident.legs
            if leg.state in OPEN_LEG
        )
        assert {responder: load for responder, load in self.working.load.items() if load} == dict(legs)
        assert all(incident.is_open or not any(leg.state in OPEN_LEG for leg in incident.legs) for incident in self.working.incidents.values())

    @invariant()
    def incidents_balance(self) -> None:
        assert self.working.opened == len(list(self.working.open_incidents)) + self.working.closed

    @invariant()
    def one_exclusive_leg_of_a_role_is_coming(self) -> None:
        for incident in self.working.incidents.values():
            coming = Counter(leg.role for leg in incident.legs if leg.exclusive and leg.state in COMING)
            assert not coming or max(coming.values()) == 1

    @invariant()
    def nobody_has_two_open_orders_of_one_role(self) -> None:
        """Also who answers an order that had expired, and was ordered anew meanwhile, comes once."""
        for incident in self.working.incidents.values():
            asked = [(leg.responder, leg.role) for leg in incident.legs if leg.state in OPEN_LEG]
            assert len(asked) == len(set(asked))

    @invariant()
    def the_desk_stands_for_the_station_alone(self) -> None:
        for incident in self.working.incidents.values():
            assert all(leg.role in (Role.SOCIAL, Role.SERVICE) or leg.actor for leg in incident.legs if leg.responder == "desk")

    @invariant()
    def nobody_beside_stops_the_station(self) -> None:
        """While it rings, and no operator took the order back, somebody of the station's role is asked, comes, or was there for this cry."""
        for incident in self.working.open_incidents:
            mine = [leg for leg in incident.legs if leg.role is Role.SOCIAL]
            if incident.state is State.RAISED and mine and any(leg.role is not Role.SOCIAL for leg in incident.legs):
                ended = [leg for leg in mine if leg.state in (LegState.DECLINED, LegState.EXPIRED, LegState.FAILED)]
                assert len(ended) < len(mine), "the tree goes on to the desk, which is asked for ever"

    @invariant()
    def what_leaves_is_least_data(self) -> None:
        for incident in self.working.incidents.values():
            for leg in incident.legs:
                if leg.pending:
                    body = order_body(incident, leg, self.register)
                    may_know = leg.role in (Role.MEDICAL, Role.DOCTOR, Role.HOSPITAL, Role.EMERGENCY)
                    kind = REGISTER.responders[leg.responder].kind
                    assert b"hypertension" not in body or (may_know and kind not in (ResponderKind.NEIGHBOUR, ResponderKind.PROPERTY))

    @invariant()
    def nobody_is_told_under_duress(self) -> None:
        for incident in self.working.incidents.values():
            if incident.silent:
                assert all(one.state != "pending" for one in incident.notices)

    @invariant()
    def keys_lead_to_all_open_incidents_and_to_no_other(self) -> None:
        indexed = {(key, name) for key, names in self.working.by_key.items() for name in names}
        assert indexed == {(incident.key, incident.id) for incident in self.working.open_incidents}

    @invariant()
    def a_critical_alarm_that_nobody_took_is_ordered(self) -> None:
        for incident in self.working.open_incidents:
            is_tried = Flag.MAINTENANCE in incident.flags and incident.kind not in PRESSES
            if (
                incident.state is State.RAISED
                and incident.severity is Severity.CRITICAL
                and KINDS[incident.kind].group is Group.PERSON
                and not is_tried
            ):
                assert any(leg.role is Role.SOCIAL or leg.actor for leg in incident.legs), "ordered at once"

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


class LifeWithChains(Life):
    """Where chains of escalation press what nobody takes."""

    policy = PolicyConfig(
        critical=msgspec.structs.replace(POLICY.critical, steps="worst"),
        major=msgspec.structs.replace(POLICY.major, steps="bad"),
        minor=msgspec.structs.replace(POLICY.minor, steps="bad"),
    )
    chains: ClassVar[dict[str, Chain]] = {
        "worst": Chain(
            name="worst",
            step=(
                StepConfig(after_s=20, to="supervisor", how="ring", times=3, repeat_every_s=25),
                StepConfig(after_s=30, to="parent", how="order"),
                StepConfig(after_s=90, to="own", how="order"),
                StepConfig(after_s=90, to="district_centre", how="notify"),
                StepConfig(after_s=300, to="emergency", how="ring"),
            ),
        ),
        "bad": Chain(
            name="bad",
            step=(
                StepConfig(after_s=0, to="desk", how="ring"),
                StepConfig(after_s=200, to="district_centre", how="order"),
                StepConfig(after_s=900, to="street_centre", how="notify", quiet="11:00-13:00"),
            ),
        ),
    }


for machine in (Life, LifeWithoutDesk, LifeWithChains):
    machine.TestCase.settings = settings(max_examples=100, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck))
TestLife = Life.TestCase
TestLifeWithoutDesk = LifeWithoutDesk.TestCase
TestLifeWithChains = LifeWithChains.TestCase
