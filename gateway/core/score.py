"""The score of providers from measured behaviour, and the ranking that proposes whom to suspend (domain 5.3 to 5.7). Pure: nothing is decided here.

    score = Σ weight × measure ÷ Σ weight        each measure from 0 (worst) to 1 (best)

    accept        orders accepted ÷ orders decided (accepted, declined, left unanswered); what we took back, or could not deliver, is nobody's fault
    punctual      arrived in time ÷ arrived or overdue: an alarm within response_min of the agreement (else fifteen minutes) of the order, an ordinary
                  service at most fifteen minutes after the time promised
    satisfaction  mean mark of the call-backs of what they served, 1 to 5 → 0 to 1
    complaints    served without a complaint ÷ served
    grade         stars ÷ the highest there is, while valid; points ÷ points_full

Counted ones are drawn to the mean of all by `prior` average orders, so that three lucky ones are no record: (hits + prior × mean) ÷ (count + prior).
A measure of which nothing is known of anybody is left out.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec

from gateway.config.providers import ProvidersConfig
from gateway.core.incident import COMING, UNANSWERED, Flag, LegState, Role, Stage
from gateway.core.providers import WORKING, LookUp, bare_without, grade_of, local_day, state_of
from gateway.core.register import Register

IN_TIME = timedelta(minutes=15)  # the fifteen-minute circle (domain 2.5), and the tolerance of an appointment
COUNTED = ("accept", "punctual", "satisfaction", "complaints")  # from behaviour; the rest is told from outside


class WorkLeg(msgspec.Struct, frozen=True, gc=False):
    """As much of a stored leg as counts."""

    responder: str
    state: LegState
    ordered_at: datetime
    answered_at: datetime | None = None
    arrived_at: datetime | None = None
    promised_at: datetime | None = None
    role: Role = Role.SOCIAL
    reason: str = ""

    @property
    def is_refused(self) -> bool:
        """Was it asked and did not come: declined, no answer in time, a telephone that nobody picked up?"""
        return self.state in (LegState.DECLINED, LegState.EXPIRED) or (self.state is LegState.FAILED and self.reason in UNANSWERED)


class Work(msgspec.Struct, frozen=True):
    """As much of a stored incident as counts; id, kind and service to name it."""

    id: str = ""
    kind: str = ""
    service: str = ""
    legs: tuple[WorkLeg, ...] = ()
    flags: tuple[Flag, ...] = ()
    satisfaction: int | None = None
    stages: tuple[Stage, ...] = ()

    @property
    def is_complained(self) -> bool:
        """Was there a complaint, whatever became of it?"""
        return Flag.COMPLAINT in self.flags or any(stage.name == "complain" for stage in self.stages)


@dataclass(slots=True)
class Tally:
    """What was counted: of each measure how often, and how often it was good (of satisfaction: the sum of marks from 0 to 1)."""

    count: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTED, 0))
    good: dict[str, float] = field(default_factory=lambda: dict.fromkeys(COUNTED, 0.0))

    def add(self, measure: str, good: float) -> None:
        """One more."""
        self.count[measure] += 1
        self.good[measure] += good


class Measure(msgspec.Struct, frozen=True):
    """One measure of one provider: `value` as it counts (drawn to the mean), `raw` as it was, None when nothing was counted."""

    value: float
    raw: float | None
    count: int
    weight: float


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """value None: there is nothing to count by. sample: decided orders in the window; place: 1 is the best, None = not ranked, `why` says why."""

    provider: str
    value: float | None
    sample: int
    measures: dict[str, Measure]
    place: int | None = None
    why: str = ""


class Ranking(msgspec.Struct, frozen=True, kw_only=True):
    """Best first, who is not ranked last. last: whom the share makes the last; spared: of these, who would leave what bare in which area."""

    scores: tuple[Score, ...]
    ranked: int
    proposed: tuple[str, ...] = ()
    spared: dict[str, tuple[str, str]] = {}


def counted(works: Iterable[Work], register: Register, since: datetime, now: datetime) -> dict[str, Tally]:
    """Provider → what its orders since then came to."""
    tallies = {name: Tally() for name in register.providers}
    for work in works:
        is_complained = work.is_complained
        served: set[str] = set()
        for leg in work.legs:
            tally = tallies.get(leg.responder)
            if tally is None or leg.ordered_at < since:
                continue
            _count_leg(tally, leg, register, now)
            if leg.arrived_at is not None or leg.state is LegState.DONE:
                served.add(leg.responder)
        for name in served:
            tallies[name].add("complaints", 0.0 if is_complained else 1.0)
            if work.satisfaction is not None:
                tallies[name].add("satisfaction", (work.satisfaction - 1) / 4)
    return tallies


def _count_leg(tally: Tally, leg: WorkLeg, register: Register, now: datetime) -> None:
    is_accepted = leg.state in COMING or leg.state is LegState.DONE or (leg.state is LegState.WITHDRAWN and leg.answered_at is not None)
    if is_accepted or leg.is_refused:
        tally.add("accept", float(is_accepted))
    if leg.role is Role.SERVICE:
        due = leg.promised_at + IN_TIME if leg.promised_at is not None else None
    else:
        minutes = register.providers[leg.responder].response_min
        due = leg.ordered_at + (timedelta(minutes=minutes) if minutes is not None else IN_TIME)
    if due is None:
        return
    if leg.arrived_at is not None:
        tally.add("punctual", float(leg.arrived_at <= due))
    elif leg.state in (LegState.ACCEPTED, LegState.EN_ROUTE) and now > due:
        tally.add("punctual", 0.0)


def scored(tallies: Mapping[str, Tally], register: Register, standing: LookUp, config: ProvidersConfig, now: datetime) -> list[Score]:
    """Everybody's score, best first; equal ones by id."""
    means: dict[str, float | None] = {}
    for name in COUNTED:
        total = sum(tally.count[name] for tally in tallies.values())
        means[name] = sum(tally.good[name] for tally in tallies.values()) / total if total else None
    found = [_score(name, tally, means, register, standing, config, now) for name, tally in tallies.items()]
    return sorted(found, key=lambda score: (-(score.value if score.value is not None else -1.0), score.provider))


