"""A room in which stories are played: the pure core with a clock of its own, no disk, no wire. Orders that leave are collected."""

from datetime import UTC, datetime, timedelta

import msgspec

from gateway.config import CallsConfig, HotlineConfig, Policy, PolicyConfig
from gateway.core import decide
from gateway.core.command import Command, on_command
from gateway.core.escalation import on_deadline
from gateway.core.incident import Action, Incident
from gateway.core.least_data import order_body
from gateway.core.orders import delivered
from gateway.core.register import Area, AreaKind, Device, Person, Register, Responder, ResponderKind
from gateway.core.state import Draft, Record, Refusal, WorkingSet
from gateway.event import Event, Kind, Phase, Position

START = datetime(2026, 3, 14, 3, 0, tzinfo=UTC)  # 11:00 in Lanzhou

AREAS = [
    Area(id="honggu", name="Honggu", kind=AreaKind.DISTRICT, lat=36.345, lon=102.86),
    Area(id="haishiwan", name="Haishiwan", kind=AreaKind.TOWN, parent="honggu", lat=36.34, lon=102.88),
]
RESPONDERS = [
    Responder(id="station-7", name="Seven", kind=ResponderKind.STATION, parent="town", areas=("haishiwan",), lat=36.341, lon=102.881, capacity=2),
    Responder(id="station-8", name="Eight", kind=ResponderKind.STATION, parent="town", lat=36.37, lon=102.92, capacity=2),
    Responder(id="night-house", name="Night", kind=ResponderKind.STATION, parent="town", lat=36.3415, lon=102.8815, hours="20:00-08:00"),
    Responder(id="health-1", name="Health", kind=ResponderKind.HEALTH_STATION, parent="town", lat=36.3402, lon=102.8802, skills=("medical-basic",)),
    Responder(id="town", name="Town", kind=ResponderKind.STREET_CENTRE, parent="district", lat=36.35, lon=102.89, capacity=20),
    Responder(id="district", name="District", kind=ResponderKind.DISTRICT_CENTRE, parent="desk", lat=36.345, lon=102.86, capacity=100),
    Responder(id="desk", name="Desk", kind=ResponderKind.DESK, channel="console", capacity=1_000_000),
]
PERSONS = [
    Person(id="wang", name="Invented Wang", area="haishiwan", home="h1", lat=36.3401, lon=102.8801, phones=("+8613800000001",), born=1940),
    Person(id="li", name="Invented Li", area="haishiwan", home="h2", lat=36.3402, lon=102.8803, phones=("+8613800000002",)),
    Person(id="zhao", name="Invented Zhao", area="haishiwan", phones=("+8613800000003",)),
    Person(id="sun", name="Invented Sun", area="haishiwan", phones=("+8613800000003",)),
]
DEVICES = [
    Device(id="w-wang", person="wang"),
    Device(id="w-wang-2", person="wang"),
    Device(id="w-li", person="li"),
    Device(id="lobby", home="house-1", lat=36.3411, lon=102.8812),
    Device(id="w-zhao", person="zhao"),
    Device(id="1234567890", line="units", person="li", phone="+8617400000005"),
]

POLICY = PolicyConfig(
    critical=Policy(acknowledge_s=60, reply_s=60, repeat_s=120, order="at_once"),
    major=Policy(acknowledge_s=60, reply_s=180, repeat_s=120, order="unacknowledged"),
)


