"""The router of one register: who is sent, and why. Every way of asking gives a Decision; there is always an answer, in the end the desk."""

import hashlib
from functools import cached_property

import msgspec

from gateway.config.routing import RoutingConfig
from gateway.core import duty
from gateway.core.geometry import area_of
from gateway.core.incident import Role
from gateway.core.need import Around, Need
from gateway.core.register import Register, Responder, ResponderKind
from gateway.core.routing.data import pack
from gateway.core.routing.decision import SHOWN, Candidate, Decision
from gateway.core.routing.ground import LED, prepare
from gateway.core.routing.search import Place, Search, standing_of
from gateway.core.travel import StraightLine, TravelTimes
from gateway.event import Position

DESK = Responder(id="desk", name="desk", kind=ResponderKind.DESK, channel="console", capacity=1_000_000)
PASS = 1  # number of the rules in code: another one means that old decisions need the program that made them
FIXES = frozenset(("gnss", "network", "reported"))  # sources of a position that say where the person is, wherever they are registered


class Router:
    """Immutable but for what it has looked up before; built once a register."""

    def __init__(self, register: Register, rules: RoutingConfig | None = None, travel: TravelTimes | None = None) -> None:
        self._register = register
        self.config = rules or RoutingConfig()
        self.rules = f"{PASS}-{hashlib.sha256(msgspec.json.encode(self.config)).hexdigest()[:12]}"
        self._travel = travel or StraightLine(self.config, register.calendar)
        self._ground = prepare(register)
        self._duties = duty.prepare(register)
        self.desk = next((r for r in register.responders.values() if r.kind is ResponderKind.DESK), DESK)

    @property
    def travel(self) -> str:
        """Whose travel times it uses."""
        return self._travel.name

    @cached_property
    def data(self) -> str:
        """Digest of the routing data."""
        return pack(self._register).digest

    def responder(self, name: str) -> Responder | None:
        """The responder with this id; the desk always exists."""
        return self._register.responders.get(name) or (self.desk if name == self.desk.id else None)

    def choose(self, need: Need, around: Around, choices: int = 1) -> Decision:
        """Who is sent. choices: how many fitting candidates to name (the first is chosen)."""
        search = self._search(need, around)
        return self._signed(search, *self._found(search, choices), choices=choices)

    def above(self, responder: str, need: Need, around: Around) -> Decision:
        """Whom to ask when this responder was silent or declined: up the tree, partners, in the end the desk. need.asked: who was asked already."""
        search = self._search(need, around)
        return self._signed(search, *search.climb(responder), above=responder)

    def named(self, responder: str, need: Need, around: Around) -> Decision:
        """This one if it fits (the person's own doctor or hospital); else who stands above it, else as `choose`."""
        search = self._search(need, around)
        one = self._register.responders.get(responder)
        rule, chosen = "desk", None
        if one is not None:
            chosen = search.judge(one, *search.reach_one(one), checked=False, named=True)
            rule = "named"
            if chosen.verdict != "fits":
                rule, chosen = search.climb(responder)
        if chosen is None:
            rule, chosen = self._found(search, 1)
        return self._signed(search, rule, chosen, named=responder)

    def wanted(self, responder: str, need: Need, around: Around, rule: str = "operator") -> Decision:
        """This one, because a person ("operator") or an escalation policy ("policy") says so, whatever speaks against it.

        A person's decision has beside it those whom `choose` looks at.
        """
        search = self._search(need, around)
        one = self.responder(responder) or self.desk
        insisted = search.judge(one, *search.reach_one(one), checked=False, named=True)
        search.seen.pop(one.id)
        if rule == "operator":
            self._found(search, SHOWN)
        search.seen = {one.id: insisted, **{name: seen for name, seen in search.seen.items() if name != one.id}}
        return self._signed(search, rule, insisted, wanted=responder)

    def again(self, decision: Decision) -> Decision:
        """The same question asked anew, with what was known of the moment then. Equal, if register and rules are those of then."""
        if decision.need is None:
            raise ValueError("it holds no need: it was made before decisions held all they were made from")
        loads = {**decision.loads, **{one.responder: one.load for one in decision.candidates if one.load}}
        ruled = {key: standing_of(key, value, decision.at) for key, value in decision.ruled.items()}
        around = Around(lambda name, _pool: loads.get(name, 0), ruled.get)
        need = decision.need
        if not self._register.polygons:  # where the borders were then stands in the decision
            need = msgspec.structs.replace(need, area=decision.area)
        if decision.above:
            made = self.above(decision.above, need, around)
        elif decision.named:
            made = self.named(decision.named, need, around)
        elif decision.wanted:
            made = self.wanted(decision.wanted, need, around, decision.rule)
        else:
            made = self.choose(need, around, decision.choices)
        return msgspec.structs.replace(made, need=decision.need)

    def look_at(self, responder: Responder, need: Need, around: Around) -> Candidate:
        """What there is to say about one responder, asked for by name."""
        search = self._search(need, around)
        return search.judge(responder, *search.reach_one(responder), checked=False, named=True)

    def place(self, need: Need) -> Place:
        """Where that is: the position, else the middle of the area; the area by polygon where a fix says that it is another one."""
        position, area = need.position, need.area
        if position is not None and (position.source in FIXES or area is None):
            area = area_of(self._register, position.lat, position.lon) or area
        elif position is None and (middle := self._register.area_position(area)) is not None:
            position = Position(lat=middle[0], lon=middle[1], source="area")
        areas = self._ground.register.areas_above(area)
        return Place(position, areas, self._ground.district_at(areas, position))

    @staticmethod
    def _found(search: Search, choices: int) -> tuple[str, Candidate | None]:
        role = search.need.role
        if role is Role.SERVICE:
            return search.service(choices)
        if role is Role.EMERGENCY:  # no machine calls 120
            return "desk", None
        return search.alarm(choices) if role in LED else search.beside(choices)

    def _search(self, need: Need, around: Around) -> Search:
        return Search(self._ground, self._duties, self.config, self._travel, need, around, self.place(need))

    def _signed(self, search: Search, rule: str, chosen: Candidate | None, **asked: object) -> Decision:
        return search.decision(rule, chosen, self.desk.id, data=self.data, rules=self.rules, **asked)
