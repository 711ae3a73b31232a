"""One decision in the making: filter, reach, rank. Pure; everything it asked of the moment is kept, so that it can be asked again.

For 助急 time and capability alone decide; language, grid cell and score order only those whose times are equal and in time (domain 5.3). An ordinary
service goes to the best among those who can come (优先派单). Nobody there: up the tree, to partners, to strangers, to the city, to the desk.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from gateway.config.routing import RoutingConfig
from gateway.core.duty import Duties, Duty
from gateway.core.incident import Role
from gateway.core.need import Around, Need
from gateway.core.providers import grade_of, local_day, may_work, score_of
from gateway.core.register import AreaKind, Responder, ResponderKind
from gateway.core.routing.decision import NAMED, UNFIT_NAMED, Candidate, Decision
from gateway.core.routing.ground import CENTRES, LED, MUTUAL_HELP, NEVER, Ground, Rows, never_for, sort_of
from gateway.core.territory import AidAgreement, Standing
from gateway.core.travel import Starts, TravelTimes
from gateway.event import Position

LOOKED_AT = 8  # nearest candidates examined first; all of them only when none of these fits
JUDGED = 1000  # responders examined in one decision; past that nobody near is free, and the tree is asked: bounds the time and the record
COMPARED = 200  # providers of a service compared with each other, the nearest
NOWHERE = 100_000_000  # tenths of a minute: later than anybody who is anywhere
_METRES = 100_000_000  # more than there are round the earth

Tenths = NDArray[np.int64]
Found = tuple[str, Candidate] | None
"""(rule, who)"""


class Place(NamedTuple):
    """Where help is needed, as far as it is known. areas: that area and those above it."""

    position: Position | None
    areas: list[str]
    district: str | None


class Line:
    """Rows of a field in order of time, then distance, then id; worked out only as far as somebody asks."""

    __slots__ = ("_few", "_order", "metres", "rows", "tenths")

    def __init__(self, rows: Rows, tenths: Tenths, metres: Tenths) -> None:
        self.rows, self.tenths, self.metres = rows, tenths, metres
        self._few: list[int] = []
        self._order: list[int] | None = None

    def __iter__(self) -> Iterator[int]:
        """Places in `rows`, nearest first: the few nearest by one pass, then the rest."""
        if len(self.rows) > LOOKED_AT and self._order is None:
            if not self._few:
                key = self._key
                parted = key.copy()
                parted.partition(LOOKED_AT)
                few = (key <= parted[LOOKED_AT]).nonzero()[0]
                self._few = few[key[few].argsort(kind="stable")].tolist()
            yield from self._few  # mostly one of them fits and nobody asks for more
        if self._order is None:
            self._order = self._key.argsort(kind="stable").tolist()
            yield from self._order[len(self._few) :]
        else:
            yield from self._order

    @property
    def _key(self) -> Tenths:
        return self.tenths * _METRES + self.metres


_NOBODY = Line(np.empty(0, dtype=np.intp), np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))


class Search:
    """The pass for one need. Make it, ask it once."""

    def __init__(self, ground: Ground, duties: Duties, rules: RoutingConfig, travel: TravelTimes, need: Need, around: Around, place: Place) -> None:
        self.ground, self.duties, self.rules, self.travel = ground, duties, rules, travel
        self.need, self.around, self.place = need, around, place
        self.sort = sort_of(need)
        self.seen: dict[str, Candidate] = {}
        self.ruled: dict[str, Standing | None] = {}
        self.notes: list[Candidate] = []
        self.farther: dict[str, int] = defaultdict(int)
        self._asked = frozenset(need.asked)
        self._pool = Role.SERVICE.value if need.role is Role.SERVICE else ""  # gateway.core.state.SERVICE_POOL
        self._circle = round(rules.circle_min * 10)
        self._equal = round(rules.equal_min * 10)
        self._lines: dict[tuple[str, str | None], Line] = {}
        self._reaches: dict[str | None, tuple[int, Tenths, Tenths]] = {}
        self._partners: Line | None = None
        self._leaders: list[tuple[Responder, str]] = []
        self._agreement_of: dict[str, str] = {}

    # --- what there is to say about one --------------------------------------------------------------------------------

    def standing(self, key: str) -> Standing | None:
        """What is ruled, asked once."""
        if key in self.ruled:
            return self.ruled[key]
        found = self.ruled[key] = self.around.standing(key)
        return found

    def judge(self, responder: Responder, tenths: int, metres: int, agreement: str = "", *, checked: bool = True, named: bool = False) -> Candidate:
        """The one candidate. checked: that it may go at all is known; named: asked for by name, so of whatever kind it is."""
        known = self.seen.get(responder.id)
        if known is not None and not (agreement and known.verdict == "other_area"):
            return known
        carrying = self.around.load(responder.id, self._pool)
        duty = self.duties.of(responder, self.need.at)
        verdict = self._verdict(responder, duty, tenths, metres, agreement, carrying, checked=checked, named=named)
        score = None
        if verdict == "fits" and responder.id in self.ground.register.providers:
            score = self.score(responder.id)
        candidate = Candidate(
            responder.id,
            verdict,
            None if tenths >= NOWHERE else metres / 1000,
            None if tenths >= NOWHERE else tenths / 10,
            carrying,
            duty.capacity,
            score=score,
            agreement=agreement,
        )
        self.seen[responder.id] = candidate
        return candidate

    def _verdict(
        self, responder: Responder, duty: Duty, tenths: int, metres: int, agreement: str, carrying: int, *, checked: bool, named: bool
    ) -> str:
        need = self.need
        if responder.id in self._asked:
            return "already_asked"
        if self.standing(f"lost:{responder.id}") is not None:
            return "lost"
        if not checked and not named and (why := never_for(self.sort, responder, duty.skills, self.ground.register)):
            return why
        if why := may_work(self.ground.register, self.standing, responder, need.at, self.sort.service):
            return why
        if checked and responder.id in self.ground.lent_skills and (why := never_for(self.sort, responder, duty.skills, self.ground.register)):
            return why
        if need.role is Role.SERVICE or responder.kind in MUTUAL_HELP:
            if not agreement and not named and not self._serves(responder):
                return "other_area"
            if need.role is Role.SERVICE:
                if NOWHERE > tenths > round(self.rules.service_within_min * 10):
                    return "too_far"
            elif not responder.areas and (tenths >= NOWHERE or metres > self.rules.neighbour_km * 1000):
                return "too_far"
        if not duty.is_open:
            return "off_duty"
        return "at_capacity" if carrying >= duty.capacity else "fits"

    def _serves(self, responder: Responder) -> bool:
        """Who names no area serves everywhere; where nobody knows the area everybody does."""
        return not responder.areas or not self.place.areas or not set(responder.areas).isdisjoint(self.place.areas)

    def score(self, provider: str) -> float | None:
        """What orders those who fit: measured behaviour, else stars; None: neither is known."""
        score = score_of(self.standing, provider)
        if score is None:
            score = grade_of(self.ground.register, self.standing, provider, local_day(self.need.at))
        return None if score is None else round(min(1.0, max(0.0, score)), 4)

    # --- reach ---------------------------------------------------------------------------------------------------------

    def reach(self, starts: Starts) -> tuple[Tenths, Tenths]:
        """Tenths of a minute and metres to the place. What is compared is what a decision shows."""
        if self.place.position is None:
            return np.full(len(starts), NOWHERE, dtype=np.int64), np.zeros(len(starts), dtype=np.int64)
        lat, lon = self.place.position.lat, self.place.position.lon
        km = starts.km(lat, lon)
        minutes = self.travel.minutes(starts, km, lat, lon, self.need.at)
        if math.isfinite(np.add.reduce(minutes) + np.add.reduce(km)):  # one that is not known would show in the sum
            return np.rint(minutes * 10).astype(np.int64), np.rint(km * 1000).astype(np.int64)
        known = np.isfinite(minutes) & np.isfinite(km)
        tenths = np.where(known, np.rint(np.where(known, minutes, 0.0) * 10), NOWHERE).astype(np.int64)
        return tenths, np.where(known, np.rint(np.where(known, km, 0.0) * 1000), 0).astype(np.int64)

    def reach_one(self, responder: Responder) -> tuple[int, int]:
        """The same for one alone."""
        tenths, metres = self.reach(self.ground.start_of(responder))
        return int(tenths[0]), int(metres[0])

    def _reached(self, district: str | None) -> tuple[int, Tenths, Tenths]:
        """(first row, tenths, metres) of a district's part of the field of this role, or of all of it."""
        known = self._reaches.get(district)
        if known is None:
            field = self.ground.field_for(self.need.role)
            start, starts = (0, field.whole) if district is None else field.parts[district]
            known = self._reaches[district] = start, *self.reach(starts)
        return known

    def line(self, which: str, district: str | None) -> Line:
        """first, second or never of those of a district, and of those of none; district None: everybody."""
        known = self._lines.get((which, district))
        if known is not None:
            return known
        field, found = self.ground.field_for(self.need.role), _NOBODY
        for name in _with_nobodys(district):
            if name is not None and name not in field.parts:
                continue
            rows: Rows = getattr(self.ground.who(self.sort, name), which)
            if len(rows):
                start, tenths, metres = self._reached(name)
                at = rows - start
                found = _joined(found, Line(rows, tenths[at], metres[at]))
        self._lines[which, district] = found
        return found

    # --- filter and rank, alarms ---------------------------------------------------------------------------------------

    def fastest(self, line: Line, limit: int | None, choices: int = 1) -> Candidate | None:
        """Who fits and is there first, within so many tenths if there is a limit; of equals in time, who suits best. Names `choices` of them."""
        responders = self.ground.field_for(self.need.role).responders
        fitting: list[tuple[int, Candidate]] = []
        until = -1
        for number, place in enumerate(line):
            tenths = int(line.tenths[place])
            if fitting and tenths > until and len(fitting) >= choices:
                break
            if not fitting and limit is not None and tenths > limit:
                break
            if len(self.seen) >= JUDGED:
                self.farther["not_looked_at"] = max(self.farther["not_looked_at"], len(line.rows) - number)
                break
            responder = responders[int(line.rows[place])]
            candidate = self.judge(responder, tenths, int(line.metres[place]), self._agreement_of.get(responder.id, ""))
            if candidate.verdict != "fits":
                continue
            if not fitting:
                until = min(tenths + self._equal, self._circle) if tenths <= self._circle else -1
            fitting.append((tenths, candidate))
        if not fitting:
            return None
        equal = [candidate for tenths, candidate in fitting if tenths <= until]
        return self._best(equal) if len(equal) > 1 else fitting[0][1]

    def _best(self, equal: list[Candidate]) -> Candidate:
        """Of those who are there at the same time, the nearest first: who speaks the language, who serves the very grid cell, the better score."""
        language, cell = self.need.language, self._cell()
        speaks = {one.responder: bool(language) and language in self._skills(one.responder) for one in equal}
        knows = {one.responder: bool(cell) and cell in self._areas(one.responder) for one in equal}
        # of those that are equal in all of this the first
        best = min(equal, key=lambda one: (not speaks[one.responder], not knows[one.responder], -self._score_of(one)))
        first = equal[0]
        if best is first:
            return best
        effect = "score"
        if speaks[best.responder] != speaks[first.responder]:
            effect = "language"
        elif knows[best.responder] != knows[first.responder]:
            effect = "grid"
        moved = self.seen[best.responder] = msgspec.structs.replace(best, effect=effect)
        return moved

    def _cell(self) -> str:
        """The grid cell of the place, the finest there is of an address (domain 2.10); "" where nobody drew any."""
        area = self.ground.register.areas.get(self.place.areas[0]) if self.place.areas else None
        return area.id if area is not None and area.kind is AreaKind.GRID else ""

    def _areas(self, name: str) -> tuple[str, ...]:
        responder = self.ground.register.responders.get(name)
        return responder.areas if responder is not None else ()

    def _score_of(self, candidate: Candidate) -> float:
        return self.rules.ungraded if candidate.score is None else candidate.score

    def _skills(self, name: str) -> frozenset[str]:
        responder = self.ground.register.responders.get(name)
        return self.duties.of(responder, self.need.at).skills if responder is not None else frozenset()

    def alarm(self, choices: int) -> tuple[str, Candidate | None]:
        """(rule, who). Ours in time, partners in time, strangers in time where nobody agreed to help; ours late, then up the tree.

        Street and district centres lead, they are not the first to go: they are asked when none of ours fits (domain 2.1), however near.
        """
        own, city = self.rungs()
        in_time, late = self._circle, None
        steps: list[tuple[Callable[[int | None, int], Found], int | None]]
        steps = [(self._ours, in_time), (self._partner, in_time), (self._unagreed, in_time), (self._ours, late)]
        if self._is_saturated(own) and self._has_room():
            steps = [(self._partner, in_time), (self._ours, in_time), (self._partner, late), *steps[2:]]
        for step, limit in steps:
            if (found := step(limit, choices)) is not None:
                return found
        if (rung := self._first_rung(own)) is not None:
            return "parent", rung
        return self._outside(city, strangers=True)

    def climb(self, responder: str) -> tuple[str, Candidate | None]:
        """Up the tree from a responder, itself not asked; then as for anybody whom nobody of ours can help."""
        line = self.ground.line_of(responder)[1:]
        own = [one for one in line if one.kind is not ResponderKind.CITY_CENTRE]
        if (rung := self._first_rung(own)) is not None:
            return "parent", rung
        if self.need.role not in LED:
            return "desk", None
        return self._outside([one for one in line if one.kind is ResponderKind.CITY_CENTRE], strangers=False)

    def beside(self, choices: int) -> tuple[str, Candidate | None]:
        """A neighbour, a health centre, a hospital: the nearest of the district, else of anywhere; nobody takes their place."""
        for district in dict.fromkeys((self.place.district, None)):
            for which in ("first", "second"):
                found = self.fastest(self.line(which, district), None, choices)
                if found is not None:
                    return "neighbour" if self.need.role is Role.NEIGHBOUR else "nearest", found
        return "desk", None

    def _ours(self, limit: int | None, choices: int) -> Found:
        if self.place.position is None:
            return None
        for which in ("first", "second"):
            found = self.fastest(self.line(which, self.place.district), limit, choices)
            if found is not None:
                return "care_centre" if which == "second" and self.need.role is Role.SOCIAL else "nearest", found
        return None

    def _outside(self, city: list[Responder], *, strangers: bool) -> tuple[str, Candidate | None]:
        """Nobody of ours: partners, the city, strangers. None: the desk."""
        if (helper := self._partner(self._circle, 1) or self._partner(None, 1)) is not None:
            return helper
        if (rung := self._first_rung(city)) is not None:
            return "city", rung
        return (self._stranger(None, 1) if strangers else None) or ("desk", None)

    def _stranger(self, limit: int | None, choices: int) -> Found:
        if self.place.position is None or self.place.district is None:
            return None
        found = self.fastest(self.line("first", None), limit, choices) or self.fastest(self.line("second", None), limit, choices)
        return ("stranger", found) if found is not None else None

    def _unagreed(self, limit: int | None, choices: int) -> Found:
        """A stranger, unless somebody agreed to help here and can, however late (domain 3.3)."""
        return self._stranger(limit, choices) if self._partner(None, 1) is None else None

    def _first_rung(self, rungs: list[Responder]) -> Candidate | None:
        return next((one for one in map(self._rung, rungs) if one.verdict == "fits"), None)

    def _rung(self, responder: Responder, agreement: str = "") -> Candidate:
        known = self.seen.get(responder.id)
        return known if known is not None else self.judge(responder, *self.reach_one(responder), agreement, checked=False)

    def rungs(self) -> tuple[list[Responder], list[Responder]]:
        """Who leads where the place is, from below: (of the district, of the city). Where nobody knows the area, those above the nearest."""
        found: dict[str, Responder] = {}
        for area in self.place.areas:
            if (serving := self.ground.serving.get(area)) is not None:
                for one in self.ground.line_of(serving):
                    found.setdefault(one.id, one)
        if (
            not found
            and self.place.position is not None
            and (nearest := next(iter(line := self.line("first", self.place.district)), None)) is not None
        ):
            one = self.ground.field_for(self.need.role).responders[int(line.rows[nearest])]
            found = {above.id: above for above in self.ground.line_of(one.parent)}
        if not found and (centre := self.ground.only_centre) is not None:
            found = {above.id: above for above in self.ground.line_of(centre)}
        is_city = ResponderKind.CITY_CENTRE
        return [one for one in found.values() if one.kind is not is_city], [one for one in found.values() if one.kind is is_city]

    # --- mutual aid ----------------------------------------------------------------------------------------------------

    def _is_saturated(self, own: list[Responder]) -> bool:
        """Has somebody ruled that the district takes no more (domain 3.5)? Then its partners go first; it stays behind them."""
        return any(self.standing(f"saturated:{name}") is not None for name in (*self.place.areas, *(one.id for one in own)))

    def _has_room(self) -> bool:
        """Is there a partner that is not saturated itself? Two that are full only send each other's people the longer way."""
        return any(self.standing(f"saturated:{helper}") is None for helper in self.agreements().values())

    def agreements(self) -> dict[str, str]:
        """Agreements by which somebody helps here now → who. Those that would but do not hold are noted with the reason."""
        found: dict[str, str] = {}
        own, city = self.rungs()
        names = {*self.place.areas, *(one.id for one in (*own, *city))}
        today = local_day(self.need.at)
        for agreement in self.ground.agreements:
            helper = agreement.helper if agreement.helped in names else agreement.helped if agreement.both and agreement.helper in names else ""
            if not helper or helper in names or not self._is_for(agreement):
                continue
            ruled = self.standing(f"aid:{agreement.id}")
            if today < agreement.since:
                why = "agreement_not_begun"
            elif today > agreement.until:
                why = "agreement_expired"
            elif ruled is not None and ruled.value == "closed":
                why = "agreement_closed"
            else:
                found[agreement.id] = helper
                continue
            self.notes.append(Candidate(helper, why, agreement=agreement.id))
        return found

    def _is_for(self, agreement: AidAgreement) -> bool:
        is_service = self.need.role is Role.SERVICE
        return any(word in agreement.kinds for word in ("all", "service" if is_service else "urgent", self.need.kind.value))

    def _partner(self, limit: int | None, _choices: int) -> Found:
        """Who helps under an agreement: the fastest of those who go, else of their centres."""
        if not self.ground.agreements:
            return None
        if self._partners is None:
            self._partners, self._leaders = self._gather_partners()
        if self.place.position is not None or self.need.role is Role.SERVICE:  # else their centres, which know whom they have
            found = self.fastest(self._partners, limit)
            if found is not None:
                return "partner", found
        centres = [self._rung(one, agreement) for one, agreement in self._leaders]
        fitting = [one for one in centres if one.verdict == "fits" and one.agreement]
        if limit is not None:
            fitting = [one for one in fitting if one.travel_min is not None and one.travel_min * 10 <= limit]
        first = min(fitting, key=lambda one: (one.travel_min is None, one.travel_min or 0.0, one.responder), default=None)
        return ("partner", first) if first is not None else None

    def _gather_partners(self) -> tuple[Line, list[tuple[Responder, str]]]:
        rows: set[int] = set()
        leaders: dict[str, tuple[Responder, str]] = {}
        field = self.ground.field_for(self.need.role)
        who = self.ground.who(self.sort, None)
        able = {*who.first.tolist(), *who.second.tolist()}
        for agreement, helper in sorted(self.agreements().items()):
            for name in sorted(self.ground.helpers(helper)):
                row = field.row_of.get(name)
                if row is not None and row in able:
                    rows.add(row)
                    self._agreement_of.setdefault(name, agreement)
                elif self.ground.register.responders[name].kind in CENTRES:
                    leaders.setdefault(name, (self.ground.register.responders[name], agreement))
        chosen = np.array(sorted(rows), dtype=np.intp)
        _, tenths, metres = self._reached(None)
        return Line(chosen, tenths[chosen], metres[chosen]), list(leaders.values())

    # --- ordinary services ---------------------------------------------------------------------------------------------

    def service(self, choices: int) -> tuple[str, Candidate | None]:
        """优先派单: the best by score and nearness among those who can come; else a partner; else the desk, where it counts as unmatched."""
        everybody = self.line("first", None)
        is_far = (everybody.tenths > round(self.rules.service_within_min * 10)) & (everybody.tenths < NOWHERE)
        self.farther["too_far"] += int(is_far.sum())
        near = np.flatnonzero(~is_far)
        line = Line(everybody.rows[near], everybody.tenths[near], everybody.metres[near])
        compared: list[tuple[float, bool, int, int, int, str]] = []
        nearest: Candidate | None = None
        responders = self.ground.providers.responders
        for number, place in enumerate(line):
            if len(compared) >= COMPARED or len(self.seen) >= JUDGED:
                self.farther["not_looked_at"] += len(line.rows) - number
                break
            tenths, metres = int(line.tenths[place]), int(line.metres[place])
            responder = responders[int(line.rows[place])]
            if nearest is None:
                candidate = self.judge(responder, tenths, metres)
                if candidate.verdict != "fits":
                    continue
                nearest = candidate
            elif not self._serves(responder):
                self.farther["other_area"] += 1
                continue
            weight = self._weight(self.score(responder.id), tenths)
            skills = self._skills(responder.id) if self.need.language else frozenset()
            compared.append((-weight, self.need.language not in skills, tenths, metres, place, responder.id))
        chosen: Candidate | None = None
        fitting = 0
        for weight, _, tenths, metres, place, name in sorted(compared):
            candidate = self.judge(responders[int(line.rows[place])], tenths, metres)
            if candidate.verdict == "fits":
                fitting += 1
                candidate = self.seen[name] = msgspec.structs.replace(candidate, weight=-weight)
                if chosen is None:
                    effect = "score" if nearest is not None and nearest.responder != name else ""
                    chosen = self.seen[name] = msgspec.structs.replace(candidate, effect=effect)
            if fitting >= choices:
                break
        if chosen is not None:
            if nearest is not None and nearest.responder != chosen.responder and self.seen[nearest.responder].weight is None:
                weight = self._weight(
                    self.score(nearest.responder), round((nearest.travel_min or 0.0) * 10) if nearest.travel_min is not None else NOWHERE
                )
                self.seen[nearest.responder] = msgspec.structs.replace(nearest, weight=weight)
            return "score", chosen
        return self._partner(None, 1) or ("desk", None)

    def _weight(self, score: float | None, tenths: int) -> float:
        share = self.rules.service_score_share
        nearness = 0.0 if tenths >= NOWHERE else max(0.0, 1.0 - tenths / (self.rules.service_within_min * 10))
        return round(share * (self.rules.ungraded if score is None else score) + (1 - share) * nearness, 4)

    # --- what comes of it ----------------------------------------------------------------------------------------------

    def count_never(self, until: float | None) -> None:
        """Those nearer than who was chosen (or within the circle) that may never go to this: a few by name, the rest by number."""
        if self.place.position is None:
            return
        district = self.place.district if self.need.role is not Role.SERVICE else None
        line = self.line("never", district)
        if len(line.rows) == 0:
            return
        near = np.flatnonzero(line.tenths <= (self._circle if until is None else round(until * 10)))
        if near.size == 0:
            return
        reasons = np.concatenate([self.ground.who(self.sort, name).reasons for name in _with_nobodys(district)])
        first = near[np.argsort(line.tenths[near], kind="stable")[:UNFIT_NAMED]].tolist()
        for code, number in enumerate(np.bincount(reasons[near], minlength=len(NEVER)).tolist()):
            self.farther[NEVER[code]] += number
        responders = self.ground.field_for(self.need.role).responders
        for place in first:
            responder, why = responders[int(line.rows[place])], NEVER[int(reasons[place])]
            self.farther[why] -= 1
            self.seen.setdefault(responder.id, Candidate(responder.id, why, int(line.metres[place]) / 1000, int(line.tenths[place]) / 10))

    def decision(self, rule: str, chosen: Candidate | None, desk: str, **asked: object) -> Decision:
        """All of it by value."""
        if self.need.role is not Role.NEIGHBOUR:
            self.count_never(chosen.travel_min if chosen is not None else None)
        if chosen is None:
            chosen = Candidate(desk, "chosen")
            self.seen[desk] = chosen
        else:
            chosen = self.seen[chosen.responder] = msgspec.structs.replace(self.seen[chosen.responder], verdict="chosen")
        mine = (msgspec.structs.replace(one, effect="") if one.effect and one is not chosen else one for one in self.seen.values())
        everybody = [*mine, *self.notes]
        named, rest = everybody[:NAMED], everybody[NAMED:]
        if chosen in rest:
            rest.remove(chosen)
            named.append(chosen)
        for one in rest:
            self.farther[one.verdict] += 1
        is_late = chosen.travel_min is None or chosen.travel_min * 10 > self._circle
        return Decision(
            responder=chosen.responder,
            rule=rule,
            register=self.ground.register.version,
            at=self.need.at,
            position=self.place.position,
            travel_min=chosen.travel_min,
            candidates=tuple(map(self._sourced, named)),
            farther={verdict: number for verdict, number in sorted(self.farther.items()) if number > 0},
            travel=self.travel.name,
            area=self.place.areas[0] if self.place.areas else None,
            beyond=is_late and self.place.position is not None and self.need.role in LED,
            agreement=chosen.agreement,
            need=self.need,
            loads={one.responder: one.load for one in rest if one.load},
            ruled=_kept(self.ruled),
            **asked,  # type: ignore[arg-type]
        )

    def _sourced(self, one: Candidate) -> Candidate:
        """With the word whence its minutes come, where that is not what the decision says."""
        responder, place = self.ground.register.responders.get(one.responder), self.place.position
        if one.travel_min is None or responder is None or place is None:
            return one
        source = self.travel.source(responder, place.lat, place.lon)
        return msgspec.structs.replace(one, travel=source) if source else one


def _with_nobodys(district: str | None) -> list[str | None]:
    """A part of a field and that of those who belong to no district; or the whole field."""
    return [None] if district is None else [district, ""]


def _joined(one: Line, other: Line) -> Line:
    if not len(one.rows) or not len(other.rows):
        return one if len(one.rows) else other
    return Line(np.concatenate((one.rows, other.rows)), np.concatenate((one.tenths, other.tenths)), np.concatenate((one.metres, other.metres)))


def _kept(ruled: dict[str, Standing | None]) -> dict[str, str]:
    """What was ruled of those looked at, by value: a grade as the share of the highest, which is all that counted of it."""
    kept: dict[str, str] = {}
    for key, standing in ruled.items():
        if standing is not None:
            scale = standing.detail.get("scale") if key.startswith("grade:") else None
            kept[key] = repr(float(standing.value) / scale) if isinstance(scale, int | float) and scale > 0 else standing.value
    return kept


def standing_of(key: str, value: str, at: datetime) -> Standing:
    """What `_kept` kept, as the standing that it was."""
    return Standing(key=key, value=value, at=at, actor="", detail={"scale": 1} if key.startswith("grade:") else {})
