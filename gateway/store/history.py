"""Finding incidents again: a narrow index of the closed ones, and reading it a piece at a time, newest first.

What is open is in memory and searched there; an incident enters the index with the transaction that closes it, so an alarm pays nothing for it.
`history` has one narrow row an incident, so that even a question without an index is a walk over 50 MB for a million; `history_of` one row for
each person, device, responder, operator or calling number that an incident had: the questions that people ask most.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime

import msgspec
from sqlalchemy import BigInteger, Column, Connection, Engine, Index, Integer, Select, Table, Text, and_, exists, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.elements import ColumnElement

from gateway.clock import from_micros, micros
from gateway.core.incident import Flag, Incident, State
from gateway.core.stages import COMPLAIN
from gateway.event import Kind
from gateway.store.schema import incident, journal, meta, metadata

_NUMBER = BigInteger().with_variant(Integer, "sqlite")

history = Table(
    "history",
    metadata,
    Column("number", _NUMBER, primary_key=True, autoincrement=False),
    Column("opened_at", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("area", Text),
    Column("hotline", Text),
    Column("outcome", Text),
    Column("complaint", Integer, nullable=False),
    # Each ends with the number: newest first without sorting.
    Index("history_kind", "kind", "number"),
    Index("history_area", "area", "number"),
    Index("history_outcome", "outcome", "number"),
    Index("history_opened", "opened_at", "number"),
)
_complains = history.c.complaint == 1
Index("history_complaint", history.c.number, sqlite_where=_complains, postgresql_where=_complains)
history_of = Table(
    "history_of",
    metadata,
    Column("what", Text, primary_key=True),
    Column("number", _NUMBER, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)

FILLED = "history"  # row of `meta`: up to which number an older database was taken over; "all" when it was done
PIECE = 200  # incidents read at once: their bodies are half a megabyte, 10 ms
FILL_AT_ONCE = 1000
# Where people write sentences, and the facts in which the sentences stand.
WRITTEN = tuple(
    kind.value
    for kind in (Kind.NOTE, Kind.RESOLVE, Kind.CALL_BACK, Kind.COMPLAIN, Kind.HANDLE, Kind.WAIVE, Kind.HOLD, Kind.ESCALATE, Kind.SHELVE, Kind.DONE)
)
SENTENCES = ("text", "note", "reason", "problem")


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked for: all of it must hold.

    things    each a group of words ("person:p1", "device:…", "owner:…", "responder:…", "caller:+86…"), one of which must hold
    areas     ids of areas, of which one must be the incident's own; an incident that has none is given too, for the caller to judge
    since, until  since <= opened < until
    text      stands somewhere in what people wrote about it
    """

    things: tuple[tuple[str, ...], ...] = ()
    kind: str = ""
    severity: str = ""
    outcome: str = ""
    hotline: str = ""
    areas: tuple[str, ...] = ()
    complaint: bool | None = None
    since: datetime | None = None
    until: datetime | None = None
    text: str = ""

    def fits(self, one: Incident) -> bool:
        """Does an incident in memory fit, its text apart?"""
        mine = set(things_of(one))
        return (
            all(not mine.isdisjoint(group) for group in self.things)
            and self.kind in ("", one.kind)
            and self.severity in ("", one.severity)
            and self.outcome in ("", one.outcome or "")
            and self.hotline in ("", one.hotline or "")
            and (not self.areas or one.area is None or one.area in self.areas)
            and (self.complaint is None or self.complaint is is_complained(one))
            and (self.since is None or one.opened_at >= self.since)
            and (self.until is None or one.opened_at < self.until)
        )


def is_complained(one: Incident) -> bool:
    """Was there ever a complaint about it?"""
    return Flag.COMPLAINT in one.flags or any(stage.name == COMPLAIN for stage in one.stages)


def things_of(one: Incident) -> list[str]:
    """Whom and what it has to do with, as words of the index."""
    found = [f"person:{one.person}"] if one.person else []
    found += [f"device:{device}" for device in dict.fromkeys((one.device, *(sounded.device for sounded in one.sounded))) if device]
    found += [f"responder:{responder}" for responder in dict.fromkeys(leg.responder for leg in one.legs)]
    found += [f"owner:{one.owner}"] if one.owner else []
    found += [f"caller:{one.caller}"] if one.caller else []
    return [_plain(word) for word in found]


