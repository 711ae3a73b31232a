"""`gateway upward status | reconcile | resend`: how far others have been told, whether they have it all, and sending a period again.

It reads beside a running gateway and writes nothing: what is sent again has the numbers and the content that it had. With [bus] every shard has
told for itself: each is asked about at its own address, and who does not answer keeps nobody else from being asked.
"""

import argparse
import asyncio
from collections.abc import Callable, Coroutine, Sequence
from datetime import date, datetime, time, timedelta
from itertools import product
from typing import Any, TypeVar

import msgspec

from gateway.clock import from_micros, micros, utc_now
from gateway.config import Config, read_config
from gateway.config.upward import CounterpartConfig, SubscriberConfig, of_shard
from gateway.core.duty import CHINA
from gateway.core.reported import DayFound
from gateway.errors import GatewayError
from gateway.journal_command import journals_of
from gateway.store.reports import ReportBooks
from gateway.upward.link import Failed, Link
from gateway.upward.reconcile import compare, mend, of_batches, send_again
from gateway.upward.upwards import link_of, told_so_far

Told = CounterpartConfig | SubscriberConfig
T = TypeVar("T")


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `upward` to the commands."""
    parser = subparsers.add_parser("upward", help="reports to municipal systems and subscribers: how far, whether equal, and sending again")
    what = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    status = what.add_parser("status", help="how far each destination has been told, one JSON object a line")
    status.set_defaults(run=_status)
    reconcile = what.add_parser("reconcile", help="compare a local day with what the counterpart has; exit 0 when equal, 1 when not")
    reconcile.add_argument("day", type=_day, metavar="DAY", help="YYYY-MM-DD")
    reconcile.add_argument("counterpart", nargs="?", help="default: all counterparts")
    reconcile.add_argument("--resend", action="store_true", help="send what is lost or altered again, and compare once more")
    reconcile.set_defaults(run=_reconcile)
    resend = what.add_parser("resend", help="send a period again, under the same numbers")
    resend.add_argument("counterpart", help="name of a [[counterpart]] or [[subscriber]]")
    resend.add_argument("--since", type=_day, required=True, metavar="DAY", help="first local day, YYYY-MM-DD")
    resend.add_argument("--until", type=_day, metavar="DAY", help="last local day; default: the same day")
    resend.set_defaults(run=_resend)
    for one in (status, reconcile, resend):
        one.add_argument("--config", default="config/gateway.toml", help="default: config/gateway.toml")


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no day: write YYYY-MM-DD") from None


def _status(args: argparse.Namespace) -> int:
    config = read_config(args.config)
    if not _all(config):
        raise _unknown(None, ())
    with journals_of(config) as stores:
        for store in stores:
            books = ReportBooks(store.engine)
            for one in _all(config):
                _print(shard=store.ownership.shard, **told_so_far(books, one))
    return 0


def _reconcile(args: argparse.Namespace) -> int:
    config = read_config(args.config)
    chosen = [one for one in _all(config) if isinstance(one, CounterpartConfig) and args.counterpart in (None, one.name)]
    if not chosen:
        raise _unknown(args.counterpart, config.counterpart)
    day = args.day.isoformat()
    is_equal = True
    problems: list[str] = []
    with journals_of(config) as stores:
        for store, one in product(stores, chosen):
            shard, books = store.ownership.shard, ReportBooks(store.engine)

            async def work(link: Link, books: ReportBooks = books, name: str = one.name) -> DayFound:
                found, wanted = await compare(books, link, name, day)
                return await mend(books, link, found, wanted) if args.resend else found

            try:
                found = _with_link(one, shard, config, work)
            except Silent as silent:
                problems.append(str(silent))
                continue
            _print(shard=shard, **msgspec.to_builtins(found) | {"at": from_micros(found.at)})
            is_equal = is_equal and found.outcome in ("equal", "mended")
    _raise_all(problems)
    return 0 if is_equal else 1


def _resend(args: argparse.Namespace) -> int:
    config = read_config(args.config)
    one = next((one for one in _all(config) if one.name == args.counterpart), None)
    if one is None:
        raise _unknown(args.counterpart, _all(config))
    until = args.until or args.since
    if until < args.since:
        raise GatewayError(f"--until {until} is before --since {args.since}: exchange them")
    since, end = (micros(datetime.combine(day, time(), CHINA)) for day in (args.since, until + timedelta(days=1)))
    problems: list[str] = []
    with journals_of(config) as stores:
        for store in stores:
            shard, books = store.ownership.shard, ReportBooks(store.engine)

            async def work(link: Link, books: ReportBooks = books) -> int:
                batches = of_batches(books.of_time(one.name, since, end))
                return await send_again(link, one.name, batches, needs_receipt=isinstance(one, CounterpartConfig))

            try:
                sent_again = _with_link(one, shard, config, work)
            except Silent as silent:
                problems.append(str(silent))
                continue
            _print(shard=shard, name=one.name, since=args.since, until=until, sent_again=sent_again)
    _raise_all(problems)
    return 0


class Silent(GatewayError):
    """A destination does not answer as it should; what else is asked goes on."""


def _with_link(one: Told, shard: int | None, config: Config, work: Callable[[Link], Coroutine[Any, Any, T]]) -> T:
    """What came of it, at the address of this shard. Raises Silent."""

    async def with_link() -> T:
        link = link_of(of_shard(one, shard), config, lambda: utc_now().timestamp())
        try:
            return await work(link)
        finally:
            await link.close()

    try:
        return asyncio.run(with_link())
    except Failed as failed:
        whose = "" if shard is None else f" of shard {shard}"
        raise Silent(
            f"{one.name}{whose} does not answer as it should ({failed.reason}): see docs/guide/upward.md, or ask whoever runs it"
        ) from failed


def _raise_all(problems: Sequence[str]) -> None:
    """Who was silent, after all others were asked. Raises GatewayError."""
    if problems:
        raise GatewayError("\n".join(problems))


def _all(config: Config) -> tuple[Told, ...]:
    return (*config.counterpart, *config.subscriber)


def _unknown(name: str | None, known: tuple[Told, ...]) -> GatewayError:
    if not known:
        return GatewayError("there is no [[counterpart]] or [[subscriber]] in the configuration; docs/guide/upward.md says how to write one")
    return GatewayError(f"there is no {name!r}; known are {', '.join(one.name for one in known)}")


def _print(**facts: object) -> None:
    print(msgspec.json.encode({name: value for name, value in facts.items() if value is not None}).decode(), flush=True)
