"""The folder of an invented district for a house in memory, and its corrections: so that the register can be corrected there as anywhere."""

import csv
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from gateway.core.corrections import CorrectionWrite, RecordKind
from gateway.core.register import Register
from gateway.core.state import Record
from gateway.correcting import Corrections
from gateway.register_files import read_overlaid
from gateway.register_tables import Tables, record_of

if TYPE_CHECKING:
    from tests.console.fake_house import FakeHouse


def write_folder(register: Register, folder: Path) -> None:
    """The files of which this register could have been read."""
    tables = Tables(register.area_code)
    keys: dict[RecordKind, list[str]] = {
        RecordKind.PERSONS: list(register.persons),
        RecordKind.CONTACTS: list(register.persons),
        RecordKind.DEVICES: [f"{one.line or ''}|{one.id}" for one in register.devices],
        RecordKind.RESPONDERS: list(register.responders),
        RecordKind.ROSTERS: list(register.responders),
        RecordKind.LOANS: [one.id for one in register.loans],
        RecordKind.PROVIDERS: list(register.providers),
        RecordKind.AGREEMENTS: list(register.agreements),
    }
    (folder / "district.toml").write_text(f'name = "{register.district}"\n[names]\nzh-CN = "{register.name}"\n', encoding="utf-8")
    areas = [msgspec.to_builtins(area) for area in register.areas.values()]
    columns = ["id", "name", "kind", "parent", "lat", "lon"]
    _write(folder / "areas.csv", columns, [{name: one[name] for name in columns} for one in areas])
    for kind in RecordKind:
        rows = [row for key in keys[kind] for row in record_of(register, tables, kind, key) or ()]
        rows = [row | ({"capacity": "100000"} if int(row.get("capacity", 0)) > 100_000 else {}) for row in rows]
        _write(folder / kind.file, list(tables.columns[kind]), rows)


def _write(path: Path, columns: list[str], rows: list[dict[str, object]] | list[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def corrections_of(house: "FakeHouse") -> Corrections:
    """Corrections of this house; what would be written to the journal goes to its `notes`."""
    place = tempfile.TemporaryDirectory(prefix="fake-district-")
    folder = Path(place.name)
    write_folder(house.register, folder)

    async def write(record: Record, _: CorrectionWrite) -> None:
        house.check_store()
        house.notes.append((record.kind, record.actor or "", msgspec.json.decode(record.facts)))

    def use(register: Register) -> None:
        house.register = register
        house.working_set.use(register, house.now())

    async def swap(register: Register, persons: object = (), devices: object = ()) -> None:
        use(register)

    found = Corrections(lambda: folder, lambda: None, lambda: house.register, write, swap, swap)
    weakref.finalize(found, place.cleanup)
    overlaid = read_overlaid(folder)
    found.take(overlaid)
    use(overlaid.register)
    return found
