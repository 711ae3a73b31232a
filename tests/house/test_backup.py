"""A whole gateway under load is backed up, its backup restored in an empty folder: every table as it was at the head, nothing late meanwhile."""

import asyncio
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from house import District, House
from servers import Outsider

from gateway.store import backup
from gateway.store.backup_file import read_manifest

RATE = 300  # a second
MOST = 120 * RATE  # the load ends by itself if nobody says that it is enough


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gateway.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        stdin=subprocess.DEVNULL,
    )


async def load(witness: Outsider, enough: asyncio.Event) -> int:
    """Cries at RATE, each of a device of its own as far as there are, until that is enough; how many, when the broker has them."""
    tasks: list[asyncio.Task[None]] = []
    for number in range(MOST):
        if enough.is_set():
            break
        event = {"kind": "sos", "ts": 1_790_000_000_000 + number, "seq": number}
        tasks.append(asyncio.create_task(witness.publish(f"wearables/w-{number % 300:06}/event", json.dumps(event))))
        await asyncio.sleep(1 / RATE)
    await asyncio.gather(*tasks)
    return len(tasks)


def rows(file: Path, head: int) -> dict[str, list[object]]:
    """What a database has of the journal and of what never changes again, up to a head."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        journal = connection.execute("SELECT * FROM journal WHERE seq <= ? ORDER BY seq", (head,)).fetchall()
        return {"journal": journal}


def everything(file: Path) -> dict[str, list[object]]:
    """Every row of every table."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")]
        return {name: sorted(connection.execute(f"SELECT * FROM {name}").fetchall(), key=repr) for name in names}


async def test_backed_up_under_load_and_restored_on_an_empty_machine(tmp_path: Path) -> None:
    (tmp_path / "house").mkdir()
    async with House(tmp_path / "house", District(wearables=300)) as house:
        (house.folder / "webhook.secret").write_text("a long random word")
        house.start()
        await house.ready()
        await house.lines_live("wearables")
        witness = await Outsider(house.broker.port).ready()
        enough = asyncio.Event()
        loading = asyncio.create_task(load(witness, enough))
        await house.sees(lambda: at_least(house, 100), "the load has begun")
        file = tmp_path / "made.backup.tar"
        made = await asyncio.to_thread(command, "backup", "--config", house.config, "--to", file)
        assert made.returncode == 0, made.stderr
        assert "chain whole" in made.stdout
        assert "webhook.secret: a secret" in made.stdout
        so_far = round(await accepted(house))
        await house.sees(lambda: at_least(house, so_far + 1), "the load goes on behind what is in the backup")
        enough.set()
        cries = await loading
        await house.sees(lambda: at_least(house, cries), "every cry is an entry")
        assert await house.unbalanced() == {}
        witness.close()
        await house.stop()
        live = house.folder / "data" / "gateway.db"

        manifest = read_manifest(file)
        assert 100 < manifest.head.seq < backup.prove(live).head.seq
        assert not any(name.endswith((".secret", "gateway.db-wal")) for name in (member.name for member in manifest.members))
        verified = command("verify", file)
        assert (verified.returncode, verified.stderr) == (0, "")
        assert manifest.head.chain in verified.stdout

        restored = command("restore", file, "--to", tmp_path / "new")
        assert restored.returncode == 0, restored.stderr
        assert f"{tmp_path}/new/config/webhook.secret (a secret" in restored.stdout
        copy = tmp_path / "new" / "config" / "data" / "gateway.db"
        assert rows(copy, manifest.head.seq) == rows(live, manifest.head.seq)
        assert {name: len(found) for name, found in everything(copy).items()} == manifest.counts
        assert command("verify", "--config", tmp_path / "new" / "config" / "gateway.toml").returncode == 0
        assert (tmp_path / "new" / "config" / "districts" / "chaos" / "persons.csv").read_bytes() == (
            house.folder / "districts" / "chaos" / "persons.csv"
        ).read_bytes()


async def test_restored_at_rest_every_table_is_the_same_and_alarms_go_on(tmp_path: Path) -> None:
    """The machine is lost, another one stands up from the backup: the same incidents are open, their timers run, the next cry is heard."""
    async with House(tmp_path, District(wearables=20)) as house:
        house.start()
        await house.ready()
        await house.lines_live("wearables")
        witness = await Outsider(house.broker.port).ready()
        for number in range(12):
            await witness.publish(f"wearables/w-{number:06}/event", json.dumps({"kind": "fall", "ts": 1_790_000_000_000, "seq": number}))
        await house.sees(lambda: at_least(house, 12), "twelve falls are entries")
        await house.stop()
        live = house.folder / "data" / "gateway.db"
        was = everything(live)
        assert command("backup", "--config", house.config, "--to", tmp_path / "b.tar").returncode == 0

        refused = command("restore", tmp_path / "b.tar", "--config", house.config)
        assert refused.returncode == 1
        assert "there is a journal at" in refused.stderr
        house.start()
        await house.ready()
        running = command("restore", tmp_path / "b.tar", "--config", house.config, "--replace")
        assert running.returncode == 1
        assert "a gateway is using" in running.stderr
        house.kill()

        for old in live.parent.glob("gateway.*"):
            old.unlink()
        done = command("restore", tmp_path / "b.tar", "--config", house.config, "--data-only")  # logs lie beside it and have grown
        assert done.returncode == 0, done.stderr
        assert everything(live) == was
        house.start()
        await house.ready()
        await house.lines_live("wearables")
        assert await house.metric("gateway_incidents") == 12
        await witness.publish("wearables/w-000019/event", json.dumps({"kind": "sos", "ts": 1_790_000_009_000, "seq": 99}))
        await house.sees(lambda: at_least(house, 1), "the next cry is an entry")
        witness.close()
        assert house.run("journal", "verify").returncode == 0


async def accepted(house: House) -> float:
    return await house.metric("gateway_events_total", line="wearables", outcome="accepted")


async def at_least(house: House, count: int) -> bool:
    return await accepted(house) >= count
