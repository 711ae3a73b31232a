"""A scenario file: who does what when, how stations behave, what goes wrong, and what must come of it. Unknown keys are refused."""

import difflib
import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from simulators.district import CALLS, FILED, MEANS
from simulators.homes import MESSAGES
from simulators.neighbourhood import CRIES

SCENARIOS = Path(__file__).parent / "scenarios"
OUTCOMES = (
    "answered", "queued", "abandoned", "busy", "no_answer", "declined", "gave_up", "queue_timeout", "blind_transfer", "attended_transfer",
)  # fmt: skip
MANNERS = ("helpful", "declines", "late", "silent", "never_arrives")
FAULTS = ("line_noise", "unplug", "broker_restart", "call_noise", "municipal_down", "pass_time")
EXPECTATIONS = (
    "order", "repeat", "once", "nothing", "escalated", "incident", "joined", "one_incident", "cancelled", "all_offered", "called_back",
    "told", "out", "back", "ladder", "seen", "refused",
)  # fmt: skip
SAID = ("complain", "call_back", "waive", "resolve", "acknowledge")  # what the desk can say about somebody's newest incident
MATTERS = ("lost", "saturated", "aid", "guest", "state", "freeze", "unfreeze", "block", "unblock")
NOBODY = ("stranger", "anonymous")  # callers that no register knows


