"""Answering as the standards measure it: how many calls were answered, how fast, over a sliding window, per hotline and profile.

One `ServiceLevels` sees every step of every call once, live or read back from the journal after a start; the same code counts a period for
`gateway report calls`. How calls enter (docs/decisions/0009): the clock runs from the call being offered until a person answers; each call
counts when its fate is known, answered or lost; one given up within SHORT_S is counted apart and enters no share, as nobody could have
answered it; one whose end nobody saw counts as lost; one answered whose beginning nobody saw is not counted at all. A bound includes
itself: answered after exactly 15 s is within 15 s.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import msgspec

from gateway.config import AnswerTarget, HotlineConfig, ProfileConfig
from gateway.event import Event, Kind

# GB/T 33358-2016, TSA quality framework, NENA-STA-020.1-2020 (service levels, section 1).
BUILT_IN = (
    ProfileConfig(name="gbt33358", target=(AnswerTarget(within_s=15, share=0.95),), connect=0.95),
    ProfileConfig(name="tsa", target=(AnswerTarget(within_s=60, share=0.975), AnswerTarget(within_s=180, share=0.99)), list_beyond_s=180),
    ProfileConfig(name="nena", target=(AnswerTarget(within_s=15, share=0.90), AnswerTarget(within_s=20, share=0.95))),
)
SHORT_S = 5.0  # a caller who gives up earlier has most likely misdialled; the usual bound of call centre statistics
BUCKETS = 1440  # a window is kept in so many parts: minutes of a day. What leaves it leaves with its minute
DAY_S = 86400.0  # GB/T 33358: "in any continuous 24 hours"
LIVE_LIMIT = 100_000  # calls whose fate is awaited; above the call table of the SIP side, so the limit is reached there first
BEYOND_LIMIT = 1000  # slow calls named one by one in a report; more is a fault of the house and not of single calls


class Outcome(StrEnum):
    """The fate of a call. abandoned_short: given up within SHORT_S; unseen: over, and nobody saw how."""

    ANSWERED = "answered"
    ABANDONED = "abandoned"
    ABANDONED_SHORT = "abandoned_short"
    MISSED = "missed"
    FAILED = "failed"
    UNSEEN = "unseen"


_ENDS = {Kind.CALL_ABANDONED: Outcome.ABANDONED, Kind.CALL_MISSED: Outcome.MISSED, Kind.CALL_FAILED: Outcome.FAILED}
STEPS = frozenset((Kind.CALL_OFFERED, Kind.CALL_RINGING, Kind.CALL_ANSWERED, Kind.CALL_ENDED, *_ENDS))


class Step(msgspec.Struct, frozen=True):
    """As much of a call's event as is counted. Field names as in gateway.event.Event, so that it can be read out of the journal."""

    kind: Kind
    line: str
    received_at: datetime
    occurred_at: datetime
    detail: dict[str, Any] = {}


class Fate(msgspec.Struct, frozen=True):
    """What became of one call: counted at `at`, after waiting `waited_s`. `before`: an earlier answer that this one corrects."""

    call: str
    hotline: str
    outcome: Outcome
    at: datetime
    waited_s: float
    before: "Fate | None" = None


class _Waiting(msgspec.Struct):
    hotline: str
    occurred_at: datetime
    received_at: datetime
    answered: Fate | None = None


class Fates:
    """Steps in, fates out: each call has one, and at most one correction of who answered it."""

    def __init__(self) -> None:
        self._calls: OrderedDict[str, _Waiting] = OrderedDict()

    def see(self, step: Step | Event) -> Fate | None:
        """The fate that this step decides, if it does. Steps of one call come in order."""
        kind, detail = step.kind, step.detail
        hotline = detail.get("hotline")
        if kind not in STEPS or not hotline:
            return None
        name = f"{step.line}|{detail.get('call')}"
        call = self._calls.get(name)
        is_known = call is not None
        if call is None:
            if kind in (Kind.CALL_ENDED, Kind.CALL_ANSWERED):
                return None  # its beginning was before our time, or its fate was told
            call = self._calls[name] = _Waiting(str(hotline), step.occurred_at, step.received_at)
            while len(self._calls) > LIVE_LIMIT:
                self._calls.popitem(last=False)
        if kind in (Kind.CALL_OFFERED, Kind.CALL_RINGING):
            return None
        if kind is Kind.CALL_ANSWERED:
            if call.answered is not None and not detail.get("correction"):
                return None
            fate = self._fate(name, call, Outcome.ANSWERED, step, call.answered)
            if call.answered is not None and fate.waited_s == call.answered.waited_s:
                return None  # only the caller was corrected
            call.answered = msgspec.structs.replace(fate, before=None)
            return fate
        del self._calls[name]
        if kind is Kind.CALL_ENDED:
            return None if call.answered is not None else self._fate(name, call, Outcome.UNSEEN, step)
        fate = self._fate(name, call, _ENDS[kind], step, call.answered)  # CANCEL and 200 crossed: answered for an instant is abandoned
        if fate.outcome is Outcome.ABANDONED and is_known and fate.waited_s < SHORT_S:
            fate = msgspec.structs.replace(fate, outcome=Outcome.ABANDONED_SHORT)
        return fate

    def _fate(self, name: str, call: _Waiting, outcome: Outcome, step: Step | Event, before: Fate | None = None) -> Fate:
        waited = step.occurred_at - call.occurred_at
        if waited < timedelta(0):  # one of the two times was not believed: our own clock has seen both
            waited = step.received_at - call.received_at
        return Fate(name, call.hotline, outcome, step.received_at, max(0.0, waited.total_seconds()), before)


