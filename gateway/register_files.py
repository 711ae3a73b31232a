"""Reads a district's folder (`config/districts/<name>/`) into a Register: every fault at once, doubts as warnings, and the reload.

The columns are described in config/districts/README.md. Faults refuse the folder; warnings (ids only, never personal data) do not.
"""

import gc
import hashlib
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec

from gateway import register_cells as cells
from gateway.config import Config, read_config
from gateway.core import duty, geometry
from gateway.core.corrections import Correction, Finding, Level, RecordKind, Sheet, State, Statement, What, key_of
from gateway.core.register import Register, ResponderKind
from gateway.csv_file import Column, FileFaults, read_bytes, read_rows
from gateway.errors import ConfigError
from gateway.register_areas import read_polygons
from gateway.register_people import read_devices, read_persons
from gateway.register_places import reachable, read_areas, read_responders
from gateway.register_reading import Reading
from gateway.register_tables import Tables, normal
from gateway.register_territory import read_territory
from gateway.toml_file import TomlReader

# Sections of which nothing is built at the start: decisions ask them anew each time, gateway.app hands them over.
IN_FORCE = ("policy", "chains", "routing", "team", "visiting", "plan", "desk", "shelving")
BACKUP_FOLDER = "before"  # in the folder of the district: files as they were before an import
BACKUPS = 30  # of each file: a month of daily imports
VERSION = 12  # hex digits of a register's version
READ_AT_MOST = 4  # times, each without the corrections that made the one before fail; the last without any
RESPONDER_KINDS = frozenset(kind.value for kind in ResponderKind)


class DistrictFile(msgspec.Struct, frozen=True, kw_only=True):
    """`district.toml`. lat, lon: the middle of the district, WGS-84 degrees. kind_names: what the place calls a kind of responder, by language.

    level: who speaks by the files, for conflicts with what people corrected (docs/decisions/0025).
    """

    name: Annotated[str, msgspec.Meta(pattern="^[a-z0-9][a-z0-9_-]{0,63}$", examples=["honggu"])]
    names: dict[str, str] = {}
    area_code: Annotated[str, msgspec.Meta(pattern=r"^(0\d{2,3})?$", examples=["0931"])] = ""
    lat: Annotated[float, msgspec.Meta(ge=-90, le=90)] | None = None
    lon: Annotated[float, msgspec.Meta(ge=-180, le=180)] | None = None
    kind_names: dict[str, dict[str, str]] = {}
    level: Level = Level.DISTRICT


class Overlaid(msgspec.Struct, frozen=True, kw_only=True):
    """A register with corrections in it, and what is to be said of them.

    files: digest of the files alone; bases: what the files say of each corrected record; findings of no correction that simply holds.
    responders: ids of all that stand in the file, also of those whom no channel reaches.
    """

    register: Register
    files: str
    bases: Mapping[tuple[RecordKind, str], tuple[dict[str, str], ...]]
    findings: tuple[Finding, ...]
    responders: frozenset[str] = frozenset()


def read_all(path: str | Path) -> tuple[Config, Register]:
    """The configuration and the register it names, without the responders that no configured channel reaches. Raises ConfigError."""
    config = read_config(path)
    return config, read_register(config.district_folder, config.channels)


def reload(path: str | Path, current: Config) -> tuple[Config, Register]:
    """As reload_overlaid, the files alone."""
    config, overlaid = reload_overlaid(path, current, ())
    return config, overlaid.register


def reload_overlaid(path: str | Path, current: Config, corrections: Sequence[Correction]) -> tuple[Config, Overlaid]:
    """What is in force after SIGHUP: the new registers, the sections of IN_FORCE and calls.call_back_s; everything else as in `current`.

    The rest was built into lines, channels and store at the start; keys of it that differ in the file stand in `waiting` of
    the Config. Raises ConfigError: then nothing has changed.
    """
    read = read_config(path)
    calls = msgspec.structs.replace(current.calls, call_back_s=read.calls.call_back_s)
    config = msgspec.structs.replace(current, **{section: getattr(read, section) for section in IN_FORCE}, calls=calls, waiting=())
    waiting = tuple(
        f"{section}.{key}" if key else section
        for section in Config.__struct_fields__
        if section not in ("path", "waiting")
        for key in _different(getattr(config, section), getattr(read, section))
    )
    return msgspec.structs.replace(config, waiting=waiting), read_overlaid(config.district_folder, config.channels, corrections)


def _different(old: object, new: object) -> list[str]:
    if old == new:
        return []
    if isinstance(old, msgspec.Struct) and isinstance(new, msgspec.Struct):
        return [name for name in old.__struct_fields__ if getattr(old, name) != getattr(new, name)]
    return [""]


def read_register(folder: str | Path, channels: Collection[str] | None = None) -> Register:
    """The register of one folder. Raises ConfigError with every fault (fifty a file in words).

    channels: the ways out that are configured; responders reached by another are left out with a warning. None: all are kept.
    """
    return read_overlaid(folder, channels).register