class Cast(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part to be played by somebody of the register, chosen by the seed; `count` of them under one name.

    rung: they live where the stations get their orders by telephone; others live elsewhere. Without such stations it says nothing.
    area: they live in it, or below it; risks: the register says all of these about them. stays: an area where their wearable says it is.
    """

    name: str
    area: str = ""
    risks: tuple[str, ...] = ()
    stays: str = ""
    has: tuple[str, ...]
    person: str = ""
    shares_phone: bool = False
    rung: bool = False
    count: int = 1


class See(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the console must show of the incident that came of it. What is left out is not looked at.

    responder, kind, rule, area, beyond, verdicts (of those passed over), agreement: of one and the same routing decision about whoever is to
    come; `nth` says which (1 is the first), 0: any of them.
    area: where the person was when it was taken, or an area above that
    roles: for all of these somebody was asked; sources: how many ways it came by; visiting: where its person is registered
    flags: it has all of them; lacks: none of these; reasons: for each it came up by itself, escalated, with nobody having touched it
    told: who was told (family, district); stages: nodes of the closed loop that it has passed
    """

    responder: str = ""
    kind: str = ""
    rule: str = ""
    area: str = ""
    beyond: bool | None = None
    verdicts: dict[str, str] = {}
    agreement: str = ""
    nth: int = 1
    roles: tuple[str, ...] = ()
    sources: int = 0
    visiting: str = ""
    flags: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    told: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()


class Do(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Somebody does something: at a time, `every` so often, `mean` so often by chance (Poisson), or `count` times `between` two times. Seconds
    of the scenario.

    via wearable: `what` is a kind (sos, fall, help …); panel: call or cancel; button: press; home_unit: alarm, fall, low_battery, heartbeat
    or reset; ip_panel, watch, terminal, zigbee, hub: see simulators.neighbourhood;
    phone: how the call goes; contact: the same, but the first of their contacts calls about them.
    voice: the home unit calls after its alarm was taken over, and talks for `talk` seconds.
    via request: the desk files an ordinary service, `what` is its word; platform: another platform, `called`, files a matter of the kind `what`;
    desk: `what` is said about their newest incident, `text` with it.
    `expect` must come true `within` so many seconds: "seen" looks for what `see` says, "refused" for that `reason`.
    copies: the same message that often; lost: it never leaves.
    """

    who: str
    via: str
    what: str
    at: float | None = None
    every: float | None = None
    mean: float | None = None
    between: tuple[float, float] | None = None
    count: int = 1
    expect: str = ""
    see: See | None = None
    reason: str = ""
    text: str = ""
    within: float = 5
    copies: int = 1
    lost: bool = False
    phase: str = ""
    called: str = "12349"
    ring: float = 1.5
    talk: float = 4
    gbk_name: bool = False
    voice: bool = False


class Behaves(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How responders answer; the first entry that fits an order counts, else they are helpful.

    who: orders about this part only; responder, kind: of the station; nth: only the nth asked for an incident (1 is the first);
    share: only for this share of the orders, drawn by the seed.
    """

    manner: str = "helpful"
    who: str = ""
    responder: str = ""
    kind: str = ""
    nth: int = 0
    share: float = 1.0
    answer_after: tuple[float, float] = (0.5, 2.0)
    travel: tuple[float, float] = (3.0, 6.0)
    work: tuple[float, float] = (3.0, 6.0)


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a supervisor rules at a time. lost (a responder), saturated (a district), aid (an agreement), guest: `value` holds from now on,
    "" lifts it. state, freeze, unfreeze, block, unblock: of a provider. refused: it must be, with this reason.
    """

    at: float
    matter: str
    subject: str
    value: str = ""
    reason: str
    refused: str = ""


class Amend(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the district's register must be like: a row of a table, with other values. `id`: which one; nobody has it, or `add`: a new row.

    {today} and {yesterday} in a value are those days in China.
    """

    file: str
    id: str = ""
    add: bool = False
    set: dict[str, str]


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What goes wrong from `at` on, for `lasts` seconds. line_noise and unplug name a `line`: panel or buttons.
    municipal_down: the municipal system is switched off.
    pass_time: `skips` seconds of the clock pass at once, `times` times within `lasts` seconds, for everybody who has it (`--clock-file`).

    flip, garbage: chances per message on a noisy line; lose, double: chances per packet of the telephone mirror.
    """

    what: str
    at: float = 0
    lasts: float = 0
    line: str = ""
    flip: float = 0
    garbage: float = 0
    lose: float = 0
    double: float = 0
    skips: float = 0
    times: int = 1


class Operator(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The person at the console. works = false: only looks on. calls_back: rings the callers of the call-back list, first things first.

    lets_climb: so long a missed check-in is left to what the machine does by itself.
    """

    name: str = "李娜"
    works: bool = True
    resolves: bool = True
    calls_back: bool = False
    lets_climb: float = 0.0
    acknowledge_after: tuple[float, float] = (1.0, 3.0)
    act_after: tuple[float, float] = (0.5, 1.5)


class Expect(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What must be true of the whole run. outages: so many breaks of the broker connection must have been lived through.

    alarms_first: no order for an alarm arrived after one for an ordinary service that was filed later. kinds: so many orders, at least, went to
    responders of the kind. reconciled: the municipal system has a report of every incident that was ordered for, gapless, and nothing waits;
    with `--reconcile` both sides count the same.
    """

    all_confirmed: bool = True
    no_surprises: bool = True
    books_balanced: bool = True
    outages: int = 0
    refused_blocks: int = 0
    alarms_first: bool = False
    kinds: dict[str, int] = {}
    reconciled: bool = False


class Scenario(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file. `seconds` is its own length, `plan_share` the part of it in which things happen; the rest waits for answers.

    agents: telephones of the hotline's exchange, 8001 and up.
    district: of those that come with the gateway, where it is set; `amend` says how its register is changed before (`simulate NAME --prepare`).
    gateway: what the gateway's configuration must have for it, TOML; clock: the local time at which it is to begin, by the gateway's clock and ours.
    """

    name: str
    about: str = ""
    seed: int = 1
    seconds: float = 60
    plan_share: float = 0.66
    endless: bool = False
    agents: int = 60
    district: str = "honggu"
    gateway: str = ""
    clock: str = ""
    cast: tuple[Cast, ...] = ()
    do: tuple[Do, ...] = ()
    behaviour: tuple[Behaves, ...] = ()
    fault: tuple[Fault, ...] = ()
    rule: tuple[Rule, ...] = ()
    amend: tuple[Amend, ...] = ()
    operator: Operator = Operator()
    expect: Expect = Expect()


class ScenarioError(ValueError):
    """The file cannot be played. `faults` says file, key and remedy, one line each."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


SECTIONS: dict[str, type[msgspec.Struct]] = {
    "cast": Cast, "do": Do, "behaviour": Behaves, "fault": Fault, "rule": Rule, "amend": Amend, "operator": Operator, "expect": Expect,
}  # fmt: skip


def find_scenario(name: str) -> Path:
    """A path as given, or the name of a scenario that comes with the simulators."""
    path = Path(name)
    if path.exists():
        return path
    shipped = SCENARIOS / f"{path.stem}.toml"
    if shipped.exists():
        return shipped
    known = ", ".join(sorted(found.stem for found in SCENARIOS.glob("*.toml")))
    raise ScenarioError([f"{name}: no such scenario. Give a file, or one of: {known}"])


def load_scenario(path: Path) -> Scenario:
    """Read one file; every fault in it is told at once (ScenarioError)."""
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError([f"{path.name}: not TOML: {error}. Correct the line named"]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError([f"{path.name}: cannot be read: {error}"]) from None
    faults = _unknown_keys(data)
    if not faults:
        try:
            scenario = msgspec.convert(data, Scenario)
        except msgspec.ValidationError as error:
            faults = [f"{error}. Correct the value"]
        else:
            faults = _contradictions(scenario)
            if not faults:
                return scenario
    raise ScenarioError([f"{path.name}: {fault}" for fault in faults])


def _unknown_keys(data: dict[str, Any]) -> list[str]:
    faults = _strangers("", data, Scenario)
    for section, shape in SECTIONS.items():
        entries = data.get(section, [])
        for number, entry in enumerate(entries if isinstance(entries, list) else [entries]):
            if isinstance(entry, dict):
                where = f"{section}[{number + 1}]." if isinstance(entries, list) else f"{section}."
                faults += _strangers(where, entry, shape)
                if section == "do" and isinstance(entry.get("see"), dict):
                    faults += _strangers(f"{where}see.", entry["see"], See)
    return faults


def _strangers(where: str, table: dict[str, Any], shape: type[msgspec.Struct]) -> list[str]:
    known = shape.__struct_fields__
    faults = []
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            faults.append(f"{where}{key}: unknown key. " + (f"Did you mean {near[0]}?" if near else f"Known here: {', '.join(known)}"))
    return faults


def _contradictions(scenario: Scenario) -> list[str]:
    faults = []
    parts = {cast.name: cast for cast in scenario.cast}
    for number, cast in enumerate(scenario.cast, 1):
        faults += [f"cast[{number}].has: {means!r} is none of {', '.join(MEANS)}" for means in cast.has if means not in MEANS]
    for number, do in enumerate(scenario.do, 1):
        where = f"do[{number}]"
        if sum(value is not None for value in (do.at, do.every, do.mean, do.between)) != 1:
            faults.append(f"{where}: needs exactly one of at, every, mean, between")
        if do.via not in MEANS:
            faults.append(f"{where}.via: {do.via!r} is none of {', '.join(MEANS)}")
        elif do.who in parts:
            if do.via not in (*parts[do.who].has, *FILED):
                faults.append(f"{where}.via: the part {do.who!r} has no {do.via}. Add it to `has` of that cast")
        elif not (do.via in CALLS and do.who in NOBODY):
            faults.append(f'{where}.who: nobody in the cast is called {do.who!r}. Add a [[cast]], or use {" or ".join(NOBODY)} with via = "phone"')
        allowed = {
            "phone": OUTCOMES,
            "contact": OUTCOMES,
            "home_unit": tuple(MESSAGES),
            "panel": ("call", "cancel"),
            "button": ("press",),
            "desk": SAID,
            **CRIES,
        }.get(do.via)
        if allowed is not None and do.what not in allowed:
            faults.append(f"{where}.what: {do.what!r} is none of {', '.join(allowed)}")
        if do.expect and do.expect not in EXPECTATIONS:
            faults.append(f"{where}.expect: {do.expect!r} is none of {', '.join(EXPECTATIONS)}")
        if (do.expect == "seen") != (do.see is not None) or (do.expect == "refused") != bool(do.reason):
            faults.append(f'{where}: expect = "seen" goes with a table `see`, expect = "refused" with a `reason`')
        if do.voice and do.via != "home_unit":
            faults.append(f"{where}.voice: only a home unit calls after its alarm")
        latest = max(do.at or 0, *(do.between or (0, 0)))
        if latest > scenario.seconds:
            faults.append(f"{where}: happens at {latest:g} s, after the end. Raise `seconds` or move it")
    for number, behaves in enumerate(scenario.behaviour, 1):
        if behaves.manner not in MANNERS:
            faults.append(f"behaviour[{number}].manner: {behaves.manner!r} is none of {', '.join(MANNERS)}")
        if behaves.who and behaves.who not in parts:
            faults.append(f"behaviour[{number}].who: nobody in the cast is called {behaves.who!r}")
    for number, rule in enumerate(scenario.rule, 1):
        if rule.matter not in MATTERS:
            faults.append(f"rule[{number}].matter: {rule.matter!r} is none of {', '.join(MATTERS)}")
    for number, amend in enumerate(scenario.amend, 1):
        if not amend.file.endswith(".csv") or "/" in amend.file:
            faults.append(f"amend[{number}].file: {amend.file!r} is no table of a district, such as agreements.csv")
    if scenario.clock and not re.fullmatch(r"[0-2]\d:[0-5]\d:[0-5]\d", scenario.clock):
        faults.append(f"clock: {scenario.clock!r} is not like 23:59:30")
    for number, fault in enumerate(scenario.fault, 1):
        if fault.what not in FAULTS:
            faults.append(f"fault[{number}].what: {fault.what!r} is none of {', '.join(FAULTS)}")
        elif fault.what in ("line_noise", "unplug") and fault.line not in ("panel", "buttons"):
            faults.append(f"fault[{number}].line: {fault.line!r} is neither panel nor buttons")
    return faults
