"""The rules of risk warnings, one row each (domain 6.4). Pure. Each says why its numbers; small samples never warn.

Not here, and why: who gives no sign (supervision and the watch know better, per person), a battery that is low (a task already), a line that is lost
(an incident already), the self-test growing slow (GatewaySelfTestSlow).
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from statistics import median

from gateway.core.incident import COMING, INFORMED, OPEN_LEG, LegState, Outcome, Role
from gateway.core.register import ResponderKind
from gateway.core.risk import DAY, MONTH, NOT_REAL, WEEK, Concern, Measured, Rule, Scene, at_least
from gateway.core.score import WorkLeg
from gateway.event import KINDS, Group, Kind, Severity

APART = timedelta(hours=1)  # a fall so soon after another is the same one, told again after it was closed
IN_TIME = timedelta(minutes=15)  # the circle (domain 2.5)
LAST_ORDERS = 20  # of these the refused are counted: who has mended is not held to what was a month ago
USUAL_WEEKS = 3  # before the last one: what is usual for a person
LONGEST_USUAL = timedelta(days=14)  # before the last day: what is usual for a model and for the desk; two of each weekday
LEAST_USUAL = timedelta(days=3)  # of so short a past nothing is usual yet
FEWEST_CRIES = 10  # of a model in a day: three elders of one house fall over one another's news no oftener
MODEL_SHARE = 0.1  # of its devices must cry while nothing is usual yet
FEWEST_TAKEN, FEWEST_BEFORE = 20, 50  # alarms taken, in the last day and in the two weeks before: medians of fewer jump
LEAST_SLOWER_S = 15.0  # 5 s in place of 2 s is no trouble of anybody's


def falls(scene: Scene) -> Iterator[Measured]:
    """Two in a week or three in a month. World Falls Guidelines (2022): two in a year are recurrent and ask for an assessment; a device that is wrong
    now and then asks for more than that, and false alarms are left out as soon as somebody says so."""
    rules = scene.config
    found: dict[str, list[datetime]] = defaultdict(list)
    for case in scene.cases:
        if case.person is not None and Kind.FALL in (case.kind, *case.also) and case.counts and case.outcome not in NOT_REAL:
            times = found[case.person]
            if not times or case.opened_at - times[-1] > APART:
                times.append(case.opened_at)
    for person, times in found.items():
        week, month = _within(times, scene.now, WEEK), _within(times, scene.now, MONTH)
        value = max(_of(week, rules.falls_week), _of(month, rules.falls_month))
        yield Measured(person, value, {"week": week, "month": month})


def near_falls(scene: Scene) -> Iterator[Measured]:
    """Suspected falls come before falls. Five a week: nearly daily, and more than a bracelet that is put on a table."""
    counts = Counter(
        case.person
        for case in scene.since(WEEK)
        if case.person is not None and case.kind is Kind.FALL_SUSPECTED and case.counts and case.outcome not in NOT_REAL
    )
    for person, count in counts.items():
        yield Measured(person, _of(count, scene.config.near_falls_week), {"week": count})


def calls_often(scene: Scene) -> Iterator[Measured]:
    """Loneliness, an illness that nobody has seen, or somebody who must be afraid. Ten a week are more than one a day; three times one's own usual
    lets those alone who always call much. Falls are counted by the rule above."""
    week: Counter[str] = Counter()
    before: Counter[str] = Counter()
    for case in scene.since(WEEK * (1 + USUAL_WEEKS)):
        if case.person is None or case.service or not case.counts or KINDS[case.kind].group not in (Group.PERSON, Group.TELEPHONE):
            continue
        if case.kind in (Kind.FALL, Kind.FALL_SUSPECTED, Kind.MISSED_CHECKIN, Kind.INACTIVITY):
            continue  # nobody called
        (week if case.opened_at > scene.now - WEEK else before)[case.person] += 1
    for person, count in week.items():
        usual = before[person] / USUAL_WEEKS
        value = min(_of(count, scene.config.calls_week), count / (3 * usual) if usual else 1000.0)
        yield Measured(person, value, {"week": count, "usual": round(usual, 1)})


def battery(scene: Scene) -> Iterator[Measured]:
    """A straight line through three days or more without charging: seven days are one round of the technician (JGJ/T 484-2019: weekly checks).
    Whoever charges daily never has three days without; one that is low is a task already."""
    limit = scene.config.battery_days
    for (line, address), (percent, low, days) in scene.batteries.items():
        if percent <= low or not limit:
            yield Measured(f"{line or ''}|{address}", 0.0)
        elif days is not None:
            yield Measured(f"{line or ''}|{address}", limit / max(days, 0.1), {"days": round(min(days, 999.0), 1), "percent": round(percent)})


def batteries_low(scene: Scene) -> Iterator[Measured]:
    """Many of one model low together: a batch, a firmware or a charger that is wrong, not people who forget."""
    low: Counter[str] = Counter()
    told: Counter[str] = Counter()
    for (line, address), (percent, limit, _) in scene.batteries.items():
        device = scene.register.device_of(line, address)
        if device is not None and device.model:
            told[device.model] += 1
            low[device.model] += percent <= limit
    for model, count in told.items():
        yield _share(model, low[model], count, scene.config.low_devices, scene.config.low_share)


def refuses(scene: Scene) -> Iterator[Measured]:
    """Declined or unanswered, of the last 20 orders that were decided. Five of five warn, five of ten do not yet (the sure share is 0.24), six do."""
    found = _orders(scene, {LegState.DECLINED, LegState.EXPIRED, LegState.FAILED, LegState.DONE, LegState.WITHDRAWN, *COMING})
    for responder, legs in found.items():
        answered = (leg for leg in legs if leg.state is not LegState.WITHDRAWN or leg.answered_at is not None)
        decided = [leg for leg in answered if leg.state is not LegState.FAILED or leg.is_refused][-LAST_ORDERS:]
        refused = sum(leg.is_refused for leg in decided)
        yield _share(responder, refused, len(decided), scene.config.refused_least, scene.config.refused_share)


def arrives_late(scene: Scene) -> Iterator[Measured]:
    """Later than the fifteen-minute circle promises, or still not there. An appointment is no alarm and does not count."""
    for responder, legs in _orders(scene, {LegState.ARRIVED, LegState.DONE, LegState.ACCEPTED, LegState.EN_ROUTE}).items():
        late = count = 0
        for leg in legs:
            if leg.role is Role.SERVICE or (leg.arrived_at is None and (leg.state is LegState.DONE or scene.now - leg.ordered_at <= IN_TIME)):
                continue
            count += 1
            late += (leg.arrived_at or scene.now) - leg.ordered_at > IN_TIME
        yield _share(responder, late, count, scene.config.late_least, scene.config.late_share)


def station_full(scene: Scene) -> Iterator[Measured]:
    """As many open orders as it can carry, for half an hour: one visit lasts about that long, so a short crowd empties by itself. Since when, the
    orders tell: the one that filled it."""
    limit = timedelta(minutes=scene.config.full_min)
    for responder, legs in _orders(scene, OPEN_LEG).items():
        places = scene.places.get(responder, 0)
        taken = [leg for leg in legs if leg.role is not Role.SERVICE]
        if limit and 0 < places <= len(taken):
            full = scene.now - taken[places - 1].ordered_at
            yield Measured(responder, full / limit, {"minutes": full // timedelta(minutes=1), "orders": len(taken), "places": places})


def silent_line(scene: Scene) -> Iterator[Measured]:
    """By the hour of the day as it was learned. Came messages by chance, 20 were missing once in 500 million gaps; they come in bursts."""
    for line, (missing, seconds) in scene.silences.items():
        yield Measured(line, _of(missing, scene.config.silent_gaps), {"messages": round(missing), "minutes": round(seconds / 60)})


def model_flood(scene: Scene) -> Iterator[Measured]:
    """Alarms of one model in a day against its usual day: five times as many, from three devices at least: one device that cries on and on is counted
    and offered for maintenance at once. While nothing is usual yet, a tenth of its devices must cry."""
    owned = Counter(device.model for device in scene.register.devices)
    cries: Counter[str] = Counter()
    before: Counter[str] = Counter()
    devices: dict[str, set[tuple[str, str | None]]] = defaultdict(set)
    for case in scene.since(DAY + LONGEST_USUAL):
        device = scene.device_of(case) if case.is_alarm else None
        if device is None or not device.model:
            continue
        if case.opened_at > scene.now - DAY:
            cries[device.model] += case.cries
            devices[device.model].add((case.line, case.device))
        else:
            before[device.model] += case.cries
    past = min(LONGEST_USUAL, scene.covers - DAY)
    for model, count in cries.items():
        usual = before[model] / (past / DAY) if past >= LEAST_USUAL else 0.0
        least = max(scene.config.flood_devices, 0 if past >= LEAST_USUAL else MODEL_SHARE * owned[model])
        value = min(_of(len(devices[model]), least), _of(count, max(FEWEST_CRIES, scene.config.flood_times * usual)))
        facts = {"cries": count, "devices": len(devices[model]), "usual": round(usual, 1)}
        yield Measured(model, value if scene.config.flood_devices and scene.config.flood_times else 0.0, facts)


def model_false(scene: Scene) -> Iterator[Measured]:
    """Half of its closed alarms false: nobody runs for the other half any more."""
    false: Counter[str] = Counter()
    told: Counter[str] = Counter()
    for case in scene.cases:
        device = scene.device_of(case) if case.is_alarm and case.outcome not in (None, Outcome.TEST, Outcome.MERGED) else None
        if device is not None and device.model:
            told[device.model] += 1
            false[device.model] += case.outcome is Outcome.FALSE_ALARM
    for model, count in told.items():
        yield _share(model, false[model], count, scene.config.false_least, scene.config.false_share)


def desk_slow(scene: Scene) -> Iterator[Measured]:
    """How long it takes until somebody takes an alarm: the median of a day against that of two weeks before. Twice: the desk has too few people."""
    lately: list[float] = []
    before: list[float] = []
    for case in scene.since(DAY + LONGEST_USUAL):
        if case.is_alarm and case.acknowledged_at is not None and case.severity in (Severity.CRITICAL, Severity.MAJOR):
            took = (case.acknowledged_at - case.opened_at).total_seconds()
            (lately if case.opened_at > scene.now - DAY else before).append(took)
    if len(lately) >= FEWEST_TAKEN and len(before) >= FEWEST_BEFORE:
        is_, was = median(lately), median(before)
        value = _of(is_ / max(was, 1.0), scene.config.slow_times) if is_ - was >= LEAST_SLOWER_S else 0.0
        yield Measured("desk", value, {"seconds": round(is_), "usual": round(was)})


def _orders(scene: Scene, states: set[LegState] | frozenset[LegState]) -> dict[str, list[WorkLeg]]:
    """Responder → its orders in these states, oldest first. The desk sends nobody, and who is only told need not come."""
    found: dict[str, list[WorkLeg]] = defaultdict(list)
    for case in scene.cases:
        for leg in case.legs if case.counts else ():
            responder = scene.register.responders.get(leg.responder)
            if leg.state in states and leg.role not in INFORMED and responder is not None and responder.kind is not ResponderKind.DESK:
                found[leg.responder].append(leg)
    for legs in found.values():
        legs.sort(key=lambda leg: leg.ordered_at)
    return found


def _share(subject: str, hits: int, count: int, least: int, share: float) -> Measured:
    """1 when there are so many, and surely so large a share."""
    value = min(_of(hits, least), _of(at_least(hits, count), share))
    return Measured(subject, value, {"hits": hits, "of": count})


def _of(value: float, limit: float) -> float:
    """Against its limit; 0: there is none."""
    return value / limit if limit else 0.0


def _within(times: list[datetime], now: datetime, span: timedelta) -> int:
    return sum(now - at < span for at in times)


# A share is over when it is surely under about two thirds of the limit; a count when it is under half; what lasts, when it lasts no more.
RULES: tuple[Rule, ...] = (
    Rule("repeat_faller", Concern.PERSON, 0.5, falls),  # a week without, and one in the month at most
    Rule("near_falls", Concern.PERSON, 0.5, near_falls),
    Rule("calls_often", Concern.PERSON, 0.5, calls_often),
    Rule("battery_dying", Concern.DEVICE, 0.5, battery, keeps=True),
    Rule("batteries_low", Concern.MODEL, 0.6, batteries_low, keeps=True),
    Rule("refuses", Concern.RESPONDER, 0.6, refuses),
    Rule("arrives_late", Concern.RESPONDER, 0.6, arrives_late),
    Rule("station_full", Concern.RESPONDER, 1.0, station_full),
    Rule("silent_line", Concern.LINE, 0.5, silent_line, keeps=True),
    Rule("model_flood", Concern.MODEL, 0.5, model_flood),
    Rule("model_false", Concern.MODEL, 0.6, model_false),
    Rule("desk_slow", Concern.DESK, 0.75, desk_slow, keeps=True),
)
BY_NAME = {rule.name: rule for rule in RULES}
