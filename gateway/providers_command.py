"""`gateway providers …`: who may work, how they are doing, who is last; and rulings about them, made by the running gateway.

What is only looked at is read from register and store, beside a running gateway or without one. What changes something is asked of the running
gateway over its own API, so that there is one writer and one journal.
"""

import argparse
import csv
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import msgspec

from gateway.clock import utc_now
from gateway.config import Config
from gateway.core.providers import expiring, local_day, look_up, may_work, state_of
from gateway.core.register import Register, ResponderKind
from gateway.core.score import Ranking, Score
from gateway.core.services import Services
from gateway.core.territory import Standing
from gateway.errors import GatewayError, Refused, StoreBroken
from gateway.journal_command import journals_of
from gateway.own_api import OwnApi
from gateway.ranking import rank
from gateway.register_files import read_all
from gateway.store.provider_work import hours, standings, works

# word → (what is posted to, the body beside the reason)
RULINGS: dict[str, tuple[str, dict[str, object]]] = {
    "admit": ("state", {"state": "admitted"}),
    "probation": ("state", {"state": "probation"}),
    "suspend": ("state", {"state": "suspended"}),
    "exit": ("state", {"state": "exited"}),
    "apply": ("state", {"state": "applied"}),
    "freeze": ("freeze", {}),
    "unfreeze": ("unfreeze", {}),
    "block": ("block", {}),
    "unblock": ("unblock", {}),
    "grade": ("grade", {}),
    "confirm": ("proposal", {"decision": "confirm"}),
    "reject": ("proposal", {"decision": "reject"}),
}
EVIDENCE = ("incident", "kind", "service", "role", "state", "ordered_at", "answered_at", "promised_at", "arrived_at", "satisfaction", "complaint")
HELP = {
    "admit": "it may work (or: again)",
    "probation": "it may work, and is looked at closely",
    "suspend": "no new orders until it is admitted again",
    "exit": "it has left",
    "apply": "it applies anew after it has left",
    "freeze": "no new orders, until --until or unfreeze",
    "unfreeze": "lift a freeze",
    "block": "it must not work, told from outside (--why credit)",
    "unblock": "lift a block",
    "grade": "stars given by an assessor",
    "confirm": "confirm the proposed suspension",
    "reject": "reject the proposed suspension",
}


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `providers` to the commands."""
    parser = subparsers.add_parser("providers", help="who may work, how they are doing, who is last; admit, suspend, freeze, grade")
    words = parser.add_subparsers(dest="what", required=True, metavar="WHAT")

    def add(word: str, text: str, run: Callable[[argparse.Namespace], int], *, named: bool = False) -> argparse.ArgumentParser:
        one = words.add_parser(word, help=text)
        if named:
            one.add_argument("provider", metavar="ID")
        one.add_argument("--config", default="config/gateway.toml", help="default: config/gateway.toml")
        one.set_defaults(run=run)
        return one

    listed = add("list", "every provider: state, agreement, why it may not work", _list)
    listed.add_argument("--state", help="only those in this state of their life")
    shown = add("show", "one provider: its score measure by measure, what is ruled about it", _show, named=True)
    rank_parser = add("rank", "the ranking as it would be now; proposes nothing by itself", _rank)
    for one in (listed, shown, rank_parser):
        one.add_argument("--json", action="store_true", help="JSON in place of the table")
    evidence = add("evidence", "every order of one provider as CSV, for who assesses it; no personal data", _evidence, named=True)
    hours_parser = add("hours", "orders ended and time spent by volunteers (neighbours) as CSV, for a volunteers' platform", _hours)
    for one in (evidence, hours_parser):
        one.add_argument(
            "--since", type=_time, metavar="TIME", help="ISO 8601, local time unless it says otherwise; default: window_days before --until"
        )
        one.add_argument("--until", type=_time, metavar="TIME", help="default: now")
    for word, text in HELP.items():
        ruling = add(word, text, _rule, named=True)
        ruling.add_argument("--by", required=True, metavar="NAME", help="who decides this")
        ruling.add_argument("--reason", required=word != "grade", default="", metavar="TEXT", help="why; it stands in the journal")
        if word in ("freeze", "grade"):
            ruling.add_argument("--until", type=_time, metavar="TIME", help="ISO 8601, local time unless it says otherwise")
        if word == "block":
            ruling.add_argument("--why", required=True, metavar="WORD", help="for instance credit or prepaid_funds")
        if word == "grade":
            ruling.add_argument("--stars", type=float, required=True)
            ruling.add_argument("--scale", type=int, required=True, help="the most stars there are")
            ruling.add_argument("--assessor", required=True)
            ruling.add_argument("--on", required=True, metavar="DAY", help="YYYY-MM-DD")


def _time(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; write 2026-03-14 or 2026-03-14T08:00") from None


# --- what is only looked at ----------------------------------------------------------------------------------------------


def _read(args: argparse.Namespace) -> tuple[Config, Register, Mapping[str, Standing]]:
    config, register = read_all(args.config)
    if not register.providers:
        raise GatewayError(f"{config.district_folder / 'providers.csv'} names no provider; docs/guide/providers.md tells how to write it")
    try:
        with journals_of(config) as stores:
            return config, register, standings(*(store.engine for store in stores))
    except StoreBroken:
        return config, register, {}  # never started yet: only the file counts


def _list(args: argparse.Namespace) -> int:
    config, register, ruled = _read(args)
    scores = _scores(config, register, ruled)
    rows = list(_rows(register, Services(config.service), ruled, utc_now(), args.state, scores))
    if args.json:
        print(msgspec.json.encode(rows).decode())
        return 0
    _print_table(rows, ("id", "state", "why_not", "until", "score", "sample", "services", "proposal"))
    for row, days in expiring(register, look_up(ruled, utc_now()), utc_now(), config.providers.warn_days):
        when = f"ends in {days} days ({row.until})" if days >= 0 else f"ended on {row.until}"
        print(f"{row.id}: the agreement {when}; then nothing is ordered there. Renew it in providers.csv")
    return 0


def _scores(config: Config, register: Register, ruled: Mapping[str, Standing]) -> dict[str, tuple[float | None, object]]:
    """Provider → score and sample: as they were written down last; each shard writes down its own, so with [bus] they are counted now."""
    if config.bus.servers and ruled:
        with journals_of(config) as stores:
            found = rank([store.engine for store in stores], register, ruled, config.providers, utc_now())
        return {one.provider: (one.value, one.sample) for one in found.scores}
    find = look_up(ruled, utc_now())
    noted = {name: find(f"score:{name}") for name in register.providers}
    return {name: (float(one.value), one.detail.get("sample")) for name, one in noted.items() if one is not None}


def _rows(
    register: Register,
    services: Services,
    ruled: Mapping[str, Standing],
    now: datetime,
    wanted: str | None,
    scores: Mapping[str, tuple[float | None, object]],
) -> Iterator[dict[str, Any]]:
    find = look_up(ruled, now)
    for row in register.providers.values():
        state = state_of(register, find, row.id)
        if wanted and state != wanted:
            continue
        mine = register.responders.get(row.id)
        why = {may_work(register, find, mine, now, service) for service in row.services or ("",)} if mine is not None else {"no_responder"}
        proposal = find(f"proposal:{row.id}")
        score, sample = scores.get(row.id, (None, None))
        yield {
            "id": row.id,
            "state": state,
            "why_not": "" if "" in why else min(why),
            "until": row.until,
            "score": score,
            "sample": sample,
            "services": " ".join(services.name_of(code) for code in row.services) + (" 助急" if row.urgent else ""),
            "proposal": proposal.value if proposal is not None else "",
        }


def _ranking(args: argparse.Namespace) -> tuple[Config, Register, Mapping[str, Standing], Ranking]:
    config, register, ruled = _read(args)
    with journals_of(config) as stores:
        return config, register, ruled, rank([store.engine for store in stores], register, ruled, config.providers, utc_now())


def _rank(args: argparse.Namespace) -> int:
    config, _, _, found = _ranking(args)
    if args.json:
        print(msgspec.json.encode(found).decode())
        return 0
    _print_table(
        [_score_row(score) for score in found.scores], ("place", "id", "score", "sample", "accept", "punctual", "satisfaction", "complaints")
    )
    rules = config.providers
    print(f"{found.ranked} ranked: at least {rules.least_sample} decided orders in {rules.window_days} days")
    for name in found.proposed:
        print(f"{name}: would be proposed for suspension")
    for name, (area, what) in found.spared.items():
        print(f"{name}: is last, and not proposed: without it nobody gives {what} in {area or 'the district'}")
    return 0


def _score_row(score: Score) -> dict[str, Any]:
    raw = {name: measure.raw for name, measure in score.measures.items()}
    place = score.place if score.place is not None else f"- {score.why}"
    return {"place": place, "id": score.provider, "score": score.value, "sample": score.sample, **raw}


def _show(args: argparse.Namespace) -> int:
    config, register, ruled, found = _ranking(args)
    score = next((one for one in found.scores if one.provider == args.provider), None)
    if score is None:
        raise GatewayError(
            f"there is no provider {args.provider!r} in {config.district_folder / 'providers.csv'}; `gateway providers list` names them"
        )
    mine = {key: standing for key, standing in ruled.items() if key.partition(":")[2] == args.provider}
    row = register.providers[args.provider]
    if args.json:
        print(msgspec.json.encode({"agreement": row, "score": score, "ruled": mine}).decode())
        return 0
    find = look_up(ruled, utc_now())
    print(f"{row.id}: {state_of(register, find, row.id)}, agreement {row.since or ''}..{row.until or ''}, today {local_day(utc_now())}")
    print(f"score {_text(score.value)}, place {score.place or '-'} of {found.ranked} {score.why}".rstrip())
    table = [
        {"measure": name, "weight": measure.weight, "count": measure.count, "raw": measure.raw, "counts as": measure.value}
        for name, measure in score.measures.items()
    ]
    _print_table(table, ("measure", "weight", "count", "raw", "counts as"))
    for standing in sorted(mine.values(), key=lambda one: one.at):
        lapse = f", until {standing.until.astimezone().isoformat(timespec='minutes')}" if standing.until is not None else ""
        at = standing.at.astimezone().isoformat(timespec="minutes")
        print(f"{standing.key.partition(':')[0]} {standing.value or 'lifted'}: {at} by {standing.actor}{lapse} {standing.reason}".rstrip())
    return 0


def _period(args: argparse.Namespace, config: Config) -> tuple[datetime, datetime]:
    until = args.until or utc_now()
    since = args.since or until - timedelta(days=config.providers.window_days)
    if since >= until:
        raise GatewayError(f"--since {since.isoformat()} is not before --until {until.isoformat()}")
    return since, until


def _evidence(args: argparse.Namespace) -> int:
    """What an assessor needs (domain 5.6): each order with its times, how it ended, mark and complaint."""
    config, register, _ = _read(args)
    if args.provider not in register.providers:
        raise GatewayError(
            f"there is no provider {args.provider!r} in {config.district_folder / 'providers.csv'}; `gateway providers list` names them"
        )
    since, until = _period(args, config)
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(EVIDENCE)
    with journals_of(config) as stores:
        for work in (work for store in stores for work in works(store.engine, since)):
            for leg in work.legs:
                if leg.responder == args.provider and since <= leg.ordered_at < until:
                    times = (leg.ordered_at, leg.answered_at, leg.promised_at, leg.arrived_at)
                    mark = "" if work.satisfaction is None else work.satisfaction
                    complained = "yes" if work.is_complained else "no"
                    said = (at.astimezone().isoformat(timespec="seconds") if at is not None else "" for at in times)
                    table.writerow([work.id, work.kind, work.service, leg.role, leg.state, *said, mark, complained])
    return 0


def _hours(args: argparse.Namespace) -> int:
    """Volunteers' hours (domain 6.15)."""
    config, register = read_all(args.config)
    volunteers = {one.id for one in register.responders.values() if one.kind is ResponderKind.NEIGHBOUR}
    since, until = _period(args, config)
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(("responder", "orders", "hours"))
    summed: dict[str, tuple[int, timedelta]] = {}
    with journals_of(config) as stores:
        for store in stores:
            for name, (count, spent) in hours(store.engine, volunteers, since, until).items():
                before = summed.get(name, (0, timedelta()))
                summed[name] = before[0] + count, before[1] + spent
        for name, (count, spent) in sorted(summed.items()):
            table.writerow((name, count, f"{spent.total_seconds() / 3600:.2f}"))
    return 0


