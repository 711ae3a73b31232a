"""What somebody corrects at a console counts at every edge, core and console, whoever was away when it was said."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from zlib import crc32

import pytest
from cluster.cluster import STREETS, Plan
from cluster.test_console_role import Page, Rooms, pages, press, seen, shard_of
from servers import START_S, Outsider, free_port

from gateway.cores import Keeper

SHARDS = 3
PEOPLE = 24


class Corrected(Rooms):
    """The second edge knows no database: it lives by the bus."""

    def _part(self, role: str, name: str) -> None:
        super()._part(role, name)
        if name == "e1":
            config = self.folder / "e1.toml"
            config.write_text(config.read_text().replace(f":{self.postgres.port}/", f":{free_port()}/"))


def home_shard(person: int) -> int:
    """The shard of the street that somebody lives in (gateway.core.shards)."""
    return crc32(f"street-{person % STREETS}".encode()) % SHARDS


def device_key(cluster: Corrected, number: int) -> str:
    return f"wearables-e{number % 2}|{cluster.plan.device(number)}"


def neighbour(number: int) -> int:
    """Somebody in a street of another shard."""
    return next(other for other in range(PEOPLE) if home_shard(other) != home_shard(number))


async def versions(cluster: Corrected, names: Sequence[str]) -> set[str]:
    """By which registers these parts decide."""
    found = set()
    for name in names:
        rows = [series for series, value in (await cluster.metrics(name)).items() if series.startswith("gateway_config_info{") and value == 1]
        found |= {series.partition('version="')[2].partition('"')[0] for series in rows} or {f"nothing of {name}"}
    return found


async def in_force(cluster: Corrected, page: Page, key: str, person: str) -> None:
    """Everywhere: the page shows it, and every part decides by the same register."""

    async def everywhere() -> bool:
        answer = await page.http.get(f"/api/v1/register/records/devices/{key.replace('|', '%7C')}")
        fields = {field["name"]: field["value"] for field in answer.json()["record"]["fields"]}
        names = [name for name in (*cluster.edges, *cluster.cores, *cluster.consoles) if cluster.servers[name].is_running]
        return fields["person"] == person and len(await versions(cluster, names)) == 1

    await cluster.sees(everywhere, f"{key} is {person}'s everywhere")


async def corrects(page: Page, key: str, **cells: str) -> int:
    answer = await page.post("/api/v1/register/correct", kind="devices", key=key, cells=cells, reason="called: it is the neighbour's now")
    assert answer.status_code == 200, answer.text
    return int(answer.json()["correction"])


async def cries_for(cluster: Corrected, page: Page, street: Outsider, number: int, person: int, seq: int) -> None:
    """The next press of a device is an incident of this person, in the shard of their street."""
    street.received.clear()
    incident = await seen(cluster, page, street, await press(cluster, street, number, seq))
    detail = (await page.http.get(f"/api/v1/incidents/{incident}")).json()
    assert (detail["person"]["id"], shard_of(incident)) == (f"p-{person}", home_shard(person)), detail


async def test_a_correction_counts_everywhere_whoever_was_away(tmp_path: Path) -> None:
    async with Corrected(tmp_path, Plan(servers=1, shards=SHARDS, wearables=PEOPLE, consoles=2)) as cluster:
        await cluster.start_all()
        street = await Outsider(cluster.broker.port, "stations/+/dispatch").ready()
        try:
            one, other = await pages(cluster, "Li Na", "Wang Fang")
            await _the_next_press_is_the_neighbours(cluster, street, one, other)
            await _somebody_new_is_known_to_all(cluster, street, one)
            await _the_writer_dies_and_the_next_goes_on(cluster, street, one, other)
            await _everything_starts_anew_and_is_as_it_was(cluster, street)
            await asyncio.to_thread(_the_journal_has_all_of_it, cluster)
        finally:
            street.close()


async def _the_next_press_is_the_neighbours(cluster: Corrected, street: Outsider, one: Page, other: Page) -> None:
    for number in (0, 1):
        person = neighbour(number)
        await corrects(one, device_key(cluster, number), person=f"p-{person}")
        await in_force(cluster, other, device_key(cluster, number), f"p-{person}")
        await cries_for(cluster, one, street, number, person, 1)
    again = await other.post("/api/v1/register/correct", kind="devices", key=device_key(cluster, 0), cells={"person": "p-5"}, reason="x", seen=0)
    assert (again.status_code, again.json()["reason"], again.json()["by"]) == (409, "changed_meanwhile", "Li Na"), again.text
    file = await one.post("/api/v1/register/import/take", kind="devices", csv="id,line\n", digest="0", reason="monthly list")
    assert (file.status_code, file.json()["reason"]) == (409, "files_on_every_machine"), file.text


async def _somebody_new_is_known_to_all(cluster: Corrected, street: Outsider, one: Page) -> None:
    """Moves into a street of another shard with the bracelet of somebody else."""
    cells = {
        "id": "p-new",
        "name": "某人",
        "born": "1941",
        "area": f"street-{neighbour(5) % STREETS}",
        "home": "home-new",
        "lat": "36.31",
        "lon": "102.88",
    }
    cells |= {"ability": "self_caring", "categories": "general"}
    made = await one.post("/api/v1/register/new", kind="persons", cells=cells, reason="moved here")
    assert made.status_code == 200, made.text
    await corrects(one, device_key(cluster, 5), person="p-new")
    await in_force(cluster, one, device_key(cluster, 5), "p-new")
    street.received.clear()
    incident = await seen(cluster, one, street, await press(cluster, street, 5))
    assert shard_of(incident) == home_shard(neighbour(5))
    moved = await one.post("/api/v1/register/correct", kind="persons", key="p-new", cells={"area": f"street-{5 % STREETS}"}, reason="moved again")
    assert moved.status_code == 200, moved.text
    await in_force(cluster, one, device_key(cluster, 5), "p-new")
    street.received.clear()
    incident = await seen(cluster, one, street, await press(cluster, street, 5, 2))
    assert shard_of(incident) == home_shard(5), "who moves takes the bracelet along"


async def _the_writer_dies_and_the_next_goes_on(cluster: Corrected, street: Outsider, one: Page, other: Page) -> None:
    shards = (await one.http.get("/api/v1/shards")).json()["shards"]
    writer = next(str(row["owner"]) for row in shards if row["shard"] == 0)
    cluster.kill(writer)
    number, person = 2, neighbour(2)
    await corrects(other, device_key(cluster, number), person=f"p-{person}")  # waits for the next writer
    await in_force(cluster, one, device_key(cluster, number), f"p-{person}")
    await cries_for(cluster, one, street, number, person, 1)
    cluster.start(writer)
    await cluster.stands()
    for name in (*cluster.edges, *cluster.cores, *cluster.consoles):
        process = cluster.servers[name].process
        assert process is not None
        process.send_signal(signal.SIGHUP)
    await in_force(cluster, other, device_key(cluster, number), f"p-{person}")


async def _everything_starts_anew_and_is_as_it_was(cluster: Corrected, street: Outsider) -> None:
    """Also at the edge that can ask no database; then one is taken back."""
    for name in (*cluster.cores, *cluster.edges, *cluster.consoles):
        cluster.kill(name)
    await cluster.start_all()
    one, other = await pages(cluster, "Li Na", "Wang Fang")
    for number in (1, 2):
        await in_force(cluster, one, device_key(cluster, number), f"p-{neighbour(number)}")
        await cries_for(cluster, one, street, number, neighbour(number), 2)
    taken = await other.post("/api/v1/register/take_back", correction=1, reason="it was not so")
    assert taken.status_code == 200, taken.text
    await in_force(cluster, one, device_key(cluster, 0), "p-0")
    listed = await one.http.get("/api/v1/register/conflicts")
    assert listed.json()["standing"] == 5, listed.text


def _the_journal_has_all_of_it(cluster: Corrected) -> None:
    rows = cluster.postgres.rows("SELECT facts FROM shard_0.journal WHERE kind = 'corrected' ORDER BY seq")
    said = [json.loads(str(row[0]))["what"] for row in rows]
    assert said == ["changed", "changed", "new", "changed", "changed", "changed", "taken_back"]
    elsewhere = cluster.postgres.rows(" UNION ALL ".join(f"SELECT kind FROM shard_{n}.journal WHERE kind = 'corrected'" for n in (1, 2)))
    assert elsewhere == []
    command = [sys.executable, "-m", "gateway.cli", "register", "corrections", "--config", str(cluster.folder / "e0.toml")]
    listed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert "corrections: 5 (devices 3, persons 2)" in listed.stdout, listed.stdout + listed.stderr


async def test_a_shard_that_moves_here_does_not_wait_until_a_register_is_read() -> None:
    """That takes half a minute of a province, and nothing that the shard decides hangs on it before it comes into force."""

    class Taken(Exception):
        pass

    async def take(*_: object) -> None:
        raise Taken

    core = SimpleNamespace(corrections=SimpleNamespace(lock=asyncio.Lock()), swapping=asyncio.Lock(), config_of=lambda _: None)
    core.shards = SimpleNamespace(register=SimpleNamespace(version="now"))
    house = SimpleNamespace(is_ready=asyncio.Event(), register=SimpleNamespace(version="before"), take=take)
    house.is_ready.set()
    async with core.corrections.lock, asyncio.timeout(START_S):
        with pytest.raises(Taken):
            await Keeper(core, 1)._read(house)  # type: ignore[arg-type]
