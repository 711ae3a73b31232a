"""`gateway report calls`: how the calls of a period were answered, per hotline and profile, counted anew from the journal."""

import argparse
from collections.abc import Iterator
from datetime import datetime, timedelta

import msgspec

from gateway.clock import utc_now
from gateway.config import Config, read_config
from gateway.core.duty import CHINA
from gateway.errors import GatewayError
from gateway.journal_command import journals_of
from gateway.service_level import DAY_S, Outcome, Report, ServiceLevels, Tally, report, steps_of

# A call of this period may have been offered before it: the journal is read from so much earlier (guard of a call that nobody ended, 4 h).
BEFORE = timedelta(hours=4)


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `calls` to the reports."""
    parser = subparsers.add_parser("calls", help="how the calls of a period were answered, per hotline and profile")
    parser.add_argument("--since", type=_time, metavar="TIME", help="ISO 8601, time of China unless it says otherwise; default: a day before --until")
    parser.add_argument("--until", type=_time, metavar="TIME", help="default: now")
    parser.add_argument("--json", action="store_true", help="one JSON object in place of the table")
    parser.add_argument("--config", default="config/gateway.toml", help="default: config/gateway.toml")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the figures. Raises GatewayError when the period has no beginning before its end."""
    until = args.until or utc_now()
    since = args.since or until - timedelta(seconds=DAY_S)
    if since >= until:
        raise GatewayError(f"--since {since.isoformat()} is not before --until {until.isoformat()}")
    config = read_config(args.config)
    levels = ServiceLevels(config.calls.hotlines, config.hotline, config.profile)
    with journals_of(config) as stores:
        found = report(steps_of(step for store in stores for step in store.call_steps(since - BEFORE)), since, until, levels)
    print(msgspec.json.encode(_as_json(found, levels)).decode() if args.json else "\n".join(_as_text(found, levels, config)))
    return 0


def _time(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; write 2026-03-14 or 2026-03-14T08:00") from None
    return at if at.tzinfo is not None else at.replace(tzinfo=CHINA)  # the day of the place, as in the report of the month


def _as_text(found: Report, levels: ServiceLevels, config: Config) -> Iterator[str]:
    names = {one.number: one.name for one in config.hotline}
    yield f"{found.since.isoformat(timespec='seconds')} .. {found.until.isoformat(timespec='seconds')}"
    for hotline, tally in found.hotlines.items():
        yield ""
        yield f"{hotline} {names.get(hotline, '')}".rstrip()
        yield "  " + "  ".join(f"{outcome.value} {count}" for outcome, count in tally.outcomes.items())
        yield f"  connected {_percent(tally.connect_share)}  abandoned {_percent(tally.abandoned_share)}"
        for line in _profile_lines(hotline, tally, levels):
            yield "  " + line
    if found.beyond:
        yield ""
        yield "waited longer than a profile allows without a look into it:"
        for fate in found.beyond.values():
            at = fate.at.astimezone().isoformat(timespec="seconds")
            yield f"  {at}  {fate.hotline}  {fate.outcome.value}  {fate.waited_s:.0f} s  call {fate.call}"


def _profile_lines(hotline: str, tally: Tally, levels: ServiceLevels) -> Iterator[str]:
    for profile in levels.wanted.get(hotline, ()):
        parts = [f"{target.within_s:g} s {_percent(tally.share_within(target.within_s))} of {_percent(target.share)}" for target in profile.target]
        if profile.connect is not None:
            parts.append(f"connected {_percent(tally.connect_share)} of {_percent(profile.connect)}")
        verdict = {True: "met", False: "MISSED", None: "no calls"}[tally.meets(profile)]
        yield f"{profile.name}: {verdict} ({', '.join(parts)})"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share * 100:.2f} %"


def _as_json(found: Report, levels: ServiceLevels) -> dict[str, object]:
    hotlines = {}
    for hotline, tally in found.hotlines.items():
        profiles = {
            profile.name: {
                "met": tally.meets(profile),
                "within": {f"{target.within_s:g}": tally.share_within(target.within_s) for target in profile.target},
            }
            for profile in levels.wanted.get(hotline, ())
        }
        hotlines[hotline] = {
            "outcomes": {outcome.value: tally.outcomes[outcome] for outcome in Outcome},
            "connect_share": tally.connect_share,
            "abandoned_share": tally.abandoned_share,
            "profiles": profiles,
        }
    beyond = [
        {"call": f.call, "hotline": f.hotline, "outcome": f.outcome, "at": f.at, "waited_s": round(f.waited_s, 3)} for f in found.beyond.values()
    ]
    return {"since": found.since, "until": found.until, "hotlines": hotlines, "beyond": beyond}
