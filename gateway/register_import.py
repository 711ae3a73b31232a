"""What a new file of the register would change, before anything is taken: new, changed, missing, faults, corrections that it contradicts."""

import hashlib
from collections.abc import Collection, Sequence
from pathlib import Path

import msgspec

from gateway.core.corrections import LISTS, Correction, Finding, RecordKind, State
from gateway.csv_file import FileFaults
from gateway.errors import ConfigError
from gateway.register_files import file_rows, grouped, head_of, read_overlaid
from gateway.register_tables import Tables, fields_that_differ

UPLOAD_LIMIT = 64 << 20  # bytes: four times the persons of a city of 100,000, and what a desk's line carries in a minute
SHOWN = 200  # changes of each sort in words; nobody reads more, the counts say the rest

Rows = list[dict[str, str]]


class Change(msgspec.Struct, frozen=True):
    """One record that would be otherwise. fields: column → (before, after); of a list only how many rows there are."""

    key: str
    fields: dict[str, tuple[str, str]] = {}
    rows: tuple[int, int] | None = None


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """digest names the bytes and what they were compared with: it must be the same when they are taken.

    conflicts: corrections that the file contradicts; agreed: how many it has taken over; lost: whose record it does not have any more.
    """

    kind: RecordKind
    digest: str
    records: int
    same: int
    new: int
    changed: int
    missing: int
    faults: tuple[str, ...] = ()
    conflicts: tuple[Finding, ...] = ()
    agreed: int = 0
    lost: int = 0
    new_shown: tuple[str, ...] = ()
    changed_shown: tuple[Change, ...] = ()
    missing_shown: tuple[str, ...] = ()


def preview(folder: Path, channels: Collection[str] | None, corrections: Sequence[Correction], kind: RecordKind, data: bytes) -> Preview:
    """Compare; takes as long as reading the register. Any thread."""
    tables = Tables(head_of(folder).area_code)
    file = folder / kind.file
    before = grouped(kind, file_rows(folder, kind, tables))
    faults = FileFaults(file)
    after = grouped(kind, file_rows(folder, kind, tables, data=data, faults=faults))
    problems: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    try:
        findings = read_overlaid(folder, channels, corrections, {kind.file: data}).findings
    except ConfigError as error:
        problems = tuple(problem.replace(f"{folder}/", "") for problem in error.problems)
    changed = [change for key in after.keys() & before.keys() if (change := _change(tables, kind, key, before[key], after[key])) is not None]
    changed.sort(key=lambda one: one.key)
    new, missing = sorted(after.keys() - before.keys()), sorted(before.keys() - after.keys())
    mine = [finding for finding in findings if finding.kind is kind]
    return Preview(
        kind=kind,
        digest=digest_of(data, file),
        records=len(after),
        same=len(after) - len(new) - len(changed),
        new=len(new),
        changed=len(changed),
        missing=len(missing),
        faults=problems,
        conflicts=tuple(one for one in mine if one.state in (State.CONFLICT, State.INVALID)),
        agreed=sum(one.state is State.AGREED for one in mine),
        lost=sum(one.state is State.LOST for one in mine),
        new_shown=tuple(new[:SHOWN]),
        changed_shown=tuple(changed[:SHOWN]),
        missing_shown=tuple(missing[:SHOWN]),
    )


def digest_of(data: bytes, file: Path) -> str:
    """Names the new bytes and those that they would replace."""
    before = file.read_bytes() if file.exists() else b""
    return hashlib.sha256(hashlib.sha256(data).digest() + hashlib.sha256(before).digest()).hexdigest()[:32]


def _change(tables: Tables, kind: RecordKind, key: str, before: Rows, after: Rows) -> Change | None:
    if before == after:
        return None
    if kind in LISTS or len(before) != 1 or len(after) != 1:
        differs = len(before) != len(after) or any(fields_that_differ(tables, kind, one, other) for one, other in zip(before, after, strict=True))
        return Change(key, rows=(len(before), len(after))) if differs else None
    names = fields_that_differ(tables, kind, before[0], after[0])
    return Change(key, {name: (before[0].get(name, ""), after[0].get(name, "")) for name in names}) if names else None
