"""Several machines ([bus]): the servers of the bus one by one, the streams, who owns which shard, what PostgreSQL allows, every edge's lines,
and whether reports are made with one key everywhere."""

import asyncio
from collections.abc import Iterator

import msgspec
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from drivers.supervisor import LineState
from gateway.bus.nats_probe import Examined, Stream, examine
from gateway.doctor.finding import Finding, bad, good, note, unknown
from gateway.doctor.patient import Patient
from gateway.edge import LineNews
from gateway.errors import ConfigError
from gateway.journal_command import SHARDS_THERE, UNDEFINED_TABLE
from gateway.store.ownership import owned, positions
from gateway.store.reports import ReportBooks
from gateway.store.store import reason_of
from gateway.upward.pseudonyms import is_other_key, key_of

TOPIC = "cluster"
FULL = 0.8  # of a stream's room: an hour of a quiet province is far below
BEHIND = 1000  # messages of the bus that an owner has not on disk: seconds of a storm
OLDEST = 140_000  # server_version_num: PostgreSQL 14 ends sessions that say nothing (idle_session_timeout)
A_SHARD = 5  # connections: its owner's writer and readings, two consoles
TROUBLES = {"away": "bus_away", "refused": "bus_refused", "untrusted": "bus_untrusted", "tls": "bus_tls"}
BESIDE = 20  # … and of everything else: commands, backups, the doctor


def look(patient: Patient) -> Iterator[Finding]:
    """Nothing where everything runs in one process."""
    config = patient.config
    if not config.bus.servers:
        return
    try:
        found = asyncio.run(examine(config.bus, config.folder))
    except ConfigError as error:
        yield from (bad(TOPIC, "bus", "config_fault", problem=problem) for problem in error.problems)
        return
    yield from _servers(patient, found)
    streams = {one.shard: one for one in found.streams}
    yield from _streams(patient, found)
    yield from _shards(patient, streams)
    yield from _keys(patient)
    if streams:
        yield from _edges(patient, found)


def _servers(patient: Patient, found: Examined) -> Iterator[Finding]:
    user = patient.config.bus.user or "-"
    for one in found.servers:
        facts = {"reason": one.said, "user": user, "file": patient.config.bus.password_file or "-"}
        if one.trouble:
            yield bad(TOPIC, one.url, TROUBLES[one.trouble], **facts)
        else:
            yield good(TOPIC, one.url, "bus_server", version=one.version)


def _streams(patient: Patient, found: Examined) -> Iterator[Finding]:
    bus = patient.config.bus
    missing = [one for one in found.streams if one.fault == "missing"]
    if missing and len(missing) == len(found.streams):
        yield note(TOPIC, "streams", "streams_to_be_made", count=len(missing))
        return
    faults = 0
    for one in found.streams:
        what = f"shard {one.shard}"
        for finding in _stream(what, one, bus.replicas):
            faults += 1
            yield finding
    if found.streams and not faults:
        yield good(TOPIC, "streams", "streams_good", count=len(found.streams), fill=f"{max(one.fill for one in found.streams):.0%}")


def _stream(what: str, one: Stream, replicas: int) -> Iterator[Finding]:
    if one.fault == "missing":
        yield bad(TOPIC, what, "stream_missing")
    elif one.fault:
        yield bad(TOPIC, what, "stream_away", reason=one.said)
    elif one.replicas < replicas:
        yield bad(TOPIC, what, "stream_few_replicas", found=one.replicas, wanted=replicas)
    if one.behind:
        yield bad(TOPIC, what, "stream_behind", servers=", ".join(one.behind))
    if one.fill >= FULL:
        yield bad(TOPIC, what, "stream_full", fill=f"{one.fill:.0%}")


