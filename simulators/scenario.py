"""A scenario file: who does what when, how stations behave, what goes wrong, and what must come of it. Unknown keys are refused."""

import difflib
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from simulators.district import CALLS, MEANS
from simulators.homes import MESSAGES

SCENARIOS = Path(__file__).parent / "scenarios"
OUTCOMES = (
    "answered", "queued", "abandoned", "busy", "no_answer", "declined", "gave_up", "queue_timeout", "blind_transfer", "attended_transfer",
)  # fmt: skip
MANNERS = ("helpful", "declines", "late", "silent")
FAULTS = ("line_noise", "unplug", "broker_restart", "call_noise")
EXPECTATIONS = (
    "order", "repeat", "once", "nothing", "escalated", "incident", "joined", "one_incident", "cancelled", "all_offered", "called_back",
)  # fmt: skip
NOBODY = ("stranger", "anonymous")  # callers that no register knows


class Cast(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part to be played by somebody of the register, chosen by the seed; `count` of them under one name.

    rung: they live where the stations get their orders by telephone; others live elsewhere. Without such stations it says nothing.
    """

    name: str
    has: tuple[str, ...]
    person: str = ""
    shares_phone: bool = False
    rung: bool = False
    count: int = 1


class Do(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Somebody does something: at a time, `every` so often, or `count` times `between` two times. Seconds of the scenario.

    via wearable: `what` is a kind (sos, fall, help …); panel: call or cancel; button: press; home_unit: alarm, fall, low_battery, heartbeat
    or reset; phone: how the call goes; contact: the same, but the first of their contacts calls about them.
    voice: the home unit calls after its alarm was taken over, and talks for `talk` seconds.
    `expect` must come true `within` so many seconds. copies: the same message that often; lost: it never leaves.
    """

    who: str
    via: str
    what: str
    at: float | None = None
    every: float | None = None
    between: tuple[float, float] | None = None
    count: int = 1
    expect: str = ""
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


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What goes wrong from `at` on, for `lasts` seconds. line_noise and unplug name a `line`: panel or buttons.

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


class Operator(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The person at the console. works = false: only looks on. calls_back: rings the callers of the call-back list, first things first."""

    name: str = "李娜"
    works: bool = True
    resolves: bool = True
    calls_back: bool = False
    acknowledge_after: tuple[float, float] = (1.0, 3.0)
    act_after: tuple[float, float] = (0.5, 1.5)


class Expect(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What must be true of the whole run. outages: so many breaks of the broker connection must have been lived through."""

    all_confirmed: bool = True
    no_surprises: bool = True
    books_balanced: bool = True
    outages: int = 0
    refused_blocks: int = 0


class Scenario(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file. `seconds` is its own length, `plan_share` the part of it in which things happen; the rest waits for answers.

    agents: telephones of the hotline's exchange, 8001 and up.
    """

    name: str
    about: str = ""
    seed: int = 1
    seconds: float = 60
    plan_share: float = 0.66
    endless: bool = False
    agents: int = 60
    cast: tuple[Cast, ...] = ()
    do: tuple[Do, ...] = ()
    behaviour: tuple[Behaves, ...] = ()
    fault: tuple[Fault, ...] = ()
    operator: Operator = Operator()
    expect: Expect = Expect()


class ScenarioError(ValueError):
    """The file cannot be played. `faults` says file, key and remedy, one line each."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


SECTIONS: dict[str, type[msgspec.Struct]] = {"cast": Cast, "do": Do, "behaviour": Behaves, "fault": Fault, "operator": Operator, "expect": Expect}


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
                faults += _strangers(f"{section}[{number + 1}]." if isinstance(entries, list) else f"{section}.", entry, shape)
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
        if sum(value is not None for value in (do.at, do.every, do.between)) != 1:
            faults.append(f"{where}: needs exactly one of at, every, between")
        if do.via not in MEANS:
            faults.append(f"{where}.via: {do.via!r} is none of {', '.join(MEANS)}")
        elif do.who in parts:
            if do.via not in parts[do.who].has:
                faults.append(f"{where}.via: the part {do.who!r} has no {do.via}. Add it to `has` of that cast")
        elif not (do.via in CALLS and do.who in NOBODY):
            faults.append(f'{where}.who: nobody in the cast is called {do.who!r}. Add a [[cast]], or use {" or ".join(NOBODY)} with via = "phone"')
        allowed = {"phone": OUTCOMES, "contact": OUTCOMES, "home_unit": tuple(MESSAGES), "panel": ("call", "cancel"), "button": ("press",)}.get(
            do.via
        )
        if allowed is not None and do.what not in allowed:
            faults.append(f"{where}.what: {do.what!r} is none of {', '.join(allowed)}")
        if do.expect and do.expect not in EXPECTATIONS:
            faults.append(f"{where}.expect: {do.expect!r} is none of {', '.join(EXPECTATIONS)}")
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
    for number, fault in enumerate(scenario.fault, 1):
        if fault.what not in FAULTS:
            faults.append(f"fault[{number}].what: {fault.what!r} is none of {', '.join(FAULTS)}")
        elif fault.what in ("line_noise", "unplug") and fault.line not in ("panel", "buttons"):
            faults.append(f"fault[{number}].line: {fault.line!r} is neither panel nor buttons")
    return faults