def read_overlaid(
    folder: str | Path,
    channels: Collection[str] | None = None,
    corrections: Sequence[Correction] = (),
    instead: Mapping[str, bytes] | None = None,
) -> Overlaid:
    """The register with what people corrected. Raises ConfigError when the files themselves have faults, as read_register.

    A correction that makes a good folder bad (a street that is gone, a person removed whom somebody refers to) is left out and told as
    invalid: what was typed at a desk never keeps a district from starting. instead: file → bytes looked at in its place.
    """
    # Two hundred thousand objects that all stay: the collector would walk them again and again and find nothing.
    collecting = gc.isenabled()
    gc.disable()
    try:
        return _read_overlaid(Path(folder), channels, [one for one in corrections if one.ended is None], instead or {})
    finally:
        if collecting:
            gc.enable()


def _read_overlaid(folder: Path, channels: Collection[str] | None, corrections: list[Correction], instead: Mapping[str, bytes]) -> Overlaid:
    head = _level_and_code(folder)
    tables = Tables(head.area_code)
    left_out: dict[int, str] = {}
    for turn in range(READ_AT_MOST):
        used = [one for one in corrections if one.number not in left_out] if turn < READ_AT_MOST - 1 else []
        sheets = _sheets(folder, used, head.level, tables, instead)
        reading = Reading(folder, {kind.file: sheet for kind, sheet in sheets.items()}, instead)
        try:
            register = _read(reading, channels, version_of(used))
        except ConfigError as error:
            blamed = _blamed(reading, sheets, used) or _of_faulty_files(reading, used)
            if not blamed:
                raise
            first = error.problems[0]
            left_out |= {one.number: next((text for text in error.problems if text.startswith(str(folder / one.kind.file))), first) for one in blamed}
            continue
        findings = [finding for sheet in sheets.values() for finding in sheet.findings]
        kept = {one.number for one in used}
        findings += [
            Finding(number=one.number, kind=one.kind, key=one.key, state=State.INVALID, why=left_out.get(one.number, ""))
            for one in corrections
            if one.number not in kept
        ]
        bases = {(kind, key): rows for kind, sheet in sheets.items() for key, rows in sheet.bases.items()}
        responders = frozenset(reading.responders)
        return Overlaid(register=register, files=reading.digest.hexdigest(), bases=bases, findings=tuple(findings), responders=responders)
    raise AssertionError("the last turn is without corrections")


def version_of(corrections: Iterable[Correction]) -> str:
    """What the version of a register has beside its files: which corrections are laid over them; "" for none."""
    text = ",".join(f"{one.number}:{'/'.join(one.gone)}" for one in sorted(corrections, key=lambda one: one.number) if one.ended is None)
    return hashlib.sha256(text.encode()).hexdigest() if text else ""


def named_version(files: str, corrections: str) -> str:
    """The version of a register, 12 hex digits. files: their digest; corrections: version_of."""
    return hashlib.sha256((files[:VERSION] + corrections).encode()).hexdigest()[:VERSION] if corrections else files[:VERSION]


def _sheets(folder: Path, corrections: Sequence[Correction], level: Level, tables: Tables, instead: Mapping[str, bytes]) -> dict[RecordKind, Sheet]:
    if not corrections:
        return {}
    removed: dict[RecordKind, frozenset[str]] = {}
    sheets = {}
    for kind, of in ((kind, {RecordKind.CONTACTS: RecordKind.PERSONS, RecordKind.ROSTERS: RecordKind.RESPONDERS}.get(kind)) for kind in RecordKind):
        statement = Statement(level, written_at(folder / kind.file, kind.file in instead))
        gone = removed.get(of, frozenset()) if of is not None else frozenset()
        sheets[kind] = Sheet(kind, corrections, statement, tables.same, normal, gone)
        removed[kind] = sheets[kind].removed
    return sheets


def written_at(path: Path, is_new: bool = False) -> datetime:
    """When the file was written last."""
    if is_new:
        return datetime.now(UTC)
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except OSError:
        return datetime.fromtimestamp(0, UTC)


def _blamed(reading: Reading, sheets: Mapping[RecordKind, Sheet], corrections: Iterable[Correction]) -> list[Correction]:
    """Those of records at which a fault stands, and removals of what somebody refers to."""
    faulty = {faults.path.name: faults.lines for faults in reading.faults if faults.count}
    found = {(kind, key) for kind, sheet in sheets.items() for line, key in sheet.blame.items() if line in faulty.get(kind.file, ())}
    return [one for one in corrections if (one.kind, one.key) in found or (one.what is What.REMOVED and (one.kind.file, one.key) in reading.missing)]


def _of_faulty_files(reading: Reading, corrections: Iterable[Correction]) -> list[Correction]:
    """All of the files with faults: two rows that are wrong together blame neither."""
    faulty = {faults.path.name for faults in reading.faults if faults.count}
    return [one for one in corrections if one.kind.file in faulty]


