"""What whoever runs a cluster does at the prompt, beside its cores: accounts, erasing, a backup, and standing up again from it."""

import json
import signal
import time
from binascii import crc32
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cluster.cluster import STREETS, Cluster, Plan
from cluster.prompt import command, done
from servers import Outsider, until
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from gateway.bus.nats_bus import NatsBus
from gateway.config import examine_config
from gateway.core.command import Command
from gateway.core.incident import Action, Incident
from gateway.event import new_id
from gateway.mirror_asking import asking
from gateway.store.backup_file import read_manifest

SHARDS = 2
PEOPLE = 6
IN_FORCE = "configuration in force"
PASSWORD = "correct horse battery\n"  # invented


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with Cluster(tmp_path, Plan(edges=1, cores=1, servers=1, shards=SHARDS, wearables=PEOPLE)) as found:
        for name in ("e0", "c0"):
            file = tmp_path / f"{name}.toml"
            file.write_text(file.read_text().replace("accounts = false", "accounts = true\nno_ears_s = 0"))
        yield found


@pytest.fixture
async def witness(cluster: Cluster) -> AsyncIterator[Outsider]:
    found = Outsider(cluster.broker.port, "stations/+/dispatch")
    yield await found.ready()
    found.close()


async def cry(cluster: Cluster, witness: Outsider, number: int, seq: int) -> None:
    said = {"kind": "sos", "ts": int(time.time() * 1000), "seq": seq}
    await witness.publish(cluster.plan.topic(number), json.dumps(said))


def orders(witness: Outsider) -> list[tuple[str, str, str]]:
    """(device, incident, delivery) of every order that left, repeats too."""
    found = [json.loads(body) for _, body in witness.received]
    return [(str(order["device"]), str(order["incident"]), str(order["delivery"])) for order in found]


def waiting(cluster: Cluster) -> list[tuple[object, ...]]:
    """Incidents of which something has not left, or is not yet written as left."""
    pending = """body ~ '"pending":"[a-z]'"""
    return cluster.postgres.rows(" UNION ALL ".join(f"SELECT number FROM shard_{n}.incident WHERE {pending}" for n in range(SHARDS)))


def shard_of(street: int) -> int:
    return crc32(f"street-{street}".encode()) % SHARDS


async def test_a_cluster_is_looked_after_at_the_prompt(cluster: Cluster, witness: Outsider, tmp_path: Path) -> None:
    file = tmp_path / "e0.toml"
    await _accounts_before_the_first_start_are_the_clusters(cluster, file)
    await _one_person_known_in_two_shards_is_forgotten_in_both_or_in_none(cluster, witness, file)
    await _a_backup_is_of_one_moment_and_a_cluster_stands_up_from_it(cluster, witness, file)


