"""Corrections: what people found wrong in the register, kept beside its files and laid over them whenever a register is built (decision 0025).

Pure, and in words of the files: a correction holds cells as they would be written in the CSV, so that the readers of the files judge
it by the same rules and an export is nothing but the files with the corrections in them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta, timezone
from enum import StrEnum
from operator import itemgetter

import msgspec

CHINA = timezone(timedelta(hours=8))
LIMIT = 100_000  # corrections that stand or are remembered: all persons of a city once; about 60 MB. What has ended gives way first
ROWS_LIMIT = 100  # contacts of one person, shifts of one responder
SEPARATOR = "|"  # between the columns of a key; stands in no id

Cells = Mapping[str, str]


class RecordKind(StrEnum):
    """What may be corrected. contacts are all contacts of a person, in call order; rosters all shifts of a responder."""

    PERSONS = "persons"
    CONTACTS = "contacts"
    DEVICES = "devices"
    RESPONDERS = "responders"
    ROSTERS = "rosters"
    LOANS = "loans"
    PROVIDERS = "providers"
    AGREEMENTS = "agreements"

    @property
    def file(self) -> str:
        """The file of the district's folder."""
        return f"{self.value}.csv"


KEYS: dict[RecordKind, tuple[str, ...]] = dict.fromkeys(RecordKind, ("id",)) | {
    RecordKind.CONTACTS: ("person",),
    RecordKind.ROSTERS: ("responder",),
    RecordKind.DEVICES: ("line", "id"),
}
LISTS = frozenset((RecordKind.CONTACTS, RecordKind.ROSTERS))  # whose record is all rows of one key, as one
ROWS = "rows"  # the one field of such a record
PLACE = frozenset(("lat", "lon", "datum"))  # are one: half of a place is none, and another datum is another place
CONFIRMED = frozenset(("confirmed_on", "confirmed_by"))


class What(StrEnum):
    CHANGED = "changed"
    NEW = "new"
    REMOVED = "removed"


class Level(StrEnum):
    """Who says it, from below (domain 4.2: collected by communities, put together by streets, then by the district)."""

    COMMUNITY = "community"
    STREET = "street"
    DISTRICT = "district"
    CITY = "city"

    @property
    def rank(self) -> int:
        """0 is the lowest."""
        return list(Level).index(self)


class End(StrEnum):
    """Why a correction counts no more. file: somebody has decided that the file was right."""

    TAKEN_BACK = "taken_back"
    FILE = "file"