def _shards(patient: Patient, streams: dict[int, Stream]) -> Iterator[Finding]:
    if patient.is_sqlite or patient.engine is None:
        return  # told of the store
    count = patient.config.bus.shards
    try:
        with patient.engine.connect() as connection:
            version = int(connection.scalar(text("SHOW server_version_num")) or 0)
            allowed = int(connection.scalar(text("SHOW max_connections")) or 0)
            there = int(connection.scalar(text(SHARDS_THERE)) or 0)
        owners, read = owned(patient.engine), positions(patient.engine, count)
    except SQLAlchemyError as error:
        yield unknown(TOPIC, "shards", "shards_untold", reason=reason_of(error))
        return
    if version < OLDEST:
        yield bad(TOPIC, "PostgreSQL", "postgres_old", version=version // 10_000)
    wanted = A_SHARD * count + BESIDE
    if allowed < wanted:
        yield bad(TOPIC, "PostgreSQL", "postgres_few_connections", allowed=allowed, wanted=wanted)
    else:
        yield good(TOPIC, "PostgreSQL", "postgres_connections", allowed=allowed, wanted=wanted)
    if there > count:
        yield bad(TOPIC, "shards", "shards_other_number", there=there, count=count)
    unowned = [shard for shard in range(count) if shard not in owners]
    for shard in unowned:
        stream, position = streams.get(shard), read.get(shard, (0, 0))[1]
        waiting = max(0, stream.last - position) if stream is not None else 0
        yield bad(TOPIC, f"shard {shard}", "shard_unowned", waiting=waiting)
    behind = {
        shard: streams[shard].last - position
        for shard, (_, position) in read.items()
        if shard not in unowned and shard in streams and streams[shard].last - position > BEHIND
    }
    for shard, messages in behind.items():
        yield bad(TOPIC, f"shard {shard}", "shard_behind", messages=messages)
    if not unowned and not behind:
        yield good(TOPIC, "shards", "shards_owned", count=count)


def _keys(patient: Patient) -> Iterator[Finding]:
    """Is the key of pseudonyms on this machine the one that the shards' reports were made with?"""
    config = patient.config
    named = [one for one in config.counterpart if one.pseudonym_key_file]
    if not named or patient.is_sqlite or patient.engine is None:
        return
    try:
        others = {
            one.name: [what for what, store in patient.journals if is_other_key(ReportBooks(store.engine), one.name, key_of(one, config))]
            for one in named
        }
    except SQLAlchemyError as error:
        if getattr(getattr(error, "orig", None), "sqlstate", None) != UNDEFINED_TABLE:  # no core has run yet: told of the shards
            yield unknown(TOPIC, "pseudonyms", "shards_untold", reason=reason_of(error))
        return
    except ConfigError as error:
        yield from (bad(TOPIC, "pseudonyms", "config_fault", problem=problem) for problem in error.problems)
        return
    for one in named:
        if others[one.name]:
            facts = {"file": one.pseudonym_key_file, "shards": ", ".join(others[one.name])}
            yield bad(TOPIC, f"counterpart {one.name}", "pseudonym_key_other", **facts)
        else:
            yield good(TOPIC, f"counterpart {one.name}", "pseudonym_key_same", file=one.pseudonym_key_file)


def _edges(patient: Patient, found: Examined) -> Iterator[Finding]:
    told: dict[str, LineNews] = {}
    edges: set[str] = set()
    for body in found.news:
        try:
            news = msgspec.msgpack.decode(body, type=list[LineNews])
        except msgspec.MsgspecError:
            continue  # of another version
        edges |= {one.edge for one in news}
        told |= {one.line: one for one in news}
    for edge in sorted({line.edge for line in patient.config.line}):
        name = f"edge {edge}".strip()
        mine = [line.name for line in patient.config.line if line.edge == edge]
        if edge not in edges:
            start = f"systemctl start gateway-edge@{edge}" if edge else "gateway run --role edge"
            yield bad(TOPIC, name, "edge_silent", lines=", ".join(mine), start=start)
            continue
        lost = [told[line] for line in mine if line in told and told[line].state == LineState.LOST]
        missing = [line for line in mine if line not in told]
        for one in lost:
            yield bad(TOPIC, f"line {one.line}", "edge_line_lost", edge=name, reason=one.reason or "-")
        if missing:
            yield bad(TOPIC, name, "edge_other_lines", lines=", ".join(missing))
        if not lost and not missing:
            yield good(TOPIC, name, "edge_good", count=len(mine))
