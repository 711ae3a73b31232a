"""`gateway purge`: erase what is older than [retention] says, or one person. A running gateway does it; else this command is the one writer.

With [bus] the owners of the shards do it, asked over the bus."""

import argparse
import asyncio
import getpass
from collections.abc import Mapping

import msgspec

from gateway import register_files
from gateway.clock import utc_now
from gateway.config import Config, read_config
from gateway.core.register import Register
from gateway.core.state import Record
from gateway.errors import GatewayError, Refused, StoreBroken
from gateway.event import Kind, Phase
from gateway.journal_command import journal_of
from gateway.mirror_asking import asking
from gateway.own_api import OwnApi
from gateway.retention import Counts, Purge
from gateway.shard_purge import purge_all
from gateway.store import corrections
from gateway.store.store import Batch, Store

TIMEOUT_S = 600.0  # of the running gateway's answer: a million entries at a fifth of the disk


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `purge` to the commands."""
    parser = subparsers.add_parser("purge", help="erase what is kept long enough, or all about one person; the journal stays provable")
    parser.add_argument("--person", metavar="ID", help="forget this person, whom the register does not have any more")
    parser.add_argument("--reason", default="", help="with --person: why, for the record (no personal data)")
    parser.add_argument("--config", default="config/gateway.toml", help="default: config/gateway.toml")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Say what was erased. Raises GatewayError with the remedy."""
    config = read_config(args.config)
    if args.person and not args.reason.strip():
        raise GatewayError("--person needs --reason: the journal says why somebody was forgotten")
    try:
        counts = asyncio.run(_ask_owners(config, args.person or "", args.reason)) if config.bus.servers else _do(config, args.person, args.reason)
    except Refused as refused:
        raise GatewayError(_in_words(refused.reason, refused.facts)) from refused
    print(
        f"erased: {counts.entries} journal entries, raw bytes of {counts.raw} more, {counts.incidents} incidents,"
        f" {counts.rejected} refused messages, {counts.seen} last signs"
    )
    if config.bus.servers:
        print(f"in all {config.bus.shards} shards; what was heard lately is still on the bus, for {config.bus.keep_s:g} s (bus.keep_s)")
    return 0


async def _ask_owners(config: Config, person: str, reason: str) -> Counts:
    """Several machines: each shard's owner alone may write there. A shard is never taken for it: its alarms would wait."""
    async with asking(config, "gateway purge") as owners:
        return await purge_all(owners, config.bus.shards, getpass.getuser(), person, reason)


def _do(config: Config, person: str | None, reason: str) -> Counts:
    with journal_of(config) as store:
        try:
            store.open()
            is_ours = True
        except StoreBroken:
            is_ours = False
        try:
            corrected = register_files.read_overlaid(config.district_folder, config.channels, corrections.load(store.engine)).register
            return _erase(store, config, corrected, person, reason) if is_ours else _ask(config, person, reason)
        finally:
            store.close()


def _erase(store: Store, config: Config, register: Register, person: str | None, reason: str) -> Counts:
    """No gateway runs: we are the one writer."""

    def tell(actor: str, facts: Mapping[str, object]) -> None:
        store.write(Batch(records=[Record(kind=Kind.PURGED, phase=Phase.STATE, at=utc_now(), facts=msgspec.json.encode(facts), actor=actor)]))

    purge, actor = Purge(store, config.retention, tell), getpass.getuser()
    return purge.person(person, register, actor, reason) if person else purge.old(utc_now(), actor)


def _ask(config: Config, person: str | None, reason: str) -> Counts:
    """The gateway runs: it alone may write."""
    api = OwnApi(config.console.listen, config.data_folder, config.console_certificate, timeout_s=TIMEOUT_S)
    return msgspec.convert(api.post("/api/v1/purge", {"person": person, "reason": reason} if person else {}), Counts)


def _in_words(reason: str, facts: Mapping[str, object]) -> str:
    if reason == "still_open":
        return f"incidents of this person are open: {', '.join(map(str, facts.get('incidents') or ()))}; close them first"  # type: ignore[call-overload]
    if reason == "still_registered":
        return "the register still has this person or a device of theirs; take them out of persons.csv and devices.csv, reload, then purge"
    return f"refused: {reason}"
