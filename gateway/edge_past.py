"""What the shards remember for the lines of an edge that starts: without the database it starts all the same, and knows less."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

import structlog
from sqlalchemy.exc import SQLAlchemyError

from drivers.contract import Before
from gateway.clock import monotonic, utc_now
from gateway.config import Config
from gateway.core.corrections import Correction
from gateway.core.self_test import ROW, told_lines
from gateway.core.shards import CATCH_ALL
from gateway.core.state import Seen
from gateway.edge import Past
from gateway.errors import GatewayError
from gateway.store import corrections, past
from gateway.store.ownership import positions
from gateway.store.store import Store, reason_of

log = structlog.get_logger("edge")

BEFORE = timedelta(hours=1)  # as gateway.app: a device repeats a press for minutes


def read_past(config: Config, name: str) -> Past:
    """Of the lines of this edge, from the schemas of all shards. Blocks for some seconds at most when the database is away."""
    mine = {line.name for line in config.line if line.edge == name}
    calls: dict[str, list[Mapping[str, object]]] = {}
    known: dict[str, list[str]] = {}
    before: dict[str, list[Before]] = {}
    seen: dict[str, Seen] = {}
    missed: set[str] = set()
    corrected: Sequence[Correction] | None = None
    now, at = utc_now(), monotonic()
    try:
        corrected = _corrections(config)
        for shard in _shards(config):
            store = Store(config.store.url, config.data_folder, shard, writes=False)
            try:
                found = past.read(store.engine, mine, ROW)
                for line, detail in found.calls:
                    calls.setdefault(line, []).append(detail)
                for identity in found.known:
                    line, _, own = identity.partition("|")
                    known.setdefault(line, []).append(own)
                missed |= told_lines(found.misses)
                for row, sign in found.seen:
                    seen[row] = _truer(seen.get(row), sign)
                for event in store.told(now - BEFORE):
                    if event.line in mine and event.received_at <= now:
                        before.setdefault(event.line, []).append(Before(at - (now - event.received_at).total_seconds(), event))
            finally:
                store.close()
    except (SQLAlchemyError, GatewayError) as error:
        reason = reason_of(error) if isinstance(error, SQLAlchemyError) else str(error)
        log.warning("the lines start without what was before", reason=reason)
    for events in before.values():
        events.sort(key=lambda one: one.at)
    return Past(calls, known, before, seen, frozenset(missed), corrected)


def _corrections(config: Config) -> Sequence[Correction]:
    store = Store(config.store.url, config.data_folder, CATCH_ALL, writes=False)
    try:
        return corrections.load(store.engine)
    finally:
        store.close()


def _truer(one: Seen | None, other: Seen) -> Seen:
    """Of a test device, as two shards have it: the later press; where none was pressed, since when it is waited for."""
    if one is None:
        return other
    pressed = [seen for seen in (one, other) if not seen.edges]
    return max(pressed, key=lambda seen: seen.at) if pressed else min((one, other), key=lambda seen: seen.at)


def _shards(config: Config) -> Sequence[int]:
    """Those that were ever owned."""
    store = Store(config.store.url, config.data_folder, 0)
    try:
        return sorted(positions(store.engine, config.bus.shards))
    finally:
        store.close()