class Tally:
    """Counts of one hotline: fates by outcome; of the answered how many within each bound (seconds); of all how many waited beyond it."""

    __slots__ = ("beyond", "outcomes", "within")

    def __init__(self) -> None:
        self.outcomes: dict[Outcome, int] = dict.fromkeys(Outcome, 0)
        self.within: dict[float, int] = {}
        self.beyond: dict[float, int] = {}

    def add(self, fate: Fate, bounds: Iterable[float], count: int = 1) -> None:
        """Count it, or (count=-1) take it out again."""
        self.outcomes[fate.outcome] += count
        waited_s, is_answered = fate.waited_s, fate.outcome is Outcome.ANSWERED
        for bound in bounds:
            if waited_s > bound:
                self.beyond[bound] = self.beyond.get(bound, 0) + count
            elif is_answered:
                self.within[bound] = self.within.get(bound, 0) + count

    def join(self, other: "Tally") -> None:
        """Add what another one has counted."""
        for outcome, count in other.outcomes.items():
            self.outcomes[outcome] += count
        for mine, theirs in ((self.within, other.within), (self.beyond, other.beyond)):
            for bound, count in theirs.items():
                mine[bound] = mine.get(bound, 0) + count

    @property
    def counted(self) -> int:
        """The calls that enter shares: all but those given up at once."""
        return sum(self.outcomes.values()) - self.outcomes[Outcome.ABANDONED_SHORT]

    def share_within(self, bound: float) -> float | None:
        """Answered within the bound, of all that count; None without calls."""
        return self.within.get(bound, 0) / self.counted if self.counted else None

    @property
    def connect_share(self) -> float | None:
        """Answered at all (接通率), of all that count."""
        return self.outcomes[Outcome.ANSWERED] / self.counted if self.counted else None

    @property
    def abandoned_share(self) -> float | None:
        """Given up by the caller, of all that count."""
        return self.outcomes[Outcome.ABANDONED] / self.counted if self.counted else None

    def meets(self, profile: ProfileConfig) -> bool | None:
        """Is everything reached that the profile asks? None without calls."""
        connect = self.connect_share
        if connect is None:
            return None
        reached = all((self.share_within(target.within_s) or 0.0) >= target.share for target in profile.target)
        return reached and (profile.connect is None or connect >= profile.connect)