def _print_table(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> None:
    table = [columns, *(tuple(_text(row.get(name)) for name in columns) for row in rows)]
    widths = [max(_width(row[i]) for row in table) for i in range(len(columns))]
    for row in table:
        print("  ".join(cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)).rstrip())


def _width(text: str) -> int:
    """Columns on a terminal: Han characters take two."""
    return sum(2 if ord(letter) > 0x2E7F else 1 for letter in text)


def _text(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if isinstance(value, float) else str(value)


# --- rulings -------------------------------------------------------------------------------------------------------------


def _rule(args: argparse.Namespace) -> int:
    """Ask the running gateway. Raises GatewayError with its reason, or when none answers."""
    config, _ = read_all(args.config)
    what, body = RULINGS[args.what]
    given = {name: getattr(args, name, None) for name in ("why", "stars", "scale", "assessor", "on", "until")}
    body = {**body, **{name: value for name, value in given.items() if value is not None}, "reason": args.reason}
    if isinstance(body.get("until"), datetime):
        body["until"] = args.until.isoformat()
    api = OwnApi(config.console.listen, config.data_folder, config.console_certificate, by=args.by)
    try:
        row = api.post(f"/api/v1/providers/{quote(args.provider, safe='')}/{what}", body)["provider"]
    except Refused as refused:
        more = ", ".join(f"{name} {value}" for name, value in refused.facts.items())
        raise GatewayError(f"refused: {refused.reason}" + (f" ({more})" if more else "")) from None
    finally:
        api.close()
    why = f", may not work: {row['why_not']}" if row["why_not"] else ""
    print(f"{row['id']}: {row['state']}{why}")
    return 0