def _score(
    name: str, tally: Tally, means: Mapping[str, float | None], register: Register, standing: LookUp, config: ProvidersConfig, now: datetime
) -> Score:
    measures: dict[str, Measure] = {}
    for measure in COUNTED:
        count, good, mean, weight = tally.count[measure], tally.good[measure], means[measure], getattr(config.weights, measure)
        if weight and mean is not None and count + config.prior > 0:
            measures[measure] = Measure((good + config.prior * mean) / (count + config.prior), good / count if count else None, count, weight)
    share = grade_of(register, standing, name, local_day(now))
    if config.weights.grade and share is not None:
        measures["grade"] = Measure(share, share, 1, config.weights.grade)
    if config.weights.points:
        points = min(1.0, max(0.0, register.providers[name].points / config.points_full))
        measures["points"] = Measure(points, points, 1, config.weights.points)
    weights = sum(measure.weight for measure in measures.values())
    value = sum(measure.weight * measure.value for measure in measures.values()) / weights if weights else None
    return Score(provider=name, value=value, sample=tally.count["accept"], measures=measures)


def ranked(scores: Iterable[Score], register: Register, standing: LookUp, config: ProvidersConfig, now: datetime) -> Ranking:
    """The places of those who work and of whom enough is known; the last ones, as far as nothing would be bare without them."""
    placed: list[Score] = []
    others: list[Score] = []
    for score in scores:
        state = state_of(register, standing, score.provider)
        why = str(state) if state not in WORKING else "least_sample" if score.sample < config.least_sample or score.value is None else ""
        if why:
            others.append(msgspec.structs.replace(score, why=why))
        else:
            placed.append(msgspec.structs.replace(score, place=len(placed) + 1))
    last = max(1, int(len(placed) * config.last_share)) if len(placed) >= config.rank_least and config.last_share else 0
    proposed: list[str] = []
    spared: dict[str, tuple[str, str]] = {}
    for score in reversed(placed[len(placed) - last :] if last else []):  # the very last first: what only two can do keeps the better of them
        bare = bare_without(register, standing, score.provider, now, frozenset(proposed))
        if bare is None:
            proposed.append(score.provider)
        else:
            spared[score.provider] = bare
    return Ranking(scores=(*placed, *others), ranked=len(placed), proposed=tuple(proposed), spared=spared)