class Room:
    """Play a story: press, call, answer, command, advance; read what left and what stands."""

    def __init__(
        self,
        policy: PolicyConfig = POLICY,
        hotlines: tuple[HotlineConfig, ...] = (),
        calls: CallsConfig | None = None,
        register: Register | None = None,
    ) -> None:
        self.now = START
        register = register or Register(district="honggu", persons=PERSONS, devices=DEVICES, responders=RESPONDERS, areas=AREAS, version="test")
        self.working = WorkingSet(register, policy, calls or CallsConfig(), hotlines)
        self.records: list[Record] = []
        self.refusals: list[Refusal] = []
        self.orders: list[dict[str, object]] = []
        self.verdicts: list[str] = []
        self.unreachable: set[str] = set()

    def event(self, kind: Kind, device: str | None = None, *, line: str = "wearables", phase: Phase = Phase.RAISE, **fields: object) -> str:
        """One field event, decided and committed; gives its verdict."""
        fields.setdefault("occurred_at", self.now)
        event = Event(kind=kind, phase=phase, line=line, device=device, received_at=self.now, **fields)  # type: ignore[arg-type]
        draft = Draft(self.working)
        verdict = decide.on_event(draft, event, self.now)
        self._settle(draft)
        self.verdicts.append(verdict)
        return verdict

    def press(self, device: str, **fields: object) -> str:
        """An SOS button."""
        return self.event(Kind.SOS, device, **fields)

    def call(self, kind: Kind, caller: str | None, /, key: str = "c1", **detail: object) -> str:
        """One step of a telephone call."""
        facts = {"call": key, "caller_e164": caller, "caller": caller, "hotline": "12349", **detail}
        return self.event(kind, caller, line="pbx", phase=Phase.STATE, detail={k: v for k, v in facts.items() if v is not None})

    def calls_in_vain(self, caller: str | None, /, key: str, **detail: object) -> None:
        """Offered, and given up by the caller."""
        self.call(Kind.CALL_OFFERED, caller, key, **detail)
        self.call(Kind.CALL_ABANDONED, caller, key, **detail)

    def answer(self, responder: str, word: str, delivery: str | None = None, by: str = "somebody") -> str:
        """A station answers its newest order."""
        if delivery is None:
            delivery = str(next(o for o in reversed(self.orders) if o["to"] == responder)["delivery"])
        return self.event(Kind(word), responder, line="replies", phase=Phase.STATE, detail={"delivery": delivery, "by": by})

    def do(self, action: Action | str, incident: str, actor: str = "Li Na", key: str | None = None, **facts: object) -> Incident:
        """An operator's command. Raises Refused."""
        draft = Draft(self.working)
        done = on_command(draft, Command(action=Action(action), actor=actor, incident=incident, facts=facts, key=key), self.now)
        self._settle(draft)
        return done

    def advance(self, seconds: float = 0, minutes: float = 0) -> None:
        """Let time pass; every deadline on the way is handled at its own time, in order."""
        until = self.now + timedelta(seconds=seconds, minutes=minutes)
        while True:
            due = [(i.next_deadline[1], i.id, i.next_deadline[0]) for i in self.working.open_incidents if i.next_deadline is not None]
            lapse = self.working.due.next()
            if lapse is not None and lapse <= until and (not due or lapse <= min(due)[0]):
                self.now = max(self.now, lapse)
                names = self.working.due.take(self.now, 200)
                draft = Draft(self.working)
                decide.on_due(draft, names, self.now)
                self._settle(draft)
                continue
            if not due or min(due)[0] > until:
                break
            at, name, deadline = min(due)
            self.now = max(self.now, at)
            draft = Draft(self.working)
            on_deadline(draft, self.working.incidents[name], deadline, self.now)
            self._settle(draft)
        self.now = until

    def sent_to(self, responder: str) -> list[dict[str, object]]:
        """Messages that left for one responder, oldest first."""
        return [order for order in self.orders if order["to"] == responder]

    def kinds(self, incident: str) -> list[str]:
        """The timeline as words."""
        return [record.kind.value for record in self.records if record.incident == incident]

    @property
    def only(self) -> Incident:
        """The one open incident."""
        (incident,) = self.working.open_incidents
        return incident

    def _settle(self, draft: Draft) -> None:
        self.records += draft.records
        self.refusals += draft.refusals
        draft.settle()
        for incident in list(self.working.incidents.values()):
            assert not incident.is_open or incident.next_deadline is not None, "nobody is forgotten (invariant 4)"
            for leg in incident.legs:
                if leg.pending and leg.responder not in self.unreachable:
                    body = msgspec.json.decode(order_body(incident, leg, self.working.register))
                    self.orders.append({"to": leg.responder, "channel": leg.channel, **body})
                    report = Draft(self.working)
                    delivered(report, leg.delivery, leg.repeat, leg.pending, None, self.now)
                    self.records += report.records
                    report.settle()


__all__ = ["START", "Position", "Room"]