class Window:
    """Counts of one hotline over a sliding time, in at most BUCKETS parts."""

    __slots__ = ("_bounds", "_buckets", "_width_s", "window_s")

    def __init__(self, window_s: float, bounds: tuple[float, ...]) -> None:
        self.window_s = window_s
        self._width_s = max(1.0, window_s / BUCKETS)
        self._bounds = bounds
        self._buckets: deque[tuple[int, Tally]] = deque()

    def add(self, fate: Fate, now: datetime, count: int = 1) -> None:
        """Count it where its time belongs; too old counts nothing."""
        number = int(fate.at.timestamp() // self._width_s)
        if number < self._forget(now):
            return
        for place in range(len(self._buckets), 0, -1):
            at, tally = self._buckets[place - 1]
            if at == number:
                tally.add(fate, self._bounds, count)
                return
            if at < number:
                self._insert(place, number, fate, count)
                return
        self._insert(0, number, fate, count)

    def sum(self, now: datetime) -> Tally:
        """All that is in the window."""
        self._forget(now)
        total = Tally()
        for _, tally in self._buckets:
            total.join(tally)
        return total

    def _insert(self, place: int, number: int, fate: Fate, count: int) -> None:
        tally = Tally()
        tally.add(fate, self._bounds, count)
        self._buckets.insert(place, (number, tally))

    def _forget(self, now: datetime) -> int:
        """Drop what is out of the window; gives the number of its first part."""
        width = int(self.window_s // self._width_s)
        first = int(now.timestamp() // self._width_s) - width + 1
        while self._buckets and self._buckets[0][0] < first:
            self._buckets.popleft()
        after = first + 2 * width  # a whole window from now: counted while the clock was wrong
        while self._buckets and self._buckets[-1][0] >= after:
            self._buckets.pop()
        return first


class ServiceLevels:
    """The windows of every hotline and profile. `now` is always an argument."""

    def __init__(self, hotlines: Iterable[str], configured: Iterable[HotlineConfig] = (), profiles: Iterable[ProfileConfig] = ()) -> None:
        self.profiles = {profile.name: profile for profile in (*BUILT_IN, *profiles)}
        chosen = {one.number: one.profiles for one in configured}
        default = HotlineConfig(number="").profiles
        self.wanted = {number: tuple(self.profiles[name] for name in chosen.get(number, default) if name in self.profiles) for number in hotlines}
        self._fates = Fates()
        self._windows: dict[tuple[str, float], Window] = {}
        for number, wanted in self.wanted.items():
            bounds = bounds_of(wanted)
            for window_s in {DAY_S, *(profile.window_s for profile in wanted)}:
                self._windows[number, window_s] = Window(window_s, bounds)

    @property
    def longest_window_s(self) -> float:
        """How far back the journal must be read after a start."""
        return max((window_s for _, window_s in self._windows), default=DAY_S)

    def see(self, step: Step | Event, now: datetime) -> Fate | None:
        """Count a step; gives the fate it decided, if it did."""
        fate = self._fates.see(step)
        if fate is not None:
            for (number, _), window in self._windows.items():
                if number == fate.hotline:
                    if fate.before is not None:
                        window.add(fate.before, now, -1)
                    window.add(fate, now)
        return fate

    def day(self, hotline: str, now: datetime) -> Tally:
        """The last 24 hours of one hotline."""
        return self._windows[hotline, DAY_S].sum(now)

    def levels(self, now: datetime) -> Iterator[tuple[str, ProfileConfig, Tally]]:
        """(hotline, profile, counts of the profile's window) for each that is measured."""
        sums: dict[tuple[str, float], Tally] = {}
        for number, wanted in self.wanted.items():
            for profile in wanted:
                key = (number, profile.window_s)
                if key not in sums:
                    sums[key] = self._windows[key].sum(now)
                yield number, profile, sums[key]


def bounds_of(profiles: Iterable[ProfileConfig]) -> tuple[float, ...]:
    """Every bound that these profiles ask for, seconds."""
    wanted = {target.within_s for profile in profiles for target in profile.target}
    return tuple(sorted(wanted | {profile.list_beyond_s for profile in profiles if profile.list_beyond_s is not None}))


def steps_of(rows: Iterable[bytes | str]) -> Iterator[Step]:
    """Journal entries of telephone kinds (their `facts`) as steps."""
    decoder = msgspec.json.Decoder(Step)
    for facts in rows:
        try:
            yield decoder.decode(facts)
        except msgspec.MsgspecError:  # an entry of another making; it was never a step of a call
            continue


class Report(msgspec.Struct):
    """One period: counts per hotline, and the calls that waited beyond what a profile wants listed."""

    since: datetime
    until: datetime
    hotlines: dict[str, Tally]
    beyond: dict[str, Fate]


def report(steps: Iterable[Step], since: datetime, until: datetime, levels: ServiceLevels) -> Report:
    """Count a period. A call belongs to it by the time its fate was known."""
    fates = Fates()
    profiles = {profile.name: profile for wanted in levels.wanted.values() for profile in wanted}
    bounds = bounds_of(profiles.values())
    found = Report(since, until, {number: Tally() for number in levels.wanted}, {})
    for step in steps:
        fate = fates.see(step)
        if fate is None or not since <= fate.at < until:
            continue
        tally = found.hotlines.setdefault(fate.hotline, Tally())
        if fate.before is not None and since <= fate.before.at < until:
            tally.add(fate.before, bounds, -1)
            found.beyond.pop(fate.call, None)
        tally.add(fate, bounds)
        limit = min((one.list_beyond_s for one in levels.wanted.get(fate.hotline, ()) if one.list_beyond_s is not None), default=None)
        if limit is not None and fate.waited_s > limit and len(found.beyond) < BEYOND_LIMIT:
            found.beyond[fate.call] = fate
    return found
