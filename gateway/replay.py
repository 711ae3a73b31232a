"""`gateway replay`: make old routing decisions again and say whether they come out equal; or by other rules: who would have been sent.

The rehearsal of a rule on what has happened (docs/guide/routing.md). Nothing is written and nobody is told.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from gateway.config import read_config
from gateway.config.routing import RoutingConfig, routing_faults
from gateway.core.register import Register
from gateway.core.routing import CHINA, PASS, Decision, Router
from gateway.errors import ConfigError, GatewayError
from gateway.journal_command import journals_of, shard_of
from gateway.register_files import read_register
from gateway.roads import reach
from gateway.roads.in_use import roads_folder
from gateway.roads.times import PREFIX, RoadTimes
from gateway.store import routing_data
from gateway.store.decisions import Taken, decisions
from gateway.store.store import Store
from gateway.toml_file import TomlReader

ROUTERS_KEPT = 20  # registers and rules in force in the period; each is read once
EQUAL, DIFFERS, ALMOST, UNREADABLE, NO_NEED, NO_DATA, OTHER_TRAVEL, OTHER_PASS = (
    *("equal", "differs", "same_responder"),
    *("unreadable", "no_need", "no_data", "other_travel", "other_pass"),
)
REMEDY = {
    UNREADABLE: "the entry was purged, or a newer gateway wrote it",
    NO_NEED: "made before decisions held all they were made from",
    NO_DATA: "the register or the rules of then were not kept",
    OTHER_TRAVEL: "made with travel times of a road network whose file is not here any more, or is damaged (folder roads of the data folder)",
    OTHER_PASS: "made by a gateway whose rules in code were others",
}


class Again(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One decision and what came of asking again. result: equal, differs (fields), same_responder (rehearsal), or why it cannot be asked."""

    seq: int
    at: datetime
    incident: str
    result: str
    fields: tuple[str, ...] = ()
    responder: str = ""
    travel_min: float | None = None
    would: str = ""
    would_travel_min: float | None = None
    would_rule: str = ""
    was_beyond: bool = False
    would_be_beyond: bool = False


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `replay` to the commands."""
    parser = subparsers.add_parser("replay", help="make old routing decisions again, or see who would have been sent by other rules")
    parser.add_argument("--config", default="config/gateway.toml", help="default: config/gateway.toml")
    parser.add_argument("--since", metavar="DAY", help="local day or time, 2026-03-01 or 2026-03-01T08:00; default: from the beginning")
    parser.add_argument("--until", metavar="DAY", help="up to, not including; default: to the end")
    parser.add_argument("--incident", metavar="I100001", help="only this incident's")
    parser.add_argument("--rules", metavar="FILE", help="rehearse: a TOML file whose [routing] holds in place of the one of then")
    parser.add_argument("--register", metavar="FOLDER", help="rehearse: this district's folder in place of the register of then")
    parser.add_argument("--json", action="store_true", help="one JSON object a decision, the sum as the last one")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit 0 when everything that can be asked again is equal (a rehearsal: always), else 1."""
    config = read_config(args.config)
    since, until = _moment(args.since, "--since"), _moment(args.until, "--until")
    rules = _rules(args.rules) if args.rules else None
    register = read_register(args.register) if args.register else None
    is_rehearsal = rules is not None or register is not None
    roads = roads_folder(config)
    with journals_of(config) as stores:
        chosen = [stores[shard_of(config, args.incident) or 0]] if args.incident else stores
        made = (
            one
            for store in chosen
            for one in replayed(
                decisions(store.engine, since, until, args.incident), routers_of(store, rules, register, roads), is_rehearsal=is_rehearsal
            )
        )
        return _tell(made, is_rehearsal=is_rehearsal, as_json=args.json)


def replayed(taken: Iterator[Taken], router_for: Callable[[Decision], Router | str], *, is_rehearsal: bool = False) -> Iterator[Again]:
    """Every decision asked again. router_for: the router of its register and rules, or the word why there is none."""
    for one in taken:
        was = one.decision
        if was is None or was.need is None:
            yield Again(seq=one.seq, at=one.at, incident=one.incident, result=UNREADABLE if was is None else NO_NEED)
            continue
        router = router_for(was)
        if isinstance(router, str):
            yield Again(seq=one.seq, at=one.at, incident=one.incident, result=router, responder=was.responder, travel_min=was.travel_min)
            continue
        now = router.again(was)
        fields = tuple(name for name in Decision.__struct_fields__ if getattr(now, name) != getattr(was, name))
        if is_rehearsal:
            result = ALMOST if now.responder == was.responder else DIFFERS
        else:
            result = DIFFERS if fields else EQUAL
        yield Again(
            seq=one.seq,
            at=one.at,
            incident=one.incident,
            result=result,
            fields=() if is_rehearsal else fields,
            responder=was.responder,
            travel_min=was.travel_min,
            would=now.responder,
            would_travel_min=now.travel_min,
            would_rule=now.rule,
            was_beyond=was.beyond,
            would_be_beyond=now.beyond,
        )