def _level_and_code(folder: Path) -> DistrictFile:
    """What corrections need of district.toml; its faults are told where it is read."""
    reader = TomlReader(folder / "district.toml")
    tables = reader.load()
    return reader.table(DistrictFile, tables) if not reader.problems else DistrictFile(name="unknown")


def head_of(folder: str | Path) -> DistrictFile:
    """The head of a folder that was read already."""
    return _level_and_code(Path(folder))


def file_rows(
    folder: Path, kind: RecordKind, tables: Tables, sheet: Sheet | None = None, data: bytes | None = None, faults: FileFaults | None = None
) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, cells as written) of each row of a file, without empty ones. sheet: with what people corrected; data: of these bytes."""
    path = folder / kind.file
    faults = faults or FileFaults(path)
    known = {name: Column(str) for name in tables.columns[kind]}
    if data is None:
        if not path.exists():
            yield from ((line, {name: text for name, text in cells_.items() if text}) for line, cells_ in (sheet.rest() if sheet else ()))
            return
        data = read_bytes(path, faults)
    for line, row in read_rows(data, known, faults, sheet):
        yield line, {name: str(text) for name, text in row.items()}


def export_rows(folder: str | Path, kind: RecordKind, corrections: Sequence[Correction]) -> tuple[list[str], Iterator[dict[str, str]]]:
    """The columns of a file and its rows with the corrections in them."""
    head = head_of(folder)
    tables = Tables(head.area_code)
    sheet = _sheets(Path(folder), corrections, head.level, tables, {}).get(kind)
    return list(tables.columns[kind]), (row for _, row in file_rows(Path(folder), kind, tables, sheet))


def grouped(kind: RecordKind, rows: Iterable[tuple[int, dict[str, str]]]) -> dict[str, list[dict[str, str]]]:
    """Key → its rows."""
    found: dict[str, list[dict[str, str]]] = {}
    for _, row in rows:
        found.setdefault(key_of(kind, row), []).append(row)
    return found


def replace_file(folder: Path, kind: RecordKind, data: bytes, now: datetime) -> Path | None:
    """Write a file of the district at once or not at all; the one before is kept (the last BACKUPS). Gives where. Raises OSError."""
    path, backups = folder / kind.file, folder / BACKUP_FOLDER
    kept = None
    if path.exists():
        backups.mkdir(mode=0o750, exist_ok=True)
        kept = backups / f"{kind.value}-{now.astimezone(UTC):%Y%m%dT%H%M%S%f}.csv"
        _write_through(kept, path.read_bytes())
        for old in sorted(backups.glob(f"{kind.value}-*.csv"))[:-BACKUPS]:
            old.unlink(missing_ok=True)
    new = path.with_name(f".{path.name}.new")
    _write_through(new, data)
    if path.exists():
        new.chmod(path.stat().st_mode & 0o777)
    new.replace(path)
    return kept


def _write_through(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640)
    with os.fdopen(descriptor, "wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())


def _read(reading: Reading, channels: Collection[str] | None, corrected: str) -> Register:
    reader = TomlReader(reading.folder / "district.toml")
    tables = reader.load()
    reading.digest.update(repr(sorted(tables.items())).encode())
    if not reader.problems:
        head = reader.table(DistrictFile, tables)
        if (head.lat is None) != (head.lon is None):
            reader.add("lat", "lat and lon stand alone", "write both")
        for kind in head.kind_names:
            if kind not in RESPONDER_KINDS:
                reader.add(f"kind_names.{kind}", "is no kind of responder", f"write one of {', '.join(ResponderKind)}")
    else:
        head = DistrictFile(name="unknown")
    # with a faulty head the area code is unknown, and local numbers would all be told as faults of their own
    phone = cells.plain if reader.problems else cells.phone(head.area_code)

    areas = {area.id: area for _, area in read_areas(reading)}
    responders = [responder for _, responder in read_responders(reading, phone, areas)]
    known = reading.responders = {responder.id for responder in responders}
    persons = {person.id: person for _, person in read_persons(reading, phone, areas, known)}
    devices = read_devices(reading, phone, persons, areas)
    territory = read_territory(reading, known, areas)
    polygons = read_polygons(reading, areas)

    problems = reader.problems + [problem for file in reading.faults for problem in file.problems]
    if problems:
        raise ConfigError(problems)
    register = Register(
        district=head.name,
        name=head.names.get("zh-CN", ""),
        names=head.names,
        area_code=head.area_code,
        centre=None if head.lat is None or head.lon is None else (head.lat, head.lon),
        persons=persons.values(),
        devices=devices,
        responders=reachable(reading, responders, channels),
        areas=areas.values(),
        version=named_version(reading.digest.hexdigest(), corrected),
        warnings=tuple(reading.warnings),
        shifts=territory.shifts,
        calendar=territory.calendar,
        loans=territory.loans,
        providers=territory.providers,
        agreements=territory.agreements,
        polygons=polygons,
        kind_names=head.kind_names,
    )
    duty.prepare(register)
    geometry.prepare(register)
    return register