def history_row(one: Incident) -> tuple[int, int, str, str, str | None, str | None, str | None, int]:
    """The row of the index, in the order of its columns."""
    return (
        int(one.id[1:]),
        micros(one.opened_at),
        one.kind.value,
        one.severity.value,
        one.area,
        one.hotline,
        one.outcome.value if one.outcome else None,
        int(is_complained(one)),
    )


def fill(engine: Engine, told: Callable[[int], None] = lambda _: None) -> int:
    """Take the closed incidents of a database over that was written before there was an index; gives how many. Killed, it goes on where it was.

    About 60 µs an incident, once; `told` hears how many so far.
    """
    count = 0
    with engine.connect() as connection:
        done = connection.scalar(select(meta.c.value).where(meta.c.name == FILLED))
    if done == "all":
        return 0
    after = int(done or 0)
    while True:
        with engine.begin() as connection:
            chosen = select(incident.c.number, incident.c.body).where(incident.c.number > after, incident.c.state == State.CLOSED.value)
            rows = connection.execute(chosen.order_by(incident.c.number).limit(FILL_AT_ONCE)).all()
            if rows:
                put(connection, [msgspec.json.decode(row.body, type=Incident) for row in rows])
                after = rows[-1].number
            connection.execute(meta.delete().where(meta.c.name == FILLED))
            connection.execute(meta.insert(), [{"name": FILLED, "value": str(after) if rows else "all"}])
        if not rows:
            return count
        count += len(rows)
        told(count)


