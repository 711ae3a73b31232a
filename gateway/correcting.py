"""Corrections of the register while the gateway runs: kept in memory and in the store, in force as soon as they are on disk.

One at a time: a thread builds the register with the correction in it (by the readers of the files, so nothing wrong gets in), the
pipeline writes statement and journal entry in one transaction, and only then the register is swapped.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from gateway.clock import utc_now
from gateway.core.corrections import (
    CHINA,
    KEYS,
    LIMIT,
    LISTS,
    PLACE,
    ROWS_LIMIT,
    Correction,
    CorrectionWrite,
    End,
    Finding,
    Level,
    Record,
    RecordKind,
    State,
    Statement,
    What,
    superseded,
)
from gateway.core.register import Register
from gateway.core.state import Record as Entry
from gateway.errors import ConfigError, Refused
from gateway.event import Kind, Phase
from gateway.register_files import (
    Overlaid,
    export_rows,
    file_rows,
    grouped,
    head_of,
    named_version,
    read_overlaid,
    replace_file,
    version_of,
    written_at,
)
from gateway.register_import import Preview, digest_of, preview
from gateway.register_record import PERSONAL, amend
from gateway.register_tables import Tables, fields_that_differ, normal, record_of

MARK_BITS = 2**63 - 1
REASON_LIMIT = 500  # characters, as of a ruling
FIELDS_OF_PLACE = ("lat", "lon")

Base = tuple[dict[str, str], ...]
Key = tuple[RecordKind, str]


class Author(msgspec.Struct, frozen=True):
    """Who says it."""

    name: str
    role: str
    level: Level


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants to be otherwise. seen: the newest correction of the record that they saw; None: they did not look.

    asked: the identity of the wish, where an answer may be lost on its way and the same is asked again: twice is once
    """

    kind: RecordKind
    key: str
    what: What
    reason: str
    source: str = ""
    cells: Mapping[str, str] = {}
    rows: Sequence[Mapping[str, str]] = ()
    seen: int | None = None
    asked: str = ""


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """A record as it is in force, and where each field comes from. rows: of a list all of its rows, else one."""

    rows: Base
    base: Base
    by_field: Mapping[str, Correction]
    file_at: datetime
    level: Level
    findings: tuple[Finding, ...]
    newest: int


