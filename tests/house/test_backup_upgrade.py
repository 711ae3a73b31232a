"""The rehearsal of an upgrade, by night and under alarms: the database of the previous release, this release on it, and back again."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from house import District, House
from servers import Outsider

from gateway.store.backup_file import read_manifest
from gateway.store.schema import SCHEMA_VERSION

RELEASES = Path(__file__).parents[1] / "store" / "releases"
STAYS = ("journal", "incident", "standing", "call", "report_cursor", "report_outbox", "rejected")


def tables(file: Path) -> set[str]:
    with closing(sqlite3.connect(file)) as connection:
        return {
            name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'index') AND name NOT LIKE 'sqlite_%'")
        }


def rows(file: Path) -> dict[str, list[object]]:
    with closing(sqlite3.connect(file)) as connection:
        return {name: connection.execute(f"SELECT * FROM {name} ORDER BY 1").fetchall() for name in STAYS}


def openings(incidents: list[object]) -> list[tuple[object, ...]]:
    """Of each incident what nothing changes afterwards: the last column is all of it."""
    told = [json.loads(row[-1]) for row in incidents]  # type: ignore[index]
    return [tuple(one.get(key) for key in ("id", "key", "kind", "person", "device", "opened_at")) for one in told]


def releases() -> list[int]:
    return sorted(int(file.stem.rpartition("-")[2]) for file in RELEASES.glob("*.sql") if not file.stem.endswith(str(SCHEMA_VERSION)))


@pytest.mark.parametrize("version", releases())
async def test_the_previous_release_is_taken_over_and_given_back(tmp_path: Path, version: int) -> None:
    async with House(tmp_path, District(wearables=8, rooms=2, buttons=2, callers=2)) as house:
        file = tmp_path / "data" / "gateway.db"
        file.parent.mkdir()
        with closing(sqlite3.connect(file)) as connection:
            connection.executescript((RELEASES / f"schema-{version}.sql").read_text("utf-8"))
        was, old = rows(file), tables(file)

        house.start()
        await house.ready()
        await house.lines_live("wearables")
        assert await house.metric("gateway_incidents") == sum(row[1] != "closed" for row in was["incident"])  # type: ignore[index]
        witness = await Outsider(house.broker.port).ready()
        await witness.publish("wearables/w-000007/event", json.dumps({"kind": "sos", "ts": 1_790_000_000_000, "seq": 1}))
        await house.sees(lambda: _heard(house), "an alarm is heard by the new release")
        assert await house.unbalanced() == {}
        witness.close()
        await house.stop()
        (kept,) = (tmp_path / "data" / "backups").iterdir()
        assert (read_manifest(kept).schema, read_manifest(kept).head.seq) == (version, len(was["journal"]))
        now = rows(file)
        assert now["journal"][: len(was["journal"])] == was["journal"]
        assert set(openings(was["incident"])) <= set(
            openings(now["incident"])
        )  # what fell due since that evening is done at the start, and changes the rest
        assert house.run("journal", "verify").returncode == 0

        gone = house.run("downgrade", "--to-schema", str(version))
        assert gone.returncode == 0, gone.stderr
        assert f"schema {SCHEMA_VERSION} is now {version}" in gone.stdout
        assert tables(file) == old
        assert rows(file) == now
        with closing(sqlite3.connect(file)) as connection:
            assert dict(connection.execute("SELECT name, value FROM meta WHERE name <> 'probe'").fetchall()) == {"schema": str(version)}

        restored = house.run("restore", str(kept), "--data-only", "--replace")  # or all of it back to the evening before
        assert restored.returncode == 0, restored.stderr
        assert rows(file) == was


async def _heard(house: House) -> bool:
    return await house.metric("gateway_events_total", line="wearables", outcome="accepted") >= 1