async def _accounts_before_the_first_start_are_the_clusters(cluster: Cluster, file: Path) -> None:
    assert await command(file, "account", "add", "wang", "--name", "王", "--role", "admin", "--own", said=PASSWORD) == (
        0,
        "wang (王, admin, everywhere): may log in\n",
        "",
    )
    await cluster.start_all()
    await done(file, "account", "add", "li", "--name", "李", "--role", "operator", said=PASSWORD)
    assert cluster.postgres.rows("SELECT login FROM shard_0.account ORDER BY 1") == [("li",), ("wang",)]
    assert cluster.postgres.rows("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]
    shown = await done(file, "account", "list")
    assert [line.split()[0] for line in shown.splitlines()] == ["login", "li", "wang"]


async def _one_person_known_in_two_shards_is_forgotten_in_both_or_in_none(cluster: Cluster, witness: Outsider, file: Path) -> None:
    first, there = 1, shard_of(1)
    await cry(cluster, witness, first, 1)
    await until(lambda: len(orders(witness)) == 1, "the cry is an order")
    await _moves(cluster, first, next(street for street in range(STREETS) if shard_of(street) != there))
    await cry(cluster, witness, first, 2)
    await until(lambda: len({one[1] for one in orders(witness)}) == 2, "from another street it is another shard's")
    config = examine_config(file)[0]
    mine = {one[1] for one in orders(witness)}
    async with asking(config, "test") as owners:
        for name in mine:
            shard = (int(name[1:]) - 100_001) % SHARDS
            if name != max(mine):
                await _close(owners, shard, name)
        refused = await command(file, "purge", "--person", "p-1", "--reason", "the family asked")
        assert (refused[0], max(mine) in refused[2], min(mine) in refused[2]) == (1, True, False), refused
        assert cluster.postgres.rows(" UNION ALL ".join(f"SELECT seq FROM shard_{n}.journal WHERE kind = 'purged'" for n in range(SHARDS))) == []
        await _close(owners, (int(max(mine)[1:]) - 100_001) % SHARDS, max(mine))
    refused = await command(file, "purge", "--person", "p-1", "--reason", "the family asked")
    assert (refused[0], "the register still has this person" in refused[2]) == (1, True), refused
    await _moves(cluster, first, None)
    code, told, why = await command(file, "purge", "--person", "p-1", "--reason", "the family asked")
    assert (code, "2 incidents" in told, f"in all {SHARDS} shards" in told) == (0, True, True), (told, why)
    tables = ("journal", "incident", "last_seen", "standing", "history_of")
    for shard in range(SHARDS):
        left = "".join(str(cluster.postgres.rows(f"SELECT * FROM shard_{shard}.{table}")) for table in tables)
        assert not [word for word in ("'p-1'", '"p-1"', "w-000001", "person:p-1") if word in left], shard
        assert cluster.postgres.rows(f"SELECT count(*) > 0, min(actor) <> '' FROM shard_{shard}.journal WHERE kind = 'purged'") == [(True, True)]
    await done(file, "journal", "verify")
    await done(file, "purge")


async def _close(owners: object, shard: int, incident: str) -> None:
    steps: tuple[tuple[Action, dict[str, object]], ...] = (
        (Action.ACKNOWLEDGE, {}),
        (Action.RESOLVE, {"outcome": "helped", "override": "seen by the clerk"}),
        (Action.CALL_BACK, {"satisfaction": 5}),
    )
    for action, facts in steps:
        wanted = Command(action=action, incident=incident, actor="the clerk", facts=facts, key=new_id())
        await owners.ask(shard, "command", wanted, Incident | None)  # type: ignore[attr-defined]


async def _moves(cluster: Cluster, number: int, street: int | None) -> None:
    """In the register's files, as everybody reads them again; None: away for good, with what they wore."""
    folder = cluster.folder / "districts" / "province"
    for name, key in (("persons.csv", f"p-{number},"), ("devices.csv", f"{cluster.plan.device(number)},")):
        rows = (folder / name).read_text("utf-8").splitlines()
        if street is None:
            rows = [row for row in rows if not row.startswith(key)]
        elif name == "persons.csv":
            rows = [row.replace(f"street-{number}", f"street-{street}") if row.startswith(key) else row for row in rows]
        (folder / name).write_text("\n".join(rows) + "\n", "utf-8")
    for name in ("c0", "e0"):  # the core first: it must know whom it hears of
        part = cluster.servers[name]
        before = part.log.read_text().count(IN_FORCE)
        assert part.process is not None
        part.process.send_signal(signal.SIGHUP)
        await until(lambda part=part, before=before: part.log.read_text().count(IN_FORCE) > before, f"{name} has read the register")  # type: ignore[misc]


async def _a_backup_is_of_one_moment_and_a_cluster_stands_up_from_it(cluster: Cluster, witness: Outsider, file: Path) -> None:
    """Restored, a core reads the bus again from there: each order has the id it had, the answer to it is found; what is gone is told."""
    folder, config = file.parent, examine_config(file)[0]
    saved = folder / "b.backup.tar"
    witness.received.clear()
    for number in (0, *range(2, PEOPLE)):  # who is left
        await cry(cluster, witness, number, 1)
    await until(lambda: len(orders(witness)) >= PEOPLE - 1, "every cry is an order")
    await until(lambda: waiting(cluster) == [], "that each has left stands in the journal")
    told = await done(file, "backup", "--to", str(saved))
    assert [line.split(" journal")[0] for line in told.splitlines()[:SHARDS]] == [
        f"shard {n}: {cluster.postgres.rows(f'SELECT max(seq) FROM shard_{n}.journal')[0][0]}" for n in range(SHARDS)
    ]
    await done(file, "verify", str(saved))
    heads = [line.rpartition(" ")[2] for line in (await done(file, "verify")).splitlines()[:SHARDS]]
    assert [part.head.chain for part in read_manifest(saved).shards] == heads
    await done(file, "verify", "--head", heads[1])
    code, told, why = await command(file, "verify", "--head", "00ff")
    assert (code, "is nowhere in the journal" in why) == (1, True), (told, why)

    await witness.publish("e0/wearables/nobody-knows/event", json.dumps({"kind": "sos", "ts": int(time.time() * 1000), "seq": 1}))
    await until(lambda: "nobody-knows" in [one[0] for one in orders(witness)], "a stranger's cry of after the backup is an order")
    kept = next(number for number in range(2, PEOPLE) if shard_of(number) == 0)
    await cry(cluster, witness, kept, 2)
    await until(lambda: len(orders(witness)) >= PEOPLE + 1, "a second cry of after the backup is told")
    before = set(orders(witness))
    topic, order = next((topic, body) for topic, body in witness.received if b"nobody-knows" in body)
    answer = {"delivery": json.loads(order)["delivery"], "answer": "accept", "by": "station"}
    await witness.publish(topic.replace("/dispatch", "/reply"), json.dumps(answer))
    accepted = "SELECT count(*) FROM shard_0.journal WHERE kind = 'accept'"
    await until(lambda: asked(cluster.postgres.url, accepted) == 1, "the station's answer is written")
    cluster.kill("c0", signal.SIGTERM)

    url = make_url(cluster.postgres.url).set(database="anew").render_as_string(hide_password=False)
    asked(cluster.postgres.url, "CREATE DATABASE anew")
    used = await command(file, "restore", str(saved), "--to", str(folder / "drill"), "--database", cluster.postgres.url)
    assert (used[0], "has a journal already" in used[2]) == (1, True), used
    code, told, why = await command(file, "restore", str(saved), "--to", str(folder / "new"), "--database", url)
    assert (code, told.count("chain whole")) == (0, SHARDS), (told, why)
    restored = folder / "new" / "config" / "e0.toml"
    assert [line.rpartition(" ")[2] for line in (await done(restored, "verify")).splitlines()[:SHARDS]] == heads

    lost = shard_of(next(number for number in range(PEOPLE) if shard_of(number % STREETS) != 0))
    bus = NatsBus(config.bus, folder, "test")
    await bus.connect()
    try:
        await bus.keep(lost, "one", b"nobody reads it")
        await bus.forget(lost, await bus.last(lost))
    finally:
        await bus.close()
    core = folder / "c0.toml"
    core.write_text(core.read_text().replace(cluster.postgres.url, url))
    witness.received.clear()
    cluster.start("c0")
    await cluster.stands()
    await until(
        lambda: set(orders(witness)) >= {one for one in before if one[0] in ("nobody-knows", cluster.plan.device(kept))},
        "what the bus still has is decided again",
    )
    assert set(orders(witness)) <= before, "no order that a station does not know"
    await until(lambda: asked(url, accepted) == 1, "the answer that was given then finds its order")

    gaps = f"SELECT count(*) FROM shard_{lost}.journal WHERE kind = 'gap' AND facts LIKE '%bus_forgot%'"
    await until(lambda: asked(url, gaps) == 1, "the journal says what the bus had no more")


def asked(url: str, sql: str) -> object:
    """The first cell of what a database answers, if it answers anything."""
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            found = connection.execute(text(sql))
            return found.scalar() if found.returns_rows else None
    finally:
        engine.dispose()
