"""A district's register as a scenario needs it: the folder copied, with some rows changed or added. Plain CSV; nothing else is touched."""

import csv
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

from simulators.scenario import Amend, Scenario, ScenarioError

CHINA = timedelta(hours=8)


def prepare(scenario: Scenario, district: Path, folder: Path, now: datetime) -> None:
    """Write the amended district into a folder that may be there; {today} is the day of `now` in China.

    Raises ScenarioError: no such table or column; OSError.
    """
    shutil.copytree(district, folder, dirs_exist_ok=True)
    today = (now.astimezone(UTC) + CHINA).date()
    days = {"today": today.isoformat(), "yesterday": (today - timedelta(days=1)).isoformat()}
    faults = [fault for number, amend in enumerate(scenario.amend, 1) for fault in _amended(folder, amend, days, f"amend[{number}]")]
    if faults:
        raise ScenarioError(faults)


def _amended(folder: Path, amend: Amend, days: dict[str, str], where: str) -> list[str]:
    path = folder / amend.file
    if not path.exists():
        return [f"{where}.file: {path} is not there"]
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        rows, columns = list(reader), list(reader.fieldnames or ())
    values = {name: value.format(**days) for name, value in amend.set.items()}
    if unknown := sorted(values.keys() - set(columns)):
        return [f"{where}.set: {amend.file} has no column {', '.join(unknown)}"]
    found = [] if amend.add else [row for row in rows if amend.id and row.get("id") == amend.id]
    if not found:
        found = [dict.fromkeys(columns, "") | ({"id": amend.id} if amend.id else {})]
        rows += found
    for row in found:
        row.update(values)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return []