def routers_of(store: Store, rules: RoutingConfig | None, register: Register | None, roads: Path | None = None) -> Callable[[Decision], Router | str]:
    """Routers of then, read from the store as they are needed; or with what is rehearsed in their place. roads: folder of the reach sets."""
    kept: dict[tuple[str, str, str, str], Router | str] = {}

    def router_for(decision: Decision) -> Router | str:
        then = (decision.data, decision.register) if register is None else ("", "")
        key = (*then, decision.rules if rules is None else "", decision.travel)
        if key not in kept:
            if len(kept) >= ROUTERS_KEPT:
                kept.pop(next(iter(kept)))
            kept[key] = made(decision)
        return kept[key]

    def made(decision: Decision) -> Router | str:
        try:
            place = register or routing_data.read_register(store.engine, decision.data, decision.register)
            figures = rules or routing_data.read_rules(store.engine, decision.rules)
        except ValueError:
            return NO_DATA
        if place is None or figures is None:
            return NO_DATA
        travel = None
        if decision.travel.startswith(PREFIX):
            try:
                sets = reach.read(roads, decision.travel.removeprefix(PREFIX)) if roads is not None else None
            except ValueError:
                sets = None
            if sets is None:
                return OTHER_TRAVEL
            travel = RoadTimes(sets, figures, place.calendar)
        router = Router(place, figures, travel)
        if decision.rules.partition("-")[0] != str(PASS):
            return OTHER_PASS
        if rules is None and register is None:  # what was written then has that name, however a later program would write it
            router.rules, router.data = decision.rules, decision.data
        return OTHER_TRAVEL if register is None and rules is None and decision.travel != router.travel else router

    return router_for


def _tell(made: Iterator[Again], *, is_rehearsal: bool, as_json: bool) -> int:
    counts: Counter[str] = Counter()
    gained = lost = 0.0
    misses = new_misses = 0
    for one in made:
        counts[one.result] += 1
        misses, new_misses = misses + one.was_beyond, new_misses + one.would_be_beyond
        if is_rehearsal and one.result == DIFFERS and one.travel_min is not None and one.would_travel_min is not None:
            gained += max(0.0, one.travel_min - one.would_travel_min)
            lost += max(0.0, one.would_travel_min - one.travel_min)
        if as_json:
            print(msgspec.json.encode(one).decode())
        elif one.result not in (EQUAL, ALMOST):
            print(_line(one, is_rehearsal=is_rehearsal))
    total = sum(counts.values())
    asked = counts[EQUAL] + counts[DIFFERS] + counts[ALMOST]
    summed: dict[str, Any] = {"decisions": total, "asked_again": asked, **dict(sorted(counts.items()))}
    if is_rehearsal:
        summed |= {"minutes_gained": round(gained, 1), "minutes_lost": round(lost, 1), "beyond_circle": misses, "would_be_beyond_circle": new_misses}
    if as_json:
        print(msgspec.json.encode({"sum": summed}).decode())
    elif is_rehearsal:
        print(
            f"{asked} decisions asked again: {counts[DIFFERS]} would send somebody else; {gained:.1f} minutes gained, {lost:.1f} lost (estimates);"
            f" outside the circle {misses} then, {new_misses} by these rules"
        )
    else:
        print(f"{asked} decisions made again: {counts[EQUAL]} equal, {counts[DIFFERS]} differ")
    for word, why in REMEDY.items():
        if counts[word]:
            print(f"{counts[word]} cannot be made again ({word}): {why}", file=sys.stderr)
    return 1 if counts[DIFFERS] and not is_rehearsal else 0


def _line(one: Again, *, is_rehearsal: bool) -> str:
    head = f"{one.seq} {one.at.astimezone(CHINA):%Y-%m-%d %H:%M} {one.incident}"
    if one.result != DIFFERS:
        return f"{head}: {one.result}"
    if not is_rehearsal:
        return f"{head}: differs in {', '.join(one.fields)} ({one.responder}, made again {one.would})"
    return f"{head}: {one.responder} ({_minutes(one.travel_min)}) → {one.would} ({_minutes(one.would_travel_min)}, {one.would_rule})"


def _minutes(minutes: float | None) -> str:
    return "unknown" if minutes is None else f"{minutes:g} min"


def _moment(text: str | None, option: str) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise GatewayError(f"{option} {text!r} is no day; write 2026-03-01 or 2026-03-01T08:00") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=CHINA)


def _rules(name: str) -> RoutingConfig:
    """[routing] of a file; what else stands in it does not matter. Raises ConfigError."""
    reader = TomlReader(Path(name), {RoutingConfig: routing_faults})
    tables = reader.load()
    if not reader.problems and "routing" not in tables:
        reader.add("routing", "is missing", "write [routing] and the keys that are to change")
    rules = reader.table(RoutingConfig, tables.get("routing", {}), "routing", RoutingConfig())
    if reader.problems:
        raise ConfigError(reader.problems)
    return rules