class Correction(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One statement of one person about one record.

    key      the columns of KEYS, joined by SEPARATOR
    person   whose record it is, or that of a contact or device; "" for none: erased with them
    cells    the fields concerned, as the CSV has them ("" = empty): of a new record all, of a removed one none
    before   what the file said of these fields then; of a removed record all of it
    rows, rows_before   the same for a list (LISTS), which is one field
    gone     fields for which somebody has decided that the file is right
    asked    the identity of the wish, where several machines share the work: asked twice it is done once
    """

    number: int
    kind: RecordKind
    key: str
    what: What
    by: str
    role: str
    level: Level
    at: datetime
    reason: str
    source: str = ""
    person: str = ""
    cells: dict[str, str] = {}
    before: dict[str, str] = {}
    rows: tuple[dict[str, str], ...] = ()
    rows_before: tuple[dict[str, str], ...] = ()
    gone: tuple[str, ...] = ()
    ended: End | None = None
    ended_by: str = ""
    ended_at: datetime | None = None
    ended_reason: str = ""
    asked: str = ""

    @property
    def fields(self) -> tuple[str, ...]:
        """What it speaks of; of a removed record nothing."""
        if self.kind in LISTS:
            return (ROWS,)
        return tuple(name for name in self.cells if name not in self.gone)


class CorrectionWrite(msgspec.Struct, frozen=True):
    """What one transaction does to the table: rows written or changed, and numbers that give way."""

    written: tuple[Correction, ...] = ()
    forgotten: tuple[int, ...] = ()


class State(StrEnum):
    """How a correction stands to the file that is read now.

    conflict  the file says something else than it did then
    agreed    the file says the same by now: the correction has nothing left to do
    lost      the record is not in the file any more
    invalid   with it the register could not be read: it is left out until somebody looks at it
    """

    CONFLICT = "conflict"
    AGREED = "agreed"
    LOST = "lost"
    INVALID = "invalid"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be said of a correction. in_force: does its value count at present? file: what the file says; why: the fault of an invalid one."""

    number: int
    kind: RecordKind
    key: str
    state: State
    field: str = ""
    in_force: bool = False
    file: str = ""
    ours: str = ""
    why: str = ""


class Statement(msgspec.Struct, frozen=True):
    """Who speaks by a file, and when it was written."""

    level: Level
    at: datetime


# Do two cells of a column say the same, however they are written? (kind, column, one, other)
Same = Callable[[RecordKind, str, str, str], bool]
# A row with its place in WGS-84 and no datum.
Normal = Callable[[Cells], dict[str, str]]


def key_of(kind: RecordKind, cells: Cells) -> str:
    """The key of a row."""
    return SEPARATOR.join(cells.get(name, "") for name in KEYS[kind])


def key_cells(kind: RecordKind, key: str) -> dict[str, str]:
    """The cells of a key. An address may have the separator in it, a line may not."""
    names = KEYS[kind]
    return dict(zip(names, key.split(SEPARATOR, len(names) - 1), strict=False))


def statement_of(cells: Cells, file: Statement) -> date:
    """On which day a row was said: confirmed by hand, else when the file was written."""
    try:
        return date.fromisoformat(cells.get("confirmed_on", ""))
    except ValueError:
        return file.at.astimezone(CHINA).date()


def file_wins(one: Correction, cells: Cells, file: Statement) -> bool:
    """A correction gives way to a newer statement of a higher level (domain 4.2); else it stays until somebody decides."""
    if file.level.rank <= one.level.rank:
        return False
    said = cells.get("confirmed_on", "")
    return statement_of(cells, file) > one.at.astimezone(CHINA).date() if said else file.at > one.at


class Record:
    """What the standing corrections of one record say together: the latest of each field, and by whom."""

    __slots__ = ("by_field", "new", "removed")

    def __init__(self, corrections: Sequence[Correction]) -> None:
        """Those that stand, oldest first."""
        self.new: Correction | None = None
        self.removed: Correction | None = None
        self.by_field: dict[str, Correction] = {}
        for one in corrections:
            if one.what is What.REMOVED:
                self.removed = one
                continue
            if one.what is What.NEW:
                self.new, self.removed = one, None
            self.by_field.update(dict.fromkeys(one.fields, one))


class Sheet:
    """The corrections of one file, laid over its rows while it is read (gateway.csv_file.Laid). Good for one reading.

    bases: key → the row (of a list: the rows) as the file has it; findings: what is to be said; blame: line → key of rows that were touched.
    """

    def __init__(
        self, kind: RecordKind, corrections: Iterable[Correction], file: Statement, same: Same, normal: Normal, removed: frozenset[str] = frozenset()
    ) -> None:
        """removed: persons that are no more; their contacts go with them."""
        self.kind = kind
        self._file, self._same, self._normal = file, same, normal
        by_key: dict[str, list[Correction]] = {}
        for one in corrections:
            if one.kind is kind and one.ended is None:
                by_key.setdefault(one.key, []).append(one)
        self._records = {key: Record(sorted(some, key=lambda one: one.number)) for key, some in by_key.items()}
        self._without = removed if kind in LISTS else frozenset()
        self.bases: dict[str, tuple[dict[str, str], ...]] = {}
        self.findings: list[Finding] = []
        self.blame: dict[int, str] = {}

    @property
    def removed(self) -> frozenset[str]:
        """Keys of records that are no more."""
        return frozenset(key for key, record in self._records.items() if record.removed is not None)

    def find(self, header: list[str]) -> Callable[[list[str]], str | None]:
        """As Laid has it."""
        records, without = self._records, self._without
        places = [header.index(name) if name in header else None for name in KEYS[self.kind]]
        if len(places) == 1 and places[0] is not None:
            cell = itemgetter(places[0])

            def of_one(row: list[str]) -> str | None:
                key: str = cell(row).strip()
                return key if key in records or key in without else None

            return of_one

        def of_several(row: list[str]) -> str | None:
            key = SEPARATOR.join("" if place is None else row[place].strip() for place in places)
            return key if key in records else None

        return of_several

    def lay(self, line: int, key: str, cells: dict[str, str]) -> dict[str, str] | None:
        """As Laid has it."""
        if key in self._without:
            return None
        self.bases[key] = (*self.bases.get(key, ()), cells)
        self.blame[line] = key
        if self.kind in LISTS:
            return None  # all of them are known at the end
        return self._laid(key, cells)

    def rest(self) -> Iterator[tuple[int, dict[str, str]]]:
        """As Laid has it: new records, and lists."""
        for key, record in self._records.items():
            if self.kind in LISTS:
                yield from self._list(key, record)
            elif key not in self.bases:
                found = self._without_base(key, record)
                if found is not None:
                    yield found

    def _laid(self, key: str, cells: dict[str, str]) -> dict[str, str] | None:
        record = self._records[key]
        if record.removed is not None:
            return self._removed(record.removed, cells)
        result = self._normal(cells) if PLACE & record.by_field.keys() else dict(cells)
        theirs = dict(result)
        for name, one in record.by_field.items():
            if self._holds(one, name, theirs.get(name, ""), one.cells[name], one.before.get(name, ""), theirs):
                result[name] = one.cells[name]
        return result

    def _removed(self, one: Correction, cells: dict[str, str]) -> dict[str, str] | None:
        """A removed record whose row has changed since: somebody thinks that there is such a person."""
        before, now = self._normal(one.before), self._normal(cells)
        changed = [name for name in before.keys() | now.keys() if not self._same(self.kind, name, before.get(name, ""), now.get(name, ""))]
        if not changed:
            return None
        wins = file_wins(one, cells, self._file)
        self._say(one, State.CONFLICT, in_force=not wins, file=", ".join(sorted(changed)))
        return dict(cells) if wins else None

    def _holds(self, one: Correction, name: str, theirs: str, ours: str, before: str, cells: Cells) -> bool:
        """Does this field of the correction count? Says what is to be said of it."""
        if self._same(self.kind, name, theirs, ours):
            self._say(one, State.AGREED, name, in_force=True)
            return True
        if name in CONFIRMED:  # a day on which somebody asked: the later one, and no quarrel about it
            return one.cells.get("confirmed_on", "") >= cells.get("confirmed_on", "")
        if self._same(self.kind, name, theirs, before):
            return True
        wins = file_wins(one, cells, self._file)
        self._say(one, State.CONFLICT, name, in_force=not wins, file=theirs, ours=ours)
        return not wins

    def _without_base(self, key: str, record: Record) -> tuple[int, dict[str, str]] | None:
        """The file has no such row."""
        if record.removed is not None:
            self._say(record.removed, State.AGREED, in_force=True)
            return None
        if record.new is None:
            for one in {one.number: one for one in record.by_field.values()}.values():
                self._say(one, State.LOST)
            return None
        line = -record.new.number
        self.blame[line] = key
        return line, key_cells(self.kind, key) | {name: one.cells[name] for name, one in record.by_field.items()}

    def _list(self, key: str, record: Record) -> Iterator[tuple[int, dict[str, str]]]:
        """The rows of a list: ours, or those of the file where it has changed and speaks louder."""
        one = record.by_field.get(ROWS)
        if one is None or key in self._without:
            return
        theirs = self.bases.get(key, ())
        rows: Sequence[Cells] = one.rows
        if self._same_rows(theirs, one.rows):
            self._say(one, State.AGREED, ROWS, in_force=True)
        elif not self._same_rows(theirs, one.rows_before):
            wins = file_wins(one, {}, self._file)
            self._say(one, State.CONFLICT, ROWS, in_force=not wins)
            rows = theirs if wins else one.rows
        self.blame[-one.number] = key
        own = key_cells(self.kind, key)
        for row in rows:
            yield -one.number, {**row, **own}

    def _same_rows(self, some: Sequence[Cells], others: Sequence[Cells]) -> bool:
        own = set(KEYS[self.kind])
        return len(some) == len(others) and all(
            self._same(self.kind, name, one.get(name, ""), other.get(name, ""))
            for one, other in zip(some, others, strict=True)
            for name in (one.keys() | other.keys()) - own
        )

    def _say(self, one: Correction, state: State, field: str = "", *, in_force: bool = False, file: str = "", ours: str = "") -> None:
        self.findings.append(
            Finding(number=one.number, kind=self.kind, key=one.key, state=state, field=field, in_force=in_force, file=file, ours=ours)
        )


def superseded(corrections: Iterable[Correction]) -> list[Correction]:
    """Of the standing corrections of one record (oldest first): those of which every field has been said anew since.

    They stay: when the later one is taken back, they count again.
    """
    some = list(corrections)
    record = Record(some)
    counting = {one.number for one in record.by_field.values()} | {one.number for one in (record.new, record.removed) if one is not None}
    return [one for one in some if one.number not in counting]