def put(connection: Connection, incidents: Sequence[Incident]) -> None:
    """Into the index, or anew."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    names = [column.name for column in history.columns]
    rows = insert(history)
    changed = {name: rows.excluded[name] for name in names if name != "number"}
    connection.execute(
        rows.on_conflict_do_update(index_elements=["number"], set_=changed), [dict(zip(names, history_row(one), strict=True)) for one in incidents]
    )
    words = [{"what": word, "number": int(one.id[1:])} for one in incidents for word in things_of(one)]
    if words:
        connection.execute(insert(history_of).on_conflict_do_nothing(), words)


def forget(connection: Connection, before: Incident, after: Incident) -> None:
    """An incident was erased: what told of people goes out of the index, too."""
    number = int(before.id[1:])
    for word in set(things_of(before)) - set(things_of(after)):
        connection.execute(history_of.delete().where(history_of.c.what == word, history_of.c.number == number))
    put(connection, [after])


class Search:
    """One question to the index, read in pieces. Any thread; each piece is a connection of its own. `before`: numbers below this one."""

    def __init__(self, engine: Engine, wanted: Wanted, before: int | None = None) -> None:
        self._engine = engine
        self._wanted = wanted
        self.before = before  # how far it was read: everything from here on was looked at
        self.looked_to: datetime | None = None  # when that one was opened
        self.is_done = False

    def piece(self, limit: int = PIECE) -> list[Incident]:
        """The next that fit, newest first, perhaps none while `is_done` is False yet: with a text only few of those looked at fit."""
        with self._engine.connect() as connection:
            numbers = list(connection.execute(self._chosen().limit(limit)).scalars())
            if len(numbers) < limit:
                self.is_done = True
            if not numbers:
                return []
            self.before = numbers[-1]
            opened_at = connection.scalar(select(history.c.opened_at).where(history.c.number == self.before))
            self.looked_to = from_micros(opened_at) if opened_at is not None else self.looked_to
            if self._wanted.text:
                spoken = _spoken_of(connection, [f"I{number}" for number in numbers], self._wanted.text)
                numbers = [number for number in numbers if f"I{number}" in spoken]
            rows = connection.execute(select(incident.c.number, incident.c.body).where(incident.c.number.in_(numbers)))
            bodies = {row.number: row.body for row in rows}
        found = [msgspec.json.decode(bodies[number], type=Incident) for number in numbers if number in bodies]
        # Opened again since, it is in memory; and it may have been somebody else's the first time that it was closed.
        return [one for one in found if not one.is_open and self._is_of_its_person(one)]

    def _is_of_its_person(self, one: Incident) -> bool:
        return all(f"person:{one.person}" in group for group in self._wanted.things if group and group[0].startswith("person:"))

    def _chosen(self) -> Select[int]:
        wanted, where = self._wanted, self._conditions()
        if not wanted.things:
            chosen = select(history.c.number).where(*where)
            if self.before is not None:
                chosen = chosen.where(history.c.number < self.before)
            return chosen.order_by(history.c.number.desc())
        first, *rest = sorted(wanted.things, key=len)  # the fewest words first
        number = history_of.c.number
        chosen = select(number).where(history_of.c.what == first[0] if len(first) == 1 else history_of.c.what.in_(first))
        if len(first) > 1:
            chosen = chosen.distinct()
        if self.before is not None:
            chosen = chosen.where(number < self.before)
        other = history_of.alias()
        chosen = chosen.where(*(exists().where(other.c.what.in_(group), other.c.number == number) for group in rest))
        if where:
            chosen = chosen.where(exists().where(and_(history.c.number == number, *where)))
        return chosen.order_by(number.desc())

    def _conditions(self) -> list[ColumnElement[bool]]:
        wanted, columns = self._wanted, history.c
        found: list[ColumnElement[bool]] = [
            columns[name] == value for name in ("kind", "severity", "outcome", "hotline") if (value := getattr(wanted, name))
        ]
        if wanted.complaint is not None:
            found.append(columns.complaint == int(wanted.complaint))
        if wanted.areas:
            found.append(or_(columns.area.in_(wanted.areas), columns.area.is_(None)))
        if wanted.since is not None:
            found.append(columns.opened_at >= micros(wanted.since))
        if wanted.until is not None:
            found.append(columns.opened_at < micros(wanted.until))
        return found


def spoken_of(engine: Engine, names: Sequence[str], text: str) -> set[str]:
    """Of these incidents the ones about which somebody wrote this text."""
    with engine.connect() as connection:
        return _spoken_of(connection, names, text)


def _spoken_of(connection: Connection, names: Sequence[str], text: str) -> set[str]:
    found: set[str] = set()
    inside = msgspec.json.encode(text).decode()[1:-1]  # as it stands in JSON
    for start in range(0, len(names), PIECE):
        mine = journal.c.incident.in_(names[start : start + PIECE]) & journal.c.kind.in_(WRITTEN)
        rows = connection.execute(select(journal.c.incident, journal.c.facts).where(mine, journal.c.facts.icontains(inside, autoescape=True)))
        for row in rows:
            if row.incident is not None and row.incident not in found and _says(row.facts, text):
                found.add(row.incident)
    return found


def _says(facts: str, text: str) -> bool:
    try:
        said = msgspec.json.decode(facts, type=dict[str, object])
    except msgspec.MsgspecError:
        return False
    inner = said.get("detail")
    sentences = [where.get(name) for where in (said, inner) if isinstance(where, dict) for name in SENTENCES]
    return any(isinstance(one, str) and text.casefold() in one.casefold() for one in sentences)


def forget_person(connection: Connection, person: str) -> None:
    """Somebody was erased: nothing is found under their id any more."""
    connection.execute(history_of.delete().where(history_of.c.what == f"person:{person}"))


def latest(engine: Engine, thing: str, limit: int) -> Iterator[Incident]:
    """The newest closed incidents that had to do with a person or device."""
    search = Search(engine, Wanted(things=((thing,),)))
    while limit > 0 and not search.is_done:
        for one in search.piece(min(limit, PIECE)):
            limit -= 1
            yield one


def rows_of(incidents: Iterable[Incident]) -> tuple[list[tuple[object, ...]], list[tuple[str, int]]]:
    """Rows of both tables for the closed ones among these, as the store writes them."""
    closed = [one for one in incidents if one.state is State.CLOSED]
    return [history_row(one) for one in closed], [(word, int(one.id[1:])) for one in closed for word in things_of(one)]


def _plain(text: str) -> str:
    return text.encode("utf-8", "replace").decode().replace("\x00", "\ufffd")
