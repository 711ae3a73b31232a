"""Erasing what tells of people, in small pieces beside the running gateway: journal entries keep their hashes, incidents their figures.

A connection of its own. Each piece is one short transaction, so that a commit of the alarm path waits for ten milliseconds at most.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

import msgspec
from sqlalchemy import Connection, Engine, func, or_, select
from sqlalchemy.sql.elements import ColumnElement

from gateway.clock import micros
from gateway.core.corrections import Correction, What
from gateway.core.incident import Incident, State
from gateway.core.platforms import PERSON
from gateway.core.risk import Concern
from gateway.core.risk_edges import RISK, SEEN
from gateway.core.risk_rules import RULES
from gateway.store.chain import ERASED_FACTS, ERASED_RAW, Range, erased, ranges_of
from gateway.store.corrections import correction
from gateway.store.history import forget, forget_person
from gateway.store.reports import report_outbox
from gateway.store.schema import incident, journal, last_seen, rejected, standing
from gateway.store.store import row_of

PIECE = 100  # rows in one transaction: about 5 ms of work
# Of an erased incident these stay: what reports count. Everything else goes back to its default.
KEPT = (
    "id kind severity state opened_at changed_at last_event_at ts version area hotline cries entries acknowledged_at resolved_at closed_at"
    " outcome satisfaction merged_into flags service"
).split()
ERASED_KEY = "erased"


class Eraser:
    """Finds and erases. `pause` is called between two pieces."""

    def __init__(self, engine: Engine, pause: Callable[[], None] = lambda: None) -> None:
        self._engine = engine
        self._pause = pause

    def entries_until(self, until: datetime, *, raw_only: bool) -> list[Range]:
        """The entries older than this of which something is left to erase, as one range from the first to the last."""
        left = (func.length(journal.c.raw) > 0) & _unlike_raw() if raw_only else _has_content()
        with self._engine.connect() as connection:
            is_open = select(incident.c.number).where(incident.c.state != State.CLOSED.value)
            first_open = connection.scalar(select(func.min(incident.c.opened_at)).where(incident.c.number.in_(is_open)))
            bound = micros(until) if first_open is None else min(micros(until), first_open)
            found = connection.execute(select(func.min(journal.c.seq), func.max(journal.c.seq)).where(journal.c.at < bound, left)).one()
        return [(found[0], found[1])] if found[0] is not None else []

    def incidents_until(self, until: datetime) -> list[int]:
        """Numbers of closed incidents that were closed before this and tell of people."""
        with self._engine.connect() as connection:
            chosen = select(incident.c.number).where(incident.c.closed_at < micros(until), incident.c.state == State.CLOSED.value, _unlike_erased())
            return list(connection.execute(chosen.order_by(incident.c.number)).scalars())

    def incidents_of(self, person: str) -> tuple[list[int], list[int]]:
        """(closed, open) numbers of the incidents of this person; among the open ones those of others that speak of them."""
        speaks = (incident.c.state != State.CLOSED.value) & incident.c.body.contains(f'"{person}"', autoescape=True)
        with self._engine.connect() as connection:
            rows = connection.execute(
                select(incident.c.number, incident.c.state).where((incident.c.person == person) | speaks).order_by(incident.c.number)
            ).all()
        closed = [row.number for row in rows if row.state == State.CLOSED.value]
        return closed, [row.number for row in rows if row.state != State.CLOSED.value]

    def is_known(self, person: str) -> bool:
        """Was there ever somebody of this id? What is erased is found by the word alone, and "sos" is a word of every other entry."""
        found = (
            select(journal.c.seq).where(journal.c.person == person),
            select(incident.c.number).where(incident.c.person == person),
            select(standing.c.key).where(_is_about(person)),
            select(last_seen.c.device).where(last_seen.c.device.in_((f"person:{person}", f"watch:{person}"))),
        )
        with self._engine.connect() as connection:
            return any(connection.execute(one.limit(1)).first() is not None for one in found)

    def devices_of(self, person: str) -> list[tuple[str, str]]:
        """(line, address) of all that spoke for this person."""
        spoke = select(journal.c.line, journal.c.device).where(journal.c.person == person, journal.c.line.is_not(None), journal.c.device.is_not(None))
        with self._engine.connect() as connection:
            return [(row.line, row.device) for row in connection.execute(spoke.distinct()).all()]

    def entries_of(self, person: str, numbers: Sequence[int], devices: Iterable[str] = (), phones: Iterable[str] = ()) -> list[Range]:
        """Every entry that tells of this person: under their id, of their incidents, of their devices, and calls from their numbers."""
        named = [journal.c.person == person, *(journal.c.device == device for device in devices)]
        named += [journal.c.facts.contains(f'"{word}"', autoescape=True) for word in (person, *phones)]
        seqs: set[int] = set()
        with self._engine.connect() as connection:
            seqs.update(connection.execute(select(journal.c.seq).where(or_(*named), _has_content())).scalars())
            for start in range(0, len(numbers), PIECE):
                part = [f"I{number}" for number in numbers[start : start + PIECE]]
                seqs.update(connection.execute(select(journal.c.seq).where(journal.c.incident.in_(part), _has_content())).scalars())
        return ranges_of(sorted(seqs))

    def erase_entries(self, ranges: Iterable[Range], *, raw_only: bool = False) -> int:
        """Erase them, told as they must be by a `purged` entry; gives how many were changed."""
        count = 0
        for first, last in ranges:
            while first <= last:
                chosen = select(journal).where(journal.c.seq >= first, journal.c.seq <= last).order_by(journal.c.seq).limit(PIECE)
                with self._begin() as connection:
                    rows = [row_of(row) for row in connection.execute(chosen).all()]
                    for row in rows:
                        after = erased(row, raw_only=raw_only)
                        if after is not row and after != row:
                            values = {name: getattr(after, name) for name in ("device", "dedup", "person", "actor", "facts", "raw")}
                            connection.execute(journal.update().where(journal.c.seq == row.seq).values(values))
                            count += 1
                if not rows:
                    break
                first = rows[-1].seq + 1
                self._pause()
        return count

    def erase_incidents(self, numbers: Sequence[int]) -> int:
        """Leave of these closed incidents what reports count; gives how many were changed."""
        count = 0
        for start in range(0, len(numbers), PIECE):
            with self._begin() as connection:
                chosen = select(incident.c.number, incident.c.body).where(
                    incident.c.number.in_(numbers[start : start + PIECE]), incident.c.state == State.CLOSED.value
                )
                for row in connection.execute(chosen).all():
                    before = msgspec.json.decode(row.body, type=Incident)
                    after = without_people(before)
                    body = msgspec.json.encode(after).decode()
                    connection.execute(incident.update().where(incident.c.number == row.number).values(person=None, body=body))
                    forget(connection, before, after)
                    count += 1
            self._pause()
        return count

    def erase_mentions(self, person: str) -> int:
        """In closed incidents of others: who it was taken for, who it was merged with. Their own story stays; no merger can be undone any more."""
        word = f'"{person}"'
        speaks = incident.c.body.contains(word, autoescape=True) & (incident.c.state == State.CLOSED.value)
        with self._engine.connect() as connection:
            numbers = list(connection.execute(select(incident.c.number).where(speaks)).scalars())
        count = 0
        for start in range(0, len(numbers), PIECE):
            with self._begin() as connection:
                chosen = select(incident.c.number, incident.c.body).where(speaks, incident.c.number.in_(numbers[start : start + PIECE]))
                for row in connection.execute(chosen).all():
                    one = msgspec.json.decode(row.body.replace(word, f'"{ERASED_KEY}"'), type=Incident)
                    body = msgspec.json.encode(msgspec.structs.replace(one, merger=None)).decode()
                    connection.execute(incident.update().where(incident.c.number == row.number).values(body=body))
                    count += 1
            self._pause()
        return count

    def erase_standings(self, person: str) -> int:
        """Rulings about this person: links of their family, and who they are on platforms."""
        with self._begin() as connection:
            forget_person(connection, person)
            return connection.execute(standing.delete().where(_is_about(person))).rowcount

    def erase_corrections(self, person: str) -> int:
        """What was corrected of this person, their contacts and devices. Of a removal nothing stays but that this id is to be no more."""
        with self._begin() as connection:
            mine = correction.c.person == person
            for row in connection.execute(select(correction.c.number, correction.c.body).where(mine)).all():
                one = msgspec.json.decode(row.body, type=Correction)
                if one.what is not What.REMOVED or one.ended is not None:
                    continue
                bare = msgspec.structs.replace(one, person="", by="", reason="", source="", cells={}, before={}, rows=(), rows_before=())
                connection.execute(
                    correction.update().where(correction.c.number == row.number).values(person=None, body=msgspec.json.encode(bare).decode())
                )
            return connection.execute(correction.delete().where(mine)).rowcount

    def erase_corrections_until(self, until: datetime) -> int:
        """Corrections that ended before this."""
        with self._begin() as connection:
            return connection.execute(correction.delete().where(correction.c.ended_at < micros(until))).rowcount

    def erase_reports(self, until: datetime) -> int:
        """Reports that left before this."""
        with self._begin() as connection:
            return connection.execute(report_outbox.delete().where(report_outbox.c.sent_at < micros(until))).rowcount

    def erase_seen(self, names: Sequence[str]) -> int:
        """Forget the last signs of these ("<line>|<address>", "person:…", "watch:…")."""
        with self._begin() as connection:
            return connection.execute(last_seen.delete().where(last_seen.c.device.in_(names))).rowcount if names else 0

    def erase_seen_until(self, until: datetime) -> int:
        """Forget the last signs of what spoke before this and never since."""
        with self._begin() as connection:
            return connection.execute(last_seen.delete().where(last_seen.c.at < micros(until))).rowcount

    def erase_rejected(self, until: datetime | None = None, devices: Sequence[str] = ()) -> int:
        """Messages refused: those before this, or those of these devices."""
        chosen = rejected.c.at < micros(until) if until is not None else rejected.c.device.in_(devices)
        count = 0
        while True:  # a flood has left hundreds of thousands
            with self._begin() as connection:
                some = list(connection.execute(select(rejected.c.id).where(chosen).limit(PIECE)).scalars())
                if some:
                    connection.execute(rejected.delete().where(rejected.c.id.in_(some)))
            if not some:
                return count
            count += len(some)
            self._pause()

    @contextmanager
    def _begin(self) -> Iterator[Connection]:
        with self._engine.connect() as connection:
            if self._engine.dialect.name == "sqlite":
                connection.exec_driver_sql("PRAGMA secure_delete=ON")  # zeros in the place of what was there
            connection.rollback()
            with connection.begin():
                if self._engine.dialect.name == "sqlite":
                    connection.exec_driver_sql("BEGIN IMMEDIATE")  # what is read here, nobody else changes before it is written back
                yield connection

    def fold(self) -> None:
        """Let SQLite write what was erased over what was there, in its file too."""
        if self._engine.dialect.name == "sqlite":
            with self._engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")


def without_people(one: Incident) -> Incident:
    """What of a closed incident may stay: no person, device, number, note or responder."""
    return Incident(key=ERASED_KEY, **{name: getattr(one, name) for name in KEPT})


def pieces(ranges: Sequence[Range], size: int) -> Iterator[Sequence[Range]]:
    """So many ranges at a time: one `purged` entry must not grow without bound."""
    for start in range(0, len(ranges), size):
        yield ranges[start : start + size]


def _is_about(person: str) -> ColumnElement[bool]:
    named = standing.c.key.startswith(f"family_link:{person}:", autoescape=True)
    keys = [f"{matter}:{rule.name}:{person}" for matter in (RISK, SEEN) for rule in RULES if rule.concern is Concern.PERSON]
    return (
        named
        | standing.c.key.in_(keys)
        | (standing.c.key.startswith(f"{PERSON}:", autoescape=True) & standing.c.body.contains(f'"value":"{person}"', autoescape=True))
    )


def _has_content() -> ColumnElement[bool]:
    return func.substr(journal.c.facts, 1, len(ERASED_FACTS)) != ERASED_FACTS


def _unlike_raw() -> ColumnElement[bool]:
    return func.substr(journal.c.raw, 1, len(ERASED_RAW)) != ERASED_RAW


def _unlike_erased() -> ColumnElement[bool]:
    return ~incident.c.body.contains(f'"key":"{ERASED_KEY}"')