class Corrections:
    """All corrections of one district. `write` journals and stores, `swap` brings a register into force: (register, persons, devices).

    swap_whole does what a reload does with a register that was read whole. Of several machines one writes, and the others `follow`
    (gateway.shared_corrections): `told` hears what was written here.
    """

    def __init__(
        self,
        folder: Callable[[], Path],
        channels: Callable[[], Collection[str] | None],
        register: Callable[[], Register],
        write: Callable[[Entry, CorrectionWrite], Awaitable[None]],
        swap: Callable[[Register, Sequence[str], Sequence[tuple[str | None, str]]], Awaitable[None]],
        swap_whole: Callable[[Register], Awaitable[None]],
    ) -> None:
        self._folder, self._channels, self._register = folder, channels, register
        self._write, self._swap, self._swap_whole = write, swap, swap_whole
        self.lock = asyncio.Lock()  # a reload takes it too: neither loses what the other does
        self.all: dict[int, Correction] = {}
        self.told: Callable[[tuple[Correction, ...], tuple[int, ...]], None] = to_nobody
        self._by_record: dict[Key, list[int]] = {}
        self._bases: dict[Key, Base] = {}
        self._findings: dict[Key, list[Finding]] = {}
        self._responders: frozenset[str] = frozenset()
        self._files = ""
        self._next = 1
        self._mark = 0
        self.tables = Tables()
        self._level = Level.DISTRICT

    # --- what is there -----------------------------------------------------------------------------------------------

    def load(self, corrections: Iterable[Correction]) -> None:
        """What the store has, oldest first."""
        self.all = {one.number: one for one in corrections}
        self._mark = sum(map(_mark, self.all.values()))
        self._by_record = {}
        for one in self.all.values():
            self._by_record.setdefault((one.kind, one.key), []).append(one.number)
        self._next = max(self.all, default=0) + 1

    def lay(self, corrections: Iterable[Correction], version: str) -> Register | None:
        """At the start: what the store has, laid over the files. None: nothing stands, and the register that was read is right. Blocks.

        version: of that register. Raises ConfigError.
        """
        self.load(corrections)
        if not self.standing:
            self.take_plain(version)
            return None
        overlaid = read_overlaid(self._folder(), self._channels(), self.standing)
        self.take(overlaid)
        return overlaid.register

    @property
    def version(self) -> str:
        """Of the register in force."""
        return self._register().version

    def take(self, overlaid: Overlaid) -> None:
        """A register was read whole, with the corrections that stand."""
        head = head_of(self._folder())
        self.tables, self._level = Tables(head.area_code), head.level
        self._files, self._responders = overlaid.files, overlaid.responders
        self._findings = {}
        for finding in overlaid.findings:
            self._findings.setdefault((finding.kind, finding.key), []).append(finding)
        invalid = {finding.number for finding in overlaid.findings if finding.state is State.INVALID}
        self._bases = dict(overlaid.bases)
        for one in self.standing:
            if one.number not in invalid:
                self._bases.setdefault((one.kind, one.key), ())

    def take_plain(self, version: str) -> None:
        """The files were read when nothing was corrected; version: of the register they gave."""
        head = head_of(self._folder())
        self.tables, self._level = Tables(head.area_code), head.level
        self._files, self._findings, self._bases = version, {}, {}
        rows = file_rows(self._folder(), RecordKind.RESPONDERS, self.tables)
        self._responders = frozenset(grouped(RecordKind.RESPONDERS, rows))

    @property
    def standing(self) -> list[Correction]:
        """Those that have not ended."""
        return [one for one in self.all.values() if one.ended is None]

    def forget_person(self, person: str) -> None:
        """They were erased in the store: what memory keeps of them goes too."""
        for one in [one for one in self.all.values() if one.person == person]:
            if one.what is What.REMOVED and one.ended is None:
                bare = msgspec.structs.replace(one, person="", by="", reason="", source="", cells={}, before={}, rows=(), rows_before=())
                self.all[one.number] = bare
                self._mark += _mark(bare) - _mark(one)
                continue
            del self.all[one.number]
            self._mark -= _mark(one)
            self._by_record[one.kind, one.key].remove(one.number)
        for kind in (RecordKind.PERSONS, RecordKind.CONTACTS):
            self._bases.pop((kind, person), None)

    def history(self, kind: RecordKind, key: str) -> list[Correction]:
        """Everything that was said of a record, oldest first."""
        return [self.all[number] for number in self._by_record.get((kind, key), ())]

    def is_superseded(self, one: Correction) -> bool:
        """Has every field of it been said anew since?"""
        standing = [other for other in self.history(one.kind, one.key) if other.ended is None]
        return one.ended is None and any(other.number == one.number for other in superseded(standing))

    def findings(self) -> list[Finding]:
        """What is to be said of corrections, newest first."""
        return sorted((one for some in self._findings.values() for one in some), key=lambda one: (-one.number, one.field))

    def sight(self, kind: RecordKind, key: str) -> Sight | None:
        """A record as it is in force. None: there is none. May read a small file: in a thread."""
        record = Record([one for one in self.history(kind, key) if one.ended is None])
        base = self._base(kind, key)
        findings = tuple(self._findings.get((kind, key), ()))
        rows = self._rows(kind, key)
        if rows is None or (kind not in LISTS and not rows):
            return None
        losing = {finding.field for finding in findings if not finding.in_force and finding.state in (State.CONFLICT, State.INVALID)}
        is_invalid = any(finding.state is State.INVALID for finding in findings)
        by_field = {} if is_invalid else {name: one for name, one in record.by_field.items() if name not in losing}
        return Sight(
            rows=rows,
            base=base or (),
            by_field=by_field,
            file_at=written_at(self._folder() / kind.file),
            level=self._level,
            findings=findings,
            newest=max(self._by_record.get((kind, key), ()), default=0),
        )

    def _rows(self, kind: RecordKind, key: str) -> Base | None:
        """As it is in force; a responder whom no channel reaches is in the file alone."""
        found = record_of(self._register(), self.tables, kind, key)
        if found is None and kind is RecordKind.RESPONDERS and key in self._responders:
            return self._base(kind, key)
        return found

    def _base(self, kind: RecordKind, key: str) -> Base | None:
        """What the files say of it."""
        if (kind, key) in self._bases:
            return self._bases[kind, key]
        if kind in PERSONAL:
            return record_of(self._register(), self.tables, kind, key)
        return tuple(grouped(kind, file_rows(self._folder(), kind, self.tables)).get(key, ()))

    # --- what people say ---------------------------------------------------------------------------------------------

    async def correct(self, author: Author, wish: Wish) -> Correction:
        """Let it be so; answers when it is on disk and in force.

        Raises Refused: missing_reason, reason_too_long, unknown_record, known_record, changed_meanwhile, nothing_changed, bad_field, bad_cells,
        still_used, too_many_corrections, files_faulty; StoreDown.
        """
        _reasoned(wish.reason)
        async with self.lock:
            if (done := self._done(wish.kind, wish.key, wish.asked)) is not None:
                return done
            if wish.seen is not None and wish.seen != max(self._by_record.get((wish.kind, wish.key), ()), default=0):
                newest = self.history(wish.kind, wish.key)[-1]
                raise Refused("changed_meanwhile", 409, by=newest.by, at=newest.at)
            one = await asyncio.to_thread(self._stated, author, wish, utc_now())
            forgotten = self._room()
            await self._bring(one, one.kind, one.key, [*self.standing, one], (one,), forgotten, self._entry(one, author, one.what))
            return one

    async def take_back(self, author: Author, number: int, reason: str, asked: str = "") -> Correction:
        """It counts no more; what was said before it, or the file, does. asked: as of a Wish.

        Raises Refused: unknown_correction, ended, … as `correct`.
        """
        return await self._end(author, number, reason, End.TAKEN_BACK, "taken_back", (), asked)

    def _asked_before(self, number: int, asked: str) -> Correction | None:
        """What came of it, if the same was asked of this correction's record before."""
        known = self.all.get(number)
        return self._done(known.kind, known.key, asked) if known is not None else None

    def _done(self, kind: RecordKind, key: str, asked: str) -> Correction | None:
        return next((one for one in reversed(self.history(kind, key)) if asked and one.asked == asked), None)

    async def decide(self, author: Author, number: int, keep: bool, reason: str, asked: str = "") -> Correction:
        """A conflict is decided: the correction holds against what the file says now, or the file was right. asked: as of a Wish.

        Raises Refused: unknown_correction, ended, no_conflict, … as `correct`.
        """
        _reasoned(reason)
        if (done := self._asked_before(number, asked)) is not None:
            return done
        one = self._standing(number)
        found = [finding for finding in self._findings.get((one.kind, one.key), ()) if finding.number == number]
        if not any(finding.state is State.CONFLICT for finding in found):
            raise Refused("no_conflict", 409)
        if not keep:
            return await self._end(
                author, number, reason, End.FILE, "decided", [finding.field for finding in found if finding.state is State.CONFLICT], asked
            )
        async with self.lock:
            if (done := self._asked_before(number, asked)) is not None:
                return done
            one = self._standing(number)
            base = self._base(one.kind, one.key) or ()
            anew = msgspec.structs.replace(
                one,
                number=self._next,
                by=author.name,
                role=author.role,
                level=author.level if author.level.rank > one.level.rank else one.level,
                at=utc_now(),
                reason=reason.strip(),
                before=_of_fields(base, one.cells) if one.what is not What.REMOVED else dict(base[0] if base else {}),
                rows_before=base if one.kind in LISTS else (),
                asked=asked,
            )
            what = f"{anew.what}"
            await self._bring(
                anew, anew.kind, anew.key, [*self.standing, anew], (anew,), self._room(), self._entry(anew, author, "decided", was=what)
            )
            return anew

    async def _end(self, author: Author, number: int, reason: str, end: End, what: str, fields: Sequence[str], asked: str) -> Correction:
        _reasoned(reason)
        async with self.lock:
            if (done := self._asked_before(number, asked)) is not None:
                return done
            one = self._standing(number)
            left = set(one.fields) - set(fields) if end is End.FILE and one.kind not in LISTS and one.what is not What.REMOVED else set()
            if left:
                ended = msgspec.structs.replace(one, gone=(*one.gone, *fields), asked=asked)
            else:
                ended = msgspec.structs.replace(one, ended=end, ended_by=author.name, ended_at=utc_now(), ended_reason=reason.strip(), asked=asked)
            standing = [ended if other.number == number else other for other in self.standing]
            standing = [other for other in standing if other.ended is None]
            entry = self._entry(one, author, what, reason=reason.strip(), end=end)
            await self._bring(ended, one.kind, one.key, standing, (ended,), (), entry)
            return ended

    def _standing(self, number: int) -> Correction:
        one = self.all.get(number)
        if one is None:
            raise Refused("unknown_correction", 404)
        if one.ended is not None:
            raise Refused("ended", 409, by=one.ended_by, at=one.ended_at)
        return one

    def _stated(self, author: Author, wish: Wish, now: datetime) -> Correction:
        """The wish as a statement: only what is otherwise, and what the file says of it."""
        kind, key = wish.kind, wish.key
        rows = self._rows(kind, key)
        is_there = rows is not None and (kind in LISTS or bool(rows))
        if wish.what is What.NEW:
            if kind in LISTS:
                raise Refused("bad_field", 400, field="what")
            if is_there or self._base(kind, key):
                raise Refused("known_record", 409, key=key)
        elif not is_there:
            raise Refused("unknown_record", 404)
        if wish.what is What.REMOVED:
            self._check_unused(kind, key)
        base = self._base(kind, key) or ()
        cells, list_rows = self._cells(wish, (rows or ({},))[0] if kind not in LISTS and rows else {})
        if wish.what is What.CHANGED:
            same = _same_rows(self.tables, kind, rows or (), list_rows) if kind in LISTS else not cells
            if same:
                raise Refused("nothing_changed", 409)
        return Correction(
            number=self._next,
            kind=kind,
            key=key,
            what=wish.what,
            by=author.name,
            role=author.role,
            level=author.level,
            at=now,
            reason=wish.reason.strip(),
            source=wish.source,
            person=self._person(kind, key, {**((rows or ({},))[0] if rows else {}), **cells}),
            cells=cells,
            before=dict(base[0]) if wish.what is What.REMOVED and base else _of_fields(base, cells),
            rows=list_rows,
            rows_before=base if kind in LISTS else (),
            asked=wish.asked,
        )

    def _cells(self, wish: Wish, current: Mapping[str, str]) -> tuple[dict[str, str], Base]:
        """What is otherwise, cell by cell judged as the files are. Raises Refused: bad_field, bad_cells."""
        kind, faults = wish.kind, []
        if kind in LISTS:
            if len(wish.rows) > ROWS_LIMIT:
                raise Refused("too_many_rows", 400, limit=ROWS_LIMIT)
            own = dict.fromkeys(KEYS[kind], wish.key)
            rows = tuple({name: text.strip() for name, text in row.items() if text.strip() and name not in own} for row in wish.rows)
            for number, row in enumerate(rows, 1):
                faults += self._faults(kind, {**row, **own}, f"{number}.")
            if faults:
                raise Refused("bad_cells", 400, faults=faults)
            return {}, tuple({**own, **row} for row in rows)
        if wish.what is What.REMOVED:
            return {}, ()
        given = normal({name: text.strip() for name, text in wish.cells.items() if name not in KEYS[kind]})
        if PLACE & given.keys():
            given = {**{name: current.get(name, "") for name in FIELDS_OF_PLACE}, **given}
        given.pop("datum", None)
        if wish.what is What.CHANGED:
            differing = set(fields_that_differ(self.tables, kind, {name: current.get(name, "") for name in given}, given))
            if differing & set(FIELDS_OF_PLACE):
                differing |= set(FIELDS_OF_PLACE)
            given = {name: text for name, text in given.items() if name in differing}
        else:
            given = {name: text for name, text in given.items() if text}
        faults = self._faults(kind, given)
        if faults:
            raise Refused("bad_cells", 400, faults=faults)
        return given, ()

    def _faults(self, kind: RecordKind, cells: Mapping[str, str], before: str = "") -> list[dict[str, str]]:
        found = ((name, self.tables.fault(kind, name, text)) for name, text in cells.items())
        return [{"field": f"{before}{name}", "what": fault.what, "remedy": fault.remedy} for name, fault in found if fault is not None]

    def _check_unused(self, kind: RecordKind, key: str) -> None:
        """What others refer to cannot go. Raises Refused: still_used."""
        register = self._register()
        if kind is RecordKind.PERSONS:
            users = [one.id for one in register.devices if one.person == key]
        elif kind is RecordKind.DEVICES:
            address = key.partition("|")[2]
            others = sum(one.id == address for one in register.devices)
            users = [one.id for one in register.devices if one.via == address] if others == 1 else []
        else:
            return
        if users:
            raise Refused("still_used", 409, by=users[:10])

    def _person(self, kind: RecordKind, key: str, cells: Mapping[str, str]) -> str:
        if kind in (RecordKind.PERSONS, RecordKind.CONTACTS):
            return key
        return cells.get("person", "") if kind is RecordKind.DEVICES else ""

    def _room(self) -> tuple[int, ...]:
        """Numbers that give way to one more. Raises Refused: too_many_corrections."""
        if len(self.all) < LIMIT:
            return ()
        for one in self.all.values():
            if one.ended is not None or self.is_superseded(one):
                return (one.number,)
        raise Refused("too_many_corrections", 409, limit=LIMIT)

    def _entry(self, one: Correction, author: Author, what: str, **more: object) -> Entry:
        """What the journal says. Values and all can be erased with the person (docs/decisions/0023)."""
        facts: dict[str, object] = {"what": what, "record": one.kind, "key": one.key, "correction": one.number, "fields": one.fields}
        facts |= {"role": author.role, "level": author.level, "reason": one.reason, "source": one.source}
        facts |= {"before": one.rows_before or one.before, "after": one.rows or one.cells} | more
        text = msgspec.json.encode({name: value for name, value in facts.items() if value not in ("", None)})
        return Entry(kind=Kind.CORRECTED, phase=Phase.STATE, at=utc_now(), facts=text, actor=author.name, person=one.person or None)

    # --- bringing it into force --------------------------------------------------------------------------------------

    async def _bring(
        self,
        one: Correction,
        kind: RecordKind,
        key: str,
        standing: Sequence[Correction],
        written: tuple[Correction, ...],
        forgotten: tuple[int, ...],
        entry: Entry | None,
    ) -> None:
        """Build in a thread, write, swap. Under the lock. entry: None where another machine has written it."""
        if kind in PERSONAL:
            register, persons, devices, findings, bases = await asyncio.to_thread(self._amended, kind, key, standing)
            if entry is not None:
                await self._write(entry, CorrectionWrite(written, forgotten))
            self._remember(written, forgotten)
            self._bases |= bases
            for name in bases:
                self._findings.pop(name, None)
            for finding in findings:
                self._findings.setdefault((finding.kind, finding.key), []).append(finding)
            await self._swap(register, persons, devices)
            return
        overlaid = await asyncio.to_thread(self._read, standing)
        invalid = next((finding for finding in overlaid.findings if finding.number == one.number and finding.state is State.INVALID), None)
        if invalid is not None and one.ended is None and entry is not None:
            raise Refused("bad_cells", 400, faults=[{"field": "", "what": invalid.why.replace(f"{self._folder()}/", ""), "remedy": ""}])
        if entry is not None:
            await self._write(entry, CorrectionWrite(written, forgotten))
        self._remember(written, forgotten)
        self.take(overlaid)
        await self._swap_whole(overlaid.register)

    async def follow(self, written: Iterable[Correction], forgotten: Iterable[int]) -> None:
        """Another machine has written these: they come into force here as well. Raises Refused: files_faulty, bad_cells (see `renew`)."""
        async with self.lock:
            for one in written:
                if self.all.get(one.number) != one:
                    standing = [other for other in self.standing if other.number != one.number]
                    standing += [one] if one.ended is None else []
                    await self._bring(one, one.kind, one.key, sorted(standing, key=lambda other: other.number), (one,), (), None)
            self._remember((), (number for number in forgotten if number in self.all))

    async def renew(self, corrections: Sequence[Correction]) -> None:
        """These are all there are, oldest first: what is otherwise here is read anew as a whole. Raises Refused: files_faulty."""
        async with self.lock:
            if list(self.all.values()) == list(corrections):
                return
            overlaid = await asyncio.to_thread(self._read, [one for one in corrections if one.ended is None])
            self.load(corrections)
            self.take(overlaid)
            await self._swap_whole(overlaid.register)

    async def inherit(self, corrections: Sequence[Correction]) -> bool:
        """As `renew`, by who writes them from now on. False: our files have faults; what is in force stays, and the next reload lays them over."""
        try:
            await self.renew(corrections)
        except Refused:
            async with self.lock:
                self.load(corrections)
            return False
        return True

    @property
    def mark(self) -> int:
        """Equal at two machines that have the same corrections: so they notice what they missed."""
        return self._mark & MARK_BITS

    def _remember(self, written: Iterable[Correction], forgotten: Iterable[int]) -> None:
        written, forgotten = tuple(written), tuple(forgotten)
        for number in forgotten:
            old = self.all.pop(number)
            self._mark -= _mark(old)
            self._by_record[old.kind, old.key].remove(number)
        for one in written:
            if (before := self.all.get(one.number)) is None:
                self._by_record.setdefault((one.kind, one.key), []).append(one.number)
            else:
                self._mark -= _mark(before)
            self._mark += _mark(one)
            self.all[one.number] = one
            self._next = max(self._next, one.number + 1)
        self.told(written, forgotten)

    def _read(self, standing: Sequence[Correction]) -> Overlaid:
        try:
            return read_overlaid(self._folder(), self._channels(), standing)
        except ConfigError as error:
            raise Refused("files_faulty", 409, problems=[problem.replace(f"{self._folder()}/", "") for problem in error.problems[:10]]) from error

    def _amended(
        self, kind: RecordKind, key: str, standing: Sequence[Correction]
    ) -> tuple[Register, list[str], list[tuple[str | None, str]], list[Finding], dict[Key, Base]]:
        register = self._register()
        kinds = (RecordKind.DEVICES,) if kind is RecordKind.DEVICES else (RecordKind.PERSONS, RecordKind.CONTACTS)
        bases = {one: self._base(one, key) or () for one in kinds}
        files = {one: Statement(self._level, written_at(self._folder() / one.file)) for one in kinds}
        some = [one for one in standing if one.key == key and one.kind in kinds]
        try:
            found = amend(self._folder(), register, self.tables, kind, key, bases, some, files, self._responders)
        except ConfigError as error:
            faults = [{"field": "", "what": problem.replace(f"{self._folder()}/", ""), "remedy": ""} for problem in error.problems[:10]]
            raise Refused("bad_cells", 400, faults=faults) from error
        new = register.amended(found.persons, found.devices, named_version(self._files, version_of(standing)))
        return new, list(found.persons), list(found.devices), found.findings, {(one, key): rows for one, rows in bases.items()}

    # --- files -------------------------------------------------------------------------------------------------------

    async def preview(self, kind: RecordKind, data: bytes) -> Preview:
        """What a new file would change. Nothing is taken."""
        return await asyncio.to_thread(preview, self._folder(), self._channels(), self.standing, kind, data)

    async def take_file(self, author: Author, kind: RecordKind, data: bytes, digest: str, reason: str) -> Preview:
        """Take a new file: it is written in the place of the old one, and in force. digest: of the preview that somebody saw.

        Raises Refused: missing_reason, changed_meanwhile (another file stands there by now), files_faulty, cannot_write; StoreDown.
        """
        _reasoned(reason)
        async with self.lock:
            folder = self._folder()
            if await asyncio.to_thread(digest_of, data, folder / kind.file) != digest:
                raise Refused("changed_meanwhile", 409)
            seen = await asyncio.to_thread(preview, folder, self._channels(), self.standing, kind, data)
            if seen.faults:
                raise Refused("files_faulty", 409, problems=list(seen.faults[:10]))
            counts = {name: getattr(seen, name) for name in ("records", "new", "changed", "missing")}
            facts = {"what": "import", "record": kind, "digest": digest, "reason": reason.strip(), "role": author.role, **counts}
            entry = Entry(kind=Kind.CORRECTED, phase=Phase.STATE, at=utc_now(), facts=msgspec.json.encode(facts), actor=author.name)
            await self._write(entry, CorrectionWrite())
            try:
                await asyncio.to_thread(replace_file, folder, kind, data, utc_now())
            except OSError as error:
                raise Refused("cannot_write", 409, folder=folder.name, why=error.strerror) from error
            overlaid = await asyncio.to_thread(self._read, self.standing)
            self.take(overlaid)
            await self._swap_whole(overlaid.register)
            return seen

    def export(self, kind: RecordKind) -> tuple[list[str], list[dict[str, str]]]:
        """The columns and rows of a file with the corrections in it. In a thread."""
        columns, rows = export_rows(self._folder(), kind, self.standing)
        return columns, list(rows)


def to_nobody(_written: tuple[Correction, ...], _forgotten: tuple[int, ...]) -> None:
    """One process has nobody to tell."""


def _mark(one: Correction) -> int:
    """64 bits of what a correction says: their sum does not depend on the order."""
    return int.from_bytes(hashlib.blake2b(msgspec.json.encode(one), digest_size=8).digest())


def today(now: datetime) -> str:
    """The local day."""
    return now.astimezone(CHINA).date().isoformat()


def _reasoned(reason: str) -> None:
    if not reason.strip():
        raise Refused("missing_reason", 400)
    if len(reason) > REASON_LIMIT:
        raise Refused("reason_too_long", 400, limit=REASON_LIMIT)


def _of_fields(base: Base, fields: Iterable[str]) -> dict[str, str]:
    """What the file says of these fields, places in WGS-84."""
    row = normal(base[0]) if base else {}
    return {name: row.get(name, "") for name in fields}


def _same_rows(tables: Tables, kind: RecordKind, some: Base, others: Base) -> bool:
    return len(some) == len(others) and not any(fields_that_differ(tables, kind, one, other) for one, other in zip(some, others, strict=True))
